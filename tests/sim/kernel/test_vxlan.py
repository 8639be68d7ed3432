"""VXLAN devices: what goes into the tunnel, what comes out, and what never crosses it."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from sim.kernel.bridge import Bridge
from sim.kernel.datagram import PingSocket
from sim.kernel.netns import Netns
from sim.kernel.sysctl import EPHEMERAL
from sim.kernel.veth import veth_pair
from sim.kernel.vxlan import VxlanDevice, source_port
from sim.packet import Arp, Ethernet, EtherType, Icmp, IcmpType, IPv4, Packet, Proto, Tcp, Udp, dotted, ip
from sim.trace import DropReason, Kind, Step
from tests.sim.kernel.machines import settle

VNI = 4097


def machine(number: int) -> tuple[Netns, VxlanDevice, Netns]:
    """Host hN (192.168.99.N) with an overlay namespace ovN and a container cN (10.0.1.N) on its br0."""
    host, overlay, box = Netns(f"h{number}"), Netns(f"ov{number}"), Netns(f"c{number}")
    overlay.add_bridge("br0", f"02:00:00:00:00:b{number}")
    overlay.add_address("br0", "10.0.1.254/24")
    device = VxlanDevice("vxlan0", overlay, f"02:00:00:00:00:f{number}", host, VNI)
    veth_pair(overlay, "port", f"02:00:00:00:00:a{number}", box, "eth0", f"02:42:0a:00:01:0{number}", 1450)
    for port in ("vxlan0", "port"):
        overlay.enslave("br0", port)
    box.add_address("eth0", f"10.0.1.{number}/24")
    return host, device, box


def overlay() -> tuple[list[Netns], list[VxlanDevice], list[Netns]]:
    """Two machines on a cable; each knows the other's container."""
    hosts, devices, boxes = (list(parts) for parts in zip(machine(1), machine(2), strict=True))
    veth_pair(hosts[0], "eth0", "02:00:00:00:01:01", hosts[1], "eth0", "02:00:00:00:01:02")
    for number, (host, device) in enumerate(zip(hosts, devices, strict=True), 1):
        host.add_address("eth0", f"192.168.99.{number}/24")
        other = 3 - number
        device.netns.neighbours.add("vxlan0", ip(f"10.0.1.{other}"), f"02:42:0a:00:01:0{other}")
        device.append(f"02:42:0a:00:01:0{other}", ip(f"192.168.99.{other}"))
    return hosts, devices, boxes


def ping(box: Netns, address: str) -> list[Step]:
    return settle(PingSocket(box, 7).send(ip(address), 0, b"x" * 56, 0.0))


def seen(steps: Iterable[Step], point: str) -> list[Packet]:
    return [s.packet for s in steps if s.kind is Kind.SEEN and s.point == point and s.packet is not None]


def test_a_container_reaches_one_on_another_machine() -> None:
    _, _, boxes = overlay()
    steps = ping(boxes[0], "10.0.1.2")
    assert [s.where for s in steps if s.kind is Kind.DELIVER] == ["c2", "c1"]


def test_the_outer_header_is_udp_to_4789_between_the_machines_without_df() -> None:
    _, _, boxes = overlay()
    outer = next(p for p in seen(ping(boxes[0], "10.0.1.2"), "h1:eth0") if p.ip)
    assert outer.ip is not None and outer.inner is not None and outer.inner.eth is not None
    assert (dotted(outer.ip.src), dotted(outer.ip.dst), outer.ip.ttl, outer.ip.df) == (
        "192.168.99.1", "192.168.99.2", 64, False)
    assert isinstance(outer.l4, Udp) and outer.l4.dport == 4789 and outer.l4.sport in EPHEMERAL
    assert outer.vxlan is not None and outer.vxlan.vni == VNI
    assert outer.inner.eth.dst == "02:42:0a:00:01:02"
    assert outer.size() == 84 + 50


def test_arp_is_answered_by_the_device_and_never_crosses_the_tunnel() -> None:
    _, _, boxes = overlay()
    steps = ping(boxes[0], "10.0.1.2")
    assert not [p for point in ("h1:eth0", "h2:eth0") for p in seen(steps, point) if p.inner and p.inner.arp]
    answer = next(p for p in seen(steps, "c1:eth0") if p.arp and p.arp.op == 2)
    assert answer.arp == Arp(2, "02:42:0a:00:01:02", ip("10.0.1.2"), "02:42:0a:00:01:01", ip("10.0.1.1"))
    said = next(s for s in steps if s.kind is Kind.NEIGH and s.point == "ov1:vxlan0")
    assert said.detail == "answered by vxlan0: 10.0.1.2 is at 02:42:0a:00:01:02" and said.packet is not None


def test_an_arp_answer_never_enters_the_tunnel() -> None:
    _, devices, _ = overlay()
    answer = Packet(eth=Ethernet("02:42:0a:00:01:02", "02:42:0a:00:01:01", EtherType.ARP),
                    arp=Arp(2, "02:42:0a:00:01:01", ip("10.0.1.1"), "02:42:0a:00:01:02", ip("10.0.1.2")))
    dropped = [s for s in settle(devices[0].xmit(answer, 0.0)) if s.kind is Kind.DROP]
    assert [(s.point, s.reason, s.detail) for s in dropped] == [
        ("ov1:vxlan0", DropReason.NOT_FOR_US, "ARP does not cross the tunnel")]
    assert dropped[0].packet is not None and dropped[0].packet.arp == answer.arp


def test_nobody_answers_for_an_address_that_was_not_programmed() -> None:
    _, _, boxes = overlay()
    steps = ping(boxes[0], "10.0.1.99")
    assert not [s for s in steps if s.kind is Kind.ENCAP]
    assert [s.where for s in steps if s.reason is DropReason.NO_NEIGHBOUR] == ["c1"]


def test_a_frame_to_an_unknown_mac_address_enters_no_tunnel() -> None:
    _, devices, boxes = overlay()
    boxes[0].neighbours.add("eth0", ip("10.0.1.77"), "02:00:00:00:00:77")
    drops = [s for s in ping(boxes[0], "10.0.1.77") if s.kind is Kind.DROP]
    assert [(s.point, s.reason) for s in drops] == [("ov1:vxlan0", DropReason.NO_MEMBER)]
    assert devices[0].remotes.keys() == {"02:42:0a:00:01:02"}


def test_a_datagram_with_another_vni_reaches_no_device() -> None:
    hosts, devices, boxes = overlay()
    tunnel = hosts[1].sockets.tunnels[4789]
    tunnel.devices = {VNI + 1: devices[1]}  # type: ignore[attr-defined]
    drops = [s for s in ping(boxes[0], "10.0.1.2") if s.kind is Kind.DROP]
    assert [(s.point, s.reason, s.detail) for s in drops] == [
        ("h2:", DropReason.NO_MEMBER, "no VXLAN device with that VNI")]
    assert drops[0].packet is not None and drops[0].packet.vxlan is not None


def test_a_frame_that_leaves_the_tunnel_is_told_with_its_vni_and_its_device() -> None:
    _, _, boxes = overlay()
    out = next(s for s in ping(boxes[0], "10.0.1.2") if s.kind is Kind.DECAP)
    assert out.detail == "VNI 4097, to ov2:vxlan0"
    assert out.packet is not None and out.packet.vxlan is None and out.packet.eth is not None


def test_an_endpoint_that_is_removed_is_behind_the_tunnel_no_more() -> None:
    _, devices, boxes = overlay()
    devices[0].remove("02:42:0a:00:01:02")
    devices[0].remove("02:42:0a:00:01:02")
    assert not [s for s in ping(boxes[0], "10.0.1.2") if s.kind is Kind.ENCAP]


def test_the_tunnel_outlives_the_processes_of_a_question() -> None:
    hosts, _, boxes = overlay()
    for netns in (*hosts, *boxes):
        netns.flush()
    assert [s for s in ping(boxes[0], "10.0.1.2") if s.kind is Kind.DECAP]


def test_the_device_shows_its_remote_entries_and_options_as_ip_and_bridge_print_them() -> None:
    _, devices, _ = overlay()
    shown = devices[0].netns.snapshot()
    assert shown.remotes == ["02:42:0a:00:01:02 dev vxlan0 dst 192.168.99.2"]
    assert shown.neighbours == ["10.0.1.2 dev vxlan0 lladdr 02:42:0a:00:01:02"]
    assert shown.interfaces["vxlan0"].options == "id 4097 dstport 4789 proxy l2miss l3miss"
    assert isinstance(devices[0].master, Bridge) and shown.interfaces["br0"].mtu == 1450


def test_an_inner_checksum_that_is_partial_leaves_the_outer_one_complete() -> None:
    _, _, boxes = overlay()
    ports = {}
    for csum in ("partial", "valid"):
        packet = Packet(ip=IPv4(ip("10.0.1.1"), ip("10.0.1.2"), Proto.UDP), l4=Udp(20000, 53), csum=csum)
        steps = settle(boxes[0].ip.output(packet, 0.0))
        ports[csum] = next(p.csum for p in seen(steps, "h1:eth0") if p.vxlan)
    assert ports == {"partial": "valid", "valid": "partial"}


addresses = st.integers(0, 0xFFFFFFFF)
numbers = st.integers(1, 65535)


@given(addresses, addresses, numbers, numbers)
def test_the_source_port_is_one_flows_own_and_in_the_ephemeral_range(
    src: int, dst: int, sport: int, dport: int
) -> None:
    there = Packet(ip=IPv4(src, dst, Proto.UDP), l4=Udp(sport, dport), payload=b"one")
    more = Packet(ip=IPv4(src, dst, Proto.UDP, ttl=3), l4=Udp(sport, dport), payload=b"another")
    back = Packet(ip=IPv4(dst, src, Proto.UDP), l4=Udp(dport, sport))
    assert source_port(there) == source_port(more) == source_port(back)
    assert source_port(there) in EPHEMERAL


def test_fragments_of_one_datagram_have_one_source_port() -> None:
    first = Packet(ip=IPv4(1, 2, Proto.UDP, mf=True), l4=Udp(5, 6))
    second = Packet(ip=IPv4(1, 2, Proto.UDP, offset=1480))
    assert source_port(first) == source_port(second)
    assert source_port(Packet(ip=IPv4(1, 2, Proto.TCP), l4=Tcp(5, 6, 0))) != source_port(first)


def test_an_icmp_error_comes_back_through_the_tunnel() -> None:
    _, _, boxes = overlay()
    packet = Packet(ip=IPv4(ip("10.0.1.1"), ip("10.0.1.2"), Proto.UDP), l4=Udp(20000, 9))
    steps = settle(boxes[0].ip.output(packet, 0.0))
    assert [p for p in seen(steps, "h2:eth0") if p.inner and isinstance(p.inner.l4, Icmp)
            and p.inner.l4.type == IcmpType.DEST_UNREACH]
