"""A veth pair, and the uplink: two ends, what goes into one comes out of the other (drivers/net/veth.c).

Crossing to another namespace scrubs what the skb carried beside the bytes: conntrack's entry, the mark and the bridge's
notes (`skb_scrub_packet`, net/core/skbuff.c). The checksum stays partial: veth claims to compute it and never does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sim.kernel.device import NetDevice
from sim.kernel.effects import Effects, Handoff, Timer
from sim.packet import Packet
from sim.trace import DropReason, Kind

if TYPE_CHECKING:
    from sim.kernel.netns import Netns


class Veth(NetDevice):
    kind = "veth"
    step_kind = Kind.VETH
    peer: Veth

    def transmit(self, packet: Packet, now: float) -> Effects:
        if not self.peer.up:
            yield self.drop(DropReason.LINK_DOWN, packet, f"the peer of {self.name} is down")
            return
        packet.ct = packet.nf_bridge = None
        packet.mark = 0
        yield self.step(self.step_kind, packet, f"to {self.peer.netns.label}:{self.peer.name}")
        yield from self.carry(packet)

    def carry(self, packet: Packet) -> Effects:
        yield Handoff(self.peer, packet)


class Link(Veth):
    """A host's uplink, one end of a cable: a veth with a propagation delay (seconds) and a rate (bit/s; 0: none)."""

    kind = "link"
    step_kind = Kind.LINK

    def __init__(
        self, name: str, netns: Netns, mac: str, mtu: int = 1500, *, delay: float = 0, rate: float = 0
    ) -> None:
        super().__init__(name, netns, mac, mtu)
        self.delay, self.rate = delay, rate

    def carry(self, packet: Packet) -> Effects:
        wait = self.delay + ((packet.size() + 14) * 8 / self.rate if self.rate else 0)
        if not wait:
            yield Handoff(self.peer, packet)
            return

        def arrive(_now: float) -> Iterator[Handoff]:
            yield Handoff(self.peer, packet)

        yield Timer(wait, arrive)


def _join(a: Veth, b: Veth) -> None:
    a.peer, b.peer = b, a
    for end in (a, b):
        end.netns.devices[end.name] = end


def veth_pair(
    a: Netns, name_a: str, mac_a: str, b: Netns, name_b: str, mac_b: str, mtu: int = 1500
) -> tuple[Veth, Veth]:
    """`ip link add NAME_A type veth peer name NAME_B`, both ends up in their namespaces."""
    one, other = Veth(name_a, a, mac_a, mtu), Veth(name_b, b, mac_b, mtu)
    _join(one, other)
    return one, other


def cable(
    a: Netns, name_a: str, mac_a: str, b: Netns, name_b: str, mac_b: str,
    *, mtu: int = 1500, delay: float = 0, rate: float = 0,
) -> tuple[Link, Link]:
    """A cable between two machines: like a veth pair, with a delay (seconds, each way) and a rate (bit/s)."""
    one = Link(name_a, a, mac_a, mtu, delay=delay, rate=rate)
    other = Link(name_b, b, mac_b, mtu, delay=delay, rate=rate)
    _join(one, other)
    return one, other
