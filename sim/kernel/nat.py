"""Network address translation (net/netfilter/nf_nat_core.c, nf_nat_proto.c).

A rule chooses a `Range` for the first packet of a connection; `setup` picks a tuple from it that no other connection
uses and writes it into the entry's reply tuple. From then on `translate` rewrites each packet by its entry, in both
directions, without any rule. A connection that no rule took gets a null binding: its own address, but a new source
port if another connection's replies would look the same.

Ports are sought as nf_nat_l4proto_unique_tuple does it: keep the port when it is free, else begin at a random offset
in the class of the old port (1-511, 600-1023, 1024-65535) and try 128 in a row, then 64, 32, 16 from other offsets.
The random offsets come from the `Random` given, so a seed fixes them. As in the kernel, sockets are not looked at,
only connections. Left out: eviction of TIME_WAIT connections when ports run out, GRE and SCTP keys, helpers, zones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random

from sim.kernel.connection import REPLY, CtInfo, Entry, Status, Tracked, Tuple
from sim.kernel.conntrack import Conntrack
from sim.kernel.hooks import Hook
from sim.packet import Icmp, IcmpType, IPv4, Packet, Proto, Tcp, Transport, Udp, dotted

MAX_ATTEMPTS = 128
"""NF_NAT_MAX_ATTEMPTS: how many ports in a row are tried before another offset."""


class Manip(Enum):
    """Which side is rewritten (enum nf_nat_manip_type)."""

    SRC = "SNAT"
    DST = "DNAT"


# HOOK2MANIP: destinations before routing, sources after it
MANIP_AT = {Hook.PREROUTING: Manip.DST, Hook.OUTPUT: Manip.DST, Hook.INPUT: Manip.SRC, Hook.POSTROUTING: Manip.SRC}
BIT = {Manip.SRC: Status.SNAT, Manip.DST: Status.DNAT}
DONE = {Manip.SRC: Status.SNAT_DONE, Manip.DST: Status.DNAT_DONE}


@dataclass(frozen=True, slots=True)
class Range:
    """struct nf_nat_range2: what a rule allows. None for addresses or ports: leave them alone, if that can be. With
    `base_port` the port is shifted by as much as the old one is above it (`--to-destination
    1.2.3.4:8080-8090/80`)."""

    addresses: tuple[int, int] | None = None
    ports: tuple[int, int] | None = None
    base_port: int | None = None
    random: bool = False
    persistent: bool = False


def initialized(entry: Entry, manip: Manip) -> bool:
    """Has this side of the connection been decided (nf_nat_initialized)?"""
    return bool(entry.status & DONE[manip])


class Nat:
    """One namespace's NAT, on top of its connection tracking."""

    def __init__(self, conntrack: Conntrack, random: Random) -> None:
        self.conntrack = conntrack
        self.random = random

    def setup(self, entry: Entry, wanted: Range, manip: Manip, now: float) -> None:
        """nf_nat_setup_info: decide one side of a new connection."""
        if entry.status & Status.CONFIRMED:
            return
        current = entry.reply.inverse()
        new = self._unique(current, wanted, entry, manip, now)
        if new != current:
            entry.reply = new.inverse()
            entry.status |= BIT[manip]
        if manip is Manip.SRC:
            self.conntrack.remember_source(entry)
        entry.status |= DONE[manip]

    def null_binding(self, entry: Entry, manip: Manip, now: float) -> None:
        """nf_nat_alloc_null_binding: keep the address (as it is now), keep the port if it is free."""
        address = entry.reply.dst if manip is Manip.SRC else entry.reply.src
        self.setup(entry, Range((address, address)), manip, now)

    # choosing

    def _used(self, candidate: Tuple, entry: Entry, now: float) -> bool:
        return self.conntrack.taken(candidate.inverse(), entry, now)

    def _unique(self, current: Tuple, wanted: Range, entry: Entry, manip: Manip, now: float) -> Tuple:
        """get_unique_tuple."""
        if manip is Manip.SRC and not wanted.random:
            if _in_range(current, wanted):
                if not self._used(current, entry, now):
                    return current
            else:
                # the same source goes on being mapped as it was, towards other destinations too
                for other in self.conntrack.mapped_from((current.src, current.sport, current.proto)):
                    mapped = other.reply.inverse()
                    candidate = Tuple(mapped.src, mapped.sport, current.dst, current.dport, current.proto)
                    if _in_range(candidate, wanted):
                        if not self._used(candidate, entry, now):
                            return candidate
                        break
        chosen = _best_address(current, wanted, manip)
        if not wanted.random:
            if wanted.ports is None:
                if not self._used(chosen, entry, now):
                    return chosen
            elif wanted.base_port is None and _port_in(chosen, wanted.ports, manip) and (
                    wanted.ports[0] == wanted.ports[1] or not self._used(chosen, entry, now)):
                return chosen
        return self._unique_port(chosen, wanted, entry, manip, now)

    def _unique_port(self, chosen: Tuple, wanted: Range, entry: Entry, manip: Manip, now: float) -> Tuple:
        """nf_nat_l4proto_unique_tuple. When nothing is free the last try is returned, and `confirm` will drop the
        packet."""
        on_source = manip is Manip.SRC or chosen.proto == Proto.ICMP
        port = chosen.sport if on_source else chosen.dport
        if chosen.proto == Proto.ICMP:
            low, high = wanted.ports or (0, 65535)
        elif chosen.proto not in (Proto.TCP, Proto.UDP):
            return chosen
        elif wanted.ports is not None:
            low, high = min(wanted.ports), max(wanted.ports)
        elif manip is Manip.DST:
            return chosen
        else:
            low, high = (1, 511) if port < 512 else (600, 1023) if port < 1024 else (1024, 65535)
        size = high - low + 1
        if wanted.base_port is not None:
            offset = (port - wanted.base_port) & 0xFFFF
        elif wanted.random or manip is Manip.SRC:
            offset = self.random.randrange(65536)
        else:
            offset = 0
        attempts = min(size, MAX_ATTEMPTS)
        while True:
            for i in range(attempts):
                value = low + (offset + i & 0xFFFF) % size
                chosen = chosen._replace(sport=value) if on_source else chosen._replace(dport=value)
                if not self._used(chosen, entry, now):
                    return chosen
            if attempts >= size or attempts < 16:
                return chosen
            attempts //= 2
            offset = self.random.randrange(65536)

    # rewriting

    def translate(self, packet: Packet, hook: Hook) -> str:
        """nf_nat_packet, and nf_nat_icmp_reply_translation for errors. Returns what was rewritten, "" when nothing
        was."""
        tracked: Tracked = packet.ct
        entry, header = tracked.entry, packet.ip
        assert entry is not None and header is not None
        manip, direction = MANIP_AT[hook], tracked.ctinfo.direction
        wanted = BIT[manip] ^ (Status.NAT_MASK if direction == REPLY else 0)
        if not entry.status & wanted:
            return ""
        before = _endpoint(header, packet.l4, manip)
        target = entry.tuple_in(1 - direction).inverse()
        if packet.inner is not None and tracked.ctinfo in (CtInfo.RELATED, CtInfo.RELATED_REPLY) and (
                header.proto == Proto.ICMP):
            # the quoted datagram travelled the other way: its other side is rewritten, so that its sender knows it
            quoted = packet.inner.snapshot()
            if quoted.ip is not None:
                back = Manip.DST if manip is Manip.SRC else Manip.SRC
                _rewrite(quoted.ip, quoted.l4, entry.tuple_in(1 - direction), back)
                if quoted.csum == "partial":
                    # The error is no partial skb, so the quoted checksum, which is, is corrected the wrong way round
                    # (inet_proto_csum_replace4): nobody checks it.
                    quoted.csum = "bad"
            packet.inner = quoted
        _rewrite(header, packet.l4, target, manip)
        label = manip.value if direction != REPLY else f"un-{(Manip.DST if manip is Manip.SRC else Manip.SRC).value}"
        return f"{label} {before} -> {_endpoint(header, packet.l4, manip)}"

    def allows_redirect(self, entry: Entry) -> bool:
        """An ICMP redirect passes only when the connection is settled and has no NAT (it could not be translated)."""
        settled = entry.status & Status.NAT_DONE_MASK == Status.NAT_DONE_MASK
        return settled and not entry.status & Status.NAT_MASK


def is_error(packet: Packet, kind: int = -1) -> bool:
    """Is this an ICMP packet (of that type)?"""
    return isinstance(packet.l4, Icmp) and kind in (-1, packet.l4.type)


def _rewrite(header: IPv4, l4: Transport | None, target: Tuple, manip: Manip) -> None:
    """nf_nat_ipv4_manip_pkt: one side of the headers becomes the target's. ICMP errors have no identifier to
    rewrite."""
    if manip is Manip.SRC:
        header.src = target.src
        if isinstance(l4, Tcp | Udp):
            l4.sport = target.sport
    else:
        header.dst = target.dst
        if isinstance(l4, Tcp | Udp):
            l4.dport = target.dport
    if isinstance(l4, Icmp) and l4.type in (IcmpType.ECHO_REQUEST, IcmpType.ECHO_REPLY):
        l4.ident = target.sport


def _endpoint(header: IPv4, l4: Transport | None, manip: Manip) -> str:
    address = dotted(header.src if manip is Manip.SRC else header.dst)
    if isinstance(l4, Tcp | Udp):
        return f"{address}:{l4.sport if manip is Manip.SRC else l4.dport}"
    return address


def _in_range(current: Tuple, wanted: Range) -> bool:
    """nf_in_range: would the source as it is satisfy the rule?"""
    if wanted.addresses is not None and not wanted.addresses[0] <= current.src <= wanted.addresses[1]:
        return False
    return wanted.ports is None or _port_in(current, wanted.ports, Manip.SRC)


def _port_in(current: Tuple, ports: tuple[int, int], manip: Manip) -> bool:
    """l4proto_in_range; protocols without ports always fit."""
    if current.proto not in (Proto.TCP, Proto.UDP, Proto.ICMP):
        return True
    on_source = manip is Manip.SRC or current.proto == Proto.ICMP
    return ports[0] <= (current.sport if on_source else current.dport) <= ports[1]


def _best_address(current: Tuple, wanted: Range, manip: Manip) -> Tuple:
    """find_best_ips_proto: with several addresses to choose from, a hash of source and destination picks one."""
    if wanted.addresses is None:
        return current
    low, high = wanted.addresses
    if low != high:
        hashed = _jhash(_swapped(current.src), 0 if wanted.persistent else _swapped(current.dst))
        low += (hashed * (high - low + 1 & 0xFFFFFFFF)) >> 32
    return current._replace(src=low) if manip is Manip.SRC else current._replace(dst=low)


def _swapped(address: int) -> int:
    """An address as a little-endian machine reads it from the wire."""
    return int.from_bytes(address.to_bytes(4, "big"), "little")


def _jhash(word: int, initval: int) -> int:
    """jhash2() of a union nf_inet_addr that holds an IPv4 address: that word, then three zeros (linux/jhash.h)."""
    a = b = c = (0xDEADBEEF + (4 << 2) + initval) & 0xFFFFFFFF
    a = (a + word) & 0xFFFFFFFF
    for shift in (4, 6, 8, 16, 19, 4):  # __jhash_mix; the roles of a, b, c go round
        a = (a - c & 0xFFFFFFFF) ^ _rotate(c, shift)
        c = (c + b) & 0xFFFFFFFF
        a, b, c = b, c, a
    for shift in (14, 11, 25, 16, 4, 14, 24):  # __jhash_final
        c = (c ^ b) - _rotate(b, shift) & 0xFFFFFFFF
        a, b, c = b, c, a
    return b


def _rotate(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & 0xFFFFFFFF
