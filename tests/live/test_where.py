"""On what a measurement ran, and what may not be measured there."""

from __future__ import annotations

from pathlib import Path

import pytest

from live import patience, sockperf, where
from live.ping_pong import ping_pong
from sim.errors import LabError


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nmodel name\t: AMD EPYC\n")
    return file


def test_a_machine_is_itself_and_not_emulated(cpuinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(where.VARIABLE, raising=False)
    assert where.here() == "" and not where.emulated(cpuinfo)


def test_an_emulated_cpu_is_known_by_its_name(cpuinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(where.VARIABLE, raising=False)
    cpuinfo.write_text("model name\t: QEMU TCG CPU version 2.5+\n")
    assert where.emulated(cpuinfo)


def test_latency_from_an_emulated_guest_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(where.VARIABLE, "micro-VM_(TCG)")
    with pytest.raises(LabError, match=r"latency can't be measured in an emulated micro-VM \(TCG\)"):
        ping_pong(Path("/run/netns/a"), "10.0.0.1", 80, sockperf.Mode.blocking(), sockperf.Server(0, rests=False))


def test_a_guest_with_the_machines_own_cpu_may_measure_times(
    cpuinfo: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(where.VARIABLE, "micro-VM_(KVM)")
    assert where.here() == "micro-VM (KVM)" and not where.emulated(cpuinfo)


@pytest.mark.parametrize(("given", "factor"), [("5", 5.0), ("0.1", 1.0), ("", 1.0), ("much", 1.0)])
def test_patience_is_never_less_than_a_machines_own(
    monkeypatch: pytest.MonkeyPatch, given: str, factor: float,
) -> None:
    monkeypatch.setenv(patience.VARIABLE, given)
    assert patience.patient(2.0) == 2.0 * factor


def test_who_waits_long_asks_less_and_less_often_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(patience.VARIABLE, raising=False)
    pauses: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", pauses.append)
    patience.until(lambda: len(pauses) == 30, "never", limit=60, poll=0.1)
    assert pauses == sorted(pauses) and pauses[0] < 0.15 and pauses[-1] == pytest.approx(0.1 * patience.SELDOM)


def test_who_waits_in_vain_hears_what_did_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(patience.VARIABLE, raising=False)
    asked: list[bool] = []
    with pytest.raises(LabError, match="the swarm has no manager"):
        patience.until(lambda: bool(asked.append(True)), "the swarm has no manager", limit=0.05, poll=0.01)
    assert len(asked) > 1
