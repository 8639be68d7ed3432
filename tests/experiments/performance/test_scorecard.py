"""The table of errors, from stored results."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import results
from experiments.performance import scorecard
from experiments.performance.scorecard import pairs, score, summary

ABOUT = {"noise": {"quiet": True}, "date": "2026-01-01T00:00:00Z"}


def test_every_predicted_figure_with_a_measured_one_beside_it_counts() -> None:
    data = {"rows": [{"name": "a", "predicted": {"value": 1.1}, "measured": {"value": 1.0}, "extrapolated": False,
                      "percentiles": {"p99": {"predicted": {"value": 4.0}, "measured": {"value": 2.0}}}},
                     {"name": "none", "predicted": {"value": 0.1}, "measured": {"value": 0.2, "low": 0.0}},
                     {"name": "b", "predicted": {"value": 3.0}, "measured": None}],
            "lines": [{"name": "c", "points": [{"x": 5, "predicted": {"value": 2.0}, "measured": {"value": 4.0},
                                                "extrapolated": True}]}],
            "saturation": {"predicted": 90.0, "measured": 100.0}, "provenance": {"predicted": 1, "measured": 2}}
    found = list(pairs(data))
    assert [(name, tail, round(error, 3), beyond) for name, tail, error, beyond in found] == [
        ("a", "", 0.1, False), ("a", "p99", 1.0, False), ("5", "", -0.5, True), ("", "", -0.1, False)]


def test_extrapolated_forecasts_are_counted_apart() -> None:
    found = score("x", [("a", 0.02, False), ("b", -0.05, False), ("c", 0.4, True)], ABOUT)
    assert found is not None
    assert (found.count, found.worst, found.worst_of, found.extrapolated) == (2, 0.05, "b", 1)
    assert found.worst_extrapolated == 0.4 and found.quiet
    assert "| x | 2 | 3.5 % | 5.0 % | b | 1, worst 40 % | yes | 2026-01-01T00:00:00Z | before |" in summary([found])


def test_what_a_later_model_predicted_anew_is_told_from_what_was_predicted_before_it_was_measured() -> None:
    again = score("x", [("a", 0.02, False)], {**ABOUT, "predicted_again": {"date": "2026-02-02T00:00:00Z"}})
    assert again is not None and again.date == "2026-01-01T00:00:00Z"
    assert "| 2026-01-01T00:00:00Z | anew 2026-02-02T00:00:00Z |" in summary([again])


def test_experiments_without_a_result_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorecard.results, "folder", lambda name: tmp_path / name)
    assert scorecard.write(["never-run"]) == []
    assert results.read_json(tmp_path / "benchmark" / "data.json") == []
