"""Where a machine's costs are kept, and under which name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from experiments import results
from experiments.provenance import cpu_model


def name() -> str:
    """A file name for this machine: its CPU and how many of them, without the host's own name.

    >>> "/" in name()
    False
    """
    words = re.sub(r"\(.*?\)|[^a-z0-9]+", " ", cpu_model().lower()).split()
    return "-".join([*words, f"{os.cpu_count() or 1}cpu"])


def costs() -> Path:
    """This machine's calibration; there may be none yet."""
    return results.folder("costs") / f"{name()}.json"
