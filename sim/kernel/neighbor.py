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
LOCKTIME = 1.0
"""Seconds in which an entry keeps what it learnt, whoever else says that it has the address
(`net.ipv4.neigh.default.locktime`)."""
RETRANS_TIME = 1.0
"""Seconds between two ARP requests (`net.ipv4.neigh.default.retrans_time_ms`)."""

Continue = Callable[[str, float], Effects]
"""What to do with the packet once the MAC address is known: (mac, now)."""


@dataclass(slots=True)
class Neighbour:
    """`mac` empty: INCOMPLETE. `reachable`: it answered when asked (REACHABLE), not only asked itself (STALE).
    `waiting` are the packets that the answer will release."""

    mac: str = ""
    updated: float = 0.0
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
        ask = Packet(
            eth=Ethernet(device.mac, BROADCAST, EtherType.ARP),
            arp=Arp(1, device.mac, self._sender(device, target, source), ZERO_MAC, target),
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
        if arp.op == 1 and self._answers(arp, device):
            yield from self._learn(device, arp, now, create=True)
            answer = Packet(
                eth=Ethernet(device.mac, arp.sender_mac, EtherType.ARP),
                arp=Arp(2, device.mac, arp.target_ip, arp.sender_mac, arp.sender_ip),
            )
            yield from device.xmit(answer, now)
        elif arp.op == 2 or not self.netns.is_local(arp.target_ip):
            yield from self._learn(device, arp, now, create=False)

    def _answers(self, arp: Arp, device: NetDevice) -> bool:
        """Is the address one that this namespace says it has, on this device, to that asker (`arp_ignore`,
        `arp_filter` in arp.c)?"""
        conf, netns = self.netns.sysctls, self.netns
        loopback = arp.target_ip >> 24 == 127 and not conf.of_device(device.name, "route_localnet")
        if loopback or not netns.is_local(arp.target_ip) or not netns.ip.valid_source(arp.sender_ip, device):
            return False
        match conf.of_device(device.name, "arp_ignore"):
            case 1 if not device.has(arp.target_ip):
                return False
            case 2 if not device.has(arp.target_ip, beside=arp.sender_ip):
                return False
            case 3 if arp.target_ip >> 24 == 127:
                return False
            case 8:
                return False
        if not conf.of_device(device.name, "arp_filter"):
            return True
        back = netns.ip.route(arp.sender_ip)
        return back is not None and back.dev == device.name

    def _sender(self, device: NetDevice, target: int, source: int) -> int:
        """Which address a request gives for the asker's (`arp_solicit`): that of the packet that waits, if it is an own
        one, and with `arp_announce` 1 if it is of the target's subnet as well; else one of the device's."""
        announce = self.netns.sysctls.of_device(device.name, "arp_announce")
        if announce != 2 and self.netns.is_local(source) and (announce != 1 or device.on_link(target, source)):
            return source
        return self.netns.source_for(target, device.name)

    def _learn(self, device: NetDevice, arp: Arp, now: float, *, create: bool) -> Effects:
        """Who spoke has that MAC address (`neigh_update`). `create`: it asked for an address of ours, which makes an
        entry, or turns one (NEIGH_UPDATE_F_OVERRIDE); else only an entry that there is learns from it, and not at once
        another address than it has (`arp_process`): where two machines have the address the first answer counts."""
        key = device.name, arp.sender_ip
        entry = self.entries.get(key)
        if entry is None:
            if not create:
                return  # arp_accept 0: an answer that nobody waits for makes no entry
            entry = self.entries[key] = Neighbour()
        same, answered = entry.mac == arp.sender_mac, arp.op == 2
        if entry.permanent or (same and not answered):
            return
        if entry.mac and not same and not create and now - entry.updated <= LOCKTIME:
            return
        if not same or entry.reachable is not answered:
            entry.updated = now
        entry.mac, entry.reachable = arp.sender_mac, answered
        waiting, entry.waiting = entry.waiting, []
        for packet, go_on in waiting:
            yield device.step(Kind.NEIGH, packet, f"{dotted(arp.sender_ip)} is at {arp.sender_mac}")
            yield from go_on(arp.sender_mac, now)
