"""A cable's rate: the token bucket filter, as the lab sets it at both ends of a cable (net/sched/sch_tbf.c).

Tokens are time: a bucket of `burst` bytes holds burst/rate seconds, a packet takes size/rate of them, and waits at the
head of a byte queue (`bfifo`) until they are there. The queue takes a packet while its bytes and those that wait fit
the limit, which tc(8) makes of its `latency`: rate * latency + burst. What comes later never overtakes, so when a
packet leaves is known when it arrives, and no event is needed.

Left out: the granularity of the kernel's timer (nanoseconds here), a peak rate, and `tbf_segment`: whoever offers a
super-packet larger than the bucket must cut it, as it is dropped here like any packet that can never pass.
"""

from __future__ import annotations

from collections import deque

from sim.errors import SpecError

BURST = 64 << 10
"""Bytes that pass at once."""
QUEUE = 0.05
"""Seconds that a byte waits at most, bursts apart: tc's `latency`."""


class TokenBucket:
    """`rate` in bit/s, `burst` in bytes, `queue` in seconds. Full at the start."""

    def __init__(self, rate: float, burst: int = BURST, queue: float = QUEUE) -> None:
        if not rate > 0:
            raise SpecError(f"a token bucket can't have a rate of {rate:g} bit/s", mend="leave the rate out")
        self.rate, self.burst = rate, burst
        self.limit = int(rate * queue / 8 + burst)
        """Bytes that may wait."""
        self.backlog = self.dropped = 0
        """Bytes that waited when the last packet came, itself included; packets that found no room."""
        self._depth = burst * 8 / rate
        self._full = 0.0
        """When the bucket is full again if nothing else comes; it lacks `_full - now` seconds until then."""
        self._last = 0.0
        self._waiting: deque[tuple[float, int]] = deque()

    def offer(self, now: float, size: int) -> float | None:
        """A packet of `size` bytes (Ethernet header included) comes, not before the one before it. When it leaves;
        None: dropped."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            self.backlog -= waiting.popleft()[1]
        if size > self.burst or self.backlog + size > self.limit:
            self.dropped += 1
            return None
        need = size * 8 / self.rate
        leaves = max(now, self._last, self._full + need - self._depth)
        self._full = max(self._full, leaves) + need
        self._last = leaves
        if leaves > now:
            waiting.append((leaves, size))
            self.backlog += size
        return leaves
