"""macvlan: further MAC addresses on one device, each an interface of its own (drivers/net/macvlan.c, Linux 6.x).

A macvlan device hangs on a *parent*. What it sends leaves by the parent; what the parent receives goes to the device
whose address it bears. In mode `bridge` a frame for a sibling is turned around at the parent, in mode `vepa` it goes
out and needs a switch that sends it back, in mode `private` even then broadcasts do not arrive, and `passthru` gives
everything to the one device that there is.

That a container can't talk to its own host is written nowhere: the parent's own stack sends by the parent's driver, so
its frames go out on the wire and never pass `macvlan_handle_frame`; a frame for the parent's address is no sibling's.

A broadcast that came in by the wire is handed to the devices by a kernel thread, later than to the parent's own stack:
of two machines with one address, a macvlan device answers ARP last.

Taps: a frame that is turned around shows "in" at the parent ("send to lowerdev first for its network taps"); a
broadcast goes to siblings directly and then "out" at the parent. Iptables of the parent's namespace see none of it.
Left out: mode `source`, multicast filters, an address that two devices have.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sim.errors import PlumbError
from sim.kernel.device import NetDevice
from sim.kernel.effects import Effects, Handoff, Work
from sim.packet import BROADCAST, Packet
from sim.trace import DropReason, Kind

if TYPE_CHECKING:
    from sim.kernel.netns import Netns


class Mode(Enum):
    """`ip link add … type macvlan mode MODE`"""

    PRIVATE = "private"
    VEPA = "vepa"
    BRIDGE = "bridge"
    PASSTHRU = "passthru"


class Macvlan(NetDevice):
    """One of the interfaces on a parent, in a namespace of its own choice."""

    kind = "macvlan"

    def __init__(self, name: str, netns: Netns, mac: str, parent: NetDevice, mode: Mode) -> None:
        super().__init__(name, netns, mac, parent.mtu)
        self.parent, self.mode = parent, mode
        self.options = f"mode {mode.value}"

    @property
    def siblings(self) -> list[Macvlan]:
        assert self.parent.macvlans is not None
        return [device for device in self.parent.macvlans.devices if device is not self]

    @property
    def carrier(self) -> bool:
        """The parent's (`netif_stacked_transfer_operstate`): without it not even siblings hear each other."""
        return self.parent.up and self.parent.carrier

    def gone(self) -> None:
        super().gone()
        assert self.parent.macvlans is not None
        self.parent.macvlans.devices.remove(self)
        if not self.parent.macvlans.devices:
            self.parent.macvlans = None

    def transmit(self, packet: Packet, now: float) -> Effects:
        """`macvlan_queue_xmit`"""
        assert packet.eth is not None
        if self.mode is Mode.BRIDGE:
            siblings = [device for device in self.siblings if device.mode is Mode.BRIDGE]
            if packet.eth.dst == BROADCAST:
                yield self.step(Kind.MACVLAN, packet, f"broadcast: to {len(siblings)} siblings, and to the wire")
                for sibling in siblings:
                    copy = packet.copy()
                    scrub(copy)
                    yield Handoff(sibling, copy)
                yield from self.parent.xmit(packet, now)
                return
            if any(device.mac == packet.eth.dst for device in siblings):
                turned = f"{packet.eth.dst} is a sibling: turned around at {self.parent.name}"
                yield self.step(Kind.MACVLAN, packet, turned)
                scrub(packet)
                yield Handoff(self.parent, packet)  # dev_forward_skb
                return
        yield self.step(Kind.MACVLAN, packet, f"to the wire by {self.parent.name}")
        yield from self.parent.xmit(packet, now)

    def take(self, packet: Packet, now: float) -> Effects:
        """A unicast frame that the parent received is this device's (RX_HANDLER_ANOTHER): it is for us, whatever its
        address says, for passthru's sake."""
        if not self.up:
            yield self.drop(DropReason.LINK_DOWN, packet, f"{self.name} is down")
            return
        packet.pkt_type = "host"
        yield from self.hand_up(packet, now)


class MacvlanPort:
    """What a parent has while there are macvlan devices on it (`struct macvlan_port`)."""

    def __init__(self, parent: NetDevice) -> None:
        self.parent = parent
        self.devices: list[Macvlan] = []

    @property
    def passthru(self) -> bool:
        return any(device.mode is Mode.PASSTHRU for device in self.devices)

    def frame_in(self, packet: Packet, now: float) -> Effects:
        """The parent received a frame (`macvlan_handle_frame`)."""
        eth, parent = packet.eth, self.parent
        assert eth is not None
        source = self._lookup(eth.src)
        if eth.dst == BROADCAST:
            if source is not None and source.mode in (Mode.PRIVATE, Mode.PASSTHRU):
                yield parent.step(Kind.MACVLAN, packet, f"came back to {source.netns.label}, which sent it")
                yield Handoff(source, packet)
                return
            hearing = self._hearing(source)
            yield parent.step(Kind.MACVLAN, packet, f"broadcast: to {len(hearing)} macvlan devices and the host")
            copies = [Handoff(device, packet.copy()) for device in hearing]
            yield from parent.deliver(packet, now)
            if copies:
                yield Work(lambda _later: iter(copies))  # macvlan_broadcast_enqueue
            return
        target = self.devices[0] if self.passthru else self._lookup(eth.dst)
        if target is None:
            yield from parent.deliver(packet, now)
            return
        yield parent.step(Kind.MACVLAN, packet, f"{eth.dst} is {target.netns.label}:{target.name}")
        yield from target.take(packet, now)

    def _hearing(self, source: Macvlan | None) -> list[Macvlan]:
        """Who gets a broadcast that came in by the wire: all, if it comes from elsewhere (`macvlan_multicast_rx`). A
        switch sent back what a device of ours sent: bridge devices have had that from their sibling already."""
        if source is None:
            return list(self.devices)
        modes = (Mode.VEPA, Mode.BRIDGE) if source.mode is Mode.VEPA else (Mode.VEPA,)
        return [device for device in self.devices if device is not source and device.mode in modes]

    def _lookup(self, mac: str) -> Macvlan | None:
        return next((device for device in self.devices if device.mac == mac), None)


def scrub(packet: Packet) -> None:
    """What a frame leaves behind when it is forwarded to a device of another namespace (`skb_scrub_packet`)."""
    packet.ct = packet.nf_bridge = None
    packet.mark, packet.ipvs = 0, False


def add_macvlan(parent: NetDevice, netns: Netns, name: str, mac: str, mode: Mode) -> Macvlan:
    """`ip link add NAME link PARENT type macvlan mode MODE`, moved to `netns`, with its address, up.

    In mode passthru parent and device have one address between them, and the parent takes the new one.
    PlumbError in the kernel's words: on a bridge's port or an ipvlan's parent, and beside a passthru device.
    """
    if parent.master is not None or parent.ipvlans is not None:
        raise PlumbError("device or resource busy", where=f"{parent.netns.label}:{parent.name}")
    port = parent.macvlans or MacvlanPort(parent)
    if port.passthru or (mode is Mode.PASSTHRU and port.devices):
        raise PlumbError("invalid argument", where=f"{parent.netns.label}:{parent.name}")
    device = Macvlan(name, netns, mac, parent, mode)
    if mode is Mode.PASSTHRU:
        parent.mac = mac
    port.devices.append(device)
    parent.macvlans = port
    netns.devices[name] = device
    return device
