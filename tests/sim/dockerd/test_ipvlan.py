"""What the ipvlan driver plumbs, beside the refusals that were taken from an engine (refusals.yaml)."""

from __future__ import annotations

from typing import Any

import pytest

from sim import compose, spec
from sim.build import topology
from sim.dockerd.daemon import Daemon
from sim.errors import PlumbError, SpecError
from sim.predict import predict
from sim.spec import Network
from sim.trace import Outcome
from sim.world import build
from tests.sim.dockerd.engines import engine, network, on, port


def lan(mode: str, parent: str = "eth0", name: str = "lan", subnet: str = "10.1.0.0/24", **more: Any) -> spec.Network:
    options = {"ipvlan_mode": mode} | ({"parent": parent} if parent else {})
    return network(name, driver="ipvlan", subnet=subnet, options=options, **more)


def with_one_container(*networks: spec.Network) -> Daemon:
    daemon = engine()
    for each in networks:
        daemon.network_create(each)
    daemon.container_run(on(*(each.name for each in networks), name="web"))
    return daemon


def routes(daemon: Daemon) -> list[tuple[str, str, bool]]:
    return [(r.dst, r.dev, bool(r.via)) for r in daemon.sandboxes["web"].routes.entries]


def test_ipvlan_writes_no_rule_and_publishes_no_port() -> None:
    daemon = engine()
    before = daemon.netns.netfilter.save()
    daemon.network_create(lan("l2"))
    daemon.container_run(on("lan", name="web", ports=[port(80, 8080)]))
    assert daemon.netns.netfilter.save() == before
    assert daemon.published_port("web", 80, "tcp") is None
    assert daemon.warnings == []


def test_container_has_its_hosts_mac_address_and_the_engine_knows_none() -> None:
    daemon = with_one_container(lan("l2"))
    assert daemon.sandboxes["web"].device("eth0").mac == daemon.netns.device("eth0").mac
    assert [endpoint.mac for endpoint in daemon.endpoints] == [""]


def test_mode_l2_is_the_default_and_has_a_gateway_that_is_somebody_elses() -> None:
    daemon = with_one_container(network("lan", driver="ipvlan", subnet="10.1.0.0/24", options={"parent": "eth0"}))
    assert routes(daemon) == [("10.1.0.0/24", "eth0", False), ("default", "eth0", True)]
    assert daemon.sandboxes["web"].device("eth0").options == "mode l2"
    assert not daemon.netns.is_local(0x0A010001)


def test_mode_l3_has_a_default_route_without_a_next_hop() -> None:
    daemon = with_one_container(lan("l3"))
    assert routes(daemon) == [("10.1.0.0/24", "eth0", False), ("default", "eth0", False)]
    assert not daemon.sandboxes["web"].device("eth0").arp


@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_internal_network_has_no_default_route(mode: str) -> None:
    assert routes(with_one_container(lan(mode, internal=True))) == [("10.1.0.0/24", "eth0", False)]


@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_network_without_a_parent_hangs_on_a_dummy_and_is_not_internal_for_that(mode: str) -> None:
    daemon = with_one_container(lan(mode, parent=""))
    assert daemon.netns.devices["di(lan)"].kind == "dummy"
    assert routes(daemon)[-1] == ("default", "eth0", mode == "l2")


def test_container_with_a_gateway_elsewhere_cant_have_the_default_route_of_mode_l3() -> None:
    with pytest.raises(PlumbError, match=r'routes to \[\\"0.0.0.0/0\\"\]: file exists'):
        with_one_container(network("front"), lan("l3"))


def test_container_on_two_l2_networks_has_the_first_ones_gateway() -> None:
    daemon = with_one_container(network("front"), lan("l2"))
    assert [(dst, dev) for dst, dev, _ in routes(daemon) if dst == "default"] == [("default", "eth0")]


def test_second_network_on_a_parent_is_refused_and_on_a_sub_interface_it_is_not() -> None:
    daemon = with_one_container(lan("l3"))
    with pytest.raises(PlumbError, match="network di-… is already using parent interface eth0"):
        daemon.network_create(lan("l3", name="more", subnet="10.2.0.0/24"))
    daemon.network_create(lan("l3", parent="eth0.10", name="other", subnet="10.3.0.0/24"))
    daemon.container_run(on("other", name="app"))
    assert daemon.netns.devices["eth0.10"].kind == "vlan"


@pytest.mark.parametrize(("first", "second"), [("ipvlan", "macvlan"), ("macvlan", "ipvlan")])
def test_macvlan_and_ipvlan_networks_on_one_parent_are_made_but_only_one_takes_containers(
    first: str, second: str
) -> None:
    daemon = engine()
    for number, driver in enumerate((first, second), 1):
        options = {"parent": "eth0"}
        daemon.network_create(network(driver, driver=driver, subnet=f"10.{number}.0.0/24", options=options))
    daemon.container_run(on(first, name="web"))
    with pytest.raises(PlumbError, match=f"failed to create the {second} port: device or resource busy"):
        daemon.container_run(on(second, name="app"))


def test_options_that_no_driver_has_are_refused_before_an_engine_sees_them() -> None:
    for options, said in (({"ipvlan_mode": "l4"}, "ipvlan_mode 'l4' is none of ipvlan's"),
                          ({"macvlan_mode": "bridge"}, "'macvlan_mode' is not one that the model covers"),
                          ({"ipvlan_flag": "on"}, "ipvlan_flag 'on' is none of ipvlan's")):
        with pytest.raises(SpecError, match=said):
            Network(name="lan", driver="ipvlan", options=options)


def test_flag_of_a_later_engine_has_no_effect() -> None:
    daemon = engine()
    daemon.network_create(network("lan", driver="ipvlan", options={"parent": "eth0", "ipvlan_flag": "private"}))
    daemon.container_run(on("lan", name="web"))
    port_of = daemon.netns.device("eth0").ipvlans
    assert port_of is not None and port_of.flag.value == "bridge"


def test_addresses_on_one_wire_over_several_engines_are_noted_as_for_macvlan() -> None:
    file = """
services:
  aa: {networks: [lan], x-hopcast: {host: h1}}
  bb: {networks: [lan], x-hopcast: {host: h2}}
networks:
  lan: {driver: ipvlan, driver_opts: {parent: eth0}}
x-hopcast:
  hosts: {h1: {}, h2: {}}
"""
    notes = compose.loads(file).notes
    assert any("each engine gives addresses on its own" in note for note in notes)


def test_two_l3_networks_on_one_host_are_no_neighbours() -> None:
    asked = (topology()
             .network("one", driver="ipvlan", subnet="10.1.0.0/24", options={"parent": "eth0", "ipvlan_mode": "l3"})
             .network("two", driver="ipvlan", subnet="10.2.0.0/24", options={"parent": "eth0.10", "ipvlan_mode": "l3"})
             .container("web", networks=["one"], listens=[80]).container("app", networks=["two"])
             .ask("app -> web:80 by ip", timeout=4).spec())
    assert [answer.outcome for answer in predict(asked).answers] == [Outcome.TIMEOUT]


def test_snapshot_names_the_kinds_and_modes_as_the_kernel_does() -> None:
    asked = (topology()
             .network("lan", driver="ipvlan", options={"parent": "eth0.10", "ipvlan_mode": "l3"})
             .container("web", networks=["lan"]).spec())
    seen = build(asked).plumbing().namespaces
    host = asked.hosts[0].name
    inside, below = seen["web"].interfaces["eth0"], seen[host].interfaces["eth0.10"]
    assert (inside.kind, inside.options, inside.mac) == ("ipvlan", "mode l3", f"mac({host}:eth0)")
    assert (below.kind, below.options, below.mac) == ("vlan", "protocol 802.1Q id 10", f"mac({host}:eth0)")
