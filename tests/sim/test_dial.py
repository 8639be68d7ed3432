"""What a question's probe dials, from each kind of source to each kind of target."""

from __future__ import annotations

from typing import Any

import pytest

from sim.build import topology
from sim.dial import dial
from sim.errors import NothingToDial, SpecError
from sim.spec import Dial, Question, Spec

ADDRESSES = {
    ("c1", "bridge"): "172.17.0.2/16",
    ("c2", "bridge"): "172.17.0.3",
    ("web", "back"): "172.18.0.2",
    ("web", "front"): "172.19.0.2",
    ("api", "front"): "172.19.0.3",
    ("db", "back"): "172.18.0.4",
}


def demo() -> Spec:
    return (
        topology("demo")
        .network("back")
        .network("front")
        .container("c1", ports=["8080:80", "5353:53/udp"])
        .container("c2")
        .container("web", networks=["back", "front"])
        .container("api", networks=["front"])
        .container("db", networks=["back"])
        .container("onhost", mode="host", ports=["8081:80"])
        .container("alone", mode="none")
        .container("side", mode="container:web")
        .spec()
    )


def dialled(source: str, target: str, **fields: object) -> Dial:
    question = Question.model_validate({"source": source, "target": target, **fields})
    ports = {("c1", 80, "tcp"): 8080, ("c1", 53, "udp"): 5353}
    return dial(question, demo(), 7, lambda box, net: ADDRESSES.get((box, net)), lambda *key: ports.get(key))


def test_by_ip_dials_the_address_on_the_network_that_both_are_on() -> None:
    assert dialled("db", "web").address == "172.18.0.2"
    assert dialled("api", "web").address == "172.19.0.2"
    assert dialled("web", "api").address == "172.19.0.3"


def test_by_ip_dials_the_first_address_when_no_network_is_shared() -> None:
    assert dialled("c1", "web").address == dialled("client", "web").address == "172.18.0.2"


def test_the_prefix_length_is_no_part_of_what_is_dialled() -> None:
    assert dialled("c2", "c1").address == "172.17.0.2"


def test_by_name_dials_the_text_and_leaves_resolving_to_the_source() -> None:
    dial = dialled("web", "anything.example", by="name", probe="tcp", port=80)
    assert (dial.name, dial.address, dial.port) == ("anything.example", "", 80)


def test_published_dials_the_hosts_address_and_its_port() -> None:
    assert dialled("client", "c1", probe="tcp", port=80, published=True) == Dial(
        source="client", probe="tcp", address="192.168.99.101", port=8080, source_port=20007, timeout=1.5
    )
    assert dialled("client", "c1", probe="udp", port=53, published=True).port == 5353


def test_a_container_in_host_mode_is_dialled_at_its_hosts_address() -> None:
    assert dialled("client", "onhost", probe="tcp", port=80).address == "192.168.99.101"


def test_a_container_in_anothers_namespace_is_dialled_at_that_ones_address() -> None:
    assert dialled("api", "side").address == "172.19.0.2"
    assert dialled("side", "api").source == "side"


def test_machines_and_literal_addresses_are_dialled_as_they_are() -> None:
    assert dialled("c1", "client").address == "192.168.99.200"
    assert dialled("c1", "host").address == "192.168.99.101"
    assert dialled("alone", "127.0.0.1").address == "127.0.0.1"


def test_what_has_no_address_or_is_not_published_cannot_be_dialled() -> None:
    with pytest.raises(SpecError, match="alone has no address: its network mode is none; ask for"):
        dialled("client", "alone")
    with pytest.raises(SpecError, match="c1 does not publish port 81/tcp"):
        dialled("client", "c1", probe="tcp", port=81, published=True)
    with pytest.raises(NothingToDial, match="onhost: the engine does not publish port 80/tcp"):
        dialled("client", "onhost", probe="tcp", port=80, published=True)
    with pytest.raises(SpecError, match="unknown source 'nobody'"):
        dialled("nobody", "c1")
    with pytest.raises(SpecError, match="unknown target 'nobody'"):
        dialled("c1", "nobody")


def test_every_question_has_a_source_port_of_its_own_below_the_ephemeral_range() -> None:
    with pytest.raises(SpecError, match="more than 12768 questions"):
        dial(Question(source="c1", target="c2"), demo(), 12768, lambda *_: "10.0.0.1", lambda *_: None)


def test_a_pings_size_and_df_are_part_of_the_dial() -> None:
    dial = dialled("c1", "c2", size=1473, df=True)
    assert (dial.size, dial.df) == (1473, True)
    assert str(Question(source="c1", target="c2", size=1473, df=True)) == "c1 -> c2 ping of 1473 bytes, DF"


@pytest.mark.parametrize(("probe", "more"), [("tcp", {"df": True}), ("udp", {"df": True}), ("udp", {"size": 100})])
def test_df_is_a_pings_alone_and_size_is_a_pings_or_tcps(probe: Any, more: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="df is for pings, and size for pings and tcp"):
        Spec(containers=demo().containers, networks=demo().networks,
             questions=(Question(source="c1", target="c2", probe=probe, port=80, **more),))


# services of a swarm


def swarm() -> Spec:
    return (
        topology("swarm")
        .host("h1").host("h2").host("h3")
        .network("a", driver="overlay", attachable=True)
        .network("b", driver="overlay", attachable=True)
        .container("c3", networks=["b"], host="h3")
        .service("web", networks=["a", "b"], replicas=2, ports=[
            "8080:80", "53/udp", {"target": 81, "published": 8081, "mode": "host"}, {"target": 82, "mode": "host"}])
        .service("db", networks=["b"], endpoint_mode="dnsrr", ports=[{"target": 82, "mode": "host"}])
        .service("none", networks=["b"], replicas=0, ports=[{"target": 82, "mode": "host"}])
        .spec()
    )


VIPS = {("web", "a"): "10.0.1.5/24", ("web", "b"): "10.0.2.5"}
DRAWN = {("web", 53, "udp"): 30000, ("web.1", 82, "tcp"): 32768}


def swarm_dial(source: str, target: str, **fields: object) -> Dial:
    question = Question.model_validate({"source": source, "target": target, **fields})
    addresses = {("web.1", "a"): "10.0.1.6", ("web.1", "b"): "10.0.2.6"}
    return dial(question, swarm(), 0, lambda *key: addresses.get(key), lambda *key: DRAWN.get(key),
                lambda *key: VIPS.get(key))


def test_a_service_by_ip_is_its_virtual_address_on_the_network_that_both_are_on() -> None:
    assert swarm_dial("c3", "web").address == "10.0.2.5"
    assert swarm_dial("client", "web").address == swarm_dial("h3", "web").address == "10.0.1.5"


def test_a_task_by_ip_is_its_address_on_the_overlay_that_both_are_on_whichever_the_host() -> None:
    assert swarm_dial("c3", "web.1").address == "10.0.2.6"


def test_a_service_by_name_is_left_to_the_source_to_resolve() -> None:
    assert swarm_dial("c3", "tasks.web", by="name").name == "tasks.web"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"port": 80}, ("192.168.99.101", 8080)),
        ({"port": 80, "at": "h3"}, ("192.168.99.103", 8080)),
        ({"port": 53, "probe": "udp", "at": "h2"}, ("192.168.99.102", 30000)),
        ({"port": 81}, ("192.168.99.101", 8081)),
        ({"port": 81, "at": "h2"}, ("192.168.99.102", 8081)),
        ({"port": 82}, ("192.168.99.101", 32768)),
    ],
)
def test_a_published_port_of_a_service_is_dialled_at_a_node(
    fields: dict[str, object], expected: tuple[str, int]
) -> None:
    dialled = swarm_dial("client", "web", published=True, **{"probe": "tcp", **fields})
    assert (dialled.address, dialled.port) == expected


@pytest.mark.parametrize(
    ("target", "fields", "problem"),
    [
        ("db", {}, "db has no virtual address: its endpoint_mode is dnsrr"),
        ("none", {}, "none has no virtual address: the swarm gave it none"),
        ("web", {"port": 9, "probe": "tcp", "published": True}, "web does not publish port 9/tcp"),
        ("web", {"port": 81, "probe": "tcp", "published": True, "at": "h3"}, "in mode host, and h3 runs no task of it"),
        ("none", {"port": 82, "probe": "tcp", "published": True}, "in mode host, and it has no task"),
        ("web", {"port": 82, "probe": "tcp", "published": True, "at": "h2"}, "port 82/tcp of web.2 was not published"),
    ],
)
def test_what_a_service_does_not_have_can_not_be_dialled(target: str, fields: dict[str, object], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        swarm_dial("client", target, **fields)
