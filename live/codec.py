"""Real frames to `sim.packet.Packet` and back, through scapy's layers.

Covers what Hopcast compares: Ethernet, an 802.1Q tag, ARP, IPv4, ICMP (an error's quoted datagram becomes `inner`),
UDP, TCP, ESP (what follows its header is opaque) and VXLAN (its inner frame becomes `inner`). `decode` gives None for
everything else: IPv6, a second tag, LLDP. Each header is dissected by its scapy layer on its own (`do_dissect`), not by
`Ether(raw)`: that would go on and guess at payloads (DNS on port 53).

Left out: IP and TCP options (skipped when decoding, never written), and everything that `sim.packet` has no field for
(IP identification, TCP window). A fragment other than the first has no transport header: all of it is payload.

The transport checksum is one of three states. A capture on veth, bridge or loopback shows mostly "partial": the
kernel wrote only the folded sum of the pseudo-header and left the rest to a device that never computes it
(CHECKSUM_PARTIAL, Documentation/networking/checksum-offloads.rst). "bad" is neither that nor "valid". One segment in
65535 has a pseudo-header's sum that happens to be the right checksum too; which of the two it is the kernel says beside
the frame (`unfinished`, from TP_STATUS_CSUMNOTREADY). Of an ICMP error's quote it says nothing: there such a sum counts
as partial, which is what quotes of a socket's packets mostly are. Around an inner packet whose checksum is still
partial, VXLAN's is the sum that will be right once the inner one is filled in (local checksum offload, the same
document): that is "valid" too.
"""

from __future__ import annotations

from scapy.layers.inet import ICMP as ScapyIcmp
from scapy.layers.inet import IP as ScapyIp
from scapy.layers.inet import TCP as ScapyTcp
from scapy.layers.inet import UDP as ScapyUdp
from scapy.layers.l2 import ARP as ScapyArp
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN as ScapyVxlan
from scapy.packet import Packet as ScapyPacket
from scapy.utils import checksum

from live.frames import VXLAN_PORT
from sim.packet import (
    Arp,
    Esp,
    Ethernet,
    EtherType,
    Icmp,
    IcmpType,
    IPv4,
    Packet,
    Proto,
    Tcp,
    Udp,
    Vlan,
    Vxlan,
    dotted,
    ip,
)

TAGGED = 0x8100
"""EtherType of an 802.1Q tag."""
ERRORS = (IcmpType.DEST_UNREACH, IcmpType.REDIRECT, IcmpType.TIME_EXCEEDED)
"""ICMP types that quote the datagram that they are about."""
ECHOES = (IcmpType.ECHO_REQUEST, IcmpType.ECHO_REPLY)
TCP_FLAGS = 0x1F
"""The flags that `sim.packet.TcpFlag` knows; URG and the two of ECN are dropped."""


def decode(raw: bytes, *, unfinished: bool = False) -> Packet | None:
    """The Ethernet frame `raw` as a Packet; None when it is neither ARP nor IPv4, or too short to be what it says.
    `unfinished`: a checksum in it is left to the device, as the kernel says.

    Bytes after the IP datagram (Ethernet's padding) are ignored. TCP numbers are absolute: see `live.relative`.
    """
    if len(raw) < 14:
        return None
    ether, rest = _header(Ether, raw, 14)
    kind, tag = ether.type, None
    if kind == TAGGED and len(rest) >= 4:
        inside, rest = _header(Dot1Q, rest, 4)
        kind, tag = inside.type, Vlan(inside.vlan)
    eth = Ethernet(ether.src, ether.dst, kind)
    if kind == EtherType.ARP and len(rest) >= 28:
        message, _ = _header(ScapyArp, rest, 28)
        if (message.hwtype, message.ptype, message.hwlen, message.plen) != (1, EtherType.IPV4, 6, 4):
            return None
        arp = Arp(message.op, message.hwsrc, ip(message.psrc), message.hwdst, ip(message.pdst))
        return Packet(eth=eth, vlan=tag, arp=arp)
    if kind == EtherType.IPV4:
        packet = decode_datagram(rest, unfinished=unfinished)
        if packet:
            packet.eth, packet.vlan = eth, tag
        return packet
    return None


class Decoder:
    """`decode` for many frames: one that is seen at many points is dissected once."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bool], Packet | None] = {}

    def decode(self, raw: bytes, *, unfinished: bool = False) -> Packet | None:
        """As `decode`: a Packet of the caller's own."""
        key = raw, unfinished
        if key not in self._known:
            self._known[key] = decode(raw, unfinished=unfinished)
        known = self._known[key]
        return known and known.snapshot()


def decode_datagram(raw: bytes, *, unfinished: bool = False) -> Packet | None:
    """As `decode`: the IPv4 datagram `raw`, which may be cut off as ICMP quotes are; None when it isn't IPv4."""
    if len(raw) < 20 or raw[0] >> 4 != 4 or (raw[0] & 15) < 5:
        return None
    head, _ = _header(ScapyIp, raw, 20)
    offset, flags = 8 * head.frag, int(head.flags)
    header = IPv4(ip(head.src), ip(head.dst), head.proto, head.ttl, bool(flags & 2), bool(flags & 1), offset, head.tos)
    # A length of 0 is a super-packet of 64 KiB or more (BIG TCP): the frame's own length then counts.
    body = raw[4 * head.ihl:head.len or None]
    packet = Packet(ip=header)
    if offset:
        packet.payload = body
        return packet
    _decode_transport(packet, body, complete=not header.mf and len(raw) >= head.len, unfinished=unfinished)
    return packet


def encode(packet: Packet) -> bytes:
    """The frame on the wire (the bare datagram when `eth` is None), with the checksum in the state that `csum` says."""
    if packet.arp:
        m = packet.arp
        body = bytes(ScapyArp(op=m.op, hwsrc=m.sender_mac, psrc=dotted(m.sender_ip), hwdst=m.target_mac,
                              pdst=dotted(m.target_ip)))
    elif packet.ip:
        h = packet.ip
        body = bytes(ScapyIp(src=dotted(h.src), dst=dotted(h.dst), proto=int(h.proto), ttl=h.ttl, tos=h.tos, id=0,
                             flags=2 * h.df + h.mf, frag=h.offset // 8) / _encode_transport(packet, h))
    else:
        raise ValueError("a packet needs an ARP or an IPv4 header")
    if packet.eth is None:
        return body
    kind = int(packet.eth.ethertype)
    tag = bytes(Dot1Q(vlan=packet.vlan.id, type=kind)) if packet.vlan else b""
    return bytes(Ether(src=packet.eth.src, dst=packet.eth.dst, type=TAGGED if tag else kind)) + tag + body


def checksum_state(proto: int, src: int, dst: int, segment: bytes, unfinished: bool) -> str:
    """"valid", "partial" or "bad" for a complete UDP or TCP segment; what may be both is partial if it is `unfinished`.
    UDP's 0 says "not computed", which is valid."""
    at = 16 if proto == Proto.TCP else 6
    found = int.from_bytes(segment[at:at + 2], "big")
    pseudo = _pseudo_header(proto, src, dst, len(segment))
    partial = found == _partial(pseudo)
    valid = (proto == Proto.UDP and not found) or checksum(pseudo + segment) == 0
    if valid and not (partial and unfinished):
        return "valid"
    return "partial" if partial else "bad"


def _as_if_filled(segment: bytes, frame: bytes) -> bytes:
    """What adds up like a segment that ends in `frame`, once that one's own checksum is filled in: the inner segment
    then adds up to the complement of its pseudo header's sum (`lco_csum`)."""
    header = 14 + 4 * (frame[14] & 15)
    inner = _pseudo_header(frame[14 + 9], int.from_bytes(frame[26:30], "big"), int.from_bytes(frame[30:34], "big"),
                           len(frame) - header)
    return segment[:len(segment) - len(frame) + header] + (~_partial(inner) & 0xFFFF).to_bytes(2, "big")


def _header(layer: type[ScapyPacket], raw: bytes, length: int) -> tuple[ScapyPacket, bytes]:
    """The fields of one layer, read from the first `length` bytes; and the bytes after them."""
    head = layer()
    head.do_dissect(raw[:length])
    return head, raw[length:]


def _decode_transport(packet: Packet, body: bytes, *, complete: bool, unfinished: bool) -> None:
    """Fills l4, vxlan, payload, inner and csum. What is too short for its header stays payload."""
    assert packet.ip
    proto = packet.ip.proto
    packet.payload = body
    if proto == Proto.ICMP and len(body) >= 8:
        head, rest = _header(ScapyIcmp, body, 8)
        packet.l4 = Icmp(head.type, head.code)
        if head.type in ECHOES:
            packet.l4.ident, packet.l4.seq = head.id, head.seq
        elif head.type == IcmpType.DEST_UNREACH:
            packet.l4.mtu = head.nexthopmtu
        packet.payload = rest
        if head.type in ERRORS and (quoted := decode_datagram(rest, unfinished=True)):
            packet.inner, packet.payload = quoted, b""
        if complete and checksum(body):
            packet.csum = "bad"
    elif proto == Proto.UDP and len(body) >= 8:
        head, rest = _header(ScapyUdp, body, 8)
        packet.l4, packet.payload = Udp(head.sport, head.dport), rest
        if head.dport == VXLAN_PORT and len(rest) >= 8:
            tunnel, frame = _header(ScapyVxlan, rest, 8)
            if inner := decode(frame, unfinished=unfinished):
                packet.vxlan, packet.inner, packet.payload = Vxlan(tunnel.vni), inner, b""
                unfinished = False  # that was said of the innermost
        if complete:
            packet.csum = checksum_state(proto, packet.ip.src, packet.ip.dst, body, unfinished)
        if complete and packet.inner and packet.inner.csum == "partial" and packet.csum != "partial":
            pseudo = _pseudo_header(proto, packet.ip.src, packet.ip.dst, len(body))
            none = body[6:8] == b"\0\0"
            packet.csum = "valid" if none or not checksum(pseudo + _as_if_filled(body, frame)) else "bad"
    elif proto == Proto.TCP and len(body) >= 20:
        head, _ = _header(ScapyTcp, body, 20)
        packet.l4 = Tcp(head.sport, head.dport, int(head.flags) & TCP_FLAGS, head.seq, head.ack)
        packet.options = 4 * max(head.dataofs, 5) - 20
        packet.payload = body[20 + packet.options:]
        if complete:
            packet.csum = checksum_state(proto, packet.ip.src, packet.ip.dst, body, unfinished)
    elif proto == Proto.ESP and len(body) >= 8:
        spi, seq = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
        packet.esp, packet.payload = Esp(f"{spi:#010x}", seq), body[8:]
    elif proto in (Proto.TCP, Proto.UDP) and len(body) >= 4 and not complete:
        # A quote need hold no more than 8 bytes of the transport: ports, and for TCP the sequence number.
        sport, dport = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
        packet.l4 = Tcp(sport, dport, 0, int.from_bytes(body[4:8], "big")) if proto == Proto.TCP else Udp(sport, dport)
        packet.payload = b""


def _encode_transport(packet: Packet, header: IPv4) -> bytes:
    inner = encode(packet.inner) if packet.inner else b""
    match packet.l4:
        case None:
            esp = packet.esp
            sealing = int(esp.spi, 16).to_bytes(4, "big") + esp.seq.to_bytes(4, "big") if esp else b""
            return sealing + packet.payload + inner
        case Icmp() as m:
            head = ScapyIcmp(type=m.type, code=m.code, chksum=0)
            if m.type in ECHOES:
                head.id, head.seq = m.ident, m.seq
            elif m.type == IcmpType.DEST_UNREACH:
                head.nexthopmtu = m.mtu
            # The quote goes behind scapy's eight bytes: given it, scapy would pad it as RFC 4884 wants for extensions.
            segment, at = bytes(head)[:8] + inner + packet.payload, 2
            pseudo = b""
        case Udp() as m:
            tunnel = bytes(ScapyVxlan(vni=packet.vxlan.vni, flags="Instance")) if packet.vxlan else b""
            data = tunnel + inner + packet.payload
            segment, at = bytes(ScapyUdp(sport=m.sport, dport=m.dport, len=8 + len(data), chksum=0)) + data, 6
            pseudo = _pseudo_header(Proto.UDP, header.src, header.dst, len(segment))
        case Tcp() as m:
            segment = bytes(ScapyTcp(sport=m.sport, dport=m.dport, flags=int(m.flags), seq=m.seq, ack=m.ack,
                                     chksum=0)) + packet.payload
            at = 16
            pseudo = _pseudo_header(Proto.TCP, header.src, header.dst, len(segment))
    offloaded = packet.vxlan is not None and packet.inner is not None and packet.inner.csum == "partial"
    right = checksum(pseudo + (_as_if_filled(segment, inner) if offloaded else segment))
    if at == 6 and not right:
        right = 0xFFFF  # RFC 768: a sum of zero is sent as all ones, for zero says that there is none
    if packet.csum == "partial":
        right = _partial(pseudo)
    elif packet.csum == "bad":
        wrong = [right ^ 1, right ^ 2, right ^ 4]
        right = next(w for w in wrong if w not in (0, 0xFFFF, _partial(pseudo)))
    return segment[:at] + right.to_bytes(2, "big") + segment[at + 2:]


def _pseudo_header(proto: int, src: int, dst: int, length: int) -> bytes:
    return src.to_bytes(4, "big") + dst.to_bytes(4, "big") + bytes([0, proto]) + (length & 0xFFFF).to_bytes(2, "big")


def _partial(pseudo: bytes) -> int:
    """What the kernel leaves in the field for the device: the folded sum, not complemented."""
    return ~checksum(pseudo) & 0xFFFF
