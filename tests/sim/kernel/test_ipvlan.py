"""ipvlan's three modes, on a host that hangs on a switch with one other machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PlumbError
from sim.kernel.datagram import PingSocket
from sim.kernel.effects import Effects
from sim.kernel.ipvlan import Flag, Mode, add_ipvlan
from sim.kernel.macvlan import Mode as MacvlanMode
from sim.kernel.macvlan import add_macvlan
from sim.kernel.netns import Netns
from sim.kernel.tcp import TcpSocket
from sim.kernel.veth import cable
from sim.kernel.vlan import add_vlan
from sim.packet import Icmp, ip
from sim.trace import Kind, Step
from tests.sim.kernel.machines import drops, packets, seen, settle

ROUTED = (Mode.L3, Mode.L3S)


def lan(mode: Mode, count: int = 2, flag: Flag = Flag.BRIDGE) -> tuple[Netns, Netns, list[Netns]]:
    """`host` (10.0.0.101) with containers c1, c2… on its eth0, and `other` (10.0.0.102) on its wire. In mode l2 they
    are 10.0.0.1, .2…, else 10.7.0.1, .2…, and `other` knows the way there."""
    wire, host, other = Netns("wire"), Netns("host"), Netns("other")
    wire.sysctls["net.bridge.bridge-nf-call-iptables"] = "0"
    wire.add_bridge("switch", "02:00:00:00:ff:00")
    for n, machine in enumerate((host, other), 101):
        cable(machine, "eth0", f"02:00:00:00:00:{n:02x}", wire, machine.label, f"02:00:00:00:ff:{n:02x}")
        wire.enslave("switch", machine.label)
        machine.add_address("eth0", f"10.0.0.{n}/24")
    boxes = []
    for n in range(1, count + 1):
        box = Netns(f"c{n}")
        add_ipvlan(host.device("eth0"), box, "eth0", mode, flag)
        box.add_address("eth0", f"{subnet(mode)}.{n}/24")
        if mode in ROUTED:
            box.add_route("default", dev="eth0")
        boxes.append(box)
    if mode in ROUTED:
        other.add_route("10.7.0.0/24", dev="eth0", via="10.0.0.101")
    return host, other, boxes


def subnet(mode: Mode) -> str:
    return "10.0.0" if mode is Mode.L2 else "10.7.0"


def ping(box: Netns, address: str, payload: bytes = b"") -> Effects:
    return PingSocket(box, 7).send(ip(address), 1, payload, 0.0)


def replies(steps: list[Step], box: Netns) -> bool:
    return any(s.kind is Kind.DELIVER and s.where == box.label and s.packet is not None
               and isinstance(s.packet.l4, Icmp) and s.packet.l4.type == 0 for s in steps)


def answered(box: Netns, address: str) -> bool:
    return replies(settle(ping(box, address)), box)


def test_all_devices_on_a_parent_have_its_address() -> None:
    host, _, boxes = lan(Mode.L2)
    assert {box.device("eth0").mac for box in boxes} == {host.device("eth0").mac}


@pytest.mark.parametrize("mode", Mode)
def test_siblings_reach_each_other_without_a_frame_on_the_parent(mode: Mode) -> None:
    _, _, (c1, _) = lan(mode)
    steps = settle(ping(c1, f"{subnet(mode)}.2"))
    assert replies(steps, c1)
    assert seen(steps, "ICMP") == ["c1:eth0 out", "c2:eth0 in", "c2:eth0 out", "c1:eth0 in"]


def test_l2_broadcast_reaches_siblings_and_the_wire_but_not_the_own_host() -> None:
    _, _, (c1, _, _) = lan(Mode.L2, 3)
    asked = seen(settle(ping(c1, "10.0.0.2"), 0.5), "ARP who-has")
    assert {"c2:eth0 in", "c3:eth0 in", "host:eth0 out", "other:eth0 in"} <= set(asked)
    assert "host:eth0 in" not in asked


@pytest.mark.parametrize("mode", Mode)
def test_container_and_another_machine_on_the_wire_reach_each_other(mode: Mode) -> None:
    _, other, (c1,) = lan(mode, 1)
    assert answered(c1, "10.0.0.102")
    assert answered(other, f"{subnet(mode)}.1")


def test_l2_container_and_its_own_host_do_not_reach_each_other() -> None:
    host, _, (c1,) = lan(Mode.L2, 1)
    for asker, target in ((c1, "10.0.0.101"), (host, "10.0.0.1")):
        assert drops(settle(ping(asker, target)))[-1] == "NO_NEIGHBOUR"


def test_l2_frame_that_names_the_common_address_is_the_hosts_when_no_sibling_has_the_ip_address() -> None:
    host, _, (c1,) = lan(Mode.L2, 1)
    c1.neighbours.add("eth0", ip("10.0.0.101"), host.device("eth0").mac)
    steps = settle(ping(c1, "10.0.0.101"))
    assert seen(steps, "ICMP echo-request") == ["c1:eth0 out", "host:eth0 in"]


@pytest.mark.parametrize("mode", ROUTED)
def test_routed_container_reaches_its_host_by_loopback_and_gets_no_answer_without_a_route_back(mode: Mode) -> None:
    _, _, (c1,) = lan(mode, 1)
    steps = settle(ping(c1, "10.0.0.101"))
    assert seen(steps, "ICMP echo-request") == ["c1:eth0 out", "host:lo out", "host:lo in"]
    assert drops(steps) == ["NO_ROUTE"]


@pytest.mark.parametrize("mode", ROUTED)
def test_routed_devices_ask_nobody_and_answer_nobody(mode: Mode) -> None:
    _, other, (c1,) = lan(mode, 1)
    asked = [s for s in settle(ping(c1, "10.0.0.102")) if s.packet is not None and s.packet.arp is not None]
    assert all(s.where != "c1" for s in asked)
    other.routes.entries.clear()
    other.add_address("eth0", "10.7.0.102/24")  # now 10.7.0.1 is on other's link
    assert drops(settle(ping(other, "10.7.0.1")))[-1] == "NO_NEIGHBOUR"


def test_l3_arp_for_a_containers_address_is_handed_to_it_and_dropped_there() -> None:
    _, other, _ = lan(Mode.L3, 1)
    other.routes.entries.clear()
    other.add_address("eth0", "10.7.0.102/24")
    steps = settle(ping(other, "10.7.0.1"), 0.5)
    assert "c1:eth0 in" in seen(steps, "ARP who-has")
    assert not seen(steps, "ARP 10.7.0.1 is-at")
    assert ("c1", "NOT_FOR_US") in [(s.where, s.reason.name) for s in steps if s.reason]


def test_l3_leaves_through_the_hosts_output_and_comes_in_past_all_its_hooks() -> None:
    host, _, (c1,) = lan(Mode.L3, 1)
    for chain in ("INPUT", "FORWARD"):
        host.iptables(f"-P {chain} DROP")
    host.iptables("-t mangle -P PREROUTING DROP")
    assert answered(c1, "10.0.0.102")
    host.iptables("-P OUTPUT DROP")
    assert not answered(c1, "10.0.0.102")


def test_l3_has_no_hop_that_counts() -> None:
    _, _, (c1,) = lan(Mode.L3, 1)
    steps = settle(ping(c1, "10.0.0.102"))
    assert {s.packet.ip.ttl for s in steps if s.kind is Kind.SEEN and s.packet and s.packet.ip} == {64}


@pytest.mark.parametrize(("chain", "passes"), [("FORWARD", True), ("INPUT", False), ("OUTPUT", False)])
def test_l3s_passes_input_and_output_of_the_host(chain: str, passes: bool) -> None:
    host, _, (c1,) = lan(Mode.L3S, 1)
    host.iptables(f"-P {chain} DROP")
    assert answered(c1, "10.0.0.102") is passes


def test_l3s_shows_what_comes_in_at_the_parent_only() -> None:
    _, other, _ = lan(Mode.L3S, 1)
    way = seen(settle(ping(other, "10.7.0.1")), "ICMP echo-request")
    assert way[-1] == "host:eth0 in"
    assert "c1:eth0 in" not in way


def test_l3_goes_out_by_the_parent_only_and_takes_what_has_no_route_for_a_neighbour() -> None:
    host, _, (c1,) = lan(Mode.L3, 1)
    host.add_bridge("br0", "02:00:00:00:aa:01")
    host.add_address("br0", "10.9.0.1/24")
    for target in ("10.9.0.2", "10.9.0.1", "198.51.100.1"):
        asked = packets(settle(ping(c1, target)), "host:eth0")
        assert asked == [f"ARP who-has {target} tell 10.0.0.101"] * 3


def test_l3_on_a_vlan_asks_with_another_devices_address() -> None:
    host, _, _ = lan(Mode.L2, 0)
    box = Netns("box")
    add_ipvlan(add_vlan(host.device("eth0"), "eth0.10", 10), box, "eth0", Mode.L3)
    box.add_address("eth0", "10.7.0.1/24")
    box.add_route("default", dev="eth0")
    assert packets(settle(ping(box, "10.0.0.102"), 0.5), "host:eth0") == [
        "VLAN 10: ARP who-has 10.0.0.102 tell 10.0.0.101"]


def test_l3_datagram_in_parts_crosses_a_host_that_tracks_connections() -> None:
    host, _, (c1,) = lan(Mode.L3, 1)
    host.iptables("-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT")
    steps = settle(ping(c1, "10.0.0.102", bytes(3000)))
    assert replies(steps, c1)
    assert next(s.where for s in steps if "put together" in s.detail) == "host"


def test_syn_that_waits_for_the_hosts_arp_is_not_sent_again() -> None:
    _, _, (c1,) = lan(Mode.L3, 1)
    steps = settle(TcpSocket(c1, 0, 20000).connect(ip("10.0.0.77"), 80, 0.0), 2.5)
    assert len([s for s in steps if s.kind is Kind.SEND]) == 1


def test_what_a_routed_device_sends_shows_no_ethernet_addresses() -> None:
    _, _, (c1, _) = lan(Mode.L3)
    steps = settle(ping(c1, "10.7.0.2"))
    shown = {(s.point, s.way): s.packet.eth is not None for s in steps if s.kind is Kind.SEEN and s.packet}
    assert shown == {("c1:eth0", "out"): False, ("c2:eth0", "in"): True, ("c2:eth0", "out"): False,
                     ("c1:eth0", "in"): True}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("flag", [Flag.PRIVATE, Flag.VEPA])
def test_private_and_vepa_siblings_do_not_reach_each_other_over_an_ordinary_switch(mode: Mode, flag: Flag) -> None:
    _, _, (c1, _) = lan(mode, 2, flag)
    assert not answered(c1, f"{subnet(mode)}.2")
    assert answered(c1, "10.0.0.102")


def test_the_mode_of_the_last_device_is_everybodys() -> None:
    host, _, (c1,) = lan(Mode.L2, 1)
    add_ipvlan(host.device("eth0"), Netns("more"), "eth0", Mode.L3)
    assert (c1.device("eth0").arp, c1.device("eth0").options) == (False, "mode l3")


def test_a_parent_takes_macvlan_or_ipvlan_devices_and_is_no_bridges_port() -> None:
    host, other, _ = lan(Mode.L2, 1)
    with pytest.raises(PlumbError, match="device or resource busy"):
        add_macvlan(host.device("eth0"), Netns("m"), "eth0", "02:42:00:00:00:09", MacvlanMode.BRIDGE)
    add_macvlan(other.device("eth0"), Netns("m"), "eth0", "02:42:00:00:00:09", MacvlanMode.BRIDGE)
    with pytest.raises(PlumbError, match="device or resource busy"):
        add_ipvlan(other.device("eth0"), Netns("i"), "eth0", Mode.L2)
    with pytest.raises(PlumbError, match="invalid argument"):
        add_ipvlan(host.device("lo"), Netns("i"), "eth0", Mode.L2)


@given(mode=st.sampled_from(Mode), count=st.integers(1, 5), data=st.data())
def test_unicast_from_the_wire_reaches_the_one_device_that_has_the_ip_address(
    mode: Mode, count: int, data: st.DataObject
) -> None:
    _, other, _ = lan(mode, count)
    chosen = data.draw(st.integers(1, count))
    steps = settle(ping(other, f"{subnet(mode)}.{chosen}"), 0.5)
    hosts = {s.where for s in steps if s.kind is Kind.DELIVER}
    assert hosts == {f"c{chosen}", "other"}
