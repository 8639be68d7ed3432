"""Many clients measured in turns: each goes on for a moment, then stands still while the others do.

A shared machine's CPUs change their speed by a tenth and more within tenths of a second. Whoever is measured for a
fifth of a second meets one or two of those speeds; in turns of some hundredths of a second each client meets many of
them, and all clients the same ones.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from live import pinned
from live.sockperf_output import Latency

TURN = 0.025
"""Seconds. Caches that others have filled meanwhile are warm again after a hundredth of it."""


class Client(Protocol):
    """One that is ready, and can be let go and held again."""

    @property
    def counted(self) -> float:
        """Seconds of its turns that count for its result."""

    def turn(self, seconds: float) -> None:
        """Go on for so long. LabError when it has ended, and why."""

    def result(self) -> Latency:
        """What it found, at its end. LabError when nobody answered it."""


def in_turn(clients: Sequence[Client], seconds: float) -> list[Latency]:
    """Round trips of each client, measured for `seconds`, side by side; one alone is never held."""
    moment = time.monotonic()
    with pinned.above_others():
        while waiting := [client for client in clients if client.counted < seconds]:
            for client in waiting:
                client.turn(TURN if len(waiting) > 1 else seconds - client.counted)
        return [replace(client.result(), moment=moment) for client in clients]
