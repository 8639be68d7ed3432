"""A CPU for streams: what a program does on it, and the softirq that carries packets on (net/core/dev.c, softnet_data).

What is sent goes on the backlog of the CPU that sends it. A program's system call that sends runs the softirq before it
goes on; a timer's or a cable's interrupt runs it beside the program, and first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from random import Random
from typing import Any

import simpy

from .costs import Interruption
from .cpu import Cpu, Priority, after

Work = Generator[simpy.Event, Any, None]
"""Steps that take a CPU's time: a SimPy process, or a part of one."""


class Softnet:
    """A CPU with its backlog. `spun`: seconds that a program waited for a lock without sleeping."""

    def __init__(self, env: simpy.Environment, interruptions: Sequence[Interruption], random: Random) -> None:
        self.env = env
        self.cpu = Cpu(env, interruptions, random)
        self.spun = 0.0
        self._backlog: deque[Callable[[], Work]] = deque()
        self._active = False

    @property
    def busy(self) -> float:
        """Seconds so far."""
        return self.cpu.worked + self.cpu.stolen + self.spun

    def run(self, seconds: float, *, program: bool = False) -> Sequence[simpy.Event]:
        """Take the CPU for so long: what to wait for, nothing for no time."""
        if seconds <= 0:
            return ()
        event = self.env.event()
        self.cpu.submit(lambda: seconds, lambda: _end(event), Priority.OTHER if program else Priority.SOFTIRQ)
        return (event,)

    def put(self, work: Callable[[], Work]) -> None:
        """A packet goes on the backlog."""
        self._backlog.append(work)

    def drain(self) -> Work:
        """Serve the backlog, unless that is being done."""
        if self._active:
            return
        self._active = True
        while self._backlog:
            yield from self._backlog.popleft()()
        self._active = False

    def interrupt(self, delay: float, work: Callable[[], Work]) -> None:
        """A packet comes `delay` seconds later."""
        def arrive() -> None:
            self.put(work)
            if not self._active:
                self.env.process(self.drain())

        after(self.env, delay, arrive)


def _end(event: simpy.Event) -> None:
    event.succeed()
