"""How much longer things may take here than on a machine's own kernel: in an emulated one, several times as long.

A factor for time limits and for the pauses that tell "over" from "not yet", taken from HOPCAST_PATIENCE, which the
micro-VM sets for its guest. It never touches what is compared: how long a question waits for its answer decides what is
seen (retransmissions), so that is the dial's own, and the same on both sides.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

from sim.errors import LabError

VARIABLE = "HOPCAST_PATIENCE"
SELDOM, LESS_OFTEN = 4, 0.2
"""How many times the first pause a pause gets at most, and by how many it grows each time."""


def factor() -> float:
    """At least 1; what is no number counts as 1."""
    try:
        return max(1.0, float(os.environ.get(VARIABLE, "1")))
    except ValueError:
        return 1.0


def patient(seconds: float) -> float:
    """A time limit or pause, as long as it must be here."""
    return seconds * factor()


def until(done: Callable[[], bool], otherwise: str, limit: float, poll: float = 0.05) -> None:
    """Returns once `done` says so, asked every `poll` seconds, and less often, up to SELDOM times that, the longer it
    takes; LabError with `otherwise` when it does not within `limit` seconds. All are patient ones: where an emulated
    CPU asks, asking takes time from what is waited for."""
    deadline = time.monotonic() + patient(limit)
    for asked in itertools.count(1):
        if done():
            return
        if time.monotonic() > deadline:
            raise LabError(otherwise, mend="see the lab's dockerd.log")
        time.sleep(patient(poll * min(SELDOM, 1 + asked * LESS_OFTEN)))
