"""What it costs that one thread takes the CPU from another that is not done, over what a wake-up costs anyway.

Where both ends block, whoever is woken finds the CPU free: the price of a wake-up is one switch and the blocking of the
one before. A FIFO thread that is woken under a server that polls throws it off the CPU and lets it go on later: two
switches, between two scheduling classes (kernel/sched/rt.c, fair.c). No ping-pong has that, so no ping-pong can tell
what it costs; the load of a single path can (`fitted`), and then holds for all, as the path has no part in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.trace import Kind

from .costs import BLOCKING, SPINNING, CostModel, Counts
from .cpu import stolen_share
from .turns import Turn

BEFORE, AFTER = 0.7, 1.2
"""In wake-ups, where nothing was fitted: seen on a shared two-CPU machine, kernel 6.18 without preemption, over
loopback and over a veth pair alike; a first guess for any other."""


@dataclass(frozen=True, slots=True)
class Preemption:
    """Seconds `before` the woken thread runs, over its wake-up, and `after` it blocks until the other one goes on."""

    before: float
    after: float

    @classmethod
    def nominal(cls, costs: CostModel) -> Preemption:
        """From the price of a wake-up."""
        wakeup = costs.regime(BLOCKING).total({Kind.WAKEUP: 1})
        return cls(BEFORE * wakeup, AFTER * wakeup)

    @classmethod
    def fitted(cls, costs: CostModel, forward: Turn, serve: Turn, receive: Turn, *, latency: float,
               saturation: float) -> Preemption:
        """So that these turns have this latency (seconds) where there is no queue, and this saturation (messages/s), of
        which CPU 1 must be the reason. Never less than nothing."""
        apart, shared = costs.regime(SPINNING), costs.regime(BLOCKING)
        receiving = shared.total(receive.counts)
        before = max(0.0, latency - apart.total(forward.counts) - apart.total(serve.counts) - receiving)
        busy = 1 / (saturation * (1 + stolen_share(apart.interruptions)))
        _, work = split(serve.counts)
        return cls(before, max(0.0, busy - apart.total(work) - receiving - before))


def split(counts: Counts) -> tuple[Counts, Counts]:
    """What a program pays for waking up, and what for each message that it reads."""
    wake = {name: n for name, n in counts.items() if name == Kind.WAKEUP}
    return wake, {name: n for name, n in counts.items() if name not in wake}
