"""A dummy device: takes what it is given and sends it nowhere (drivers/net/dummy.c). Receives nothing, has no peer."""

from __future__ import annotations

from sim.kernel.device import NetDevice
from sim.kernel.effects import Effects
from sim.packet import Packet
from sim.trace import DropReason


class Dummy(NetDevice):
    kind = "dummy"

    def transmit(self, packet: Packet, now: float) -> Effects:
        yield self.drop(DropReason.NO_MEMBER, packet, f"{self.name} is a dummy: nothing is behind it")
