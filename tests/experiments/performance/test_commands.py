"""`hopcast calibrate` and `hopcast experiment`, as somebody types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments import results
from experiments.cli import app
from experiments.performance import commands
from experiments.performance.commands import STUDIES
from sim.errors import LabError

RUN = CliRunner()


def test_an_experiment_that_is_mistyped_is_told_the_nearest_one() -> None:
    result = RUN.invoke(app, ["experiment", "host-vs-nta"])
    assert result.exit_code == 2
    assert result.stderr.strip() == "hopcast: no experiment is called 'host-vs-nta'; did you mean 'host-vs-nat'?"


def test_an_experiment_on_a_machine_that_is_not_calibrated_says_how_to_calibrate_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "folder", lambda name: tmp_path / name)
    result = RUN.invoke(app, ["experiment", "latency-by-driver"])
    assert result.exit_code == LabError.exit_code
    assert "this machine is not calibrated" in result.stderr and "hopcast calibrate" in result.stderr


def test_costs_that_are_no_calibration_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text("{}")
    result = RUN.invoke(app, ["experiment", "latency-by-driver", "--costs", str(path)])
    assert result.exit_code == 2 and "not a cost model" in result.stderr and len(result.stderr.splitlines()) == 1


def test_an_experiment_that_kept_too_little_is_not_predicted_again() -> None:
    costs = results.folder("costs") / "intel-xeon-processor-2cpu.json"
    result = RUN.invoke(app, ["experiment", "load-curves", "--again", "--costs", str(costs)])
    assert result.exit_code == 2
    assert result.stderr.strip() == (
        "hopcast: load-curves has not kept all that a prediction takes; run it without --again")


@pytest.mark.parametrize("name", STUDIES)
def test_every_experiment_that_is_offered_is_there_under_its_name(name: str) -> None:
    found = commands.study(name)
    assert found.name == name and found.asks and found.rounds >= 3
