"""Engines in a swarm: what overlay networks get, what stands on each node, what the engines refuse."""

from __future__ import annotations

from typing import Any

import pytest

from sim import spec, topology
from sim.dockerd.daemon import Daemon
from sim.dockerd.swarm import Swarm
from sim.errors import PlumbError, SpecError
from sim.predict import predict
from sim.world import World, build
from tests.sim.dockerd.engines import engine, network, on


def overlay(name: str, **more: Any) -> spec.Network:
    return network(name, driver="overlay", **{"attachable": True, **more})


def swarm(*boxes: spec.Container, networks: tuple[spec.Network, ...] = (overlay("alpha"),)) -> World:
    """Hosts h1, h2 and h3 in a swarm, h1 its manager."""
    hosts = tuple(spec.Host(name=f"h{n}", address=f"192.168.99.10{n}/24") for n in (1, 2, 3))
    return build(spec.Spec(hosts=hosts, networks=networks, containers=boxes))


def manager() -> Daemon:
    daemon = engine()
    daemon.swarm_join(Swarm())
    return daemon


def test_an_engine_outside_a_swarm_refuses_overlay_networks() -> None:
    with pytest.raises(PlumbError, match="This node is not a swarm manager"):
        engine().network_create(overlay("alpha"))


def test_the_first_network_is_behind_ingress_and_each_node_takes_an_address_for_its_load_balancer() -> None:
    world = swarm(on("alpha", name="a1", host="h1"), on("alpha", name="a2", host="h2"),
                  on("alpha", name="a1b", host="h1"), on("alpha", name="a3", host="h3"))
    assert [world.address_of(name, "alpha") for name in ("a1", "a2", "a1b", "a3")] == [
        "10.0.1.2", "10.0.1.4", "10.0.1.6", "10.0.1.7"]
    balancers = {n: world.namespaces[f"lb(alpha)@h{n}"].snapshot().interfaces["eth0"].addresses[0] for n in (1, 2, 3)}
    assert balancers == {1: "10.0.1.3/24", 2: "10.0.1.5/24", 3: "10.0.1.8/24"}


def test_networks_get_subnets_and_vnis_one_after_the_other() -> None:
    world = swarm(on("alpha", "beta", name="ab", host="h2"), networks=(overlay("alpha"), overlay("beta")))
    assert world.address_of("ab", "beta") == "10.0.2.2"
    options = [world.namespaces[f"ov({name})@h2"].devices["vxlan0"].options for name in ("ingress", "alpha", "beta")]
    assert [text.split()[1] for text in options] == ["4096", "4097", "4098"]


def test_a_node_has_a_network_only_once_a_container_there_uses_it() -> None:
    world = swarm(on("alpha", name="a2", host="h2"))
    assert "ov(alpha)@h2" in world.namespaces
    assert "ov(alpha)@h1" not in world.namespaces and "alpha" not in world.daemons["h1"].networks


def test_a_container_has_its_way_out_behind_its_networks() -> None:
    world = swarm(on("alpha", "beta", name="both", host="h1"), networks=(overlay("alpha"), overlay("beta")))
    shown = world.namespaces["both"].snapshot()
    assert {n: i.addresses[0] for n, i in shown.interfaces.items() if n != "lo"} == {
        "eth0": "10.0.1.2/24", "eth1": "10.0.2.2/24", "eth2": "172.18.0.3/16"}
    assert ("default", "eth2", "172.18.0.1") in [(r.dst, r.dev, r.via) for r in shown.routes]
    assert (shown.interfaces["eth0"].mtu, shown.interfaces["eth2"].mtu) == (1450, 1500)


def test_a_bridge_network_is_way_out_enough() -> None:
    world = swarm(on("alpha", "front", name="both", host="h1"), networks=(overlay("alpha"), network("front")))
    assert "eth2" not in world.namespaces["both"].devices


def test_an_internal_overlay_has_no_way_out() -> None:
    world = swarm(on("alpha", name="a1", host="h1"), networks=(overlay("alpha", internal=True),))
    shown = world.namespaces["a1"].snapshot()
    assert sorted(shown.interfaces) == ["eth0", "lo"]
    assert [r.dst for r in shown.routes] == ["10.0.1.0/24"]


def test_docker_gwbridge_is_masqueraded_and_its_members_are_apart() -> None:
    rules = manager().netns.snapshot().rules
    assert "-A FORWARD -i docker_gwbridge -o docker_gwbridge -j DROP" in rules["filter"]
    assert "-A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE" in rules["nat"]


def test_every_remote_endpoint_is_programmed_whoever_came_first() -> None:
    world = swarm(on("alpha", name="a1", host="h1"), on("alpha", name="a2", host="h2"))
    first, second = (world.namespaces[f"ov(alpha)@h{n}"].snapshot() for n in (1, 2))
    assert sorted(first.remotes) == ["02:42:0a:00:01:04 dev vxlan0 dst 192.168.99.102",
                                     "02:42:0a:00:01:05 dev vxlan0 dst 192.168.99.102"]
    assert sorted(second.neighbours) == ["10.0.1.2 dev vxlan0 lladdr 02:42:0a:00:01:02",
                                         "10.0.1.3 dev vxlan0 lladdr 02:42:0a:00:01:03"]


def test_the_mtu_option_counts_before_the_tunnels_fifty_bytes() -> None:
    world = swarm(on("alpha", name="a1", host="h1"),
                  networks=(overlay("alpha", options={"com.docker.network.driver.mtu": "1400"}),))
    assert world.namespaces["a1"].devices["eth0"].mtu == 1350


@pytest.mark.parametrize(("more", "least"), [({}, 118), ({"encrypted": ""}, 144)])
def test_an_mtu_that_leaves_less_than_a_veth_takes_is_refused(more: dict[str, str], least: int) -> None:
    def world(mtu: int) -> World:
        options = {"com.docker.network.driver.mtu": str(mtu), **more}
        return swarm(on("alpha", name="a1", host="h1"), networks=(overlay("alpha", options=options),))

    assert world(least).namespaces["a1"].devices["eth0"].mtu == 68
    with pytest.raises(PlumbError, match=r"a1: invalid argument; network alpha leaves .* raise its com"):
        world(least - 1)


def test_a_network_of_ones_own_subnet_gives_its_gateway_to_br0() -> None:
    world = swarm(on("alpha", name="a1", host="h1"),
                  networks=(overlay("alpha", subnet="10.20.0.0/24", gateway="10.20.0.254"),))
    assert world.address_of("a1", "alpha") == "10.20.0.1"
    assert world.namespaces["ov(alpha)@h1"].snapshot().interfaces["br0"].addresses == ("10.20.0.254/24",)


def test_overlapping_subnets_are_taken_and_nobody_can_attach() -> None:
    networks = overlay("alpha", subnet="10.20.0.0/24"), overlay("beta", subnet="10.20.0.0/16")
    swarm(networks=networks)
    with pytest.raises(PlumbError, match="attaching to network failed, make sure your network options are correct"):
        swarm(on("beta", name="b1", host="h1"), networks=networks)


def test_an_address_that_is_taken_is_waited_for_in_vain() -> None:
    boxes = [spec.Container(name=name, host=host, attachments=[{"network": "alpha", "ipv4_address": "10.20.0.77"}])
             for name, host in (("a1", "h1"), ("a2", "h2"))]
    alpha = overlay("alpha", subnet="10.20.0.0/24")
    world = swarm(boxes[0], on("alpha", name="a3", host="h1"), networks=(alpha,))
    assert (world.address_of("a1", "alpha"), world.address_of("a3", "alpha")) == ("10.20.0.77", "10.20.0.3")
    with pytest.raises(PlumbError, match="context deadline exceeded"):
        swarm(*boxes, networks=(alpha,))


def test_an_ip_range_is_what_the_manager_draws_from() -> None:
    aux = overlay("aux", subnet="10.30.0.0/24", ip_range="10.30.0.128/25", aux_addresses=("10.30.0.2",))
    assert swarm(on("aux", name="c6", host="h2"), networks=(aux,)).address_of("c6", "aux") == "10.30.0.129"


def test_a_network_that_is_not_attachable_takes_no_plain_container() -> None:
    with pytest.raises(PlumbError, match="network alpha not manually attachable"):
        swarm(on("alpha", name="a1", host="h1"), networks=(overlay("alpha", attachable=False),))


def test_the_manager_refuses_a_name_twice() -> None:
    daemon = manager()
    daemon.network_create(overlay("alpha"))
    with pytest.raises(PlumbError, match="network with name alpha already exists"):
        daemon.network_create(overlay("alpha"))


def test_an_option_of_another_driver_is_refused_by_the_spec() -> None:
    with pytest.raises(SpecError, match="not one that the model covers"):
        overlay("alpha", options={"parent": "eth0"})


def test_names_are_known_on_every_engine_and_to_no_other_network() -> None:
    builder = topology("t").network("alpha", driver="overlay", attachable=True).network(
        "beta", driver="overlay", attachable=True)
    for name in ("h1", "h2"):
        builder = builder.host(name)
    builder = (builder.container("a1", networks=["alpha"], host="h1").container("a2", networks=["alpha"], host="h2")
               .container("b2", networks=["beta"], host="h2"))
    for question in ("a1 -> a2 ping by name", "a1 -> b2 ping by name", "a1 -> b2 ping by ip"):
        builder = builder.ask(question)
    assert [a.outcome.name for a in predict(builder.spec()).answers] == ["REACHED", "NO_SUCH_NAME", "NET_UNREACHABLE"]


def test_a_port_on_an_overlay_is_published_through_docker_gwbridge() -> None:
    box = spec.Container(name="a2", host="h2", attachments=[{"network": "alpha"}], ports=[
        {"container_port": 80, "host_port": 8080}])
    world = swarm(box)
    assert world.spec.publishes("a2")
    rules = world.namespaces["h2"].snapshot().rules["nat"]
    assert any("! -i docker_gwbridge" in rule and "--to-destination 172.18.0.3:80" in rule for rule in rules)


def test_a_port_on_an_internal_overlay_has_no_effect() -> None:
    box = spec.Container(name="a2", host="h2", attachments=[{"network": "alpha"}], ports=[
        {"container_port": 80, "host_port": 8080}])
    world = swarm(box, networks=(overlay("alpha", internal=True),))
    assert not world.spec.publishes("a2")
    assert world.published_port("a2", 80, "tcp") is None
