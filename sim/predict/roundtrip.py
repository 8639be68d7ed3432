"""What one request and its answer cost on a connection that is open and warm: a round trip's steps, counted and timed.

These counts are the regressors of `experiments/calibrate.py` and, priced with a calibrated cost model, the prediction
of latency.
The first exchanges fill the caches (ARP, FDB, conntrack) as the warm-up of a measurement does; the last one is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sim.errors import SpecError
from sim.fabric.costs import CostModel
from sim.fabric.fabric import Fabric, Process
from sim.kernel.datagram import UdpSocket
from sim.kernel.netns import Netns
from sim.kernel.tcp import State, TcpSocket
from sim.packet import ip
from sim.spec import Question, Spec
from sim.trace import Kind, Trace
from sim.world import World, build

EXCHANGES = 3
MESSAGE = bytes(14)
"""sockperf's default message size."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """`counts`: steps by kind (name) of one request and answer, `seconds`: their duration on the fabric's clock."""

    counts: dict[str, float]
    seconds: float
    trace: Trace


def latency(spec: Spec, question: Question, costs: CostModel | None = None) -> RoundTrip:
    """The warm round trip of a tcp or udp question; SpecError when the question does not get through."""
    world = build(spec)
    return round_trip(world, question, costs)


def round_trip(world: World, question: Question, costs: CostModel | None = None) -> RoundTrip:
    """As `latency`, in a world that stands already."""
    dial = world.dial(question, 0)
    if dial.name or dial.probe == "ping":
        raise SpecError(f"{question}: a round trip needs a tcp or udp question by ip")
    fabric = world.fabric(costs, echo=True)
    client = fabric.spawn(_pingpong(fabric, world.netns_of(dial.source), dial.probe, ip(dial.address), dial.port))
    span = fabric.run(client, 0.0)
    if span is None:
        raise SpecError(f"{question}: nobody answers, so there is no round trip to time")
    start, end = span
    steps = [s for s in fabric.trace() if start <= s.at < end]
    counts: Counter[str] = Counter()
    for step in steps:
        if step.kind is not Kind.SEEN:
            counts[step.kind.value] += step.count
    return RoundTrip(dict(counts), end - start, Trace(steps))


def _pingpong(fabric: Fabric, netns: Netns, protocol: str, address: int, port: int) -> Process:
    """Exchange messages; the value is (start, end) of the last exchange, or None when there was no answer."""
    sock: TcpSocket | UdpSocket
    if protocol == "tcp":
        sock = TcpSocket(netns)
        sock.quickack = False
        yield fabric.call(sock.connect(address, port, fabric.now))
        while sock.state is State.SYN_SENT and not sock.error:
            yield fabric.ready(sock)
        if sock.error:
            return None
    else:
        sock = UdpSocket(netns)
        if not sock.connect(address, port):
            return None
    start = fabric.now
    for _ in range(EXCHANGES):
        yield fabric.env.timeout(0.01)  # what the exchange before left on the way arrives
        start = fabric.now
        yield fabric.call(sock.send(MESSAGE, fabric.now))
        if not sock.inbox and not sock.error:
            yield fabric.ready(sock, 1.0)
        if not sock.inbox:
            return None
        sock.inbox.clear()
        yield fabric.note(Kind.RECEIVE, netns.label)
    return start, fabric.now
