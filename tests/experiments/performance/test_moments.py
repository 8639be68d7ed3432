"""The machine's speed at each moment, told from all that was measured then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.performance.moments import levelled
from live.sockperf_output import Latency

TRUE = {f"way {number}": 1e-5 * (1 + number / 10) for number in range(24)}


def measured(rng: np.random.Generator, rounds: int, *, speeds: float, chance: float,
             wave: int = 8) -> dict[str, list[Latency]]:
    """Rounds in waves of ways drawn anew; logarithms of the waves' speeds and of chance have these deviations."""
    found: dict[str, list[Latency]] = {way: [] for way in TRUE}
    moment = 0
    for _ in range(rounds):
        order = rng.permutation(list(TRUE))
        for start in range(0, len(order), wave):
            moment, speed = moment + 1, np.exp(rng.normal(0, speeds))
            for way in order[start:start + wave]:
                p50 = float(TRUE[way] * speed * np.exp(rng.normal(0, chance)))
                found[way].append(Latency(1000, 1.1 * p50, {50.0: p50, 99.0: 2 * p50}, float(moment)))
    return found


def error(found: dict[str, list[Latency]]) -> float:
    """Deviation of the ways' times from the true ones, from one to the other."""
    return float(np.std([np.mean([np.log(run.p50) for run in runs]) - np.log(TRUE[way])
                         for way, runs in found.items()]))


def test_what_a_moments_speed_did_to_all_is_taken_out_of_each() -> None:
    before = measured(np.random.default_rng(1), 4, speeds=0.15, chance=0.02)
    after, drift = levelled(before)
    assert error(before) > 0.04 and error(after) < 0.02
    assert drift == pytest.approx(0.15, rel=0.5)
    spread = [np.std([np.log(run.p50) for run in runs], ddof=1) for runs in after.values()]
    assert 0.015 < np.median(spread) < 0.035, "as much as chance is left between rounds, and no less"
    for run in (run for runs in after.values() for run in runs):
        assert run.mean == pytest.approx(1.1 * run.p50) and run.percentiles[99.0] == pytest.approx(2 * run.p50)


def test_on_a_steady_machine_next_to_nothing_is_changed() -> None:
    before = measured(np.random.default_rng(2), 4, speeds=0.0, chance=0.03)
    after, drift = levelled(before)
    change = [abs(np.log(b.p50 / a.p50)) for way in TRUE for a, b in zip(before[way], after[way], strict=True)]
    assert max(change) < 0.02 and error(after) < 1.1 * error(before) and drift < 0.01


def test_clients_measured_two_at_a_time_keep_their_own_chance() -> None:
    """Where only one other shows the speed, the correction has that other's chance in it: never less than one's own."""
    after, _ = levelled(measured(np.random.default_rng(3), 6, speeds=0.2, chance=0.03, wave=2))
    assert np.median([np.std([np.log(run.p50) for run in runs], ddof=1) for runs in after.values()]) > 0.025


@settings(max_examples=25)
@given(st.floats(0.5, 2.0), st.integers(0, 50))
def test_a_machine_that_is_slower_throughout_stays_so(factor: float, seed: int) -> None:
    before = measured(np.random.default_rng(seed), 3, speeds=0.1, chance=0.02)
    slower = {way: [replace(run, percentiles={p: t * factor for p, t in run.percentiles.items()}) for run in runs]
              for way, runs in before.items()}
    for way, runs in levelled(before)[0].items():
        assert [run.p50 for run in levelled(slower)[0][way]] == pytest.approx([run.p50 * factor for run in runs])


def test_regimes_that_share_no_moment_have_speeds_of_their_own() -> None:
    rng = np.random.default_rng(4)
    one = measured(rng, 4, speeds=0.1, chance=0.01)
    other = {f"polling {way}": [replace(run, moment=run.moment + 1000, percentiles={50.0: run.p50 / 3}) for run in runs]
             for way, runs in measured(rng, 4, speeds=0.1, chance=0.01).items()}
    (both, _), (alone, _) = levelled(one | other), levelled(one)
    assert all([run.p50 for run in both[way]] == pytest.approx(
        [run.p50 for run in runs]) for way, runs in alone.items())


def test_one_round_and_what_is_no_round_trip_stay_as_they_are() -> None:
    once = measured(np.random.default_rng(5), 1, speeds=0.1, chance=0.02)
    assert levelled(once) == (once, 0.0)
    assert levelled({"a stream": [1.5, 2.5]}) == ({"a stream": [1.5, 2.5]}, 0.0)
