"""A CPU that serves jobs one after the other: softirq first, then FIFO threads, then the others.

A job runs to completion: a softirq does so by itself, and what a thread does here is one system call or one turn of a
dialogue, after which the kernel looks who is next (kernel/sched; without CONFIG_PREEMPT it looks no sooner). A job that
becomes ready meanwhile waits for that moment, whatever its priority.

The rest of the world takes the CPU away now and then (`Interruption`: timer ticks, other tenants), as a Poisson
process; a job in progress is prolonged, and one that becomes ready meanwhile starts late. Interruptions cost no SimPy
event each: how long a job takes is known when it starts.

Left out: time slices among threads of one priority, which are served in the order in which they became ready.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from heapq import heappop, heappush
from random import Random

import simpy

from .costs import Interruption


class Priority(IntEnum):
    """Who goes first."""

    SOFTIRQ = 0
    FIFO = 1
    """A thread with SCHED_FIFO."""
    OTHER = 2
    """A thread with SCHED_OTHER, whatever its nice level."""


class Cpu:
    """`worked` and `stolen`: seconds of jobs begun so far, and of interruptions that prolonged them."""

    def __init__(self, env: simpy.Environment, interruptions: Sequence[Interruption] = (),
                 random: Random | None = None) -> None:
        self.env = env
        self.worked = self.stolen = 0.0
        self._waiting: list[tuple[int, int, Callable[[], float], Callable[[], None]]] = []
        self._order = 0
        self._occupied = False
        self._theft = _Theft(interruptions, random or Random(0))

    def submit(self, begin: Callable[[], float], done: Callable[[], None], priority: Priority = Priority.OTHER) -> None:
        """A job is ready. `begin` is called when the CPU takes it and says how many seconds of work it is; `done` when
        it is finished, before the CPU chooses the next one."""
        self._order += 1
        heappush(self._waiting, (priority, self._order, begin, done))
        if not self._occupied:
            self._choose()

    def _choose(self) -> None:
        now = self.env.now
        free = self._theft.free_from(now)
        if free > now:
            self._occupied = True
            after(self.env, free - now, self._choose)
            return
        if not self._waiting:
            self._occupied = False
            return
        self._occupied = True
        _, _, begin, done = heappop(self._waiting)
        seconds = begin()
        stolen = self._theft.during(now, seconds)
        self.worked += seconds
        self.stolen += stolen

        def finish() -> None:
            done()
            self._choose()

        after(self.env, seconds + stolen, finish)


class _Theft:
    """When the CPU is somebody else's: moments of all classes in one Poisson process, drawn one ahead."""

    def __init__(self, classes: Sequence[Interruption], random: Random) -> None:
        self._classes = [each for each in classes if each.per_second > 0 and each.seconds > 0]
        self._rates = [each.per_second for each in self._classes]
        self._total = sum(self._rates)
        self._random = random
        self._end = 0.0
        self._draw(0.0)

    def _draw(self, since: float) -> None:
        if not self._classes:
            self._begin, self._seconds = math.inf, 0.0
            return
        self._begin = since + self._random.expovariate(self._total)
        self._seconds = self._random.choices(self._classes, self._rates)[0].seconds

    def free_from(self, now: float) -> float:
        """From when on an idle CPU can be had."""
        while self._begin <= now:
            self._end = self._begin + self._seconds
            self._draw(self._end)
        return max(now, self._end)

    def during(self, start: float, seconds: float) -> float:
        """Seconds by which work that starts now is prolonged."""
        end = start + seconds
        while self._begin < end:
            end += self._seconds
            self._draw(self._begin + self._seconds)
        return end - (start + seconds)


def after(env: simpy.Environment, delay: float, action: Callable[[], None]) -> None:
    """Do something `delay` seconds later."""
    event = simpy.Timeout(env, delay)
    assert event.callbacks is not None
    event.callbacks.append(lambda _event: action())


def stolen_share(interruptions: Sequence[Interruption]) -> float:
    """Seconds of interruptions for each second of work, in the mean."""
    return sum(each.per_second * each.seconds for each in interruptions)
