"""The one file that schedules events. Devices and sockets yield steps and effects; here they get a clock and a price.

A walk is drained at once: each Step is stamped with the moment at which the costs before it have passed, timers and wake-ups are
put on SimPy's clock at that moment. Handoffs wait until the walk is over, as a veth's frames wait in the CPU's backlog until the
softirq that sent them has run to completion (`netif_rx`, net/core/dev.c): a bridge floods to all ports before anybody answers.
So one packet's way through one namespace is one event.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from sim.kernel.effects import Effects, Handoff, Timer, Wake
from sim.kernel.socket import Socket
from sim.trace import Kind, Step, Trace

from .costs import CostModel

Process = Generator[Any, Any, Any]
"""A program on simulated sockets: yields SimPy events."""


class Fabric:
    """A clock, a cost model and the record of one question."""

    def __init__(self, costs: CostModel | None = None) -> None:
        self.env = simpy.Environment()
        self.costs = costs or CostModel()
        self.steps: list[Step] = []

    @property
    def now(self) -> float:
        """Seconds since the question began."""
        return float(self.env.now)

    def walk(self, effects: Effects) -> float:
        """Drain an iterator of steps and effects; the seconds that its steps took together."""
        start, spent = self.now, 0.0
        record, price = self.steps.append, self.costs.price
        backlog: list[Handoff] = []
        for item in effects:
            if isinstance(item, Step):
                item.at = start + spent
                item.cost = price(item)
                spent += item.cost
                record(item)
            elif isinstance(item, Handoff):
                backlog.append(item)
            elif isinstance(item, Timer):
                self._after(spent + item.delay, item.action)
            else:
                self._wake(spent, item)
        for handoff in backlog:
            self._after(spent, handoff.device.receive, handoff.packet, handoff.port)
        return spent

    def _after(self, delay: float, action: Callable[..., Effects], *arguments: Any) -> None:
        def run(_event: simpy.Event) -> None:
            self.walk(action(*arguments, self.now))

        self.env.timeout(delay).callbacks.append(run)

    def _wake(self, delay: float, wake: Wake) -> None:
        def run(_event: simpy.Event) -> None:
            if not wake.waiter.triggered:
                wake.waiter.succeed(wake.value)

        self.env.timeout(delay).callbacks.append(run)

    # for processes

    def spawn(self, process: Process) -> simpy.Process:
        """Start a program."""
        return self.env.process(process)

    def call(self, effects: Effects) -> simpy.Event:
        """A system call: its steps happen now, the caller goes on when they are paid for."""
        return self.env.timeout(self.walk(effects))

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
