"""What the macvlan driver plumbs, beside the goldens (macvlan*.yaml and refusals.yaml)."""

from __future__ import annotations

import pytest

from sim import spec
from sim.build import topology
from sim.errors import PlumbError, SpecError
from sim.predict import predict
from sim.trace import Outcome
from sim.world import build
from tests.sim.dockerd.engines import engine, network, on, port

LAN = {"driver": "macvlan", "subnet": "10.1.0.0/24", "options": {"parent": "eth0"}}


def test_macvlan_writes_no_rule_and_publishes_no_port() -> None:
    daemon = engine()
    before = daemon.netns.netfilter.save()
    daemon.network_create(network("lan", **LAN))
    daemon.container_run(on("lan", name="web", ports=[port(80, 8080)]))
    assert daemon.netns.netfilter.save() == before
    assert daemon.published_port("web", 80, "tcp") is None
    assert daemon.netns.daemon_listeners == []
    assert daemon.warnings == []


def test_subnet_with_host_bits_is_taken_for_the_network_that_it_lies_in() -> None:
    """The article's `--subnet=150.50.50.50/24`: Docker 20.10 takes it and counts from 150.50.50.1."""
    daemon = engine()
    daemon.network_create(network("lan", **LAN | {"subnet": "150.50.50.50/24", "gateway": "150.50.50.1"}))
    daemon.container_run(on("lan", name="web"))
    assert daemon.address_of("web", "lan") == "150.50.50.2"


def test_gateway_is_nobodys_address_on_the_host() -> None:
    daemon = engine()
    daemon.network_create(network("lan", **LAN))
    daemon.container_run(on("lan", name="web"))
    assert not daemon.netns.is_local(0x0A010001)
    assert [(r.dst, r.dev) for r in daemon.sandboxes["web"].routes.entries] == [
        ("10.1.0.0/24", "eth0"), ("default", "eth0")]


@pytest.mark.parametrize("internal", [False, True])
def test_network_without_a_parent_hangs_on_a_dummy_and_has_a_gateway_that_is_nobody(internal: bool) -> None:
    daemon = engine()
    daemon.network_create(network("lan", driver="macvlan", subnet="10.1.0.0/24", internal=internal))
    daemon.container_run(on("lan", name="web"))
    assert daemon.netns.devices["dm(lan)"].kind == "dummy"
    assert [r.dst for r in daemon.sandboxes["web"].routes.entries] == ["10.1.0.0/24", "default"][:2 - internal]


def test_containers_on_a_dummy_reach_each_other_and_nobody_else() -> None:
    asked = (topology().network("lan", driver="macvlan", subnet="10.1.0.0/24")
             .container("web", networks=["lan"], listens=[80]).container("app", networks=["lan"])
             .client(routes=["10.1.0.0/24 via 192.168.99.101"])
             .ask("app -> web:80").ask("app -> client ping by ip", timeout=4).ask("client -> web ping").spec())
    reached, out, into = (answer.outcome for answer in predict(asked).answers)
    assert (reached, out, into) == (Outcome.REACHED, Outcome.HOST_UNREACHABLE, Outcome.NET_UNREACHABLE)


def test_two_networks_without_a_parent_have_a_dummy_each() -> None:
    daemon = engine()
    for number in (1, 2):
        daemon.network_create(network(f"lan{number}", driver="macvlan", subnet=f"10.{number}.0.0/24"))
    assert {"dm(lan1)", "dm(lan2)"} <= daemon.netns.devices.keys()


@pytest.mark.parametrize("parent", ["docker0", "docker0.10"])
def test_parent_that_is_not_modelled_is_refused_by_hopcast_and_not_in_dockers_name(parent: str) -> None:
    with pytest.raises(SpecError, match="not modelled"):
        engine().network_create(network("lan", driver="macvlan", options={"parent": parent}))


def test_each_engine_has_its_own_network_of_that_name_and_only_where_a_container_uses_it() -> None:
    asked = (topology().host("h1").host("h2").host("h3").network("lan", **LAN)
             .container("aa", networks=["lan"], host="h1").container("bb", networks=["lan"], host="h2").spec())
    assert asked.hosts_of("lan") == ("h1", "h2")
    world = build(asked)
    assert [label for label, daemon in world.daemons.items() if "lan" in daemon.networks] == ["h1", "h2"]
    assert world.address_of("aa", "lan") == world.address_of("bb", "lan") == "10.1.0.2"


def test_a_network_that_nobody_is_on_is_made_everywhere() -> None:
    assert topology().host("h1").host("h2").network("idle").spec().hosts_of("idle") == ("h1", "h2")


def test_second_network_on_a_parent_is_refused_on_the_engine_that_has_both() -> None:
    def two(host: str) -> spec.Spec:
        return (topology().host("h1").host("h2").network("lan", **LAN).network("wan", **LAN | {"subnet": "10.2.0.0/24"})
                .container("aa", networks=["lan"], host="h1").container("bb", networks=["wan"], host=host).spec())

    build(two("h2"))
    with pytest.raises(PlumbError, match="is already using parent interface eth0"):
        build(two("h1"))


def test_sub_interface_that_is_not_there_is_made_and_shared_by_the_networks_containers() -> None:
    daemon = engine()
    daemon.network_create(network("ten", **LAN | {"options": {"parent": "eth0.10"}}))
    daemon.container_run(on("ten", name="web"))
    daemon.container_run(on("ten", name="app"))
    made = daemon.netns.devices["eth0.10"]
    assert (made.kind, made.options, made.up, made.addresses) == ("vlan", "protocol 802.1Q id 10", True, [])
    assert made.macvlans is not None and len(made.macvlans.devices) == 2


def test_a_parent_and_its_sub_interfaces_are_three_parents() -> None:
    daemon = engine()
    for number, parent in enumerate(("eth0", "eth0.10", "eth0.20"), 1):
        options = {"parent": parent}
        daemon.network_create(network(f"lan{number}", driver="macvlan", subnet=f"10.{number}.0.0/24", options=options))
        daemon.container_run(on(f"lan{number}", name=f"web{number}"))
    assert {"eth0.10", "eth0.20"} <= daemon.netns.devices.keys()


def test_one_vlan_under_two_names_is_refused_by_the_kernel() -> None:
    daemon = engine()
    daemon.network_create(network("ten", **LAN | {"options": {"parent": "eth0.10"}}))
    again = {"parent": "eth0.010"}
    with pytest.raises(PlumbError, match=r"failed to create eth0\.010 vlan link: file exists"):
        daemon.network_create(network("again", driver="macvlan", subnet="10.2.0.0/24", options=again))
