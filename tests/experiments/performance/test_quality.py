"""When a run is good enough to be a reference."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.performance import quality
from experiments.performance.quality import judge
from live.noise import Noise

QUIET = Noise(steal=0.0, others=0.01, load=1.2, seconds=60.0)
STEADY = {"host": [8.0, 8.1, 8.2, 8.1], "bridge": [12.0, 12.1, 12.1, 12.2]}


def test_steady_rounds_on_an_idle_machine_are_quiet() -> None:
    found = judge(STEADY, QUIET)
    assert found.quiet and not found.reasons and str(found) == "quiet"
    assert found.spread is not None and 0 < found.spread < 0.02


def test_stolen_time_is_noise() -> None:
    found = judge(STEADY, Noise(steal=0.031, others=0.0, load=0, seconds=1))
    assert not found.quiet
    assert found.reasons == ("the hypervisor took 3.1 % of the time (limit 1.0 %)",)


def test_busy_neighbours_are_noise() -> None:
    found = judge(STEADY, Noise(steal=0.0, others=0.4, load=0, seconds=1))
    assert str(found) == "noisy: other programs used 40.0 % of the CPUs (limit 5.0 %)"


def test_rounds_that_do_not_repeat_are_noise_and_the_worst_scenario_is_named() -> None:
    found = judge({"host": [8, 9, 10, 11], "overlay": [10, 20, 30, 40]}, QUIET)
    assert not found.quiet and "most in overlay" in found.reasons[0]


def test_one_wild_scenario_among_many_does_not_spoil_a_run() -> None:
    assert judge(STEADY | {"proxy": [1.0, 5.0, 9.0, 20.0]}, QUIET).quiet


def test_too_few_rounds_are_not_quiet_because_nobody_can_say() -> None:
    found = judge({"host": [8.0, 8.0]}, QUIET)
    assert not found.quiet and found.spread is None and "fewer than 3 rounds" in found.reasons[0]
    assert not judge({}, QUIET).quiet


def test_a_series_without_loss_has_no_relative_spread() -> None:
    assert quality.spread_of([0.0, 0.0, 0.0]) is None
    assert judge(STEADY | {"loss": [0.0, 0.0, 0.0, 0.0]}, QUIET).quiet


def test_the_verdict_is_json_with_the_noise_in_it() -> None:
    said = json.loads(json.dumps(judge(STEADY, QUIET).as_dict(), allow_nan=False))
    assert said["quiet"] is True and said["others"] == 0.01 and said["seconds"] == 60.0
    assert json.loads(json.dumps(judge({}, QUIET).as_dict()))["spread"] is None


@given(st.lists(st.floats(1e-6, 1e-3), min_size=3, max_size=20), st.floats(1e-3, 1e9))
def test_the_spread_does_not_depend_on_the_unit(rounds: list[float], unit: float) -> None:
    one, other = quality.spread_of(rounds), quality.spread_of([unit * value for value in rounds])
    assert one == pytest.approx(other, rel=1e-6, abs=1e-9)
