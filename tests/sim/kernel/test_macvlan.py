"""macvlan's four modes, on a host that hangs on a switch with one other machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PlumbError
from sim.kernel.bridge import Bridge
from sim.kernel.datagram import PingSocket
from sim.kernel.effects import Effects
from sim.kernel.macvlan import Macvlan, Mode, add_macvlan
from sim.kernel.netns import Netns
from sim.kernel.tcp import TcpSocket
from sim.kernel.veth import cable
from sim.packet import Icmp, ip
from sim.trace import Kind
from tests.sim.kernel.machines import drops, packets, seen, settle

SUBNET = "10.0.0.{}/24"


def lan(mode: Mode, count: int = 2) -> tuple[Netns, Netns, Bridge, list[Netns]]:
    """`host` (10.0.0.101) with containers c1, c2… (10.0.0.1, .2…) on its eth0, and `other` (10.0.0.102) on its wire."""
    wire, host, other = Netns("wire"), Netns("host"), Netns("other")
    wire.sysctls["net.bridge.bridge-nf-call-iptables"] = "0"
    switch = wire.add_bridge("switch", "02:00:00:00:ff:00")
    for n, machine in enumerate((host, other), 101):
        cable(machine, "eth0", f"02:00:00:00:00:{n:02x}", wire, machine.label, f"02:00:00:00:ff:{n:02x}")
        wire.enslave("switch", machine.label)
        machine.add_address("eth0", SUBNET.format(n))
    boxes = []
    for n in range(1, count + 1):
        box = Netns(f"c{n}")
        add_macvlan(host.device("eth0"), box, "eth0", f"02:42:00:00:00:{n:02x}", mode)
        box.add_address("eth0", SUBNET.format(n))
        boxes.append(box)
    return host, other, switch, boxes


def ping(box: Netns, address: str) -> Effects:
    return PingSocket(box, 7).send(ip(address), 1, b"", 0.0)


def answered(box: Netns, address: str) -> bool:
    return any(s.kind is Kind.SEEN and s.where == box.label and s.way == "in" and isinstance(s.packet.l4, Icmp)
               and s.packet.l4.type == 0 for s in settle(ping(box, address)) if s.packet)


def test_bridge_mode_turns_a_frame_for_a_sibling_around_at_the_parent() -> None:
    _, _, _, (c1, _) = lan(Mode.BRIDGE)
    way = seen(settle(ping(c1, "10.0.0.2")), "ICMP echo-request")
    assert way == ["c1:eth0 out", "host:eth0 in", "c2:eth0 in"]


def test_bridge_mode_broadcast_reaches_siblings_and_the_wire_but_not_the_own_host() -> None:
    _, _, _, (c1, _) = lan(Mode.BRIDGE)
    asked = seen(settle(ping(c1, "10.0.0.2")), "ARP who-has")
    assert {"c2:eth0 in", "host:eth0 out", "other:eth0 in"} <= set(asked)
    assert "host:eth0 in" not in asked


@pytest.mark.parametrize("mode", Mode)
def test_container_and_its_own_host_do_not_reach_each_other(mode: Mode) -> None:
    host, _, _, boxes = lan(mode, 1)
    assert not answered(boxes[0], "10.0.0.101")
    assert not answered(host, "10.0.0.1")


@pytest.mark.parametrize("mode", Mode)
def test_container_and_another_machine_on_the_wire_reach_each_other(mode: Mode) -> None:
    _, other, _, boxes = lan(mode, 1)
    assert answered(boxes[0], "10.0.0.102")
    assert answered(other, "10.0.0.1")


def test_packets_of_a_container_pass_no_rule_of_its_host() -> None:
    host, _, _, (c1, _) = lan(Mode.BRIDGE)
    for chain in ("INPUT", "FORWARD", "OUTPUT"):
        host.iptables(f"-P {chain} DROP")
    assert answered(c1, "10.0.0.2")
    assert answered(c1, "10.0.0.102")


@pytest.mark.parametrize("mode", [Mode.PRIVATE, Mode.VEPA])
def test_siblings_in_private_and_vepa_mode_do_not_hear_each_other_over_an_ordinary_switch(mode: Mode) -> None:
    _, _, _, (c1, _) = lan(mode)
    steps = settle(ping(c1, "10.0.0.2"))
    assert "c2:eth0 in" not in seen(steps, "ARP")
    assert drops(steps)[-1] == "NO_NEIGHBOUR"


def test_vepa_siblings_reach_each_other_by_a_hairpin_switch() -> None:
    _, _, switch, (c1, _) = lan(Mode.VEPA)
    switch.netns.device("host").hairpin = True
    way = seen(settle(ping(c1, "10.0.0.2"), 0.5), "ICMP echo-request")
    assert way == ["c1:eth0 out", "host:eth0 out", "wire:host in", "wire:host out", "host:eth0 in", "c2:eth0 in"]


def test_private_siblings_stay_apart_even_behind_a_hairpin_switch() -> None:
    _, _, switch, (c1, _) = lan(Mode.PRIVATE)
    switch.netns.device("host").hairpin = True
    steps = settle(ping(c1, "10.0.0.2"))
    assert "c2:eth0 in" not in seen(steps, "ARP")
    assert "c1:eth0 in" in seen(steps, "ARP")  # what it said itself


def test_bridge_siblings_get_a_broadcast_once_behind_a_hairpin_switch() -> None:
    _, _, switch, (c1, _) = lan(Mode.BRIDGE)
    switch.netns.device("host").hairpin = True
    assert seen(settle(ping(c1, "10.0.0.2"), 0.5), "ARP who-has").count("c2:eth0 in") == 1


def test_broadcast_from_the_wire_reaches_the_host_and_every_container() -> None:
    _, other, _, _ = lan(Mode.PRIVATE, 3)
    heard = seen(settle(ping(other, "10.0.0.77"), 0.5), "ARP who-has")
    assert {"host:eth0 in", "c1:eth0 in", "c2:eth0 in", "c3:eth0 in"} <= set(heard)


def test_passthru_gives_the_parents_address_and_frames_to_the_container() -> None:
    host, other, _, _ = lan(Mode.PASSTHRU, 1)
    assert host.device("eth0").mac == "02:42:00:00:00:01"
    steps = settle(ping(other, "10.0.0.101"))
    assert "c1:eth0 in" in seen(steps, "ICMP echo-request")
    assert "FORWARDING_OFF" in drops(steps)


def test_passthru_takes_one_device_and_no_other_mode_beside_it() -> None:
    host, _, _, _ = lan(Mode.PASSTHRU, 1)
    for mode in Mode:
        with pytest.raises(PlumbError, match="invalid argument"):
            add_macvlan(host.device("eth0"), Netns("more"), "eth0", "02:42:00:00:00:09", mode)
    host, _, _, _ = lan(Mode.BRIDGE, 1)
    with pytest.raises(PlumbError, match="invalid argument"):
        add_macvlan(host.device("eth0"), Netns("more"), "eth0", "02:42:00:00:00:09", Mode.PASSTHRU)


def test_port_of_a_bridge_is_no_parent() -> None:
    _, _, switch, _ = lan(Mode.BRIDGE)
    with pytest.raises(PlumbError, match="device or resource busy"):
        add_macvlan(switch.ports[0], Netns("more"), "eth0", "02:42:00:00:00:09", Mode.BRIDGE)


def test_macvlan_has_its_parents_mtu() -> None:
    host, _, _, _ = lan(Mode.BRIDGE, 0)
    host.device("eth0").mtu = 9000
    assert add_macvlan(host.device("eth0"), Netns("c"), "eth0", "02:42:00:00:00:09", Mode.BRIDGE).mtu == 9000


@pytest.mark.parametrize("down", ["host", "c2"])
def test_frame_ends_at_a_link_that_is_down(down: str) -> None:
    host, _, _, (c1, c2) = lan(Mode.BRIDGE)
    settle(ping(c1, "10.0.0.2"))
    {"host": host, "c2": c2}[down].link_set("eth0", up=False)
    assert "LINK_DOWN" in drops(settle(ping(c1, "10.0.0.2"), 0.5))


def test_syn_that_waits_for_arp_is_not_sent_again() -> None:
    _, _, _, (c1, _) = lan(Mode.BRIDGE)
    steps = settle(TcpSocket(c1, 0, 20000).connect(ip("10.0.0.77"), 80, 0.0))
    assert len([s for s in steps if s.kind is Kind.SEND]) == 1
    assert packets(steps, "c1:lo").count("ICMP host-unreachable 10.0.0.1 > 10.0.0.1") == 2  # out and in


@given(mode=st.sampled_from([Mode.BRIDGE, Mode.PRIVATE, Mode.VEPA]), count=st.integers(1, 5), data=st.data())
def test_unicast_from_the_wire_reaches_the_one_device_that_has_the_address(
    mode: Mode, count: int, data: st.DataObject
) -> None:
    _, other, _, boxes = lan(mode, count)
    chosen = data.draw(st.integers(1, count))
    steps = settle(ping(other, f"10.0.0.{chosen}"), 0.5)
    reached = {point for point in seen(steps, "ICMP echo-request") if point.startswith("c")}
    assert reached == {f"c{chosen}:eth0 in"}
    assert all(isinstance(box.device("eth0"), Macvlan) for box in boxes)
