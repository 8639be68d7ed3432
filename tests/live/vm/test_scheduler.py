"""A guest's scheduler is told to give longer turns, and is afterwards as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.vm.scheduler import FEATURES, GRANULARITY, LATENCY, long_turns


class Debugfs:
    """Files that take one value, and `features`, which takes a name and shows all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / LATENCY).write_text("12000000\n")
        (folder / GRANULARITY).write_text("1500000\n")
        (folder / FEATURES).write_text("GENTLE_FAIR_SLEEPERS WAKEUP_PREEMPTION NO_HRTICK\n")

    def values(self) -> list[str]:
        return [(self.folder / name).read_text().strip() for name in (LATENCY, GRANULARITY, FEATURES)]


def test_turns_are_longer_while_engines_start_and_then_as_before(tmp_path: Path) -> None:
    debugfs = Debugfs(tmp_path)
    with long_turns(tmp_path):
        assert debugfs.values() == ["48000000", "20000000", "NO_WAKEUP_PREEMPTION"]
    assert debugfs.values() == ["12000000", "1500000", "WAKEUP_PREEMPTION"]


def test_turns_are_as_before_also_when_an_engine_did_not_start(tmp_path: Path) -> None:
    debugfs = Debugfs(tmp_path)
    with pytest.raises(RuntimeError), long_turns(tmp_path):
        raise RuntimeError
    assert debugfs.values()[:2] == ["12000000", "1500000"]


def test_a_kernel_whose_scheduler_has_no_such_settings_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / FEATURES).write_text("NO_HRTICK\n")
    with long_turns(tmp_path), long_turns(tmp_path / "nowhere"):
        assert (tmp_path / FEATURES).read_text() == "NO_HRTICK\n"
