"""iptables in a lab's machines: the command lines that a topology gives them, carried out one after the other.

The tool is the engine's own variant of iptables (nft or legacy), which `live/rules.py` reads with. Nothing is passed to
a shell, and the namespace is one that the lab made.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from live import engine, environment, netns
from live.patience import patient
from sim.errors import LabError

LIMIT = 20.0


def tell(path: Path, lines: Iterable[str], label: str) -> None:
    """Each line in the namespace at `path`. LabError where iptables is missing or refuses one, in its words."""
    told = [shlex.split(line) for line in lines]
    if told:
        netns.call(path, _tell, told, label)


def _tell(told: list[list[str]], label: str) -> None:
    """In the calling thread's namespace."""
    tool = engine.which("iptables")
    if not tool:
        raise LabError("no iptables on this machine", mend="apt-get install iptables")
    run = partial(subprocess.run, env=environment.minimal(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                  timeout=patient(LIMIT))
    for words in told:
        done = run([tool, "-w", *words])
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit {done.returncode}"
            raise LabError(f"{label}: `iptables {shlex.join(words)}`: {said}", mend="mend the rule")
