"""The bytes of a datagram, for what looks at bytes: the matches of iptables that know no headers (u32).

Every field that a `Packet` has stands where it belongs (RFC 791, 768, 9293, 792, 7348, 4303); what it has not is zero:
IP identification, checksums, the TCP window and options, a VXLAN frame's MAC addresses, and an SPI that is a symbol.
"""

from __future__ import annotations

import struct

from sim.packet import Esp, EtherType, Icmp, Packet, Tcp, Udp

VNI_IS_VALID = 0x08
"""VXLAN_HF_VNI"""
TCP_HEADER = 5
"""Words of 4 bytes, without options."""


def octets(packet: Packet) -> bytes:
    """From the IP header on, as `skb_network_header` sees it."""
    header = packet.ip
    if header is None:
        return b""
    flags = header.df << 14 | header.mf << 13 | header.offset // 8
    return struct.pack(
        "!BBHHHBBHII", 0x45, header.tos, packet.size(), 0, flags, header.ttl, header.proto, 0, header.src, header.dst,
    ) + _transport(packet) + _vxlan(packet) + packet.payload + _inner(packet)


def _transport(packet: Packet) -> bytes:
    match packet.l4 or packet.esp:
        case Udp(sport=sport, dport=dport):
            return struct.pack("!HHHH", sport, dport, packet.size() - 20, 0)
        case Tcp(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack):
            words = TCP_HEADER + packet.options // 4
            header = struct.pack("!HHIIHHHH", sport, dport, seq, ack, words << 12 | flags, 0, 0, 0)
            return header + bytes(packet.options)
        case Icmp(type=kind, code=code, ident=ident, seq=seq, mtu=mtu):
            return struct.pack("!BBHHH", kind, code, 0, ident, mtu or seq)
        case Esp(spi=spi, seq=seq):
            return struct.pack("!II", int(spi, 16) if spi.startswith("0x") else 0, seq)
    return b""


def _vxlan(packet: Packet) -> bytes:
    return struct.pack("!II", VNI_IS_VALID << 24, packet.vxlan.vni << 8) if packet.vxlan else b""


def _inner(packet: Packet) -> bytes:
    """The frame behind a VXLAN header, or the datagram that an ICMP error quotes."""
    inner = packet.inner
    if inner is None:
        return b""
    frame = struct.pack("!12xH", inner.eth.ethertype or EtherType.IPV4) if inner.eth and packet.vxlan else b""
    return frame + octets(inner)
