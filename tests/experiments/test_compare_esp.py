"""Encrypted tunnels in the comparison of paths: the wire for itself, what goes in and comes out as ever."""

from __future__ import annotations

from typing import Any

from experiments.dialogue import events
from sim.packet import Esp, Ethernet, Icmp, IcmpType, IPv4, Packet, Proto, ip
from sim.trace import Step, Trace
from tests.experiments.test_compare_tunnel import agreed, seen, trace

THERE, BACK = "spi(192.168.99.101>192.168.99.102#2)", "spi(192.168.99.102>192.168.99.101#2)"
POINTS = ["h1:eth0", "h2:eth0"]


def sealed(seq: int, *, back: bool = False, **more: Any) -> list[Step]:
    """An ESP packet that leaves one host and arrives at the other."""
    hosts, points = [ip("192.168.99.101"), ip("192.168.99.102")], list(POINTS)
    if back:
        hosts.reverse()
        points.reverse()
    packet = Packet(eth=Ethernet("mac(h1:eth0)", "mac(h2:eth0)"),
                    ip=IPv4(hosts[0], hosts[1], Proto.ESP, more.get("ttl", 64)),
                    esp=Esp(more.get("spi", BACK if back else THERE), seq), payload=bytes(more.get("length", 132)))
    return [seen(points[0], "out", packet), seen(points[1], "in", packet)]


def exchange(**more: Any) -> Trace:
    return trace(sealed(1, **more), sealed(1, back=True), sealed(2))


def test_the_same_packets_agree() -> None:
    assert agreed(exchange(), exchange()) is True


def test_length_spi_number_and_ttl_must_agree() -> None:
    for changed in ({"length": 136}, {"spi": "0x00001234"}, {"ttl": 63}):
        assert agreed(exchange(), exchange(**changed)) is False
    assert agreed(trace(sealed(1), sealed(2)), trace(sealed(1), sealed(3))) is False


def test_the_two_directions_race_and_one_direction_keeps_its_order() -> None:
    mine = trace(sealed(1), sealed(1, back=True), sealed(2), sealed(2, back=True))
    assert agreed(mine, trace(sealed(1), sealed(1, back=True), sealed(2, back=True), sealed(2))) is True
    assert agreed(mine, trace(sealed(2), sealed(1, back=True), sealed(1), sealed(2, back=True))) is False


def test_clear_text_in_the_place_of_ciphertext_disagrees() -> None:
    ping = Packet(eth=Ethernet("mac(h1:eth0)", "mac(h2:eth0)"), l4=Icmp(IcmpType.ECHO_REQUEST, 0, 20001, 1),
                  ip=IPv4(ip("192.168.99.101"), ip("192.168.99.102"), Proto.ICMP))
    clear = [seen("h1:eth0", "out", ping), seen("h2:eth0", "in", ping)]
    assert agreed(exchange(), trace(clear, sealed(1, back=True), sealed(2))) is False


def test_an_event_says_which_packet_of_which_association_it_is() -> None:
    first, *_ = events(exchange(), POINTS)
    assert (first.dialogue, first.text) == (
        "esp 192.168.99.101 > 192.168.99.102", "ESP 192.168.99.101 > 192.168.99.102 seq 1")
    assert dict(first.headers)["esp.spi"] == THERE and dict(first.headers)["payload.length"] == 132


def test_the_first_fragment_may_be_encrypted_before_the_second_one_starts() -> None:
    first, second = (Packet(eth=Ethernet("mac(h1:eth0)", "mac(h2:eth0)"), payload=bytes(8), l4=l4,
                            ip=IPv4(1, 2, Proto.ICMP, mf=not offset, offset=offset))
                     for offset, l4 in ((0, Icmp(IcmpType.ECHO_REQUEST, 0, 20001, 1)), (1400, None)))
    one, other = [seen("h1:eth0", "out", first)], [seen("h1:eth0", "out", second)]
    mine = trace(one, other, sealed(1), sealed(2))
    assert agreed(mine, trace(one, sealed(1), other, sealed(2))) is True
    assert agreed(mine, trace(sealed(1), one, other, sealed(2))) is False
