"""A veth pair, and the uplink: two ends, what goes into one comes out of the other (drivers/net/veth.c).

Crossing to another namespace scrubs what the skb carried beside the bytes: conntrack's entry, the mark and the bridge's
notes (`skb_scrub_packet`, net/core/skbuff.c). The checksum stays partial: veth claims to compute it and never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.kernel.device import NetDevice, forwardable, too_long
from sim.kernel.effects import Effects, Handoff, Timer
from sim.kernel.tbf import TokenBucket
from sim.packet import Packet
from sim.trace import DropReason, Kind

if TYPE_CHECKING:
    from sim.kernel.netns import Netns

ETH_HLEN = 14


class Veth(NetDevice):
    kind = "veth"
    step_kind = Kind.VETH
    peer: Veth

    @property
    def carrier(self) -> bool:
        """`veth_close` at either end takes it away from both."""
        return self.up and self.peer.up

    def gone(self) -> None:
        """The other end goes as well."""
        super().gone()
        if self.peer.netns.devices.get(self.peer.name) is self.peer:
            self.peer.netns.link_del(self.peer.name)

    def transmit(self, packet: Packet, now: float) -> Effects:
        if not forwardable(packet, self.peer):
            yield self.drop(DropReason.OVERSIZE, packet, too_long(packet, self.peer))
            return
        packet.ct = packet.nf_bridge = None
        packet.mark, packet.ipvs = 0, False
        yield self.step(self.step_kind, packet, f"to {self.peer.netns.label}:{self.peer.name}")
        yield Handoff(self.peer, packet)


class Link(Veth):
    """A host's uplink, one end of a cable: a veth with a propagation delay (seconds), a rate (bit/s; 0: none), and the
    share of the frames that get lost on it.

    Which frame is lost is drawn, and there are too many frames to run every case: the model runs the one in which all
    arrive (`undisturbed` says how probable that is). Only where all are lost there is nothing to draw.
    """

    kind = "link"
    step_kind = Kind.LINK

    def __init__(
        self, name: str, netns: Netns, mac: str, mtu: int = 1500, *,
        delay: float = 0, rate: float = 0, loss: float = 0,
    ) -> None:
        super().__init__(name, netns, mac, mtu)
        self.delay, self.rate, self.loss = delay, rate, loss
        self.bucket = TokenBucket(rate) if rate else None

    def flush(self) -> None:
        super().flush()
        self.bucket = TokenBucket(self.rate) if self.rate else None

    def xmit(self, packet: Packet, now: float) -> Effects:
        """Delay and loss are those of the queueing discipline (netem, TBF), which comes before the tap: who sniffs sees
        late frames late, and lost ones not at all."""
        self.netns.touched = True
        if self.loss >= 1:
            yield self.drop(DropReason.LOST, packet, f"all frames are lost between {self.name} and its peer")
            return
        if self.delay:
            yield Timer(self.delay, lambda later: self._queue(packet, later))
        else:
            yield from self._queue(packet, now)

    def _queue(self, packet: Packet, now: float) -> Effects:
        """The token bucket is netem's child: what is delayed comes to it when its delay is over."""
        leaves = self.bucket.offer(now, packet.size() + ETH_HLEN) if self.bucket else now
        dequeue = super().xmit
        if leaves is None:
            yield self.drop(DropReason.QUEUE_FULL, packet, f"no room in the queue of {self.name}")
        elif leaves > now:
            yield Timer(leaves - now, lambda later: dequeue(packet, later))
        else:
            yield from dequeue(packet, now)


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
    *, mtu: int = 1500, delay: float = 0, rate: float = 0, loss: float = 0,
) -> tuple[Link, Link]:
    """A cable between two machines: like a veth pair, with a delay (seconds, each way), a rate (bit/s) and losses."""
    one = Link(name_a, a, mac_a, mtu, delay=delay, rate=rate, loss=loss)
    other = Link(name_b, b, mac_b, mtu, delay=delay, rate=rate, loss=loss)
    _join(one, other)
    return one, other
