"""What a micro-VM leaves behind, and how it goes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import state
from live.vm import runs
from sim.errors import LabError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def emulator() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def recorded(process: subprocess.Popen[bytes], *, kept: bool = False, owner: int | None = None) -> runs.Record:
    record = runs.new(kept=kept)
    record.qemu, record.qemu_started = process.pid, state.started(process.pid)
    if owner is not None:
        record.owner, record.owner_started = owner, "0"
    record.ready = True
    record.save()
    return record


def test_ending_a_run_ends_qemu_and_removes_its_folder(emulator: subprocess.Popen[bytes]) -> None:
    record = recorded(emulator)
    runs.end(record)
    assert emulator.wait(5) == -signal.SIGKILL or emulator.returncode == 0
    assert not record.folder.exists()


def test_a_run_whose_owner_was_killed_is_swept_away(emulator: subprocess.Popen[bytes]) -> None:
    record = recorded(emulator, owner=1)
    assert runs.sweep() == [record.run]
    assert not record.alive and runs.records() == []


def test_a_lab_that_was_asked_to_stay_is_left_alone_until_it_is_ended(emulator: subprocess.Popen[bytes]) -> None:
    record = recorded(emulator, kept=True, owner=1)
    assert runs.sweep() == [] and record.alive
    assert record.as_dict()["state"] == "up"
    assert runs.end_all() == [record.run]
    assert runs.records() == []


def test_a_kept_lab_whose_qemu_died_leaves_no_folder(emulator: subprocess.Popen[bytes]) -> None:
    record = recorded(emulator, kept=True, owner=1)
    emulator.kill()
    emulator.wait()
    assert runs.sweep() == [record.run]


@pytest.mark.parametrize("named", [True, False])
def test_ending_a_lab_whose_qemu_died_says_that_it_ended(emulator: subprocess.Popen[bytes], named: bool) -> None:
    record = recorded(emulator, kept=True, owner=1)
    emulator.kill()
    emulator.wait()
    assert runs.end_all(record.run if named else "") == [record.run]
    assert not record.folder.exists()


def test_a_micro_vm_whose_record_can_not_be_written_leaves_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(LabError, match=r"can't write .*record\.json: No space left on device"):
        runs.new(kept=False)
    assert list(runs.root().glob("*")) == []


def test_a_lab_that_another_command_uses_is_ended_only_by_force(emulator: subprocess.Popen[bytes]) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = recorded(emulator)
        record.owner, record.owner_started = other.pid, state.started(other.pid)
        record.save()
        assert runs.end_all(record.run) == []
        assert record.alive
        assert runs.end_all(record.run, force=True) == [record.run]
    finally:
        other.kill()
        other.wait()


def test_a_pid_that_another_program_has_now_is_never_killed(emulator: subprocess.Popen[bytes]) -> None:
    record = recorded(emulator, owner=1)
    record.qemu_started = "1"
    record.save()
    runs.sweep()
    assert emulator.poll() is None


def test_a_folder_without_a_readable_record_goes_after_a_minute() -> None:
    folder = runs.root() / "abc123"
    folder.mkdir(parents=True)
    runs.sweep()
    assert folder.exists()
    old = time.time() - 120
    os.utime(folder, (old, old))
    runs.sweep()
    assert not folder.exists()
