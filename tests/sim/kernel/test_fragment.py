"""Datagrams larger than the MTU: cut, put together, refused."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from sim.kernel.datagram import PingSocket, UdpSocket
from sim.kernel.fragment import Reassembly, fragments, is_fragment
from sim.kernel.netns import Netns
from sim.packet import Icmp, IcmpType, IPv4, Packet, Proto, Udp, ip
from sim.trace import DropReason, Kind, Outcome, Step
from tests.sim.kernel.machines import pair, routed, settle, switched


def echo(length: int) -> Packet:
    payload = bytes(n % 251 for n in range(length))
    return Packet(ip=IPv4(1, 2, Proto.ICMP), l4=Icmp(IcmpType.ECHO_REQUEST, 0, 7, 1), payload=payload)


def seen(steps: Iterable[Step], point: str, way: str) -> list[Packet]:
    return [s.packet for s in steps
            if s.kind is Kind.SEEN and (s.point, s.way) == (point, way) and s.packet is not None and s.packet.ip]


def ping(box: Netns, address: str, length: int, *, strict: bool = False) -> tuple[PingSocket, list[Step]]:
    sock = PingSocket(box, 7)
    return sock, settle(sock.send(ip(address), 1, bytes(length), 0.0, strict=strict))


@given(st.integers(0, 9000), st.integers(68, 1500), st.randoms(use_true_random=False))
def test_fragments_fit_the_mtu_and_make_the_datagram_again_in_any_order(
    length: int, mtu: int, dice: random.Random
) -> None:
    packet = echo(length)
    pieces = fragments(packet, mtu)
    assert all(p.size() <= mtu for p in pieces)
    assert all(p.ip is not None and p.ip.offset % 8 == 0 for p in pieces)
    if len(pieces) == 1:
        assert pieces == [packet] and not is_fragment(packet)
        return
    dice.shuffle(pieces)
    reassembly = Reassembly()
    *early, last = [reassembly.add(p) for p in pieces]
    assert early == [None] * len(early)
    assert last is not None and last.fields() == packet.fields() and last.payload == packet.payload
    assert not reassembly.waiting


def test_a_missing_fragment_keeps_the_rest_waiting() -> None:
    reassembly = Reassembly()
    assert [reassembly.add(p) for p in fragments(echo(4000), 1500)[1:]] == [None, None]


def test_fragments_of_two_datagrams_are_not_mixed() -> None:
    reassembly = Reassembly()
    one, other = fragments(echo(2000), 1500), fragments(echo(2000), 1500)
    assert reassembly.add(one[0]) is None and reassembly.add(other[1]) is None


def test_a_ping_larger_than_the_mtu_goes_in_parts_and_so_does_its_answer() -> None:
    a, _ = pair()
    sock, steps = ping(a, "10.0.0.2", 1473)
    assert sock.inbox
    for way in ("out", "in"):
        assert [(p.size(), p.ip and p.ip.mf, p.ip and p.ip.df) for p in seen(steps, "a:eth0", way)] == [
            (1500, True, False), (21, False, False)]


def test_a_ping_that_just_fits_is_whole_and_forbids_fragments() -> None:
    a, _ = pair()
    _, steps = ping(a, "10.0.0.2", 1472)
    assert [(p.size(), p.ip and p.ip.df) for p in seen(steps, "a:eth0", "out")] == [(1500, True)]


def test_a_ping_with_df_larger_than_the_mtu_is_refused_and_nothing_leaves() -> None:
    a, _ = pair()
    sock, steps = ping(a, "10.0.0.2", 1473, strict=True)
    assert sock.error is Outcome.TOO_LARGE
    assert [s.reason for s in steps if s.kind is Kind.DROP] == [DropReason.MTU]
    assert not seen(steps, "a:eth0", "out")


def test_a_router_cuts_what_may_be_cut() -> None:
    left, router, right = routed()
    router.device("r2").mtu = right.device("eth0").mtu = 1000
    sock, steps = ping(left, "10.2.0.2", 1473)
    assert sock.inbox
    assert [p.size() for p in seen(steps, "router:r2", "out")] == [996, 524, 21]


def test_a_udp_datagram_larger_than_the_mtu_passes_a_router_that_tracks_connections() -> None:
    left, router, right = routed()
    router.iptables("-t nat -A POSTROUTING -o r2 -j MASQUERADE")
    server, client = UdpSocket(right, port=7), UdpSocket(left)
    right.sockets.bind(server)
    assert client.connect(ip("10.2.0.2"), 7)
    steps = settle(client.send(bytes(2000), 0.0))
    assert [len(payload) for payload, *_ in server.inbox] == [2000]
    assert not any(p.ip and p.ip.df for p in seen(steps, "router:r2", "out"))


def test_a_router_that_tracks_connections_puts_together_before_it_cuts() -> None:
    left, router, right = routed()
    router.iptables("-t nat -A POSTROUTING -o r2 -j MASQUERADE")
    router.device("r2").mtu = right.device("eth0").mtu = 1000
    sock, steps = ping(left, "10.2.0.2", 1473)
    assert sock.inbox
    assert [p.size() for p in seen(steps, "router:r2", "out")] == [996, 525]


def test_a_bridge_whose_host_tracks_connections_shows_the_whole_and_forwards_the_parts() -> None:
    host, bridge, boxes = switched(2)
    host.iptables("-t nat -A POSTROUTING -s 10.9.0.0/24 -j MASQUERADE")
    bridge.promiscuous = True
    sock, steps = ping(boxes[0], "10.0.0.2", 1473)
    assert sock.inbox
    assert [p.size() for p in seen(steps, "host:br0", "in")] == [1501, 1501]
    assert [p.size() for p in seen(steps, "host:v2", "out")] == [1500, 21]


def test_a_bridge_without_conntrack_forwards_fragments_as_they_come() -> None:
    _, bridge, boxes = switched(2)
    bridge.promiscuous = True
    sock, steps = ping(boxes[0], "10.0.0.2", 1473)
    assert sock.inbox
    assert [p.size() for p in seen(steps, "host:br0", "in")] == [1500, 21, 1500, 21]


def test_a_checksum_that_was_left_to_the_device_is_filled_in_before_the_cut() -> None:
    packet = Packet(ip=IPv4(1, 2, Proto.UDP), l4=Udp(5, 6), payload=bytes(3000), csum="partial")
    assert {p.csum for p in fragments(packet, 1500)} == {"valid"}
