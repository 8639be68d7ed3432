"""What every network interface has in common: its name, its namespace, and the two taps where a packet socket listens.

`xmit` is `dev_queue_xmit` (net/core/dev.c): the tap sees the frame as "out", then the driver takes it.
`receive` is `netif_receive_skb`: the tap sees it as "in", then the sub-interface takes it that its 802.1Q tag names,
else a bridge (if the interface is enslaved), the macvlan or ipvlan devices on it, or the IP stack. Every frame passes
a tap, whether or not somebody listens there: what sniffers would have seen is part of the prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.kernel.effects import Effects
from sim.packet import BROADCAST, EtherType, Packet, mask_of
from sim.trace import DropReason, Kind, Step

if TYPE_CHECKING:
    from sim.kernel.bridge import Bridge
    from sim.kernel.ipvlan import IpvlanPort
    from sim.kernel.macvlan import MacvlanPort
    from sim.kernel.netns import Netns
    from sim.kernel.vlan import VlanDevice


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
        self.ipvlans: IpvlanPort | None = None
        self.vlans: dict[int, VlanDevice] = {}

    options = ""
    """What the kind has besides, as `ip -d link` prints it."""
    arp = True
    """False: IFF_NOARP. Every neighbour has the device's own address, nobody is asked and nobody answered."""
    router: Netns | None = None
    """The namespace that routes what this device sends, where that is another one's business."""

    def remote_lines(self) -> list[str]:
        """Forwarding entries that lead to other machines; only tunnels have them."""
        return []

    @property
    def carrier(self) -> bool:
        """Is somebody at the other end (IFF_LOWER_UP)? Without one the device is up and has its addresses and routes,
        and what is sent ends in front of the driver, unseen by any tap (`noop_qdisc`)."""
        return True

    def flush(self) -> None:
        """What it has learnt is forgotten, and its queue is empty."""

    def gone(self) -> None:
        """The device was deleted: whoever else refers to it does not any more."""
        if self.master is not None:
            self.master.ports.remove(self)
            self.master = None

    def __repr__(self) -> str:
        return f"<{self.kind} {self.netns.label}:{self.name}>"

    @property
    def point(self) -> tuple[str, str]:
        """Where it is: its namespace's label, and its name."""
        return self.netns.label, self.name

    def has(self, address: int, *, beside: int | None = None) -> bool:
        """Is this one of the device's addresses, and `beside` in the subnet that it is given with?"""
        return any(own == address and (beside is None or not (beside ^ own) & mask_of(length))
                   for own, length in self.addresses)

    def on_link(self, *addresses: int) -> bool:
        """Are all of these in one of the device's subnets (`inet_addr_onlink`)?"""
        return any(all(not (each ^ own) & mask_of(length) for each in addresses) for own, length in self.addresses)

    def step(self, kind: Kind, packet: Packet | None = None, detail: str = "", **more: Any) -> Step:
        """A Step that happened on this device, with a snapshot of the packet."""
        return Step(kind, self.netns.label, self.name, packet.snapshot() if packet else None, detail, **more)

    def drop(self, reason: DropReason, packet: Packet, detail: str = "") -> Step:
        return self.step(Kind.DROP, packet, detail, reason=reason)

    def xmit(self, packet: Packet, now: float) -> Effects:
        """Send a complete frame out of this interface."""
        self.netns.touched = True
        if not self.up:
            yield self.drop(DropReason.LINK_DOWN, packet, f"{self.name} is down")
            return
        if not self.carrier:
            yield self.drop(DropReason.LINK_DOWN, packet, f"{self.name} has no carrier")
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
        yield from self.hand_up(packet, now)

    def hand_up(self, packet: Packet, now: float) -> Effects:
        """The tap, and who gets the frame (`__netif_receive_skb_core`): a sub-interface comes before the one that has
        registered for all frames, of which there is one at most (`rx_handler`)."""
        self.netns.touched = True
        yield self.step(Kind.SEEN, packet, way="in")
        if packet.vlan is not None and packet.vlan.id in self.vlans:
            yield from self.vlans[packet.vlan.id].untag(packet, now)
        elif self.master is not None:
            yield from self.master.frame_in(packet, self, now)
        elif self.macvlans is not None:
            yield from self.macvlans.frame_in(packet, now)
        elif self.ipvlans is not None:
            yield from self.ipvlans.frame_in(packet, now)
        else:
            yield from self.deliver(packet, now)

    def deliver(self, packet: Packet, now: float) -> Effects:
        """Up to the protocol that the EtherType names (`deliver_skb`). With a tag that nobody took off, the frame is
        somebody else's."""
        assert packet.eth is not None
        if packet.vlan is not None:
            packet.pkt_type, packet.vlan = "otherhost", None
        if packet.eth.ethertype == EtherType.ARP:
            yield from self.netns.neighbours.receive(packet, self, now)
        elif packet.eth.ethertype == EtherType.IPV4:
            yield from self.netns.ip.receive(packet, self, now)


TAG = 4
"""Bytes of an 802.1Q tag: what is handed to a device may be longer than its MTU by one, tagged or not."""


def forwardable(packet: Packet, device: NetDevice) -> bool:
    """May a frame be handed to a device, which neither cuts it nor complains (`is_skb_forwardable`)?"""
    return packet.size() <= device.mtu + TAG


def too_long(packet: Packet, device: NetDevice) -> str:
    """Why it may not."""
    return f"{packet.size()} bytes, {device.netns.label}:{device.name} has an MTU of {device.mtu}"
