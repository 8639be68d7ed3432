"""The timer wheel: when the kernel's coarse timers go off, those of ARP and of TCP's retransmissions among them.

A timer that is set for longer is kept in a coarser bucket and goes off with all of its bucket, never early: up to 8
jiffies late where it was set for a quarter of a second to two seconds (kernel/time/timer.c, `calc_index`). Two timers
of equal length that are set again and again therefore stay together, and one of two seconds overtakes two of one.

Said of a kernel with 250 jiffies a second, as Debian and Ubuntu build theirs. Left out: which of a bucket's timers
goes first on one CPU, and that two CPUs serve theirs side by side; here they go in the order in which they were set.
"""

from __future__ import annotations

import math

HZ = 250
LEVEL_BITS, SHIFT, LEVELS = 6, 3, 9
"""64 buckets a level, each level eight times as coarse as the one below (LVL_BITS, LVL_CLK_SHIFT, LVL_DEPTH)."""
IN_ORDER = 1e-3
"""Of a jiffy: within that much, a bucket's timers follow each other."""


def granularity(jiffies: int) -> int:
    """Of the bucket for a timer that is set for so many jiffies, in jiffies.

    >>> [granularity(j) for j in (10, 62, 63, 250, 503, 504, 4032)]
    [1, 1, 8, 8, 8, 64, 512]
    """
    level = next((n for n in range(1, LEVELS) if jiffies < ((1 << LEVEL_BITS) - 1) << (n - 1) * SHIFT), LEVELS)
    return 1 << (level - 1) * SHIFT


def delay(now: float, seconds: float) -> float:
    """After how many seconds a timer goes off that is set at `now` for `seconds`. The clock's 0 is a bucket's start.

    >>> [round(delay(0.0, s), 4) for s in (0.04, 1.0, 2.0)]
    [0.044, 1.024, 2.016]
    """
    at = now * HZ
    jiffies = math.ceil(seconds * HZ - 1e-6)
    unit = granularity(jiffies)
    bucket = (math.floor(at) + jiffies + unit) // unit * unit
    return (bucket + (at + jiffies - bucket + unit) / unit * IN_ORDER) / HZ - now
