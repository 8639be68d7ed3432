"""A stream as it is measured (iperf3, from one end of a way to the other) and as it is simulated: which of a round
trip's steps its packets take.

The model's own packets are small, and none of them is a super-packet; a stream's take the same steps, each once for a
super-packet as long as nothing cuts it. Where the sender's device has no segmentation offload, it is cut there, and all
steps from that device on are for each segment. A VXLAN device puts segments together again (GRO, `gro_cells`).

TCP's writes are as large as the largest super-packet (`live.iperf.super_segment`). iperf3's own 128 KiB leave as two
and a rest of some hundred bytes that costs as much as they do, and whether the rest is sent at once or waits for the
next write is a matter of chance: over one and the same way streams of 18 and of 50 Gbit/s were seen, the shortest way's
among the slowest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from experiments.performance.model import Model
from experiments.performance.session import Session
from experiments.performance.topology import Way
from live import iperf, offloads
from live.iperf import Throughput
from sim.errors import SpecError
from sim.fabric import way as fabric
from sim.fabric.costs import BYTE_RECEIVED, BYTE_SENT, SEGMENT, CostModel, Counts, count
from sim.fabric.datagrams import udp_stream
from sim.fabric.stream import tcp_stream
from sim.predict.roundtrip import MESSAGE_BYTES
from sim.spec import Probe
from sim.trace import Kind, Step

CONGESTION = "cubic"
"""A machine whose own is BBR would measure what that paces."""
LARGEST_MTU = 65535
"""An IP packet's size; a loopback's MTU is a byte more."""
DEVICES = frozenset({Kind.VETH, Kind.LINK, Kind.LOOPBACK, Kind.MACVLAN, Kind.IPVLAN, Kind.VLAN})
"""Steps by which a packet goes into a device. A loopback has no offloads to switch off that matter: it takes what is as
large as its MTU."""

PACKETS = {"tcp": 100, "udp": 500}
"""Super-packets and datagrams that are simulated at least, besides those until all is steady."""
PROGRAM = "program"
"""What no round trip can tell: iperf3's own work."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One way's stream. `size`: bytes of a datagram; TCP's writes are super-packets. `offloads`: those of the devices
    at both ends are on, as they are by themselves."""

    way: Way
    protocol: Probe = "tcp"
    size: int = 0
    parallel: int = 1
    offloads: bool = True

    @property
    def series(self) -> str:
        """What it has in common with other ways' streams."""
        if self.protocol == "udp":
            return f"UDP, {self.size} bytes"
        many = "one stream" if self.parallel == 1 else f"{self.parallel} streams"
        return f"TCP, {many}" + ("" if self.offloads else ", offloads off")


@dataclass(frozen=True, slots=True)
class Prices:
    """What bulk costs beside the prices of the steps. `byte`, `program`, `fragment`: seconds for copying a byte, in
    or out, for iperf3's own work on a datagram at either end, and for cutting off or putting together a fragment.
    Factors: `path` on the steps of a super-packet or a datagram, `segment` on those of a segment or fragment that comes
    right behind another one."""

    byte: float
    path: float
    segment: float = 1.0
    program: float = 0.0
    fragment: float = 0.0


# measured


def measure(within: Session, model: Model, flows: Sequence[Flow], seconds: int = 1
            ) -> Iterator[tuple[Flow, Throughput]]:
    """One after the other, in this order. The model says no more than how large a way's super-packets are."""
    for flow in flows:
        with switched_off(within, flow):
            yield flow, within.stream(flow.way, flow.protocol, parallel=flow.parallel, seconds=seconds,
                                      size=flow.size or largest(mtu(model, flow.way)), congestion=CONGESTION)


def largest(mtu: int) -> int:
    """Payload of a super-packet, or of the one segment that is larger than any.

    >>> largest(1500), largest(LARGEST_MTU)
    (65160, 65483)
    """
    return iperf.super_segment(mtu) or mtu - iperf.HEADERS


@contextlib.contextmanager
def switched_off(within: Session, flow: Flow) -> Iterator[None]:
    """Segmentation at the sender's devices and GRO at both ends' are off for as long as the body runs, if that is what
    the flow wants. A macvlan device's own segmentation can't be switched; only a sender's matters."""
    with contextlib.ExitStack() as stack:
        if not flow.offloads:
            source, target = ([place for place in within.places(flow.way)
                               if place[0] == within.deployment.netns_path(label)]
                              for label in (flow.way.source, flow.way.target))
            stack.enter_context(offloads.switched(source, tso=False, gso=False, gro=False))
            stack.enter_context(offloads.switched(target, gro=False))
        yield


# simulated


def simulate(model: Model, flow: Flow, costs: CostModel, prices: Prices, *, seconds: float = 0.004,
             seed: int = 0) -> float:
    """Bits/s of payload that arrive, in `seconds` or in as long as `PACKETS` take: of a few, one more or less is what a
    price seems to change, or not to change."""
    priced = replace(costs, prices={**costs.prices, BYTE_SENT: prices.byte, BYTE_RECEIVED: prices.byte,
                                    PROGRAM: prices.program, Kind.FRAGMENT.value: prices.fragment})
    if flow.protocol == "udp":
        way = datagram_way(model, flow, prices)
        seconds = max(seconds / 2, PACKETS["udp"] * alone(priced, way, flow.size))
        return udp_stream(priced, way, size=flow.size, mtu=mtu(model, flow.way), seconds=seconds, omit=seconds / 2,
                          seed=seed).bits_per_second
    way, size = stream_way(model, flow, prices), mtu(model, flow.way) - iperf.HEADERS
    block = largest(mtu(model, flow.way))
    seconds = max(seconds, PACKETS["tcp"] * alone(priced, way, block, block // size if way.cut else 1))
    seconds *= 2 if flow.parallel > 1 else 1  # who begins first is ahead for a while
    return tcp_stream(priced, way, mss=size, block=block, parallel=flow.parallel, seconds=seconds, omit=seconds / 2,
                      congestion=CONGESTION, seed=seed).bits_per_second


def alone(costs: CostModel, way: fabric.Way, size: int, segments: int = 1) -> float:
    """Seconds that the sender's CPU takes for a super-packet or datagram of `size` bytes."""
    price = {name: each.mean for name, each in fabric.prices(costs, way).items()}
    return price["write"] + price["in"] * size + price["send"] + segments * (price["after"] + price["deliver"])


def mtu(model: Model, way: Way) -> int:
    """The smaller one of the devices by which both ends send."""
    found = []
    for turn in parts(model.round_trip(way).trace.steps)[:2]:
        step = next(step for step in turn if step.kind in DEVICES)
        found.append(model.world.namespaces[step.where].devices[step.device].mtu)
    return min(*found, LARGEST_MTU)


def stream_way(model: Model, flow: Flow, prices: Prices) -> fabric.Way:
    """The steps of TCP's packets, each times the factor that bulk gives it."""
    forward, back = parts(model.round_trip(flow.way).trace.steps)[:2]
    at = next(n for n, step in enumerate(forward) if step.kind in DEVICES)
    cuts = not flow.offloads and forward[at].kind is not Kind.LOOPBACK
    joins = next((n for n, step in enumerate(forward) if step.kind is Kind.DECAP), None) if cuts else None
    beyond, joined = forward[at:joins], forward[joins:] if joins is not None else []
    single = prices.segment if cuts else prices.path
    end: dict[str, float] = {Kind.DELIVER.value: 1.0, SEGMENT: 1.0}
    return fabric.Way(
        path=scaled(steps_of(forward[:at]), prices.path),
        after=scaled(steps_of(beyond), single),
        send=scaled({SEGMENT: 1.0}, prices.path), write=scaled({Kind.SEND.value: 1.0}, prices.path),
        deliver=scaled(added(steps_of(joined), end), prices.path if joined or not cuts else single),
        read=scaled({Kind.RECEIVE.value: 1.0}, prices.path), wake=scaled({Kind.WAKEUP.value: 1.0}, prices.path),
        ack=scaled(added(steps_of(back), {SEGMENT: 1.0}), prices.path), acked=scaled(end, prices.path),
        cut=cuts, merged=bool(joined))


def datagram_way(model: Model, flow: Flow, prices: Prices) -> fabric.Way:
    """The steps of a datagram: all of its fragments' together, as the model counts them, those of a small one dearer
    than what comes right behind."""
    whole, small = (steps_of(parts(model.round_trip(flow.way, "udp", size).trace.steps)[0])
                    for size in (flow.size, MESSAGE_BYTES))
    behind = {name: n - small.get(name, 0.0) for name, n in whole.items() if name != Kind.FRAGMENT}
    cuts = {Kind.FRAGMENT.value: whole.get(Kind.FRAGMENT.value, 0.0)}
    return fabric.Way(
        path=added(added(scaled(small, prices.path), scaled(behind, prices.segment)), cuts), send={}, ack={}, acked={},
        write={**scaled({Kind.SEND.value: 1.0}, prices.path), PROGRAM: 1.0},
        deliver=scaled({Kind.DELIVER.value: 1.0}, prices.path),
        read={**scaled({Kind.RECEIVE.value: 1.0}, prices.path), PROGRAM: 1.0},
        wake=scaled({Kind.WAKEUP.value: 1.0}, prices.path), header=fabric.ETHERNET + fabric.IPV4 + fabric.UDP)


def parts(steps: Sequence[Step]) -> list[list[Step]]:
    """A round trip's steps, cut at each wake-up."""
    found: list[list[Step]] = [[]]
    for step in steps:
        if step.kind is Kind.WAKEUP and found[-1]:
            found.append([])
        found[-1].append(step)
    if any(step.kind is Kind.PROXY for part in found for step in part):
        raise SpecError("a stream through docker-proxy is two streams, which the model does not have")
    return found


def steps_of(steps: Sequence[Step]) -> dict[str, float]:
    """Those between the sockets."""
    return fabric.between(count(steps))


def scaled(counts: Counts, factor: float) -> dict[str, float]:
    return {str(name): n * factor for name, n in counts.items()}


def added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}
