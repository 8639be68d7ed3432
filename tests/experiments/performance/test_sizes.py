"""How prediction grows with the file: the files are what they say, and the exponent is that of the values."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.performance import sizes
from sim.compose import load


def test_the_files_have_eight_questions_a_container(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(sizes.compose(60))
    spec = load(tmp_path / "compose.yaml")
    assert len(spec.containers) == 60 and len(spec.networks) == sizes.BRIDGES and len(spec.questions) == 8 * 60


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=8, unique=True), st.floats(0.1, 3), st.floats(1e-3, 1e3))
def test_the_exponent_of_a_power_is_found(xs: list[float], power: float, factor: float) -> None:
    if max(xs) / min(xs) > 1.01:
        assert sizes.exponent(xs, [factor * x**power for x in xs]) == pytest.approx(power, abs=1e-5)


def test_one_size_has_no_exponent() -> None:
    assert math.isnan(sizes.exponent([5], [1.0]))


def test_the_table_has_a_row_a_size_and_how_they_grow() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.performance.sizes", "4", "2", "--jobs", "1", "--plumb", "30"],
        cwd=Path(sizes.__file__).parents[2], capture_output=True, text=True, check=True)
    start, heading, two, four, growth, plumbed = done.stdout.splitlines()
    assert start.startswith("start-up") and heading.split()[:2] == ["containers", "questions"]
    assert [row.split()[0] for row in (two, four)] == ["2", "4"]
    assert growth.startswith("from 2 to 4: time n^") and plumbed.startswith("30 containers plumbed")
