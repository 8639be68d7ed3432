"""On what this process runs: a machine's own kernel, or a micro-VM's, emulated or not.

An emulated CPU takes its time for each instruction as the emulator finds it, so a time measured there says nothing
about Docker. The guest of a micro-VM is told what it is (HOPCAST_WHERE); an emulated CPU says so itself.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from sim.errors import LabError

VARIABLE = "HOPCAST_WHERE"
EMULATED = "TCG"
"""QEMU's Tiny Code Generator, in the name of the CPU that it emulates."""


def here() -> str:
    """`micro-VM (TCG)`, `micro-VM (KVM)`, or nothing on a machine."""
    return os.environ.get(VARIABLE, "").replace("_", " ")


def kernel() -> str:
    return platform.release()


def emulated(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    if EMULATED in here():
        return True
    try:
        models = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    except OSError:
        return False
    return any(EMULATED in line for line in models)


def refuse_times(what: str) -> None:
    """LabError where a time would mean nothing. `what` is refused: latency, throughput, load."""
    if emulated():
        raise LabError(f"{what} can't be measured in an emulated {here() or 'machine'}: its times are the emulator's",
                       mend="measure it on a machine's own kernel, or where KVM works")
