"""ARP and the neighbour table (net/ipv4/arp.c, net/core/neighbour.c).

An unknown next hop is asked for three times, a second apart (`mcast_solicit`, `retrans_time_ms`); packets wait.
When nobody answers, the waiting packets end with ICMP host-unreachable to their sender, which may be this very host.
Whoever is asked notes the asker, so the answer's way back needs no ARP of its own.
Left out: the STALE -> DELAY -> PROBE cycle (a unicast re-check five seconds after use), gratuitous ARP, proxy_arp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim.kernel.device import NetDevice
from sim.kernel.effects import CoarseTimer, Effects
from sim.packet import BROADCAST, ZERO_MAC, Arp, Ethernet, EtherType, Packet, dotted
from sim.trace import DropReason, Kind

if TYPE_CHECKING:
    from sim.kernel.netns import Netns

MCAST_SOLICIT = 3
RETRANS_TIME = 1.0
"""Seconds between two ARP requests (`net.ipv4.neigh.default.retrans_time_ms`)."""

Continue = Callable[[str, float], Effects]
"""What to do with the packet once the MAC address is known: (mac, now)."""


@dataclass(slots=True)
class Neighbour:
    """`mac` empty: INCOMPLETE. `reachable`: it answered when asked (REACHABLE), not only asked itself (STALE).
    `waiting` are the packets that the answer will release."""

    mac: str = ""
    reachable: bool = False
    probes: int = 0
    waiting: list[tuple[Packet, Continue]] = field(default_factory=list)
    permanent: bool = False


class NeighbourTable:
    def __init__(self, netns: Netns) -> None:
        self.netns = netns
        self.entries: dict[tuple[str, int], Neighbour] = {}

    def flush(self) -> None:
        """`ip neigh flush all`; permanent entries stay."""
        self.entries = {key: n for key, n in self.entries.items() if n.permanent}

    def forget(self, device: str) -> None:
        """`ip neigh flush dev DEVICE nud all`: permanent ones as well."""
        self.entries = {key: entry for key, entry in self.entries.items() if key[0] != device}

    def add(self, device: str, address: int, mac: str) -> None:
        """`ip neigh add … nud permanent`."""
        self.entries[device, address] = Neighbour(mac, permanent=True)

    def remove(self, device: str, address: int) -> None:
        """`ip neigh del`; nothing where there is no such entry."""
        self.entries.pop((device, address), None)

    def permanent(self) -> list[str]:
        """As `ip neigh show nud permanent` prints them."""
        return [f"{dotted(address)} dev {device} lladdr {entry.mac}"
                for (device, address), entry in self.entries.items() if entry.permanent]

    def reachable(self, device: str, address: int) -> bool:
        """Is the entry REACHABLE or PERMANENT (NUD_CONNECTED)?"""
        entry = self.entries.get((device, address))
        return entry is not None and (entry.reachable or entry.permanent)

    def holds(self, packet: Packet) -> bool:
        """Does `packet` wait here for an answer?"""
        return any(waiting is packet for entry in self.entries.values() for waiting, _ in entry.waiting)

    def resolve(self, device: NetDevice, next_hop: int, packet: Packet, go_on: Continue, now: float) -> Effects:
        """Find the next hop's MAC address and go on with the packet, now or when the answer comes
        (`neigh_resolve_output`)."""
        entry = self.entries.get((device.name, next_hop))
        if entry is not None and entry.mac:
            yield device.step(Kind.NEIGH, packet, f"{dotted(next_hop)} is at {entry.mac}")
            yield from go_on(entry.mac, now)
            return
        if entry is not None:
            entry.waiting.append((packet, go_on))
            return
        self.entries[device.name, next_hop] = entry = Neighbour(waiting=[(packet, go_on)])
        yield device.step(Kind.NEIGH, packet, f"{dotted(next_hop)} is unknown: ask")
        yield from self._solicit(device, next_hop, entry, packet.ip.src if packet.ip else 0, now)

    def _solicit(self, device: NetDevice, target: int, entry: Neighbour, source: int, now: float) -> Effects:
        entry.probes += 1
        # arp_announce 0: the packet's own source when it is one of ours, else an address of the device
        sender = source if self.netns.is_local(source) else self.netns.source_for(target, device.name)
        ask = Packet(
            eth=Ethernet(device.mac, BROADCAST, EtherType.ARP),
            arp=Arp(1, device.mac, sender, ZERO_MAC, target),
        )
        yield from device.xmit(ask, now)

        def again(later: float) -> Effects:
            if entry.mac or self.entries.get((device.name, target)) is not entry:
                return
            if entry.probes < MCAST_SOLICIT:
                yield from self._solicit(device, target, entry, source, later)
                return
            del self.entries[device.name, target]
            silent = f"{dotted(target)} does not answer ARP on {device.name}"
            for packet, _ in entry.waiting:
                yield device.drop(DropReason.NO_NEIGHBOUR, packet, silent)
                yield from self.netns.ip.unreachable_neighbour(packet, later)

        yield CoarseTimer(RETRANS_TIME, again)

    def receive(self, packet: Packet, device: NetDevice, now: float) -> Effects:
        """An ARP message came in (`arp_process`)."""
        arp = packet.arp
        assert arp is not None
        if not device.arp:
            yield device.drop(DropReason.NOT_FOR_US, packet, f"{device.name} takes no ARP (NOARP)")
            return
        if packet.pkt_type == "otherhost":
            yield device.drop(DropReason.NOT_FOR_US, packet)
            return
        if arp.op == 1:
            if not self.netns.is_local(arp.target_ip) or arp.target_ip >> 24 == 127:
                return
            yield from self._learn(device, arp, now, create=True)
            answer = Packet(
                eth=Ethernet(device.mac, arp.sender_mac, EtherType.ARP),
                arp=Arp(2, device.mac, arp.target_ip, arp.sender_mac, arp.sender_ip),
            )
            yield from device.xmit(answer, now)
        elif arp.op == 2:
            yield from self._learn(device, arp, now, create=False)

    def _learn(self, device: NetDevice, arp: Arp, now: float, *, create: bool) -> Effects:
        key = device.name, arp.sender_ip
        entry = self.entries.get(key)
        if entry is None:
            if not create:
                return  # arp_accept 0: an answer that nobody waits for makes no entry
            entry = self.entries[key] = Neighbour()
        if entry.permanent:
            return
        entry.mac = arp.sender_mac
        entry.reachable = arp.op == 2
        waiting, entry.waiting = entry.waiting, []
        for packet, go_on in waiting:
            yield device.step(Kind.NEIGH, packet, f"{dotted(arp.sender_ip)} is at {arp.sender_mac}")
            yield from go_on(arp.sender_mac, now)
