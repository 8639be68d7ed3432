"""Run a command on a machine that is kept from its CPUs now and then, as a busy hypervisor does it: every program
stands still, and the kernel's timers are served before any when it goes on. What must hold on a noisy machine:

    python -m tests.stalls python -m pytest tests/live
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

EVERY, SHORTEST, LONGEST = 1.0, 0.05, 0.12
"""Seconds from stall to stall, on average, and how long one lasts: from just longer than TCP_DELACK_MIN (40 ms)."""
AHEAD = 0.01


def stall(cpu: int, seed: int, start: float, parent: int) -> None:
    """Takes `cpu` away from all other programs at times that `seed` draws, the same on each, until `parent` is gone."""
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_max(os.SCHED_FIFO)))
    draw = random.Random(seed)
    at = start
    while os.getppid() == parent:
        at += draw.expovariate(1 / EVERY)
        until = at + draw.uniform(SHORTEST, LONGEST)
        time.sleep(max(0.0, at - time.monotonic()))
        while time.monotonic() < until:
            pass
        at = until + AHEAD


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a command while all CPUs stall now and then (root).")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    start, parent = time.monotonic() + AHEAD, os.getpid()
    stallers = []
    for cpu in sorted(os.sched_getaffinity(0)):
        child = os.fork()
        if child == 0:
            with suppress(KeyboardInterrupt):
                stall(cpu, given.seed, start, parent)
            os._exit(0)
        stallers.append(child)
    try:
        return subprocess.run(given.command, check=False).returncode
    finally:
        for child in stallers:
            os.kill(child, signal.SIGKILL)  # not yet waited for, so the pid is still its own
            os.waitpid(child, 0)


if __name__ == "__main__":
    sys.exit(main())
