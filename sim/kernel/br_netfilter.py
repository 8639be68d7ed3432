"""br_netfilter: IPv4 frames that cross a bridge pass iptables as if they were routed (net/bridge/br_netfilter_hooks.c).

Docker's own rules rely on it: `icc=false` and the isolation of containers on one bridge are rules of the FORWARD chain.
Tagged frames pass without (`net.bridge.bridge-nf-filter-vlan-tagged` is 0).
A frame that goes up to the host after PRE_ROUTING ran here does not run it again (`ip_sabotage_in`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.kernel.effects import Effect
from sim.kernel.fragment import is_fragment
from sim.kernel.netfilter import Hook
from sim.packet import EtherType, Packet, dotted
from sim.trace import DropReason, Kind, Step

if TYPE_CHECKING:
    from sim.kernel.bridge import Bridge
    from sim.kernel.device import NetDevice

SYSCTL = "net.bridge.bridge-nf-call-iptables"


@dataclass(slots=True)
class NfBridge:
    """The note on the skb (`struct nf_bridge_info`): where it came in, and that PRE_ROUTING is done."""

    physin: str
    prerouted: bool = True
    largest: int = 0
    """Size of the largest fragment that the datagram came in (`frag_max_size`): it leaves the bridge cut like that."""


def applies(bridge: Bridge, packet: Packet) -> bool:
    assert packet.eth is not None
    if packet.vlan is not None:
        return False
    return packet.eth.ethertype == EtherType.IPV4 and bridge.netns.sysctls.number(SYSCTL) == 1


def prerouting(bridge: Bridge, packet: Packet, port: NetDevice, now: float) -> Generator[Step | Effect, None, bool]:
    """`br_nf_pre_routing`: True when the bridge goes on with the frame."""
    if not applies(bridge, packet):
        return True
    assert packet.ip is not None and packet.eth is not None
    largest = 0
    if is_fragment(packet) and bridge.netns.netfilter.tracks:
        whole = yield from bridge.netns.ip.defragment(packet)
        if whole is None:
            return False
        packet.ip, packet.l4, packet.payload = whole.ip, whole.l4, whole.payload
        largest = bridge.netns.ip.reassembly.largest
    assert packet.ip is not None
    packet.nf_bridge = NfBridge(port.name, largest=largest)
    before = packet.ip.dst
    ruling = yield from bridge.netns.netfilter.hook(
        Hook.PREROUTING, packet, indev=bridge.name, physin=port.name, now=now)
    if not ruling.accepted:
        yield from bridge.netns.ip.reject(ruling.reject, packet, now)
        return False
    yield bridge.step(Kind.BR_NETFILTER, packet, "PREROUTING on the bridge")
    if packet.ip.dst == before:
        return True
    # DNAT on the bridge (br_nf_pre_routing_finish): a new destination behind this same bridge is bridged to its MAC
    # address, any other goes up to the host, which routes it.
    netns = bridge.netns
    if not netns.is_local(packet.ip.dst):
        route = netns.routes.lookup(packet.ip.dst)
        if route is None:
            yield bridge.drop(DropReason.NO_ROUTE, packet, f"no route to {dotted(packet.ip.dst)} after DNAT")
            return False
        if route.dev == bridge.name:
            next_hop = route.via or packet.ip.dst
            # br_nf_pre_routing_finish_bridge: only a neighbour that is known to be reachable has its header at hand
            resent = not netns.neighbours.reachable(bridge.name, next_hop)

            def bridged(mac: str, later: float) -> Generator[Step | Effect, None, None]:
                assert packet.eth is not None
                packet.eth.dst = mac
                yield from bridge.frame_finish(packet, port, later, resent=resent)

            yield from netns.neighbours.resolve(bridge, next_hop, packet, bridged, now)
            return False
    packet.eth.dst = bridge.mac
    return True


def forward(
    bridge: Bridge, packet: Packet, port: NetDevice, out: NetDevice, now: float
) -> Generator[Step | Effect, None, bool]:
    """`br_nf_forward_ip`, then `br_nf_post_routing`: the hooks of a frame that leaves by another port."""
    if not applies(bridge, packet):
        return True
    netfilter, physin, physout = bridge.netns.netfilter, port.name, out.name
    ruling = yield from netfilter.hook(
        Hook.FORWARD, packet, indev=bridge.name, outdev=bridge.name, physin=physin, physout=physout, now=now)
    if not ruling.accepted:
        yield from bridge.netns.ip.reject(ruling.reject, packet, now)
        return False
    ruling = yield from netfilter.hook(
        Hook.POSTROUTING, packet, outdev=bridge.name, physin=physin, physout=physout, now=now)
    yield bridge.step(Kind.BR_NETFILTER, packet, "FORWARD and POSTROUTING on the bridge")
    return ruling.accepted
