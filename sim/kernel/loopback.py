"""`lo`: what is sent is received at once, in the same namespace (drivers/net/loopback.c).

Nothing is scrubbed: the packet comes back with the conntrack entry that it had on its way out, and is not looked up
again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.kernel.device import NetDevice
from sim.kernel.effects import Effects, Handoff
from sim.packet import ZERO_MAC, Packet
from sim.trace import Kind

if TYPE_CHECKING:
    from sim.kernel.netns import Netns


class Loopback(NetDevice):
    kind = "loopback"

    def __init__(self, netns: Netns) -> None:
        super().__init__("lo", netns, ZERO_MAC, 65536)

    def transmit(self, packet: Packet, now: float) -> Effects:
        yield self.step(Kind.LOOPBACK, packet)
        yield Handoff(self, packet)

    def receive(self, packet: Packet, port: Any, now: float) -> Effects:
        packet.pkt_type = "host"
        yield self.step(Kind.SEEN, packet, way="in")
        yield from self.deliver(packet, now)
