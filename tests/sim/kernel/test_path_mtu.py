"""Ways on which not everybody has the same MTU: who cuts, who tells, and where frames vanish."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.kernel.datagram import PingSocket
from sim.kernel.fragment import Reassembly, fragments
from sim.kernel.netns import Netns
from sim.kernel.veth import cable, veth_pair
from sim.kernel.vxlan import OVERHEAD, VxlanDevice
from sim.packet import Ethernet, EtherType, Icmp, IcmpType, IPv4, Packet, Proto, Udp, Vxlan, ip
from sim.trace import DropReason, Kind, Outcome, Step
from tests.sim.kernel.machines import drops, routed, settle, switched


def ping(box: Netns, address: str, length: int, *, strict: bool = False) -> tuple[PingSocket, list[Step]]:
    sock = PingSocket(box, 7)
    return sock, settle(sock.send(ip(address), 1, bytes(length), 0.0, strict=strict))


def narrow_port() -> list[Netns]:
    """Two containers on a bridge; the second one's veth has an MTU of 1000."""
    host, _, boxes = switched(2)
    host.device("v2").mtu = boxes[1].device("eth0").mtu = 1000
    return boxes


def test_a_bridge_drops_what_is_too_long_for_a_port_and_tells_nobody() -> None:
    sock, steps = ping(narrow_port()[0], "10.0.0.2", 1000)
    assert not sock.inbox and sock.error is None
    assert drops(steps) == ["OVERSIZE"]


def test_a_bridge_lets_frames_pass_that_are_too_long_by_no_more_than_a_tag() -> None:
    boxes = narrow_port()
    assert ping(boxes[0], "10.0.0.2", 1004 - 28)[0].inbox
    assert not ping(boxes[0], "10.0.0.2", 1005 - 28)[0].inbox


def test_a_veth_drops_what_is_too_long_for_its_peer() -> None:
    a, b = Netns("a"), Netns("b")
    veth_pair(a, "eth0", "02:00:00:00:00:01", b, "eth0", "02:00:00:00:00:02")
    b.device("eth0").mtu = 1400
    a.add_address("eth0", "10.0.0.1/24")
    b.add_address("eth0", "10.0.0.2/24")
    assert drops(ping(a, "10.0.0.2", 1472)[1]) == ["OVERSIZE"]


def test_a_router_says_how_much_fits_and_a_ping_with_df_learns_it() -> None:
    left, router, right = routed()
    router.device("r2").mtu = right.device("eth0").mtu = 1000
    sock, steps = ping(left, "10.2.0.2", 1472)
    assert sock.error is Outcome.TOO_LARGE
    told = next(s.packet for s in steps if s.point == "left:eth0" and s.way == "in"
                and s.packet and isinstance(s.packet.l4, Icmp))
    assert told.l4 == Icmp(IcmpType.DEST_UNREACH, 4, mtu=1000)


def test_an_icmp_error_quotes_no_more_than_makes_it_576_bytes() -> None:
    left, router, right = routed()
    router.device("r2").mtu = right.device("eth0").mtu = 1000
    _, steps = ping(left, "10.2.0.2", 1472)
    assert {s.packet.size() for s in steps if s.point == "left:eth0" and s.way == "in" and s.packet and s.packet.inner
            } == {576}


def test_a_router_with_conntrack_forwards_parts_no_larger_than_they_came() -> None:
    left, router, _ = routed()
    router.iptables("-t nat -A POSTROUTING -s 10.9.0.0/24 -j MASQUERADE")
    left.device("eth0").mtu = router.device("r1").mtu = 1000
    _, steps = ping(left, "10.2.0.2", 1472)
    assert [s.packet.size() for s in steps if s.point == "router:r2" and s.way == "out" and s.packet and s.packet.ip
            ] == [996, 524]


def frame(length: int) -> Packet:
    return Packet(eth=Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"), ip=IPv4(3, 4, Proto.ICMP),
                  l4=Icmp(IcmpType.ECHO_REQUEST, 0, 7, 1), payload=bytes(length))


@given(st.integers(600, 3000), st.integers(576, 1500))
def test_a_vxlan_datagram_that_is_cut_and_put_together_has_its_whole_frame_again(length: int, mtu: int) -> None:
    inner = frame(length)
    outer = Packet(ip=IPv4(1, 2, Proto.UDP), l4=Udp(40000, 4789), vxlan=Vxlan(4097), inner=inner)
    pieces = fragments(outer, mtu)
    assert sum(piece.size() - 20 for piece in pieces) == outer.size() - 20
    assert all(piece.size() <= mtu for piece in pieces)
    if len(pieces) > 1:
        assert [piece.vxlan is None for piece in pieces] == [False] + [True] * (len(pieces) - 1)
        reassembly = Reassembly()
        whole = [reassembly.add(piece) for piece in pieces][-1]
        assert whole is not None and whole.inner is not None and whole.inner.fields() == inner.fields()


def tunnel(mtu: int) -> tuple[Netns, VxlanDevice]:
    """A host whose uplink has this MTU, and a VXLAN device with one peer in a namespace of its own."""
    host, other, inside = Netns("host"), Netns("other"), Netns("inside")
    veth_pair(host, "eth0", "02:00:00:00:01:01", other, "eth0", "02:00:00:00:01:02", mtu)
    host.add_address("eth0", "192.0.2.1/24")
    other.add_address("eth0", "192.0.2.2/24")
    device = VxlanDevice("vxlan0", inside, "02:00:00:00:02:01", host, 4097)
    device.append("02:00:00:00:00:02", ip("192.0.2.2"))
    return host, device


def test_vxlan_answers_in_the_peers_name_what_fits_the_underlay() -> None:
    _, device = tunnel(1400)
    large = frame(1400)
    assert large.ip is not None
    large.ip.df, large.ip.ttl = True, 9
    steps = settle(device.xmit(large, 0.0))
    told = next(s.packet for s in steps if s.point == "inside:vxlan0" and s.way == "in")
    assert told is not None and told.ip is not None and told.eth is not None
    assert told.l4 == Icmp(IcmpType.DEST_UNREACH, 4, mtu=1400 - OVERHEAD)
    assert (told.ip.src, told.ip.dst, told.ip.df, told.ip.ttl) == (large.ip.dst, large.ip.src, True, 9)
    assert (told.ip.proto, told.eth.ethertype) == (Proto.ICMP, EtherType.IPV4)
    assert (told.eth.src, told.eth.dst) == ("02:00:00:00:00:02", "02:00:00:00:00:01")


def told_by(device: VxlanDevice, packet: Packet) -> bool:
    """Does the device answer the packet with an ICMP error?"""
    return any(s.kind is Kind.ICMP_ERROR and s.point == "inside:vxlan0" for s in settle(device.xmit(packet, 0.0)))


def test_vxlan_says_nothing_of_a_way_that_is_too_narrow_to_be_told() -> None:
    fits, smallest = 1400 - OVERHEAD, 576
    for underlay, length, told in ((1400, fits, False), (1400, fits + 1, True), (smallest + OVERHEAD, 1000, True),
                                   (smallest + OVERHEAD - 1, 1000, False)):
        _, device = tunnel(underlay)
        large = frame(length - 28)
        assert large.ip is not None
        large.ip.df = True
        assert told_by(device, large) is told, (underlay, length)


def test_vxlan_cuts_a_fragment_outside_and_tells_nobody_even_with_df() -> None:
    for header in ({"mf": True}, {"offset": 1480}):
        _, device = tunnel(1400)
        piece = frame(1400)
        assert piece.ip is not None
        piece.ip.df = True
        for name, value in header.items():
            setattr(piece.ip, name, value)
        assert not told_by(device, piece)


def test_vxlan_without_df_inside_is_cut_outside() -> None:
    _, device = tunnel(1400)
    steps = settle(device.xmit(frame(1400), 0.0))
    assert [s.packet.ip.mf for s in steps if s.point == "host:eth0" and s.way == "out" and s.packet and s.packet.ip
            ] == [True, False]


def test_a_cable_that_loses_all_frames_is_deaf_and_mute() -> None:
    a, b = Netns("a"), Netns("b")
    cable(a, "eth0", "02:00:00:00:00:01", b, "eth0", "02:00:00:00:00:02", loss=1.0)
    a.add_address("eth0", "10.0.0.1/24")
    b.add_address("eth0", "10.0.0.2/24")
    sock, steps = ping(a, "10.0.0.2", 56)
    assert sock.error is Outcome.HOST_UNREACHABLE
    assert DropReason.LOST in {s.reason for s in steps if s.kind is Kind.DROP}


def test_a_cable_that_loses_some_frames_is_run_as_if_it_lost_none() -> None:
    a, b = Netns("a"), Netns("b")
    cable(a, "eth0", "02:00:00:00:00:01", b, "eth0", "02:00:00:00:00:02", loss=0.5)
    a.add_address("eth0", "10.0.0.1/24")
    b.add_address("eth0", "10.0.0.2/24")
    assert ping(a, "10.0.0.2", 56)[0].inbox
