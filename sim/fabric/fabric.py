"""The one file that schedules events. Devices and sockets yield steps and effects; here they get a clock and a price.

A walk is drained at once: each Step is stamped with the moment at which the costs before it have passed, timers and
wake-ups are put on SimPy's clock at that moment. Handoffs join the CPU's backlog, as a veth's frames do (`netif_rx`,
net/core/dev.c): the softirq serves them one after the other, each to completion, in the order in which they were
queued. So a bridge floods to all its ports before anybody answers, and one packet's way through one namespace is one
event. One CPU serves the whole topology, as the lab's programs are all on one: a system call is over, and a program
that was woken goes on, when its backlog is empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from itertools import chain
from typing import Any

import simpy

from sim.kernel.effects import Effects, Handoff, Lock, Lockable, Timer, Wake, Work
from sim.kernel.socket import Socket
from sim.trace import Kind, Step, Trace

from .costs import CostModel

Process = Generator[Any, Any, Any]
"""A program on simulated sockets: yields SimPy events."""


def _adopted(process: Process, waits_for: Any) -> Process:
    """The rest of a program that waits for an event already."""
    try:
        while True:
            waits_for = process.send((yield waits_for))
    except StopIteration as end:
        return end.value


class Fabric:
    """A clock, a cost model and the record of one question."""

    def __init__(self, costs: CostModel | None = None) -> None:
        self.env = simpy.Environment()
        self.costs = costs or CostModel()
        self.steps: list[Step] = []
        self._backlog: deque[tuple[float, Handoff]] = deque()
        self._softirq_pending = False
        self._locked: list[Lockable] = []
        self._work: list[Work] = []
        self._runnable: list[Wake] = []

    @property
    def now(self) -> float:
        """Seconds since the question began."""
        return float(self.env.now)

    def walk(self, effects: Effects, arrived: float | None = None) -> float:
        """Drain an iterator of steps and effects; the seconds that its steps took together.

        `arrived`: when the frame of this walk was put on the backlog. Its taps "in" show that time: the kernel stamps a
        frame before it queues it (`netdev_tstamp_prequeue`), and a bridge's own tap keeps the stamp. A frame that
        carries its departure time instead (`Packet.departs`) is stamped as the taps see it.
        """
        start, spent = self.now, 0.0
        record, price = self.steps.append, self.costs.price
        queue: list[tuple[float, Handoff]] = []
        for item in effects:
            if isinstance(item, Step):
                item.at = start + spent if arrived is None or item.way != "in" else arrived
                item.cost = price(item)
                spent += item.cost
                record(item)
            elif isinstance(item, Handoff):
                queue.append((start + spent, item))
            elif isinstance(item, Timer):
                self._at(spent + item.due(start + spent), partial(self._expire, item))
            elif isinstance(item, Lock):
                self._locked.append(item.sock)
            elif isinstance(item, Work):
                self._work.append(item)
            else:
                self._at(spent, partial(self._wake, item))
        self._backlog.extend(queue)
        if (self._backlog or self._locked or self._work) and not self._softirq_pending:
            self._softirq_pending = True
            self._at(spent, self._softirq)
        return spent

    def _expire(self, timer: Timer) -> None:
        self.walk(timer.action(self.now))

    def _softirq(self) -> None:
        """Take the oldest frame off the backlog, to completion; the next one is served when this one is paid for."""
        if not self._backlog:
            self._softirq_pending = False
            self._idle()
            return
        queued, handoff = self._backlog[0]
        if queued > self.now:  # a program's system call that is still on its way there
            self._at(queued - self.now, self._softirq)
            return
        self._backlog.popleft()
        arrived = None if handoff.packet.departs else queued
        taken = Step(Kind.BACKLOG, *handoff.device.point)
        received = handoff.device.receive(handoff.packet, handoff.port, self.now)
        self._at(self.walk(chain((taken,), received), arrived), self._softirq)

    def _idle(self) -> None:
        """No frame waits any more: system calls give their sockets back, then the woken go on, unless that set off new
        frames."""
        locked, self._locked = self._locked, []
        for sock in locked:
            self.walk(sock.release(self.now))
        if not self._softirq_pending:
            runnable, self._runnable = self._runnable, []
            for wake in runnable:
                self._wake(wake)
            if self._work:
                self._at(0.0, self._kworker)

    def _kworker(self) -> None:
        """What kernel threads have to do, unless a program has set off new frames first: then after those."""
        if not self._softirq_pending:
            work, self._work = self._work, []
            for item in work:
                self.walk(item.action(self.now))

    def _at(self, delay: float, action: Callable[[], None]) -> None:
        self.env.timeout(delay).callbacks.append(lambda _event: action())

    def _wake(self, wake: Wake) -> None:
        if self._softirq_pending:
            self._runnable.append(wake)
        elif not wake.waiter.triggered:
            wake.waiter.succeed(wake.value)

    # for processes

    def spawn(self, process: Process) -> simpy.Process:
        """Start a program."""
        return self.env.process(process)

    def start(self, process: Process) -> None:
        """Start a program in the midst of what happens: it runs up to its first wait at once. Until then it may bind
        sockets and make no system call that takes time."""
        self.env.process(_adopted(process, next(process)))

    def call(self, effects: Effects) -> simpy.Event:
        """A system call: its steps happen now, the caller goes on when they are paid for and the softirqs are through
        that they set off."""
        over = self.env.event()
        self._at(self.walk(effects), partial(self._wake, Wake(over)))
        return over

    def ready(self, sock: Socket, timeout: float | None = None) -> simpy.Event:
        """Wait until something happens to `sock`, at most `timeout` seconds."""
        event = self.env.event()
        sock.waiter = event
        return event if timeout is None else self.env.any_of([event, self.env.timeout(timeout)])

    def note(self, kind: Kind, where: str, detail: str = "") -> simpy.Event:
        """A step that a program itself takes (a proxy's copy, a name server's look-up)."""

        def one() -> Effects:
            yield Step(kind, where, detail=detail)

        return self.call(one())

    def run(self, until: simpy.Event, linger: float) -> Any:
        """Run until an event, then `linger` seconds more for what it left on the way; the event's value."""
        value = self.env.run(until=until)
        if linger:
            self.env.run(until=self.now + linger)
        return value

    def trace(self) -> Trace:
        """The record so far, in time order."""
        return Trace(sorted(self.steps, key=lambda s: s.at))
