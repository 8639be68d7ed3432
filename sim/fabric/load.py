"""Latency against offered load: many messages at once through the turns of one round trip, on two CPUs.

What is modelled is `sockperf under-load --reply-every=1` over UDP, as `live/sockperf.py` runs it:

* CPU 0: the sender. It waits busily for start + n * burst / rate and sends `burst` messages; where it is late it sends
  at once and catches up (SwitchOnCycleDuration in sockperf's src/switches.h). The message's way to the server's socket
  is work of this CPU.
* CPU 1: the server polls, reads one datagram, answers, and carries the answer to the client's socket. That wakes the
  client's receiver, a FIFO thread on the same CPU: it runs as soon as the server's system call is over, and when it
  blocks again the CPU is switched back (`preemption.py`).
* The server's socket has a receive buffer that overflows; a cable with a rate is a token bucket that does, unless the
  sender must wait before: while its packets are in the queues of its own machine or of the wire, they fill its socket.

The time of a message runs from the moment before it is sent until its answer is read, as sockperf's does. One message
alone takes what its turns cost together, and the preemption; the full simulation (`sim/fabric/fabric.py`) says which
turns those are.

Left out: what two busy CPUs do to each other (caches, locks of the socket); drops at the client's socket, which is read
before anything else on its CPU; a cable's delay. What a packet costs beyond a rate-limited cable is paid when it is
sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import simpy

from sim.errors import SpecError
from sim.kernel.tbf import TokenBucket

from .buffer import RMEM_DEFAULT, ReceiveBuffer, SendBuffer, truesize
from .cables import cables, cross, wire_bytes
from .costs import BLOCKING, SPINNING, CostModel, Counts
from .cpu import Cpu, Priority, after, stolen_share
from .preemption import Preemption, split
from .sampling import Draws, percentiles
from .turns import Turn

MESSAGE = 14
"""Bytes: sockperf's smallest message."""
WARM_UP = 0.4
"""Seconds that sockperf leaves out at the start; the model needs them only where a queue has to fill."""
FILL_LIMIT = 4
"""At most so many times the messages that count are spent on filling queues."""

THROWN, LET_GO = "thrown off", "let go on"
"""The two halves of a preemption, as names of steps."""

Draw = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rates in messages/s, times in seconds. `sent_rate` falls behind `offered` when the sender can't keep up;
    `answered_rate`: answers that came while these messages were sent. `lost` is the share of the sent messages that
    nobody answered; without any answer there are no `percentiles`, and `mean` is no number. `busy`: share of the time
    in which CPU 0 and CPU 1 worked; polling is no work."""

    offered: float
    sent_rate: float
    answered_rate: float
    lost: float
    mean: float
    percentiles: Mapping[float, float]
    busy: tuple[float, float]


def run(costs: CostModel, forward: Turn, serve: Turn, receive: Turn, *, rate: float, messages: int = 20000,
        burst: int = 1, size: int = MESSAGE, buffer: int = RMEM_DEFAULT, memory: int = 0, poisson: bool = False,
        preemption: Preemption | None = None, seed: int = 0) -> Loaded:
    """Offer `rate` messages/s of `size` bytes. `memory`: what one takes of the server's receive `buffer`, 0: as Linux
    counts it. `poisson`: at random instead of evenly. Infinite rate: as fast as the sender can. SpecError when a figure
    makes no sense."""
    if not rate > 0 or messages < 1 or burst < 1:
        raise SpecError(f"can't offer {messages} messages in bursts of {burst} at {rate:g} a second",
                        mend="all three must be more than nothing")
    flow = _Flow(costs, (forward, serve, receive), size, buffer, memory or truesize(size),
                 preemption or Preemption.nominal(costs), seed)
    settling = 1 + messages // 10 + flow.filling(rate, messages)
    return flow.run(rate, burst, poisson, settling, messages)


def saturation(costs: CostModel, forward: Turn, serve: Turn, receive: Turn, *, messages: int = 20000,
               size: int = MESSAGE, buffer: int = RMEM_DEFAULT, memory: int = 0, preemption: Preemption | None = None,
               seed: int = 0) -> float:
    """Messages/s that are answered when the sender never waits: more can't be had however many are offered."""
    return run(costs, forward, serve, receive, rate=math.inf, messages=messages, size=size, buffer=buffer,
               memory=memory, preemption=preemption, seed=seed).answered_rate


class _Reader:
    """A program that reads one datagram after the other from its socket. One that `polls` finds at once what comes
    while it runs idle, and pays its wake-up then; one that blocks pays it each time it was blocked, and the CPU pays
    `leave` when it blocks again."""

    def __init__(self, env: simpy.Environment, cpu: Cpu, priority: Priority, *, polls: bool, memory: int,
                 buffer: int, wake: Draw, work: Draw, leave: Draw | None, done: Callable[[int], None]) -> None:
        self._env, self._cpu, self._priority, self._polls = env, cpu, priority, polls
        self._wake, self._work, self._leave, self._done = wake, work, leave, done
        self._memory = memory
        self._buffer: ReceiveBuffer[int] = ReceiveBuffer(buffer)
        self._active = self._asleep = False
        self._roused = 0.0
        self._message = 0

    def arrive(self, message: int) -> None:
        """The softirq delivers a datagram; it may be dropped."""
        if self._buffer.put(message, self._memory) and not self._active:
            self._active = self._asleep = True
            self._roused = self._env.now
            self._cpu.submit(self._begin, self._finish, self._priority)

    def _begin(self) -> float:
        self._message = self._buffer.get()
        found = self._polls and self._env.now > self._roused  # the CPU did something else: no poll was in vain
        return self._work() + (self._wake() if self._asleep and not found else 0.0)

    def _finish(self) -> None:
        self._asleep = False
        self._done(self._message)
        if self._buffer:
            self._cpu.submit(self._begin, self._finish, self._priority)
            return
        self._active = False
        if self._leave:
            self._cpu.submit(self._leave, _nothing, self._priority)


class _Mark(NamedTuple):
    """A moment, the answers that were read until then, and the seconds that either CPU worked."""

    at: float
    answers: int
    first: float
    second: float


class _Flow:
    """The two CPUs, the cables and the programs of one run."""

    def __init__(self, costs: CostModel, turns: tuple[Turn, Turn, Turn], size: int, buffer: int, memory: int,
                 preemption: Preemption, seed: int) -> None:
        self.env = simpy.Environment()
        self.random = Random(seed)
        self.forward, self.serve, self.receive = turns
        apart, shared = costs.regime(SPINNING), costs.regime(BLOCKING)
        self.interruptions = apart.interruptions
        self.cpus = tuple(Cpu(self.env, apart.interruptions, self.random) for _ in range(2))
        self.there, self.back = cables(self.forward), cables(self.serve)
        self.outbox, self.memory = SendBuffer(), memory
        self.sent: list[float] = []
        self.took: dict[int, float] = {}
        self.answers = 0
        self.draw_forward = self._draw(apart, self.forward.counts)
        serve_wake, serve_work = split(self.serve.counts)
        receive_wake, receive_work = split(self.receive.counts)
        if not receive_wake:
            preemption = Preemption(0.0, 0.0)
        switch = CostModel({THROWN: preemption.before, LET_GO: preemption.after, **shared.prices},
                           variation=shared.variation)
        self.receiver = _Reader(
            self.env, self.cpus[1], Priority.FIFO, polls=False, memory=0, buffer=buffer,
            wake=self._draw(switch, {**receive_wake, THROWN: 1}), work=self._draw(shared, receive_work),
            leave=self._draw(switch, {LET_GO: 1}) if preemption.after else None, done=self._answered)
        self.server = _Reader(
            self.env, self.cpus[1], Priority.OTHER, polls=True, memory=memory, buffer=buffer,
            wake=self._draw(apart, serve_wake), work=self._draw(apart, serve_work), leave=None, done=self._served)
        self.sending = apart.total(self.forward.counts)
        self.serving = (apart.total(serve_work) + shared.total(self.receive.counts) + preemption.before
                        + preemption.after)
        self.room = buffer / memory

    def _draw(self, costs: CostModel, counts: Counts) -> Draw:
        return Draws(costs, counts, self.random)

    # who does what

    def _served(self, message: int) -> None:
        self._carry(self.back, self.serve, self.receiver, message)

    def _send(self, message: int) -> None:
        now, own = self.env.now, self.there[:self.forward.held]
        left = cross(own, now, wire_bytes(self.forward)) if own else now
        if left is None:
            return
        if left > now:
            self.outbox.charge(left, self.memory)
        self._carry(self.there[self.forward.held:], self.forward, self.server, message, left)

    def _carry(self, buckets: Sequence[TokenBucket], turn: Turn, to: _Reader, message: int, since: float = 0.0) -> None:
        now = self.env.now
        arrives = cross(buckets, max(now, since), wire_bytes(turn)) if buckets else max(now, since)
        if arrives is None:
            return
        if arrives > now:
            after(self.env, arrives - now, lambda: to.arrive(message))
        else:
            to.arrive(message)

    def _answered(self, message: int) -> None:
        self.took[message] = self.env.now - self.sent[message]
        self.answers += 1

    # the run

    def filling(self, rate: float, messages: int) -> int:
        """After how many messages the queues of whatever is overloaded are full."""
        share = 1 + stolen_share(self.interruptions)
        reach = min(rate, 1 / (self.sending * share)) if self.sending else rate
        stations = [(self.serving * share, self.room)]
        for turn, buckets in ((self.forward, self.there), (self.serve, self.back)):
            wire = wire_bytes(turn)
            stations += [(wire * 8 / bucket.rate, (bucket.limit + bucket.burst) / wire) for bucket in buckets]
        needed = 0.0
        for seconds, room in stations:
            if seconds * reach > 1:
                needed += room / (1 - 1 / (seconds * reach))
        return int(min(needed, WARM_UP * rate, FILL_LIMIT * messages))

    def run(self, rate: float, burst: int, poisson: bool, settling: int, messages: int) -> Loaded:
        total = settling + messages
        marks: list[_Mark] = []
        cpu = self.cpus[0]
        due = 0.0

        def mark() -> None:
            marks.append(_Mark(self.env.now, self.answers, *(each.worked for each in self.cpus)))

        def pace() -> None:
            nonlocal due
            number = len(self.sent)
            if number and number % burst == 0:
                gap = burst / rate
                due += self.random.expovariate(1 / gap) if poisson and gap else gap
            if number in (settling, total):
                wait(mark)
            if number < total:
                wait(lambda: cpu.submit(begin, sent))

        def wait(action: Callable[[], None]) -> None:
            if due > self.env.now:
                after(self.env, due - self.env.now, action)
            else:
                action()

        def begin() -> float:
            self.sent.append(self.env.now)
            return self.draw_forward()

        def sent() -> None:
            free = self.outbox.free_at(self.env.now)
            if free > self.env.now:
                after(self.env, free - self.env.now, sent)
                return
            self._send(len(self.sent) - 1)
            pace()

        pace()
        self.env.run()
        return self._result(rate, settling, messages, marks)

    def _result(self, rate: float, settling: int, messages: int, marks: list[_Mark]) -> Loaded:
        start, end = marks
        span = end.at - start.at
        if not span:
            raise SpecError("a sender that costs nothing and never waits sends no finite number a second",
                            mend="offer a finite rate, or price the sender's steps")
        times = sorted(took for message, took in self.took.items() if message >= settling)
        return Loaded(
            rate, messages / span, (end.answers - start.answers) / span, 1 - len(times) / messages,
            sum(times) / len(times) if times else math.nan, percentiles(times),
            (min(1.0, (end.first - start.first) / span), min(1.0, (end.second - start.second) / span)))


def _nothing() -> None:
    pass
