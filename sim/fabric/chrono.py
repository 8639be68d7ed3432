"""What a TCP sender waits for, and for how long (`tcp_chrono_start`, net/ipv4/tcp_output.c)."""

from __future__ import annotations

import simpy

CONGESTION, RECEIVER, PROGRAM, PACING, QUEUE, BUFFER = (
    "congestion window", "receive window", "program", "pacing", "queue", "send buffer")
"""What may hold a sender up. PROGRAM: there is nothing to send; BUFFER: because the buffer has room for nothing more;
QUEUE: enough of it waits in its own machine's queueing discipline (small queues)."""


class Chrono:
    """`why`: what holds the sender up now, nothing while it sends."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.why = PROGRAM
        self._since = 0.0
        self._seconds: dict[str, float] = {}

    def hold(self, why: str) -> None:
        """From now on it is held up by this."""
        if why != self.why:
            self._count()
            self.why = why

    def seconds(self) -> dict[str, float]:
        """Of each cause, until now."""
        self._count()
        return {why: seconds for why, seconds in self._seconds.items() if why}

    def _count(self) -> None:
        now = self.env.now
        self._seconds[self.why] = self._seconds.get(self.why, 0.0) + now - self._since
        self._since = now
