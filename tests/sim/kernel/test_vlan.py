"""802.1Q sub-interfaces: who hears a tagged frame, and what each tap shows of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PlumbError
from sim.kernel.bridge import Bridge
from sim.kernel.datagram import PingSocket
from sim.kernel.effects import Effects
from sim.kernel.ipvlan import Mode as IpvlanMode
from sim.kernel.ipvlan import add_ipvlan
from sim.kernel.macvlan import Mode, add_macvlan
from sim.kernel.netns import Netns
from sim.kernel.veth import cable
from sim.kernel.vlan import add_vlan
from sim.packet import Arp, Ethernet, EtherType, IPv4, Packet, Proto, Udp, Vlan, ip
from sim.trace import Kind, Step
from tests.sim.kernel.machines import drops, packets, seen, settle


def lan(count: int = 2) -> tuple[Bridge, list[Netns]]:
    """Machines h1, h2… on one switch, each with an eth0 that has no address."""
    wire = Netns("wire")
    wire.sysctls["net.bridge.bridge-nf-call-iptables"] = "0"
    switch = wire.add_bridge("switch", "02:00:00:00:ff:00")
    machines = []
    for n in range(1, count + 1):
        machine = Netns(f"h{n}")
        cable(machine, "eth0", f"02:00:00:00:00:{n:02x}", wire, machine.label, f"02:00:00:00:ff:{n:02x}")
        wire.enslave("switch", machine.label)
        machines.append(machine)
    return switch, machines


def tagged(machine: Netns, vlan: int, address: str) -> None:
    device = add_vlan(machine.device("eth0"), f"eth0.{vlan}", vlan)
    machine.add_address(device.name, f"{address}/24")


def ping(box: Netns, address: str) -> Effects:
    return PingSocket(box, 7).send(ip(address), 1, b"", 0.0)


def reached(steps: list[Step]) -> bool:
    return any(s.kind is Kind.DELIVER for s in steps)


def test_two_machines_on_one_vlan_hear_each_other() -> None:
    _, (h1, h2) = lan()
    tagged(h1, 10, "10.0.0.1")
    tagged(h2, 10, "10.0.0.2")
    steps = settle(ping(h1, "10.0.0.2"))
    assert seen(steps, "ICMP echo-request") == ["h1:eth0.10 out", "h2:eth0.10 in"]
    assert seen(steps, "VLAN 10: ICMP echo-request") == [
        "h1:eth0 out", "wire:h1 in", "wire:h2 out", "h2:eth0 in"]


def test_the_switch_hands_on_tagged_frames_and_takes_none_for_itself() -> None:
    switch, (h1, h2) = lan()
    switch.netns.add_address("switch", "10.0.0.9/24")
    tagged(h1, 10, "10.0.0.1")
    tagged(h2, 10, "10.0.0.2")
    assert reached(settle(ping(h1, "10.0.0.2")))
    assert drops(settle(ping(h1, "10.0.0.9")))[-1] == "NO_NEIGHBOUR"


@pytest.mark.parametrize("other", [20, 0])
def test_other_vlans_and_the_untagged_wire_do_not_hear_a_vlan(other: int) -> None:
    _, (h1, h2) = lan()
    tagged(h1, 10, "10.0.0.1")
    if other:
        tagged(h2, other, "10.0.0.2")
    else:
        h2.add_address("eth0", "10.0.0.2/24")
    for asker, target in ((h1, "10.0.0.2"), (h2, "10.0.0.1")):
        assert drops(settle(ping(asker, target)))[-1] == "NO_NEIGHBOUR"


def test_a_frame_with_a_tag_that_nobody_has_ends_as_somebody_elses() -> None:
    _, (h1, _) = lan()
    tagged(h1, 10, "10.0.0.1")
    steps = settle(ping(h1, "10.0.0.2"), 0.5)
    ends = [(s.where, s.reason.name) for s in steps if s.reason is not None]
    assert ("h2", "NOT_FOR_US") in ends


def test_macvlan_and_ipvlan_devices_on_the_parent_see_a_foreign_tag_and_take_nothing() -> None:
    _, (h1, h2, h3) = lan(3)
    tagged(h1, 10, "10.0.0.1")
    mac, ipv = Netns("mac"), Netns("ipv")
    add_macvlan(h2.device("eth0"), mac, "eth0", "02:42:0a:00:00:02", Mode.BRIDGE)
    add_ipvlan(h3.device("eth0"), ipv, "eth0", IpvlanMode.L2)
    mac.add_address("eth0", "10.0.0.2/24")
    ipv.add_address("eth0", "10.0.0.3/24")
    for address, label in (("10.0.0.2", "mac"), ("10.0.0.3", "ipv")):
        steps = settle(ping(h1, address))
        assert f"{label}:eth0 in" in seen(steps, "VLAN 10: ARP who-has")
        assert drops(steps)[-1] == "NO_NEIGHBOUR"


def test_macvlan_on_a_sub_interface_stands_on_its_vlan() -> None:
    _, (h1, h2) = lan()
    tagged(h2, 10, "10.0.0.2")
    box = Netns("box")
    add_macvlan(add_vlan(h1.device("eth0"), "eth0.10", 10), box, "eth0", "02:42:0a:00:00:01", Mode.BRIDGE)
    box.add_address("eth0", "10.0.0.1/24")
    steps = settle(ping(box, "10.0.0.2"))
    assert reached(steps)
    assert [p for p in packets(steps, "h1:eth0") if "ICMP" in p] == [
        "VLAN 10: ICMP echo-request 10.0.0.1 > 10.0.0.2", "VLAN 10: ICMP echo-reply 10.0.0.2 > 10.0.0.1"]
    assert [p for p in packets(steps, "h1:eth0.10") if "ICMP" in p] == [
        "ICMP echo-request 10.0.0.1 > 10.0.0.2", "ICMP echo-reply 10.0.0.2 > 10.0.0.1"]


def test_a_tagged_frame_on_a_bridge_passes_no_rule() -> None:
    switch, (h1, h2) = lan()
    switch.netns.sysctls["net.bridge.bridge-nf-call-iptables"] = "1"
    switch.netns.iptables("-P FORWARD DROP")
    tagged(h1, 10, "10.0.0.1")
    tagged(h2, 10, "10.0.0.2")
    assert reached(settle(ping(h1, "10.0.0.2")))


def test_sub_interface_has_its_parents_address_and_mtu() -> None:
    _, (h1,) = lan(1)
    h1.device("eth0").mtu = 9000
    device = add_vlan(h1.device("eth0"), "eth0.10", 10)
    assert (device.mac, device.mtu, device.options) == ("02:00:00:00:00:01", 9000, "protocol 802.1Q id 10")


def test_a_vlan_is_made_once_and_not_on_the_loopback() -> None:
    _, (h1,) = lan(1)
    add_vlan(h1.device("eth0"), "eth0.10", 10)
    with pytest.raises(PlumbError, match="file exists"):
        add_vlan(h1.device("eth0"), "eth0.010", 10)
    with pytest.raises(PlumbError, match="operation not supported"):
        add_vlan(h1.device("lo"), "lo.10", 10)


def test_a_deleted_sub_interface_is_heard_no_more() -> None:
    _, (h1, h2) = lan()
    tagged(h1, 10, "10.0.0.1")
    tagged(h2, 10, "10.0.0.2")
    h2.link_del("eth0.10")
    assert drops(settle(ping(h1, "10.0.0.2")))[-1] == "NO_NEIGHBOUR"


@given(st.integers(1, 4094), st.booleans())
def test_a_tag_is_a_header_like_the_others_in_a_packets_fields(number: int, arp: bool) -> None:
    packet = Packet(eth=Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"), vlan=Vlan(number))
    if arp:
        packet.eth = Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02", EtherType.ARP)
        packet.arp = Arp(1, "02:00:00:00:00:01", 1, "00:00:00:00:00:00", 2)
    else:
        packet.ip, packet.l4 = IPv4(1, 2, Proto.UDP), Udp(3, 4)
    assert packet.fields()["vlan.id"] == number
    assert Packet.from_fields(packet.fields()).fields() == packet.fields()
    assert packet.snapshot().vlan is not packet.vlan
