"""Which Docker Engine this machine can run, and which generation of the model's profiles it belongs to.

A generation is a span of releases that plumb alike; the spec names it by its profile's key (`engine.version`).
Prediction and engine must be of one generation, else a disagreement would say nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from live import environment
from live.patience import patient
from sim.errors import LabError

GENERATIONS = (((20, 10), "20.10"), ((23, 0), "23"), ((24, 0), "24"), ((25, 0), "25"), ((26, 0), "26"), ((27, 0), "27"),
               ((28, 0), "28"), ((29, 0), "29"))
"""First release of each generation and its key, oldest first. 20.10 is the last that was numbered by year and month."""


@dataclass(frozen=True, slots=True)
class Engine:
    path: str
    version: str
    """As the engine says it: `20.10.24+dfsg1`."""

    @property
    def generation(self) -> str:
        return generation(self.version)


def which(program: str) -> str:
    """Where a program is: PATH, then the sbin folders that a plain user's PATH lacks; empty when nowhere."""
    return shutil.which(program, path=environment.search_path()) or ""


def generation(version: str) -> str:
    """The generation's key of a version text; what is older than all of them, or unreadable, is its own key.

    >>> generation("20.10.24+dfsg1"), generation("28.5.2"), generation("28"), generation("19.03.8")
    ('20.10', '28', '28', '19.03.8')
    """
    match = re.match(r"v?(\d+)(?:\.(\d+))?", version)
    if match is None:
        return version
    number = int(match[1]), int(match[2] or 0)
    eligible = [key for first, key in GENERATIONS if first <= number]
    if not eligible:
        return version
    last = GENERATIONS[-1]
    return str(number[0]) if number[0] > last[0][0] else eligible[-1]


@cache
def found() -> Engine | None:
    """The dockerd on PATH and its version; None when there is none or it does not say its version."""
    path = which("dockerd")
    if not path:
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=patient(20),
                              env=environment.minimal(), check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"version\s+([^\s,]+)", said)
    return Engine(path, match[1]) if match else None


def required(version: str) -> Engine:
    """The engine that can stand for the spec's `version`. LabError when it is missing or of another generation."""
    engine = found()
    if engine is None:
        raise LabError("no Docker Engine (dockerd) on this machine",
                       mend="apt-get install --no-install-recommends docker.io iptables")
    if engine.generation != generation(version):
        raise LabError(
            f"the topology is predicted for engine {version}, but {engine.path} is {engine.version} "
            f"(generation {engine.generation})",
            mend=f"set the host's engine version to {engine.generation}, or install an engine {generation(version)}")
    return engine
