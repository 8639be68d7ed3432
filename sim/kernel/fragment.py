"""IPv4 fragments: cutting a datagram that is larger than the next MTU, and putting it together again
(net/ipv4/ip_output.c `ip_do_fragment`, net/ipv4/ip_fragment.c).

Whoever is the destination puts together; so does a namespace that tracks connections, before any other hook sees the
fragment (`nf_defrag_ipv4`), and it cuts again where the datagram leaves. The fragments of one datagram share its `uid`,
which stands for the IP identification.
Of a VXLAN datagram the first fragment shows the beginning of the frame inside.
Left out: overlapping fragments, the time limit of 30 s (a question is over before), fragments of fragments.
"""

from __future__ import annotations

from sim.packet import Icmp, Packet, Tcp, Udp

HEADER = 20
TUNNEL = 8 + 8 + 14
"""UDP, VXLAN and the inner Ethernet header."""
TRANSPORT = {Icmp: 8, Udp: 8, Tcp: 20}


def fragments(packet: Packet, mtu: int) -> list[Packet]:
    """The datagrams that leave by a device with this MTU: the packet itself where it fits."""
    if packet.size() <= mtu:
        return [packet]
    assert packet.ip is not None
    step = (mtu - HEADER) // 8 * 8
    transport = TRANSPORT.get(type(packet.l4), 0) + (8 if packet.esp else 0) + packet.options
    total = packet.size() - HEADER
    pieces = []
    for at in range(0, total, step):
        piece = packet.copy()
        assert piece.ip is not None
        piece.ip.offset = packet.ip.offset + at
        piece.ip.mf = packet.ip.mf or at + step < total
        piece.csum = "valid"  # nobody can complete it later (skb_checksum_help)
        piece.payload = packet.payload[max(0, at - transport):at + step - transport]
        if packet.vxlan is not None and packet.inner is not None:
            _cut_tunnel(piece, packet.inner, min(step, total - at))
        if at:
            piece.l4 = piece.esp = piece.sealed = None
            piece.options = 0
        pieces.append(piece)
    return pieces


def _cut_tunnel(piece: Packet, frame: Packet, length: int) -> None:
    """A fragment of a VXLAN datagram: the first shows the beginning of the frame inside, the others are bytes."""
    assert piece.ip is not None
    if piece.ip.offset:
        piece.vxlan, piece.inner, piece.payload = None, None, bytes(length)
        return
    shown = frame.snapshot()
    shown.csum = "valid"  # nobody can tell from a part
    cut(shown, length - TUNNEL)
    piece.inner, piece.sealed = shown, frame


def cut(packet: Packet, room: int) -> None:
    """Leave out what is behind the first `room` bytes of a datagram: part of what it carries, however deep inside."""
    surplus = packet.size() - room
    while packet.inner is not None:
        packet = packet.inner
    if surplus > 0:
        packet.payload = packet.payload[:max(0, len(packet.payload) - surplus)]


class Reassembly:
    """The fragments that wait for the rest of their datagram, in one namespace."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[int, int, int, int], list[Packet]] = {}
        self.largest = 0
        """Size of the largest fragment of the last datagram that became whole (`frag_max_size`)."""

    def flush(self) -> None:
        self.waiting.clear()

    def add(self, packet: Packet) -> Packet | None:
        """The whole datagram once `packet` completes it, with the headers of its first fragment."""
        header = packet.ip
        assert header is not None
        key = header.src, header.dst, header.proto, packet.uid
        parts = self.waiting.setdefault(key, [])
        parts.append(packet)
        parts.sort(key=lambda part: part.ip.offset if part.ip else 0)
        reached = 0
        for part in parts:
            assert part.ip is not None
            if part.ip.offset != reached:
                return None
            reached += part.size() - HEADER
        if parts[-1].ip is None or parts[-1].ip.mf:
            return None
        del self.waiting[key]
        self.largest = max(part.size() for part in parts)
        whole = parts[0].copy()
        assert whole.ip is not None
        whole.ip.mf = False
        whole.payload = b"".join(part.payload for part in parts)
        if whole.vxlan is not None:
            whole.inner, whole.sealed, whole.payload = whole.sealed, None, b""
        return whole


def is_fragment(packet: Packet) -> bool:
    return packet.ip is not None and (packet.ip.mf or packet.ip.offset > 0)
