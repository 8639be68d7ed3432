"""Connection tracking of one namespace (net/netfilter/nf_conntrack_core.c and the protocol trackers beside it).

A connection is an `Entry` with two tuples: how its first packet looked (original) and how an answer must look
(reply); NAT is nothing but a reply tuple that is not the inverse of the original. Packets find their entry by either
tuple. A new entry enters the table only at the last hook (`confirm`), so a dropped first packet leaves nothing
behind. Left out: zones, expectations and helpers (FTP, SIP), accounting, the table's size limit, TCP window tracking,
and merging two entries that were created at the same moment on two CPUs.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.kernel.connection import (
    ICMP_ERRORS,
    ICMP_REQUESTS,
    ORIGINAL,
    REPLY,
    CtInfo,
    Entry,
    Status,
    Tracked,
    Tuple,
    attach,
    tuple_of,
)
from sim.kernel.conntrack_tcp import (
    TIMEOUTS,
    TRANSITIONS,
    UNACKNOWLEDGED_TIMEOUT,
    Segment,
    TcpState,
    segment_of,
)
from sim.packet import Icmp, Packet, Proto, Tcp

__all__ = ["Conntrack", "attach"]

UDP_UNREPLIED, UDP_STREAM, ICMP_TIMEOUT, GENERIC_TIMEOUT = 30.0, 120.0, 30.0, 600.0
UDP_STREAM_AFTER = 2.0
"""A UDP exchange that still goes on after so many seconds is a stream: longer time-out, ASSURED."""


class Conntrack:
    """The table, and the two hook functions that fill it: `track` (priority -200) and `confirm` (last)."""

    def __init__(self) -> None:
        self._table: dict[Tuple, tuple[Entry, int]] = {}
        self._by_source: dict[tuple[int, int, int], list[Entry]] = {}
        self._sweep_at = 1024

    def __len__(self) -> int:
        return len(self._table) // 2

    def entries(self) -> Iterator[Entry]:
        """The confirmed connections, as `conntrack -L` lists them (expired ones that nobody looked up included)."""
        return (entry for entry, direction in list(self._table.values()) if direction == ORIGINAL)

    def flush(self) -> None:
        """`conntrack -F`."""
        for entry in list(self.entries()):
            self.kill(entry)

    # lookup

    def find(self, wanted: Tuple, now: float) -> tuple[Entry, int] | None:
        """(entry, direction) of a tuple; an entry whose time ran out is removed on the way."""
        found = self._table.get(wanted)
        if found is not None and found[0].expires <= now:
            self.kill(found[0])
            return None
        return found

    def taken(self, reply: Tuple, ignored: Entry, now: float) -> bool:
        """Is a reply tuple in use by another connection (nf_conntrack_tuple_taken)?"""
        found = self.find(reply, now)
        return found is not None and found[0] is not ignored and not (
            found[1] == REPLY and found[0].original == ignored.original)

    def mapped_from(self, source: tuple[int, int, int]) -> list[Entry]:
        """Connections whose original source is (address, port, proto) and whose source mapping is settled."""
        return self._by_source.get(source, [])

    def remember_source(self, entry: Entry) -> None:
        """The source mapping of `entry` is settled (nf_nat_bysource). Newest first, as the kernel's list."""
        source = (entry.original.src, entry.original.sport, entry.original.proto)
        self._by_source.setdefault(source, []).insert(0, entry)

    def kill(self, entry: Entry) -> None:
        """Take an entry out (nf_ct_kill)."""
        entry.status |= Status.DYING
        for key in (entry.original, entry.reply):
            found = self._table.get(key)
            if found is not None and found[0] is entry:
                del self._table[key]
        self.forget_source(entry)

    def forget_source(self, entry: Entry) -> None:
        source = (entry.original.src, entry.original.sport, entry.original.proto)
        mapped = self._by_source.get(source, [])
        if entry in mapped:
            mapped.remove(entry)
            if not mapped:
                del self._by_source[source]

    # the hook functions

    def track(self, packet: Packet, now: float) -> bool:
        """nf_conntrack_in: set `packet.ct` (None means INVALID). True when the packet starts a connection.

        A packet that already has its connection keeps it: loopback traffic comes back with what it got on the way
        out, and `attach` gave it to an error.
        """
        if packet.ct is not None:
            return False
        if isinstance(packet.l4, Icmp) and packet.l4.type in ICMP_ERRORS:
            packet.ct = self._related(packet, now)
            return False
        wanted = tuple_of(packet.ip, packet.l4)
        if wanted is None:
            return False
        found = self.find(wanted, now)
        if found is None:
            entry, info = Entry(wanted, wanted.inverse()), CtInfo.NEW
        else:
            entry = found[0]
            if found[1] == REPLY:
                info = CtInfo.ESTABLISHED_REPLY
            else:
                info = CtInfo.ESTABLISHED if entry.status & Status.SEEN_REPLY else CtInfo.NEW
        if wanted.proto == Proto.TCP:
            verdict = self._tcp(entry, packet, info.direction, now)
            if verdict is None:  # a reopened connection: look up again, which makes a new entry
                return self.track(packet, now)
            if not verdict:
                return False
        elif wanted.proto == Proto.UDP:
            _udp(entry, now)
        elif wanted.proto == Proto.ICMP:
            if entry.original.dport >> 8 not in ICMP_REQUESTS:
                return False
            entry.expires = now + ICMP_TIMEOUT
        else:
            entry.expires = now + GENERIC_TIMEOUT
        if info is CtInfo.ESTABLISHED_REPLY:
            entry.status |= Status.SEEN_REPLY
        packet.ct = Tracked(entry, info)
        return found is None

    def confirm(self, packet: Packet, now: float) -> bool:
        """__nf_conntrack_confirm: a new connection enters the table. False: its tuples are taken, drop it."""
        tracked: Tracked | None = packet.ct
        if tracked is None or tracked.entry is None or tracked.ctinfo.direction == REPLY:
            return True
        entry = tracked.entry
        if entry.status & Status.CONFIRMED:
            return True
        if entry.status & Status.DYING or any(
                self.find(key, now) is not None for key in (entry.original, entry.reply)):
            self.forget_source(entry)
            return False
        if len(self._table) >= self._sweep_at:
            self._collect(now)
        entry.status |= Status.CONFIRMED
        self._table[entry.reply] = (entry, REPLY)
        self._table[entry.original] = (entry, ORIGINAL)
        return True

    def _collect(self, now: float) -> None:
        """gc_worker: remove what has expired; the next sweep comes when the table has doubled."""
        for entry in list(self.entries()):
            if entry.expires <= now:
                self.kill(entry)
        self._sweep_at = max(1024, 2 * len(self._table))

    # the protocols

    def _related(self, packet: Packet, now: float) -> Tracked | None:
        """nf_conntrack_inet_error: whose packet does the error quote? The outer destination must be its own."""
        quoted = tuple_of(packet.inner.ip, packet.inner.l4) if packet.inner else None
        found = self.find(quoted.inverse(), now) if quoted else None
        if found is None or packet.ip is None:
            return None
        entry, direction = found
        if entry.tuple_in(direction).dst != packet.ip.dst:
            return None
        return Tracked(entry, CtInfo.RELATED_REPLY if direction == REPLY else CtInfo.RELATED)

    def _tcp(self, entry: Entry, packet: Packet, direction: int, now: float) -> bool | None:
        """nf_conntrack_tcp_packet: True accepted, False INVALID, None when the old entry was removed (NF_REPEAT)."""
        tcp = packet.l4
        assert isinstance(tcp, Tcp)
        segment = segment_of(tcp.flags)
        if segment is None:
            return False
        old, new = entry.tcp, TRANSITIONS[direction][segment][entry.tcp]
        if new is TcpState.INVALID:
            return False
        if new is TcpState.SYN_SENT and old >= TcpState.TIME_WAIT:
            if entry.close_init or (entry.last_direction == direction and entry.last_segment is Segment.RST):
                self.kill(entry)
                return None
            new = TcpState.IGNORE
        if new is TcpState.IGNORE:
            if segment is Segment.SYNACK and entry.last_segment is Segment.SYN and (
                    entry.last_direction != direction and tcp.ack == entry.last_end):
                # answers a SYN that was let through as out of sync: the two ends are right, catch up with them
                old, new = TcpState.SYN_SENT, TcpState.SYN_RECV
            else:
                entry.last_segment, entry.last_direction = segment, direction
                entry.last_end = tcp.seq + len(packet.payload) + (segment in (Segment.SYN, Segment.SYNACK, Segment.FIN))
                return True
        entry.last_segment, entry.last_direction, entry.tcp = segment, direction, new
        if new is TcpState.FIN_WAIT and old is not new:
            entry.close_init = True
        timeout = TIMEOUTS[new]
        if not entry.status & Status.SEEN_REPLY:
            # SEEN_REPLY is set after this, so a reset as the first reply ends the connection at once
            if segment is Segment.RST:
                self.kill(entry)
                return True
            if new is TcpState.ESTABLISHED:
                timeout = UNACKNOWLEDGED_TIMEOUT
        elif new is TcpState.ESTABLISHED and old in (TcpState.SYN_RECV, TcpState.ESTABLISHED):
            entry.status |= Status.ASSURED
        entry.expires = now + timeout
        return True


def _udp(entry: Entry, now: float) -> None:
    """nf_conntrack_udp_packet."""
    if not entry.status & Status.CONFIRMED:
        entry.stream_after = now + UDP_STREAM_AFTER
    timeout = UDP_UNREPLIED
    if entry.status & Status.SEEN_REPLY and now > entry.stream_after:
        timeout = UDP_STREAM
        entry.status |= Status.ASSURED
    entry.expires = now + timeout
