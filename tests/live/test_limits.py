"""What a machine must have left for a lab, and how it is said when it hasn't."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from live import limits
from sim.errors import LabError
from sim.spec import Attachment, Container, Network, Spec

NONE_LEFT = {"open files": "_files", "tasks": "_tasks", "inotify instances": "_inotify", "memory": "_memory"}


def large(boxes: int) -> Spec:
    return Spec(networks=(Network(name="front"),), containers=tuple(
        Container(name=f"c{n}", attachments=(Attachment(network="front"),)) for n in range(boxes)))


def test_every_limit_grows_with_the_topology() -> None:
    small, big = limits.limits(Spec()), limits.limits(large(30))
    assert [a.name for a in small] == [b.name for b in big]
    assert all(a.need <= b.need for a, b in zip(small, big, strict=True))
    assert {b.name for a, b in zip(small, big, strict=True) if a.need < b.need} == {"open files", "tasks", "memory"}


@pytest.mark.parametrize(("name", "counted"), NONE_LEFT.items())
def test_what_is_short_is_named_with_what_is_left_and_what_a_lab_needs(
    name: str, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in NONE_LEFT.values():
        monkeypatch.setattr(limits, each, lambda: None)
    limits.check(Spec())
    monkeypatch.setattr(limits, counted, lambda: 1)
    with pytest.raises(LabError, match=rf"not enough {name} for this lab: 1 .* left, a lab needs \d+"):
        limits.check(Spec())


def test_a_full_file_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_room", lambda folder: 0)
    with pytest.raises(LabError, match="not enough room in /run for this lab: 0 MiB left"):
        limits.check(Spec())


def test_a_soft_limit_of_open_files_is_raised_and_a_hard_one_is_told() -> None:
    program = ("import resource, sys\nfrom live import limits\nfrom sim.spec import Spec\n"
               "resource.setrlimit(resource.RLIMIT_NOFILE, (80, int(sys.argv[1])))\n"
               "limits.check(Spec())\nprint(resource.getrlimit(resource.RLIMIT_NOFILE)[0])")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1000 if hard == resource.RLIM_INFINITY else min(hard, 1000)

    def said(most: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program, str(most)], capture_output=True, text=True, check=False,
                              cwd=Path(__file__).parents[2])

    assert said(wanted).stdout == f"{wanted}\n"
    assert "not enough open files for this lab" in said(80).stderr
