"""802.1Q sub-interfaces: one VLAN of a device's wire as a device of its own (net/8021q/vlan_dev.c, vlan_core.c).

What the sub-interface sends leaves by its parent with a tag; what the parent receives with that tag is the
sub-interface's, without it. The tag travels beside the frame's bytes (`skb->vlan_tci`: a veth claims to insert it), so
MTU and lengths are those of the untagged frame. A frame whose tag nobody has goes on as if untagged, to the macvlan or
ipvlan devices on the parent even, but no protocol takes it (`PACKET_OTHERHOST`); a bridge that filters no VLANs
forwards it as it is.

Taps: on the way out untagged at the sub-interface, then tagged at the parent; on the way in the other way round.
Left out: priorities, 802.1ad, GVRP and MVRP, `reorder_hdr off`.
"""

from __future__ import annotations

from sim.errors import PlumbError
from sim.kernel.device import NetDevice
from sim.kernel.effects import Effects
from sim.packet import Packet, Vlan
from sim.trace import DropReason, Kind

IDS = range(1, 4095)
"""0 means "no VLAN, only a priority", 4095 is reserved."""


class VlanDevice(NetDevice):
    """`ip link add NAME link PARENT type vlan id VLAN_ID`, in the parent's namespace, up, with the parent's address."""

    kind = "vlan"

    def __init__(self, name: str, parent: NetDevice, vlan_id: int) -> None:
        super().__init__(name, parent.netns, parent.mac, parent.mtu)
        self.parent, self.vlan_id = parent, vlan_id
        self.options = f"protocol 802.1Q id {vlan_id}"

    @property
    def carrier(self) -> bool:
        """The parent's (`netif_stacked_transfer_operstate`)."""
        return self.parent.up and self.parent.carrier

    def gone(self) -> None:
        super().gone()
        del self.parent.vlans[self.vlan_id]

    def transmit(self, packet: Packet, now: float) -> Effects:
        """`vlan_dev_hard_start_xmit`"""
        packet.vlan = Vlan(self.vlan_id)
        yield self.step(Kind.VLAN, packet, f"{self.vlan_id} put on, out by {self.parent.name}")
        yield from self.parent.xmit(packet, now)

    def untag(self, packet: Packet, now: float) -> Effects:
        """`vlan_do_receive`: the parent received a frame with this VLAN's tag. The frame's address may be one that only
        the sub-interface has."""
        assert packet.eth is not None
        packet.vlan = None
        if not self.up:
            yield self.drop(DropReason.LINK_DOWN, packet, f"{self.name} is down")
            return
        if packet.pkt_type == "otherhost" and packet.eth.dst == self.mac:
            packet.pkt_type = "host"
        yield self.step(Kind.VLAN, packet, f"{self.vlan_id} taken off, for {self.name}")
        yield from self.hand_up(packet, now)


def add_vlan(parent: NetDevice, name: str, vlan_id: int) -> VlanDevice:
    """Make the sub-interface. PlumbError in the kernel's words: on the loopback, and for a VLAN that the parent has."""
    where = f"{parent.netns.label}:{name}"
    if parent.name == "lo":
        raise PlumbError("operation not supported", where=where)  # NETIF_F_VLAN_CHALLENGED
    if vlan_id in parent.vlans or name in parent.netns.devices:
        raise PlumbError("file exists", where=where)
    device = parent.vlans[vlan_id] = VlanDevice(name, parent, vlan_id)
    parent.netns.devices[name] = device
    return device
