"""What a run that was killed, or asked to stay, leaves, and how it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from live import cgroup, cleanup, netns, state
from live.lab import Lab
from sim.spec import Spec
from tests.live.conftest import own_network
from tests.live.test_lab import left_of

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("able")]

OWNER = """
import sys, time
from live.deploy import deploy
from live.lab import Lab
from sim.spec import Container, Network, PublishedPort, Attachment, Spec
ports = (PublishedPort(container_port=80, host_port=80),)
spec = Spec(networks=(Network(name="front"),), containers=(
    Container(name="web", attachments=(Attachment(network="front"),), ports=ports),
))
lab = Lab.up(spec, keep="keep" in sys.argv)
deploy(lab, spec)
print(lab.run, flush=True)
if "keep" in sys.argv:
    lab.leave()
else:
    time.sleep(60)
"""


def owner(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A process that brings up a lab with a running container; its run."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, *arguments], stdout=subprocess.PIPE, text=True,
                               cwd=Path(__file__).parents[2], env=os.environ)
    assert process.stdout is not None
    run = process.stdout.readline().strip()
    process.stdout.close()
    assert run
    return process, run


def test_what_a_killed_owner_left_goes_with_down_all() -> None:
    before = own_network()
    process, run = owner()
    process.kill()
    process.wait()
    assert left_of(run)
    record = state.load(run)
    assert record is not None and record.orphan
    assert run in cleanup.down_all(kept=False)
    assert left_of(run) == []
    assert own_network() == before


@pytest.mark.parametrize("milliseconds", [0, 30, 80, 150, 300])
def test_an_owner_killed_while_it_brings_up_the_lab_leaves_nothing_that_stays(milliseconds: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER.replace("lab = Lab.up(", "print('up', flush=True)\nlab = Lab.up(")],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], env=os.environ)
    assert process.stdout is not None
    while process.stdout.readline().strip() != "up":
        pass
    time.sleep(milliseconds / 1000)
    process.kill()
    process.wait()
    process.stdout.close()
    mine = [record.run for record in state.records() if record.owner == process.pid]
    cleanup.down_all(kept=False)
    assert [left_of(run) for run in mine] == [[] for _ in mine]
    assert not set(cleanup.present()) & set(mine)


def test_who_joins_a_run_only_while_it_is_removed_ends_with_it() -> None:
    """A shell that the owner forked just before it was killed writes itself into the control group only when it gets a
    CPU."""
    run = f"{os.getpid():x}"[-6:].rjust(6, "0")
    group = cgroup.create(run, "h1")
    assert cgroup.processes(run) == []
    with subprocess.Popen(["sh", "-c", 'echo $$ > "$1/cgroup.procs" && exec sleep 60', "late", str(group)]) as late:
        while not cgroup.processes(run):
            time.sleep(0.01)
        cgroup.remove(run)
        assert late.wait(timeout=5) in (-signal.SIGKILL, 0)  # 0 where cgroup.kill reaped it first: it sleeps a minute
    assert run not in cgroup.runs()


def test_a_lab_whose_owner_lives_is_left_alone_unless_forced() -> None:
    process, run = owner()
    try:
        assert not cleanup.down(run)
        assert left_of(run)
        assert cleanup.down(run, force=True)
        assert left_of(run) == []
    finally:
        process.kill()
        process.wait()
        cleanup.down(run, force=True)


def test_a_kept_lab_outlives_its_owner_and_another_process_finds_it() -> None:
    process, run = owner("keep")
    try:
        assert process.wait(timeout=30) == 0
        with Lab.attach(run) as lab:
            assert [c.name for c in lab.engine("host").containers.list()] == ["web"]
        record = state.load(run)
        assert record is not None and record.kept and not record.orphan
        assert left_of(run)
    finally:
        assert cleanup.down(run)
    assert left_of(run) == []


def test_half_a_lab_without_a_record_goes_as_well(bring_up: Callable[..., Lab]) -> None:
    lab = bring_up(Spec())
    (state.STATE / lab.run / "record.json").unlink()
    assert lab.run in cleanup.present()
    assert cleanup.down(lab.run)
    assert left_of(lab.run) == []


def test_namespaces_that_do_not_carry_a_runs_mark_are_not_ours() -> None:
    name = f"hc-mine-{os.getpid()}"
    netns.create(name)
    try:
        assert "mine" not in cleanup.present()
        assert netns.path_of(name).exists()
    finally:
        netns.delete(name)


def test_ending_a_run_that_never_was_does_nothing() -> None:
    assert not cleanup.down("000000")
