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
COSTS = results.folder("costs") / "intel-xeon-processor-2cpu.json"


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


@pytest.fixture
def kept_too_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A result of host-vs-nat that has no streams."""
    monkeypatch.setattr(results, "folder", lambda name: tmp_path / name)
    results.write_json(tmp_path / "host-vs-nat" / "data.json", {"provenance": {"speed": {}}, "rows": []})
    return tmp_path


def test_an_experiment_that_kept_too_little_is_not_predicted_again(kept_too_little: Path) -> None:
    result = RUN.invoke(app, ["experiment", "host-vs-nat", "--again", "--costs", str(COSTS)])
    assert result.exit_code == 2
    assert result.stderr.strip() == (
        f"hopcast: {kept_too_little}/host-vs-nat/data.json: was made when not all was kept that a prediction takes; "
        "run it without --again")


def test_all_experiments_are_predicted_again_but_those_that_kept_too_little(kept_too_little: Path) -> None:
    result = RUN.invoke(app, ["experiment", "all", "--again", "--costs", str(COSTS)])
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("left as it is: ") == len(STUDIES)
    assert "How far the forecasts were off" in result.stdout


@pytest.mark.parametrize("name", STUDIES)
def test_every_experiment_that_is_offered_is_there_under_its_name(name: str) -> None:
    found = commands.study(name)
    assert found.name == name and found.asks and found.rounds >= 3
