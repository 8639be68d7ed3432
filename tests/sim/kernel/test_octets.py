"""The bytes that a packet's headers are, for matches that look at bytes."""

from __future__ import annotations

import pytest

from sim.kernel.octets import octets
from sim.packet import Esp, Ethernet, Icmp, IcmpType, IPv4, Packet, Proto, Tcp, Udp, Vxlan, ip

PING = Packet(ip=IPv4(1, 2, Proto.ICMP), l4=Icmp(IcmpType.ECHO_REQUEST, 0, 7, 1), payload=b"x" * 9)


def test_a_tcp_segment_has_its_bytes_where_the_standards_put_them() -> None:
    segment = Packet(ip=IPv4(ip("10.0.0.1"), ip("10.0.0.2"), Proto.TCP, ttl=63, df=True), l4=Tcp(1, 2, 0x12, 3, 4),
                     payload=b"xy")
    assert octets(segment) == bytes.fromhex(
        "4500002a000040003f0600000a0000010a000002" "0001000200000003000000045012000000000000" "7879")


def test_vxlan_has_its_vni_behind_the_udp_header_and_then_the_frame() -> None:
    inner = PING.snapshot()
    inner.eth = Ethernet("02:42:0a:00:01:02", "02:42:0a:00:01:04")
    raw = octets(Packet(ip=IPv4(1, 2, Proto.UDP), l4=Udp(40000, 4789), vxlan=Vxlan(0x1001), inner=inner))
    assert raw[20:36] == bytes.fromhex("9c4012b5" "0043" "0000" "08000000" "00100100")
    assert raw[48:50] == b"\x08\x00" and raw[50:] == octets(inner)


@pytest.mark.parametrize("packet", [
    PING,
    Packet(ip=IPv4(1, 2, Proto.ICMP), l4=Icmp(IcmpType.DEST_UNREACH, 4, mtu=1400), inner=PING),
    Packet(ip=IPv4(1, 2, Proto.ESP), esp=Esp("0x4e4f0d38", 9), payload=bytes(132)),
    Packet(ip=IPv4(1, 2, Proto.TCP), l4=Tcp(1, 2, 2), options=20),
    Packet(ip=IPv4(1, 2, Proto.UDP, offset=1480), payload=b"later fragment"),
])
def test_there_are_as_many_bytes_as_the_header_says(packet: Packet) -> None:
    raw = octets(packet)
    assert len(raw) == packet.size() == int.from_bytes(raw[2:4], "big")


def test_a_symbol_for_an_spi_has_no_bytes() -> None:
    assert octets(Packet(ip=IPv4(1, 2, Proto.ESP), esp=Esp("spi(a>b#1)", 9)))[20:] == bytes(7) + b"\x09"
    assert octets(Packet()) == b""
