"""Where live tests can run, and what the machine's own network looks like from outside the lab."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from live import cleanup, doctor, engine
from live.lab import Lab
from sim.spec import Spec


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


def run_in(path: object, *command: str) -> str:
    """A command in a network namespace; its output."""
    return subprocess.run(
        ["nsenter", f"--net={path}", *command], capture_output=True, text=True, timeout=30, check=False).stdout
