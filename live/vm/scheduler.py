"""The guest's scheduler, while engines start: processes run on for longer before others get their turn.

An emulated CPU forgets what it translated and where pages lie whenever another process gets it, and engines consist of
many small processes: with the kernel's own settings half of its time goes there. What is measured runs under these.

kernel/sched/debug.c, kernel/sched/features.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = Path("/sys/kernel/debug/sched")
LATENCY, GRANULARITY, FEATURES = "latency_ns", "min_granularity_ns", "features"
LONGER = {LATENCY: "48000000", GRANULARITY: "20000000", FEATURES: "NO_WAKEUP_PREEMPTION"}
"""Nanoseconds; and nobody is interrupted only because somebody else woke up."""


@contextmanager
def long_turns(folder: Path = FOLDER) -> Iterator[None]:
    """Longer turns than the kernel gives, where it can be told; afterwards as before."""
    before: dict[str, str] = {}
    for name, value in LONGER.items():
        with suppress(OSError):
            said = (folder / name).read_text().split()
            was = said[0] if name != FEATURES else value.removeprefix("NO_")
            if name == FEATURES and was not in said:
                continue
            (folder / name).write_text(value)
            before[name] = was
    try:
        yield
    finally:
        for name, value in before.items():
            (folder / name).write_text(value)
