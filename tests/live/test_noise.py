"""How the machine's own counters become a verdict on who else used it."""

from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from live import noise
from live.noise import Noise, Sample
from sim.errors import LabError

STAT = """cpu  300 0 100 1000 0 10 20 30 0 0
cpu0 200 0 60 400 0 10 15 30 0 0
cpu1 100 0 40 600 0 0 5 0 0 0
intr 5 0
ctxt 12
"""


def sample(**changed: float) -> Sample:
    whole: dict[str, float] = {
        "at": 0.0, "total": 0, "steal": 0, "busy": 0, "interrupts": 0, "ours": 0, "preemptions": 0, "load": 0.0}
    return Sample(**{**whole, **changed})  # type: ignore[arg-type]


def process(proc: Path, pid: int, parent: int, name: str, ticks: tuple[int, int, int, int]) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(
        f"{pid} ({name}) S {parent} 1 1 0 -1 4194304 0 0 0 0 {' '.join(map(str, ticks))} 20 0 1 0 1 2 3\n")


def test_time_is_summed_over_the_cpus_that_this_process_may_use(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(STAT)
    assert noise.cpu_times(tmp_path / "stat", {0})["user"] == 200
    assert noise.cpu_times(tmp_path / "stat", {0, 1}) == {
        "user": 300, "nice": 0, "system": 100, "idle": 1000, "iowait": 0, "irq": 10, "softirq": 20, "steal": 30}
    with pytest.raises(ValueError, match="CPU 7"):
        noise.cpu_times(tmp_path / "stat", {7})


def test_time_of_descendants_and_of_ksoftirqd_is_ours(tmp_path: Path) -> None:
    process(tmp_path, 1, 0, "init", (1000, 0, 0, 0))
    process(tmp_path, 2, 0, "kthreadd", (0, 0, 0, 0))
    process(tmp_path, 15, 2, "ksoftirqd/0", (0, 7, 0, 0))
    process(tmp_path, 50, 1, "hopcast", (1, 2, 30, 40))
    process(tmp_path, 51, 50, "dockerd (odd) 1 2 3", (100, 0, 0, 0))
    process(tmp_path, 52, 51, "docker-proxy", (0, 500, 0, 0))
    process(tmp_path, 60, 1, "stranger", (9999, 0, 0, 0))
    (tmp_path / "self").mkdir()
    ticks, alive = noise.our_ticks(tmp_path, 50)
    assert ticks == 7 + 73 + 100 + 500
    assert sorted(alive) == [51, 52]


def test_what_is_busy_beyond_ours_is_others() -> None:
    before, after = sample(load=0.5), sample(at=2.0, total=400, steal=4, busy=300, ours=220, preemptions=10, load=1.5)
    found = noise.between(before, after, charged=True)
    assert found == Noise(steal=0.01, others=0.2, load=1.5, seconds=2.0, load_before=0.5, preempted=5.0)


def test_interrupts_count_where_the_kernel_charges_them_to_processes() -> None:
    after = sample(at=1.0, total=200, busy=100, interrupts=40, ours=140)
    assert noise.between(sample(), after, charged=True).others == 0.0
    after = sample(at=1.0, total=200, busy=100, interrupts=40, ours=100)
    assert noise.between(sample(), after, charged=False).others == 0.0
    assert noise.between(sample(), after, charged=True).others == pytest.approx(0.2)


def test_a_process_that_took_its_time_along_makes_no_negative_noise() -> None:
    before, after = sample(ours=500, preemptions=9), sample(at=1.0, total=200, busy=50, ours=100)
    found = noise.between(before, after, charged=True)
    assert 0.0 <= found.others <= 1.0 and found.preempted == 0.0


@pytest.mark.parametrize(("line", "charged"), [("# CONFIG_IRQ_TIME_ACCOUNTING is not set", True),
                                               ("CONFIG_IRQ_TIME_ACCOUNTING=y", False)])
def test_the_kernels_configuration_says_whose_the_interrupts_are(tmp_path: Path, line: str, charged: bool) -> None:
    proc, boot = tmp_path / "proc", tmp_path / "boot"
    proc.mkdir()
    boot.mkdir()
    (boot / f"config-{platform.release()}").write_text(f"CONFIG_X=y\n{line}\n")
    assert noise.interrupts_are_charged(proc, boot) is charged
    (proc / "config.gz").write_bytes(gzip.compress(f"{line}\n".encode()))
    assert noise.interrupts_are_charged(proc, tmp_path) is charged


def test_without_a_configuration_interrupts_are_nobodys(tmp_path: Path) -> None:
    assert noise.interrupts_are_charged(tmp_path, tmp_path) is False


def test_a_machine_without_proc_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="how busy the machine is"):
        Sample.take(tmp_path)


def test_noise_is_json() -> None:
    found = Noise(steal=0.0123456, others=0.5, load=1.0, seconds=2.0)
    assert json.loads(json.dumps(found.as_dict()))["steal"] == 0.0123


def test_a_child_that_works_is_ours_and_a_stranger_is_not() -> None:
    """A child that counts for half a second: on this machine it must not appear among the others."""
    burn = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    with noise.watch() as watching:
        before = noise.our_ticks(noise.PROC, os.getpid())[0]
        child = subprocess.Popen([sys.executable, "-c", burn])
        time.sleep(0.3)
        alive = noise.our_ticks(noise.PROC, os.getpid())
        assert child.pid in alive[1]
        assert child.wait(timeout=60) == 0
        first = watching.round()
        second = watching.round()
        spent = (noise.our_ticks(noise.PROC, os.getpid())[0] - before) / os.sysconf("SC_CLK_TCK")
    assert spent >= 0.45
    assert watching.rounds == [first, second]
    assert watching.noise.seconds >= first.seconds > 0.3
    assert all(0.0 <= found.others <= 1.0 and 0.0 <= found.steal <= 1.0 for found in (watching.noise, first, second))


def test_a_watch_ends_with_what_it_watched() -> None:
    seen: list[noise.Watch] = []
    with pytest.raises(RuntimeError), noise.watch() as watching:
        seen.append(watching)
        raise RuntimeError
    assert seen[0].noise is seen[0].noise
    assert noise.Watch().stop().seconds < 5


def test_of_two_times_the_noisier_is_judged() -> None:
    found = Noise(0.01, 0.2, 1.0, 30.0, 0.5, 100.0, 0.08).then(Noise(0.05, 0.0, 2.0, 10.0, 1.0, 500.0))
    assert found == Noise(0.05, 0.2, 2.0, 40.0, 0.5, 200.0, 0.08)
