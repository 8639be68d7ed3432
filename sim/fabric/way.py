"""What one packet costs on its way from a program to another, in parts: a super-packet of segmentation offload may be
cut on the way, and another CPU may go on with it.

Turns (`turns.py`) are what a small message costs. A stream divides the same steps anew: the copies are paid by the
byte, a system call by the block, TCP's own work and the way by the packet; pure acknowledgements take the way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from sim.trace import Kind

from .costs import BYTE_RECEIVED, BYTE_SENT, SEGMENT, CostModel, Counts
from .turns import Turn

ETHERNET, IPV4, TCP, UDP = 14, 20, 32, 8
"""Bytes of headers; TCP's with its time stamps."""


@dataclass(frozen=True, slots=True)
class Cable:
    """A link of the way. `rate` in bit/s (0: none) with the lab's token bucket before it, `delay` in seconds each way;
    `own`: the queue is in the sender's own namespace, where a socket knows what of it waits there."""

    rate: float = 0.0
    delay: float = 0.0
    own: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """Steps, each for one: `write` a system call that sends, `send` a packet's beginning in the sender's socket, `path`
    its way up to the device that cuts (or the cable, or the end), `after` the rest, for each packet that there is then;
    `deliver` its end in the receiver's socket, `read` a system call that receives, `wake` a program that slept.
    `ack`: the way of a pure acknowledgement back, `acked` its end.

    `cut`: a device on the way has no segmentation offload. `merged`: another one puts segments together again (GRO).
    `header`: bytes of a packet on the cable besides its payload, Ethernet's and those of a tunnel included.
    """

    path: Counts
    after: Counts = field(default_factory=dict)
    ack: Counts = field(default_factory=dict)
    write: Counts = field(default_factory=lambda: {Kind.SEND: 1})
    send: Counts = field(default_factory=lambda: {SEGMENT: 1})
    deliver: Counts = field(default_factory=lambda: {Kind.DELIVER: 1, SEGMENT: 1})
    acked: Counts = field(default_factory=lambda: {Kind.DELIVER: 1, SEGMENT: 1})
    read: Counts = field(default_factory=lambda: {Kind.RECEIVE: 1})
    wake: Counts = field(default_factory=lambda: {Kind.WAKEUP: 1})
    cut: bool = False
    merged: bool = False
    header: int = ETHERNET + IPV4 + TCP
    cable: Cable | None = None


SOCKETS = frozenset({Kind.SEND.value, Kind.RECEIVE.value, Kind.WAKEUP.value, Kind.DELIVER.value, SEGMENT, BYTE_SENT,
                     BYTE_RECEIVED})
"""Regressors of the programs' ends; all others are the way between them."""


def way_of(forward: Turn, back: Turn, *, after: Counts | None = None, cut: bool = False, merged: bool = False,
           header: int = 0, cable: Cable | None = None) -> Way:
    """The way of a stream whose packets go as `forward`'s and whose acknowledgements go as `back`'s, both turns of a
    warm exchange on the same path. `after`: those steps of `forward` that are beyond the device that cuts."""
    beyond = between(after or {})
    path = {name: n - beyond.get(name, 0.0) for name, n in between(forward.counts).items()}
    tcp = bool(forward.counts.get(SEGMENT))
    segment = {SEGMENT: 1.0} if tcp else {}
    return Way(path=path, after=beyond, ack={**between(back.counts), **segment}, send=segment,
               deliver={Kind.DELIVER: 1, **segment}, acked={Kind.DELIVER: 1, **segment}, cut=cut, merged=merged,
               header=header or ETHERNET + IPV4 + (TCP if tcp else UDP), cable=cable)


def between(counts: Counts) -> dict[str, float]:
    """The steps of a turn between its sockets."""
    return {str(name): n for name, n in counts.items() if name not in SOCKETS}


@dataclass(frozen=True, slots=True)
class Price:
    """Seconds of something, in the mean, and their standard deviation."""

    mean: float
    deviation: float

    def draw(self, random: Random, count: float = 1.0) -> float:
        """The time of `count` of them, one after the other."""
        mean = self.mean * count
        if not self.deviation or not mean:
            return mean
        variance = self.deviation**2 * count
        return random.gammavariate(mean**2 / variance, variance / mean)


def prices(costs: CostModel, way: Way) -> Mapping[str, Price]:
    """Of each part of a way, and of a byte that is copied from a program ("in") and to one ("out")."""
    parts: dict[str, Counts] = {
        "write": way.write, "send": {**way.path, **_added(way.send, way.path)}, "after": way.after,
        "deliver": way.deliver, "read": way.read, "wake": way.wake, "ack": way.ack, "acked": way.acked}
    found = {name: Price(costs.total(counts), costs.deviation(counts)) for name, counts in parts.items()}
    for name, regressor in (("in", BYTE_SENT), ("out", BYTE_RECEIVED)):
        found[name] = Price(costs.total({regressor: 1.0}), 0.0)
    return found


def _added(more: Counts, counts: Counts) -> dict[str, float]:
    return {name: n + counts.get(name, 0.0) for name, n in more.items()}
