"""The Linux bridge: learns, forwards, floods, and hands up what is for the host (net/bridge/br_input.c, br_forward.c).

With `net.bridge.bridge-nf-call-iptables`, IPv4 frames that cross it also pass iptables: that is `br_netfilter.py`.
Left out: STP, VLAN filtering, multicast snooping (IPv4 multicast floods), port isolation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.kernel import br_netfilter
from sim.kernel.device import NetDevice, forwardable, too_long
from sim.kernel.effects import Effects
from sim.kernel.fdb import Fdb
from sim.kernel.fragment import fragments
from sim.packet import BROADCAST, Packet
from sim.trace import DropReason, Kind

if TYPE_CHECKING:
    from sim.kernel.netns import Netns


class Bridge(NetDevice):
    """`promiscuous`: somebody sniffs on the bridge itself, so that it also gets a copy of every frame that crosses it
    (IFF_PROMISC, `br_handle_frame_finish`)."""

    kind = "bridge"

    def __init__(self, name: str, netns: Netns, mac: str, mtu: int = 1500) -> None:
        super().__init__(name, netns, mac, mtu)
        self.ports: list[NetDevice] = []
        self.fdb = Fdb()
        self.promiscuous = False

    @property
    def carrier(self) -> bool:
        """One of the ports has it (`br_port_state_selection`): a bridge without containers has none."""
        return any(port.up and port.carrier for port in self.ports)

    def flush(self) -> None:
        self.fdb.flush()

    def gone(self) -> None:
        super().gone()
        for port in self.ports:
            port.master = None

    def transmit(self, packet: Packet, now: float) -> Effects:
        """The host sends through its bridge (`br_dev_xmit`): no iptables here, IP's own hooks have run."""
        assert packet.eth is not None
        packet.nf_bridge = None
        port = None if packet.eth.dst == BROADCAST else self.fdb.lookup(packet.eth.dst, now)
        if port is not None:
            yield self.step(Kind.BRIDGE, packet, f"{packet.eth.dst} is at {port.name}")
            yield from self._push(packet, port, now)
        else:
            yield from self._flood(packet, None, now, via_netfilter=False)

    def frame_in(self, packet: Packet, port: NetDevice, now: float) -> Effects:
        """A frame came in by a port (`br_handle_frame`)."""
        assert packet.eth is not None
        if packet.eth.dst == self.mac:
            packet.pkt_type = "host"
        passed = yield from br_netfilter.prerouting(self, packet, port, now)
        if passed:
            yield from self.frame_finish(packet, port, now)

    def frame_finish(self, packet: Packet, port: NetDevice, now: float, *, resent: bool = False) -> Effects:
        """Learn, look up, forward (`br_handle_frame_finish`). `resent`: br_netfilter sent the frame through the bridge
        device to find its neighbour, so a sniffer there sees it go out."""
        eth = packet.eth
        assert eth is not None
        learned = f", learned {eth.src} at {port.name}" if self.fdb.learn(eth.src, port, now) else ""
        if eth.dst == BROADCAST:
            own = packet.copy()
            yield self.step(Kind.BRIDGE, packet, f"broadcast{learned}")
            yield self.step(Kind.SEEN, packet, way="in")  # before the flood, for the reason given below
            yield from self._flood(packet, port, now, via_netfilter=True)
            own.pkt_type = "broadcast"
            yield from self.deliver(own, now)
            return
        if eth.dst == self.mac:
            yield self.step(Kind.BRIDGE, packet, f"for the host itself{learned}")
            packet.pkt_type = "host"
            yield self.step(Kind.SEEN, packet, way="in")
            yield from self.deliver(packet, now)
            return
        up = packet.copy() if self.promiscuous else None
        if up is not None:
            # br_pass_frame_up comes after br_forward in the source, but keeps the time stamp that the frame got when it
            # came in, so a sniffer on the bridge sorts it before the forwarded copy.
            yield self.step(Kind.SEEN, packet, way="in")
        if resent:
            yield self.step(Kind.SEEN, packet, way="out")
        out = self.fdb.lookup(eth.dst, now)
        if out is None:
            yield self.step(Kind.BRIDGE, packet, f"{eth.dst} is unknown{learned}")
            yield from self._flood(packet, port, now, via_netfilter=True)
        elif out is port and not port.hairpin:
            yield self.step(Kind.BRIDGE, packet, f"{eth.dst} is at {out.name}{learned}")
            yield self.drop(DropReason.HAIRPIN_OFF, packet, f"{eth.dst} is at {port.name}, where the frame came from")
        else:
            yield self.step(Kind.BRIDGE, packet, f"{eth.dst} is at {out.name}{learned}")
            yield from self._forward(packet, port, out, now)
        if up is not None and up.pkt_type == "host":
            # A frame that was for the bridge until a DNAT turned it to a neighbour, or that a tunnel made itself: the
            # sniffer's copy reaches the IP stack as the host's own, untracked (br_nf_local_in), and is routed once
            # more. Who sniffs a hairpin sees it doubled.
            up.ct = None
            yield from self.deliver(up, now)

    def _forward(self, packet: Packet, port: NetDevice, out: NetDevice, now: float) -> Effects:
        passed = yield from br_netfilter.forward(self, packet, port, out, now)
        if passed:
            # what br_netfilter put together leaves in parts again (br_nf_dev_queue_xmit)
            largest = packet.nf_bridge.largest if packet.nf_bridge else 0
            for piece in fragments(packet, largest) if largest else [packet]:
                yield from self._push(piece, out, now)

    def _push(self, packet: Packet, out: NetDevice, now: float) -> Effects:
        """`br_dev_queue_push_xmit`: a bridge neither cuts what is too long for a port nor says so to anybody."""
        if forwardable(packet, out):
            yield from out.xmit(packet, now)
        else:
            yield self.drop(DropReason.OVERSIZE, packet, too_long(packet, out))

    def _flood(self, packet: Packet, port: NetDevice | None, now: float, *, via_netfilter: bool) -> Effects:
        """To every port but the one it came from (`br_flood`)."""
        targets = [p for p in self.ports if p.up and (p is not port or p.hairpin)]
        yield self.step(Kind.BRIDGE, packet, f"flooded to {len(targets)} ports", count=max(1, len(targets)))
        for out in targets:
            copy = packet.copy()
            if via_netfilter and port is not None:
                yield from self._forward(copy, port, out, now)
            else:
                yield from self._push(copy, out, now)
