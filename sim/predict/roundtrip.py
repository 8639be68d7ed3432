"""What one request and its answer cost: the steps of a warm round trip, cut into turns, counted and timed.

The counts are the regressors of the calibration; priced with a calibrated cost model they are the prediction of
latency. `kept`: on a connection that stays open; the exchanges before fill the caches (ARP, FDB, conntrack), as a
measurement's warm-up does, and the last one is taken. `connect`: a connection for each request, as `live/connect.py`
makes it: the server hangs up behind its answer, and the client, having read that, resets what is left; those before it
warm up what outlives a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.errors import SpecError
from sim.fabric.costs import CostModel, count
from sim.fabric.fabric import Fabric, Process
from sim.fabric.turns import Turn, turns
from sim.kernel.datagram import UdpSocket
from sim.kernel.netns import Netns
from sim.kernel.tcp import TcpSocket
from sim.kernel.tcp_states import State
from sim.kernel.veth import Link
from sim.packet import ip
from sim.spec import Question, Spec
from sim.trace import Kind, Step, Trace
from sim.world import World, build

EXCHANGES = 3
PAUSE = 0.01
"""Seconds between exchanges: what the one before left on the way arrives."""
MESSAGE_BYTES = 14
"""sockperf's default message."""

Style = Literal["kept", "connect"]


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """`counts`: steps by regressor of one request and answer, `seconds`: their duration on the fabric's clock."""

    counts: dict[str, float]
    seconds: float
    trace: Trace
    turns: tuple[Turn, ...]


def latency(
    spec: Spec, question: Question, costs: CostModel | None = None, *, size: int = MESSAGE_BYTES, style: Style = "kept"
) -> RoundTrip:
    """The warm round trip of a tcp or udp question whose request and answer have `size` bytes; SpecError when the
    question does not get through."""
    return round_trip(build(spec), question, costs, size=size, style=style)


def round_trip(
    world: World, question: Question, costs: CostModel | None = None, *, size: int = MESSAGE_BYTES,
    style: Style = "kept",
) -> RoundTrip:
    """As `latency`, in a world that stands already."""
    dial = world.dial(question, 0)
    if dial.name or dial.probe == "ping" or (style == "connect" and dial.probe != "tcp"):
        raise SpecError(f"{question}: a round trip needs a tcp or udp question by ip",
                        mend="a connection for each request is tcp's" if style == "connect" else "")
    fabric = world.fabric(costs, serving="echo once" if style == "connect" else "echo")
    target = ip(dial.address), dial.port
    netns = world.netns_of(dial.source)
    asker = (_connections if style == "connect" else _exchanges)(fabric, netns, dial.probe, target, bytes(size))
    span = fabric.run(fabric.spawn(asker), PAUSE if style == "connect" else 0.0)
    if span is None:
        raise SpecError(f"{question}: nobody answers, so there is no round trip to time")
    start, end = span
    steps = [s for s in fabric.trace() if start <= s.at < end]

    def rate_of(step: Step) -> float:
        device = world.namespaces[step.where].devices.get(step.device)
        return device.rate if isinstance(device, Link) else 0.0

    return RoundTrip(count(steps), end - start, Trace(steps), tuple(turns(steps, rate_of)))


def _exchanges(fabric: Fabric, netns: Netns, protocol: str, target: tuple[int, int], message: bytes) -> Process:
    """Exchange messages; the value is (start, end) of the last exchange, or None when there was no answer."""
    sock: TcpSocket | UdpSocket
    if protocol == "tcp":
        connected = yield from _connect(fabric, netns, target)
        if connected is None:
            return None
        connected.quickack = False  # long before a connection is warm
        sock = connected
    else:
        sock = UdpSocket(netns)
        if not sock.connect(*target):
            return None
    start = fabric.now
    for _ in range(EXCHANGES):
        yield fabric.env.timeout(PAUSE)
        start = fabric.now
        if not (yield from _exchange(fabric, sock, message)):
            return None
    return start, fabric.now


def _connections(fabric: Fabric, netns: Netns, _protocol: str, target: tuple[int, int], message: bytes) -> Process:
    """A connection for each exchange; (start, end) of the last one, its reset included."""
    start = fabric.now
    for _ in range(EXCHANGES):
        yield fabric.env.timeout(PAUSE)
        start = fabric.now
        sock = yield from _connect(fabric, netns, target)
        if sock is None or not (yield from _exchange(fabric, sock, message)):
            return None
        while not sock.eof and not sock.error:
            yield fabric.ready(sock)
        yield fabric.call(sock.close(fabric.now, abort=True))
    return start, fabric.now + PAUSE


def _connect(fabric: Fabric, netns: Netns, target: tuple[int, int]) -> Process:
    sock = TcpSocket(netns)
    yield fabric.call(sock.connect(*target, fabric.now))
    while sock.state is State.SYN_SENT and not sock.error:
        yield fabric.ready(sock)
    return None if sock.error else sock


def _exchange(fabric: Fabric, sock: TcpSocket | UdpSocket, message: bytes) -> Process:
    """True when the whole answer came, within a second."""
    yield fabric.call(sock.send(message, fabric.now))
    deadline, got = fabric.now + 1.0, 0
    while got < len(message):
        if not sock.inbox and not sock.error and fabric.now < deadline:
            yield fabric.ready(sock, deadline - fabric.now)
        if not sock.inbox:
            return False
        while sock.inbox:
            data = sock.inbox.popleft()
            got += len(data if isinstance(data, bytes) else data[0])
        yield fabric.note(Kind.RECEIVE, sock.netns.label)
    return True
