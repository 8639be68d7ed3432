"""A tracked connection as a value: its tuples, its status bits, and what a packet carries of it.

Follows include/net/netfilter/nf_conntrack.h, nf_conntrack_tuple.h and uapi/linux/netfilter/nf_conntrack_common.h.
The table of connections is `conntrack.py`. Left out: zones, expectations, labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from sim.kernel.conntrack_tcp import Segment, TcpState
from sim.packet import Icmp, IPv4, Packet, Proto, Tcp, Transport, Udp, dotted

ORIGINAL, REPLY = 0, 1

ICMP_INVERSE = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17}
ICMP_REQUESTS = frozenset({8, 13, 15, 17})
ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})


class CtInfo(IntEnum):
    """enum ip_conntrack_info: how a packet relates to its connection, and its direction. NEW has none for replies."""

    ESTABLISHED = 0
    RELATED = 1
    NEW = 2
    ESTABLISHED_REPLY = 3
    RELATED_REPLY = 4
    UNTRACKED = 7

    @property
    def direction(self) -> int:
        return REPLY if self >= CtInfo.ESTABLISHED_REPLY else ORIGINAL


class Status:
    """enum ip_conntrack_status: the bits of `Entry.status`."""

    EXPECTED = 1 << 0
    SEEN_REPLY = 1 << 1
    ASSURED = 1 << 2
    CONFIRMED = 1 << 3
    SNAT = 1 << 4
    DNAT = 1 << 5
    SNAT_DONE = 1 << 7
    DNAT_DONE = 1 << 8
    DYING = 1 << 9
    NAT_MASK = SNAT | DNAT
    NAT_DONE_MASK = SNAT_DONE | DNAT_DONE


class Tuple(NamedTuple):
    """struct nf_conntrack_tuple. For ICMP `sport` is the identifier and `dport` type and code (type << 8 | code)."""

    src: int
    sport: int
    dst: int
    dport: int
    proto: int

    def inverse(self) -> Tuple:
        """The tuple that an answer would have (nf_ct_invert_tuple)."""
        if self.proto == Proto.ICMP:
            kind = ICMP_INVERSE.get(self.dport >> 8, self.dport >> 8)
            return Tuple(self.dst, self.sport, self.src, kind << 8 | self.dport & 255, self.proto)
        return Tuple(self.dst, self.dport, self.src, self.sport, self.proto)

    def __str__(self) -> str:
        if self.proto == Proto.ICMP:
            ports = f" type={self.dport >> 8} code={self.dport & 255} id={self.sport}"
        else:
            ports = f" sport={self.sport} dport={self.dport}"
        return f"src={dotted(self.src)} dst={dotted(self.dst)}{ports}"


def tuple_of(ip: IPv4 | None, l4: Transport | None) -> Tuple | None:
    """The tuple of a packet's headers; None when they have none: a later fragment, an ICMP type without an answer."""
    if ip is None or ip.offset:
        return None
    if isinstance(l4, Tcp | Udp):
        return Tuple(ip.src, l4.sport, ip.dst, l4.dport, ip.proto)
    if isinstance(l4, Icmp):
        return Tuple(ip.src, l4.ident, ip.dst, l4.type << 8 | l4.code, ip.proto) if l4.type in ICMP_INVERSE else None
    return None if ip.proto in (Proto.TCP, Proto.UDP, Proto.ICMP) else Tuple(ip.src, 0, ip.dst, 0, ip.proto)


@dataclass(slots=True, eq=False)
class Entry:
    """struct nf_conn: one connection. `expires` is on the simulation's clock."""

    original: Tuple
    reply: Tuple
    status: int = 0
    mark: int = 0
    expires: float = 0.0
    tcp: TcpState = TcpState.NONE
    last_segment: Segment = Segment.NONE
    last_direction: int = ORIGINAL
    last_end: int = 0
    close_init: bool = False
    """A FIN was seen: the close was orderly (IP_CT_TCP_FLAG_CLOSE_INIT)."""
    stream_after: float = 0.0
    masq_dev: str = ""
    """The device whose address MASQUERADE used."""

    def tuple_in(self, direction: int) -> Tuple:
        return self.reply if direction else self.original

    def __str__(self) -> str:
        name = {1: "icmp", 6: "tcp", 17: "udp"}.get(self.original.proto, str(self.original.proto))
        state = f" {self.tcp.name}" if self.original.proto == Proto.TCP else ""
        seen = "" if self.status & Status.SEEN_REPLY else " [UNREPLIED]"
        assured = " [ASSURED]" if self.status & Status.ASSURED else ""
        return f"{name}{state} {self.original}{seen} {self.reply}{assured} mark={self.mark}"


class Tracked(NamedTuple):
    """What `packet.ct` holds. `entry` is None for a packet that NOTRACK took out; an INVALID packet has none of
    this."""

    entry: Entry | None
    ctinfo: CtInfo


UNTRACKED = Tracked(None, CtInfo.UNTRACKED)


def attach(answer: Packet, about: Packet) -> None:
    """Tie an ICMP error or a reset made here to the connection of the packet that it is about (nf_conntrack_attach).

    Without this an error about a first packet that was rejected after its DNAT would quote an address
    that the sender never used: the connection is not in the table yet, so nothing else could translate it back.
    """
    tracked: Tracked | None = about.ct
    if tracked is not None and tracked.entry is not None:
        back = CtInfo.RELATED_REPLY if tracked.ctinfo.direction == ORIGINAL else CtInfo.RELATED
        answer.ct = Tracked(tracked.entry, back)
