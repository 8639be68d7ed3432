"""ipvlan: further IP addresses on one device, each an interface of its own with the parent's MAC address
(drivers/net/ipvlan/ipvlan_core.c, ipvlan_main.c, ipvlan_l3s.c, Linux 6.x).

Who gets a frame is decided by the IP address in it (for ARP: the one asked for). All devices on one *parent* share a
mode:

=====  ===================================================================================================
`l2`   An Ethernet of its own: ARP and broadcasts go to the siblings and out on the wire, a frame for the common MAC
       address to the sibling that has the IP address; all else leaves by the parent. The parent's own stack answers no
       sibling's ARP, for it sends and hears by the wire only: so a container can't reach its own host.
`l3`   A router: the devices have no ARP (NOARP), broadcasts end here, and what is for no sibling is routed in the
       *parent's* namespace, as if it started there (`ip_local_out`: OUTPUT and POSTROUTING, no TTL), but only by the
       parent. The way back goes past all hooks, straight to the device, and nobody answers ARP for the addresses: other
       machines need a route.
`l3s`  `l3`, but what comes in passes PREROUTING and INPUT of the parent's namespace (and no tap of the device).
=====  ===================================================================================================

Flag `private`: siblings do not hear each other. Flag `vepa`: what is for a sibling goes out on the wire.
Left out: IPv6, multicast filters, an address that two devices have (the kernel refuses it).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from sim.errors import PlumbError
from sim.kernel.device import NetDevice
from sim.kernel.effects import Effects, Handoff
from sim.kernel.fragment import is_fragment
from sim.kernel.macvlan import scrub
from sim.packet import BROADCAST, Packet
from sim.trace import DropReason, Kind, Step

if TYPE_CHECKING:
    from sim.kernel.netns import Netns


class Mode(Enum):
    """`ip link add … type ipvlan mode MODE`"""

    L2 = "l2"
    L3 = "l3"
    L3S = "l3s"


class Flag(Enum):
    """`ip link add … type ipvlan mode MODE FLAG`"""

    BRIDGE = "bridge"
    PRIVATE = "private"
    VEPA = "vepa"


class Ipvlan(NetDevice):
    """One of the interfaces on a parent, in a namespace of its own choice."""

    kind = "ipvlan"

    def __init__(self, name: str, netns: Netns, port: IpvlanPort) -> None:
        super().__init__(name, netns, port.parent.mac, port.parent.mtu)
        self.port = port

    @property
    def carrier(self) -> bool:
        """The parent's (`netif_stacked_transfer_operstate`): without it not even siblings hear each other."""
        return self.port.parent.up and self.port.parent.carrier

    def gone(self) -> None:
        super().gone()
        self.port.devices.remove(self)
        if not self.port.devices:
            self.port.parent.ipvlans = None

    def step(self, kind: Kind, packet: Packet | None = None, detail: str = "", **more: Any) -> Step:
        """Without ARP, what is sent shows no Ethernet addresses at the tap: the parent's namespace writes its own into
        the same bytes, and when a sniffer reads a frame is no matter of the frame's."""
        step = super().step(kind, packet, detail, **more)
        if not self.arp and kind is Kind.SEEN and step.way == "out" and step.packet is not None:
            step.packet.eth = None
        return step

    def transmit(self, packet: Packet, now: float) -> Effects:
        """`ipvlan_queue_xmit`"""
        assert packet.eth is not None
        inside = not self.arp or packet.eth.dst == packet.eth.src
        if inside and self.port.flag is not Flag.VEPA:
            sibling = self.port.lookup(packet)
            if sibling is not None and self.port.flag is Flag.PRIVATE:
                yield self.drop(DropReason.NO_MEMBER, packet, "siblings of a private ipvlan do not hear each other")
            elif sibling is not None:
                yield self.step(Kind.IPVLAN, packet, f"for {sibling.netns.label}, on the same {self.port.parent.name}")
                scrub(packet)
                yield Handoff(sibling, packet)  # dev_forward_skb
            elif self.arp:
                yield self.step(Kind.IPVLAN, packet, f"for {self.port.parent.name} itself")
                scrub(packet)
                yield Handoff(self.port.parent, packet)
            else:
                yield from self._route(packet, now)
        elif not self.arp:
            yield from self._route(packet, now)
        elif packet.eth.dst == BROADCAST:
            yield from self._broadcast(packet, now)
        else:
            yield self.step(Kind.IPVLAN, packet, f"to the wire by {self.port.parent.name}")
            yield from self.port.parent.xmit(packet, now)

    def _broadcast(self, packet: Packet, now: float) -> Effects:
        """`ipvlan_process_multicast`: a copy to each sibling, then out by the parent."""
        siblings = [device for device in self.port.devices if device is not self and device.up]
        yield self.step(Kind.IPVLAN, packet, f"broadcast: to {len(siblings)} siblings, and to the wire")
        scrub(packet)
        for sibling in siblings:
            yield Handoff(sibling, packet.copy())
        yield from self.port.parent.xmit(packet, now)

    def _route(self, packet: Packet, now: float) -> Effects:
        """`ipvlan_process_outbound`: the frame's header goes, and the parent's namespace sends the datagram."""
        assert packet.eth is not None
        parent = self.port.parent
        if packet.ip is None or packet.eth.dst == BROADCAST:
            yield self.drop(DropReason.NO_MEMBER, packet, f"mode {self.port.mode.value} sends unicast IP only")
            return
        yield self.step(Kind.IPVLAN, packet, f"routed by {parent.netns.label}, out of {parent.name} only")
        scrub(packet)
        packet.eth = None
        whole: Packet | None = packet
        if is_fragment(packet) and parent.netns.netfilter.tracks:
            whole = yield from parent.netns.ip.defragment(packet)
        if whole is not None:
            yield from parent.netns.ip.output(whole, now, oif=parent.name)

    def own(self, packet: Packet, now: float) -> Effects:
        """A frame that the parent received is this device's (RX_HANDLER_ANOTHER)."""
        if not self.up:
            yield self.drop(DropReason.LINK_DOWN, packet, f"{self.name} is down")
            return
        yield from self.hand_up(packet, now)


class IpvlanPort:
    """What a parent has while there are ipvlan devices on it (`struct ipvl_port`)."""

    def __init__(self, parent: NetDevice, mode: Mode, flag: Flag) -> None:
        self.parent, self.mode, self.flag = parent, mode, flag
        self.devices: list[Ipvlan] = []

    def set(self, mode: Mode, flag: Flag) -> None:
        """`ipvlan_set_port_mode`: it is that of every device."""
        self.mode, self.flag = mode, flag
        for device in self.devices:
            device.arp = mode is Mode.L2
            device.router = None if device.arp else self.parent.netns
            device.options = f"mode {mode.value}"

    def frame_in(self, packet: Packet, now: float) -> Effects:
        """The parent received a frame (`ipvlan_handle_frame`)."""
        assert packet.eth is not None
        parent = self.parent
        if self.mode is Mode.L2 and packet.eth.dst == BROADCAST:
            if packet.eth.src != parent.mac or self.lookup(packet, by_source=True) is None:  # else it came back
                yield parent.step(Kind.IPVLAN, packet, f"broadcast: to {len(self.devices)} ipvlan devices and the host")
                for device in self.devices:
                    copy = packet.copy()
                    scrub(copy)
                    yield Handoff(device, copy)
            yield from parent.deliver(packet, now)
            return
        target = self.lookup(packet) if self.mode is not Mode.L3S else None
        if target is None:
            yield from parent.deliver(packet, now)
            return
        yield parent.step(Kind.IPVLAN, packet, f"for {target.netns.label}:{target.name}")
        yield from target.own(packet, now)

    def behind(self, packet: Packet) -> Ipvlan | None:
        """Mode l3s: whose datagram the parent's stack has before it (`ipvlan_l3_rcv`)."""
        return self.lookup(packet) if self.mode is Mode.L3S else None

    def lookup(self, packet: Packet, *, by_source: bool = False) -> Ipvlan | None:
        """The device that has the destination's address, or the source's (`ipvlan_addr_lookup`)."""
        if packet.arp is not None:
            address = packet.arp.sender_ip if by_source else packet.arp.target_ip
        elif packet.ip is not None:
            address = packet.ip.src if by_source else packet.ip.dst
        else:
            return None
        return next((d for d in self.devices if d.up and any(a == address for a, _ in d.addresses)), None)


def add_ipvlan(parent: NetDevice, netns: Netns, name: str, mode: Mode, flag: Flag = Flag.BRIDGE) -> Ipvlan:
    """`ip link add NAME link PARENT type ipvlan mode MODE FLAG`, moved to `netns`, up. The mode becomes that of all
    devices on the parent.

    PlumbError in the kernel's words: on a bridge's port, on a macvlan's parent, and on the loopback.
    """
    where = f"{parent.netns.label}:{parent.name}"
    if parent.name == "lo":
        raise PlumbError("invalid argument", where=where)
    if parent.master is not None or parent.macvlans is not None:
        raise PlumbError("device or resource busy", where=where)
    port = parent.ipvlans or IpvlanPort(parent, mode, flag)
    device = Ipvlan(name, netns, port)
    port.devices.append(device)
    port.set(mode, flag)
    parent.ipvlans = port
    netns.devices[name] = device
    return device
