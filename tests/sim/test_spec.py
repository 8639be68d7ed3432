"""What a Spec refuses, object by object: always as a SpecError with a mend, never as pydantic's own error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim import topology
from sim.errors import SpecError, did_you_mean
from sim.spec import Attachment, Client, Container, Engine, Host, Listener, Network, PublishedPort, Question, Spec

WEB = Container(name="web", mode="bridge", listens=(Listener(port=80),))


def on(network: str, address: str = "") -> tuple[Attachment, ...]:
    return (Attachment(network=network, ipv4_address=address),)


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: PublishedPort(container_port=0), "PublishedPort.container_port: port 0 is out of range; use 1-65535"),
    (lambda: PublishedPort(container_port=80, host_port=70000), "port 70000 is out of range; use 1-65535"),
    (lambda: PublishedPort(container_port=80, host_ip="::"), "Hopcast models IPv4 only"),
    (lambda: PublishedPort.model_validate({"container_port": "x"}), "container_port: 'x' is not a whole number"),
    (
        lambda: PublishedPort.model_validate({"container_port": 80, "protocol": "tpc"}),
        "unknown protocol 'tpc'; did you mean 'tcp'?",
    ),
    (
        lambda: PublishedPort.model_validate({"container_port": 80, "host_prt": 1}),
        "no field 'host_prt'; did you mean 'host_port'?",
    ),
    (lambda: PublishedPort.model_validate({}), "PublishedPort.container_port: is missing"),
    (lambda: Listener(port=65536), "port 65536 is out of range"),
    (lambda: Network(name="a b"), "'a b' is no name for a network"),
    (lambda: Network(name="n", subnet="10.0.0.0"), "network n: '10.0.0.0' is not a subnet in CIDR notation"),
    (lambda: Network(name="n", subnet="10.0.0.0/24", gateway="10.0.1.1"), "gateway 10.0.1.1 is outside the subnet"),
    (lambda: Network(name="n", subnet="10.0.0.0/24", ip_range="10.0.0.0/16"), "ip_range 10.0.0.0/16 is outside"),
    (lambda: Network(name="n", subnet="10.0.0.0/24", aux_addresses=("10.0.1.1",)), "aux_addresses 10.0.1.1 is outside"),
    (lambda: Network(name="n", gateway="10.0.1.1"), "without a subnet; give the subnet as well"),
    (lambda: Network(name="n", driver="bridg"), "network n: driver 'bridg' is not modelled; did you mean 'bridge'?"),
    (lambda: Network(name="n", options={"com.docker.network.driver.mtu": "big"}), "no MTU"),
    (lambda: Attachment(network="n", ipv4_address="10.0.0"), "'10.0.0' is not an IPv4 address"),
    (lambda: Attachment(network="n", mac_address="01:00:5e:00:00:01"), "multicast MAC"),
    (lambda: Container(name="-web", mode="bridge"), "'-web' is no name"),
    (lambda: Container(name="web", mode="hots"), "'hots' is no network mode; did you mean 'host'?"),
    (lambda: Container(name="web"), "container web: no network to attach to"),
    (lambda: Container(name="web", mode="host", attachments=on("n")), "mode 'host' excludes networks"),
    (lambda: Container(name="web", attachments=on("n") * 2), "attached twice to network 'n'"),
    (lambda: Engine(mtu=1), "Engine: mtu 1 is out of range; use at least 68"),
    (lambda: Engine(version="latest"), "Engine.version"),
    (lambda: Host(address="192.168.99.101"), "CIDR"),
    (lambda: Client(routes=("172.16.0.0/12",)), "is no route; write it like"),
    (lambda: Question(source="a", target="b", timeout=0), "0 is out of range; use more than 0"),
    (lambda: Spec(containers=(WEB, WEB)), "two namespaces are named 'web'; each needs its own"),
    (lambda: Spec(networks=(Network(name="n"), Network(name="n"))), "two networks are named 'n'"),
    (lambda: Spec(containers=(WEB.model_copy(update={"name": "client"}),)), "two namespaces are named 'client'"),
    (lambda: Spec(hosts=()), "there is no host"),
    (lambda: Spec(clients=(Client(address="192.168.99.101/24"),)), "two machines have the address '192.168.99.101'"),
    (
        lambda: Spec(networks=(Network(name="front"),), containers=(Container(name="web", attachments=on("frnt")),)),
        "container web: unknown network 'frnt'; did you mean 'front'?",
    ),
    (
        lambda: Spec(
            networks=(Network(name="n", subnet="10.0.0.0/24"),),
            containers=(Container(name="web", attachments=on("n", "10.0.1.2")),),
        ),
        "ipv4_address 10.0.1.2 is outside the subnet 10.0.0.0/24 of network 'n'; use an address in 10.0.0.0/24",
    ),
    (lambda: Spec(containers=(Container(name="web", mode="bridge", host="h9"),)), "unknown host 'h9'; known: host"),
    (lambda: Spec(containers=(WEB, Container(name="side", mode="container:wbe"))), "unknown container 'wbe'"),
    (
        lambda: Spec(containers=(Container(name="aa", mode="container:bb"), Container(name="bb", mode="container:aa"))),
        "network mode goes in a circle: aa -> bb -> aa",
    ),
    (
        lambda: Spec(containers=(WEB, Container(name="side", mode="container:web", listens=(Listener(port=80),)))),
        "port 80/tcp is in use by web",
    ),
    (
        lambda: Spec(containers=(WEB,), questions=(Question(source="wbe", target="web"),)),
        "question 0: unknown source 'wbe'; did you mean 'web'?",
    ),
    (lambda: Spec(containers=(WEB,), questions=(Question(source="web", target="x"),)), "unknown target 'x'"),
    (
        lambda: Spec(containers=(WEB,), questions=(Question(source="web", target="1.2.3"),)),
        "'1.2.3' is not an IPv4 address",
    ),
    (
        lambda: Spec(containers=(WEB,), questions=(Question(source="client", target="web", probe="tcp"),)),
        "needs a port",
    ),
    (
        lambda: Spec(containers=(WEB,), questions=(Question(source="client", target="web", port=80),)),
        "ping has no port",
    ),
    (
        lambda: Spec.model_validate({"hosts": [{"name": "h", "adress": "x"}]}),
        "Host has no field 'adress'; did you mean 'address'?",
    ),
    (lambda: Spec.model_validate_json('{"containers": 3}'), "Spec.containers"),
]


@pytest.mark.parametrize(("make", "expected"), BAD, ids=[row[1][:50] for row in BAD])
def test_a_wrong_object_is_a_spec_error_of_one_line(make: Callable[[], object], expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_subnet_keeps_its_host_bits_for_dockerd_to_judge() -> None:
    assert Network(name="n", subnet="10.0.0.7/24", gateway="10.0.0.254").subnet == "10.0.0.7/24"


def test_overlapping_subnets_are_left_to_dockerd() -> None:
    Spec(networks=(Network(name="aa", subnet="10.0.0.0/8"), Network(name="bb", subnet="10.1.0.0/16")))


def test_a_host_port_used_twice_is_left_to_dockerd() -> None:
    ports = (PublishedPort(container_port=80, host_port=8080),)
    Spec(containers=(WEB.model_copy(update={"ports": ports}), Container(name="two", mode="bridge", ports=ports)))


def test_a_spec_survives_json() -> None:
    spec = Spec(containers=(WEB,), questions=(Question(source="client", target="web", probe="tcp", port=80),))
    assert Spec.model_validate_json(spec.model_dump_json()) == spec


def test_a_containers_processes_run_in_the_namespace_that_its_mode_says() -> None:
    spec = Spec(
        containers=(
            WEB,
            Container(name="side", mode="container:web"),
            Container(name="out", mode="host"),
            Container(name="third", mode="container:side"),
        )
    )
    assert [spec.netns_of(label) for label in ("web", "side", "out", "third", "client")] == [
        "web",
        "web",
        "host",
        "web",
        "client",
    ]


def test_did_you_mean_ignores_case_and_dashes() -> None:
    assert did_you_mean("UserlandProxy", ["userland-proxy", "icc"]) == "did you mean 'userland-proxy'?"
    assert did_you_mean("zzz", []) == ""


def test_a_copy_with_other_containers_does_not_find_those_before() -> None:
    spec = topology("t").network("front").container("a", networks=["front"]).container("b", networks=["front"]).spec()
    assert spec.container("b") is not None and "b" in spec.labels_and_services
    fewer = spec.model_copy(update={"containers": spec.containers[:1], "questions": ()})
    assert fewer.container("b") is None and "b" not in fewer.labels_and_services
    assert fewer == fewer.model_copy() and spec == topology("t").network("front").container(
        "a", networks=["front"]).container("b", networks=["front"]).spec()


def test_a_network_is_found_by_the_engines_name_before_the_files() -> None:
    spec = topology("t").network("one", key="two").network("two", key="three").spec()
    found = {name: spec.network(name) for name in ("one", "two", "three", "four")}
    assert {name: network and network.name for name, network in found.items()} == {
        "one": "one", "two": "two", "three": "two", "four": None}


def test_everybody_in_a_long_chain_of_shared_namespaces_runs_in_the_first_ones() -> None:
    chain = [Container(name="s0", mode="bridge"),
             *(Container(name=f"s{n}", mode=f"container:s{n - 1}") for n in range(1, 3000))]
    spec = Spec(containers=tuple(reversed(chain)))
    assert {spec.netns_of(box.name) for box in chain} == {"s0"}
    hosted = Spec(containers=(Container(name="h", mode="host"), Container(name="g", mode="container:h")))
    assert hosted.netns_of("g") == "host"
    assert spec.netns_of("client") == "client"


def test_a_circle_of_shared_namespaces_is_refused_whoever_is_asked_first() -> None:
    boxes = [Container(name="a", mode="bridge"), Container(name="b", mode="container:c"),
             Container(name="c", mode="container:d"), Container(name="d", mode="container:c")]
    for order in (boxes, boxes[::-1]):
        with pytest.raises(SpecError, match=r"network mode goes in a circle: .*(c -> d|d -> c)"):
            Spec(containers=tuple(order))
