"""What every network interface has in common: its name, its namespace, and the two taps where a packet socket listens.

`xmit` is `dev_queue_xmit` (net/core/dev.c): the tap sees the frame as "out", then the driver takes it.
`receive` is `netif_receive_skb`: the tap sees it as "in", then a bridge (if the interface is enslaved), the macvlan
devices on it, or the IP stack takes it. Every frame passes a tap, whether or not somebody listens there: what sniffers
would have seen is part of the prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.kernel.effects import Effects
from sim.packet import BROADCAST, EtherType, Packet
from sim.trace import DropReason, Kind, Step

if TYPE_CHECKING:
    from sim.kernel.bridge import Bridge
    from sim.kernel.macvlan import MacvlanPort
    from sim.kernel.netns import Netns


class NetDevice:
    """One interface. `addresses` are (address, prefix length) in the order in which they were added."""

    kind = "device"

    def __init__(self, name: str, netns: Netns, mac: str, mtu: int = 1500) -> None:
        self.name, self.netns, self.mac, self.mtu = name, netns, mac, mtu
        self.up = True
        self.addresses: list[tuple[int, int]] = []
        self.master: Bridge | None = None
        self.hairpin = False
        self.macvlans: MacvlanPort | None = None

    options = ""
    """What the kind has besides, as `ip -d link` prints it."""

    def remote_lines(self) -> list[str]:
        """Forwarding entries that lead to other machines; only tunnels have them."""
        return []

    def __repr__(self) -> str:
        return f"<{self.kind} {self.netns.label}:{self.name}>"

    def step(self, kind: Kind, packet: Packet | None = None, detail: str = "", **more: Any) -> Step:
        """A Step that happened on this device, with a snapshot of the packet."""
        return Step(kind, self.netns.label, self.name, packet.snapshot() if packet else None, detail, **more)

    def drop(self, reason: DropReason, packet: Packet, detail: str = "") -> Step:
        return self.step(Kind.DROP, packet, detail, reason=reason)

    def xmit(self, packet: Packet, now: float) -> Effects:
        """Send a complete frame out of this interface."""
        if not self.up:
            yield self.drop(DropReason.LINK_DOWN, packet, f"{self.name} is down")
            return
        packet.pkt_type = "outgoing"
        yield self.step(Kind.SEEN, packet, way="out")
        yield from self.transmit(packet, now)

    def transmit(self, packet: Packet, now: float) -> Effects:
        """The driver's part (`ndo_start_xmit`): each kind of device has its own."""
        raise NotImplementedError

    def receive(self, packet: Packet, port: Any, now: float) -> Effects:
        """A frame arrives from the wire (or the peer)."""
        if not self.up:
            yield self.drop(DropReason.LINK_DOWN, packet, f"{self.name} is down")
            return
        assert packet.eth is not None
        packet.pkt_type = (
            "broadcast" if packet.eth.dst == BROADCAST else "host" if packet.eth.dst == self.mac else "otherhost"
        )
        yield self.step(Kind.SEEN, packet, way="in")
        if self.master is not None:
            yield from self.master.frame_in(packet, self, now)
        elif self.macvlans is not None:
            yield from self.macvlans.frame_in(packet, now)
        else:
            yield from self.deliver(packet, now)

    def deliver(self, packet: Packet, now: float) -> Effects:
        """Up to the protocol that the EtherType names (`deliver_skb`)."""
        assert packet.eth is not None
        if packet.eth.ethertype == EtherType.ARP:
            yield from self.netns.neighbours.receive(packet, self, now)
        elif packet.eth.ethertype == EtherType.IPV4:
            yield from self.netns.ip.receive(packet, self, now)
