"""The name under which a machine's costs are kept."""

from __future__ import annotations

import os
import re

from experiments.provenance import cpu_model


def name() -> str:
    """A file name for this machine: its CPU and how many of them, without the host's own name.

    >>> "/" in name()
    False
    """
    words = re.sub(r"\(.*?\)|[^a-z0-9]+", " ", cpu_model().lower()).split()
    return "-".join([*words, f"{os.cpu_count() or 1}cpu"])
