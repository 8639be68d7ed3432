"""Where live tests can run, and what the machine's own network looks like from outside the lab."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from live import cleanup, doctor, engine
from live.lab import Lab
from sim.spec import Spec

WATCHED = ("/etc", "/opt", "/run/docker", "/run/containerd", "/run/mount", "/var/lib/docker", "/var/lib/containerd",
           "/var/lib/cni", "/var/lib/iptables", "/root/.docker")
NAMES_WATCHED = ("/", "/run", "/var", "/var/lib", "/var/log", "/srv", "/mnt", "/root", "/home", "/usr", "/usr/lib")
OWN = ("/run/hopcast", "/run/netns")


@pytest.fixture(scope="session")
def able() -> None:
    """Skips, with the doctor's reason, where no lab can run."""
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)


@pytest.fixture
def bring_up(able: None) -> Iterator[Callable[..., Lab]]:
    """`Lab.up`, with everything that it brought up taken down after the test."""
    labs: list[Lab] = []

    def up(spec: Spec, **options: bool) -> Lab:
        labs.append(Lab.up(spec, **options))
        return labs[-1]

    yield up
    for lab in labs:
        lab.down()
        cleanup.down(lab.run, force=True)


def own_network() -> dict[str, str]:
    """Links, addresses, routes and rules of the namespace that the tests run in, without counters and times."""
    commands = {
        "links": ["ip", "-br", "link"], "addresses": ["ip", "-o", "addr"],
        "routes": ["ip", "route", "show", "table", "all"],
        "rules": ["iptables-save"], "nft": ["nft", "-s", "list", "ruleset"],
    }
    seen = {}
    for what, (program, *arguments) in commands.items():
        if path := engine.which(program):
            said = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=30, check=False).stdout
            seen[what] = "\n".join(line for line in said.splitlines() if not line.startswith("#"))
    return seen


def own_files() -> dict[str, tuple[int, int, int]]:
    """The machine's files where engines and their tools leave something: path -> mode, and of a file size and time of
    change. Of folders that others write to as well, the names only. Left out: the labs' own folders."""
    seen: dict[str, tuple[int, int, int]] = {}
    for top in WATCHED:
        for folder, folders, files in os.walk(top):
            for name in [*folders, *files]:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    state = path.lstat()
                    whole = not stat.S_ISDIR(state.st_mode)
                    seen[str(path)] = state.st_mode, state.st_size * whole, state.st_mtime_ns * whole
    for top in NAMES_WATCHED:
        seen |= {str(path): (0, 0, 0) for path in Path(top).glob("*") if str(path) not in OWN}
    return seen


def run_in(path: object, *command: str) -> str:
    """A command in a network namespace; its output."""
    return subprocess.run(
        ["nsenter", f"--net={path}", *command], capture_output=True, text=True, timeout=30, check=False).stdout
