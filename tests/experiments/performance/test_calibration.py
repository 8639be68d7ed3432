"""A calibration on made-up measurements: times that follow from known prices."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from experiments.performance import bench
from experiments.performance.calibration import Calibration, evaluate
from experiments.performance.cases import REGIMES, Case, cases
from experiments.performance.known import Known, document
from experiments.performance.model import Model
from experiments.performance.topology import WAYS, spec
from experiments.results import to_json, write
from live.noise import Noise
from live.sockperf_output import Latency
from sim.errors import SpecError
from sim.fabric.costs import BLOCKING, NOMINAL, SPINNING, CostModel
from sim.trace import Kind

QUIET = Noise(steal=0.0, others=0.0, load=1.0, seconds=60.0)
SPEED = {BLOCKING: 1.0, SPINNING: 0.8, "connect": 3.0}


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(spec())


def truth(regime: str) -> CostModel:
    """Prices that are not the nominal ones: some kinds are dearer than others."""
    return CostModel({kind: price * SPEED[regime] * (1.5 if kind in (Kind.CONNTRACK, Kind.BRIDGE) else 0.8)
                      for kind, price in NOMINAL.items()})


def measured(model: Model, asked: Sequence[Case], noise: float = 0.003) -> dict[Case, list[Latency]]:
    rolls = random.Random(1)

    def run(case: Case) -> Latency:
        p50 = truth(case.regime).total(case.counts(model)) * rolls.gauss(1, noise)
        tails = {25.0: 0.98, 50.0: 1.0, 75.0: 1.02, 90.0: 1.1, 99.0: 1.3, 99.9: 4.0}
        return Latency(10000, p50, {percentile: p50 * factor for percentile, factor in tails.items()})

    return {case: [run(case) for _ in range(4)] for case in asked}


@pytest.fixture(scope="module")
def calibration(model: Model) -> Calibration:
    return evaluate(model, measured(model, cases(model)), QUIET)


def test_every_regime_has_at_least_fourteen_ways_to_leave_out_or_says_how_many(model: Model) -> None:
    by_regime = {regime: {case.way for case in cases(model) if case.regime == regime} for regime in REGIMES}
    assert len(by_regime[BLOCKING]) >= 14 and len(by_regime[SPINNING]) >= 14 and len(by_regime["connect"]) >= 10


def test_a_way_that_was_left_out_is_predicted_from_the_steps_that_it_shares_with_others(
        calibration: Calibration) -> None:
    errors = sorted(abs(row.error) for row in calibration.rows if not row.unknown)
    assert errors[len(errors) // 2] < 0.02 and errors[-1] < 0.12


def test_leaving_a_way_out_leaves_out_all_its_protocols_and_its_twins(
        model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.performance import calibration as module

    seen: dict[str, set[str]] = {}
    real = module.forecast

    def spy(known, rounds, wanted, **how):  # type: ignore[no-untyped-def]
        for name in wanted:
            seen[name] = set(known)
        return real(known, rounds, wanted, **how)

    monkeypatch.setattr(module, "forecast", spy)
    asked = [case for case in cases(model) if case.regime == BLOCKING]
    evaluate(model, measured(model, asked), QUIET)
    known = seen["container to client, docker0 (masquerade): tcp"]
    assert "client to published port, docker0: tcp" not in known, "in the model it takes the very same steps"
    assert not any(name.startswith("client to client:") for name in seen["client to client: udp"])


def test_steps_that_no_other_way_has_are_named_and_the_forecast_is_an_extrapolation(calibration: Calibration) -> None:
    row = next(row for row in calibration.of(BLOCKING) if row.case.way.name.endswith("on two hosts"))
    assert row.unknown == (Kind.DECAP, Kind.ENCAP)
    assert "extrapolated: no other way has vxlan-decap" in bench._line(row)


def test_prices_that_no_measurement_tells_apart_are_named(calibration: Calibration) -> None:
    assert any({"byte-received", "byte-sent"} <= set(group) for group in calibration.open[BLOCKING])
    assert any({Kind.ENCAP, Kind.DECAP} <= set(group) for group in calibration.open[BLOCKING])


def test_the_spread_of_round_trips_becomes_that_of_steps_and_their_tails_become_interruptions(
        model: Model, calibration: Calibration) -> None:
    prices = calibration.model.regimes[BLOCKING]
    counts = model.counts(WAYS[2])
    assert prices.deviation(counts) == pytest.approx(0.04 / 1.349 * prices.total(counts), rel=0.3)
    assert prices.interruptions and all(each.seconds > 0 and each.per_second > 0 for each in prices.interruptions)


def test_what_is_written_is_read_again_as_the_same_prices(calibration: Calibration, tmp_path: Path) -> None:
    path = write(tmp_path / "machine.json", to_json(document(calibration.as_dict(), "machine", {"kernel": "6.1"})))
    known = Known.load(path)
    for regime in REGIMES:
        for case in (row.counts for row in calibration.of(regime)):
            assert known.model.regime(regime).total(case) == pytest.approx(
                calibration.model.regimes[regime].total(case), rel=1e-3)
    assert {row.regime for row in known.rows} == set(REGIMES)


def test_what_was_measured_can_be_fitted_again_without_measuring(
        model: Model, calibration: Calibration, tmp_path: Path) -> None:
    path = write(tmp_path / "machine.json", to_json(document(calibration.as_dict(), "machine", {"kernel": "6.1"})))
    said: list[str] = []
    found = bench.fit_again(path, None, said.append, lambda what, done, total: None)
    assert [row.left_out.value for row in found.rows] == pytest.approx(
        [row.left_out.value for row in calibration.rows], rel=1e-4)
    for regime in REGIMES:
        for kept, told in zip(found.model.regimes[regime].interruptions,
                              calibration.model.regimes[regime].interruptions, strict=True):
            assert (kept.per_second, kept.seconds) == pytest.approx((told.per_second, told.seconds), rel=1e-3)
    written = json.loads(path.read_text())
    assert written["machine"] == "machine" and written["provenance"]["kernel"] == "6.1"
    assert set(written["provenance"]["fitted_again"]) == {"date", "git", "git_changes"}


def test_a_calibration_of_ways_that_are_asked_no_more_is_not_fitted_again(
        model: Model, calibration: Calibration, tmp_path: Path) -> None:
    data = calibration.as_dict()
    data["fitted_on"][0]["name"] = "by pigeon: tcp"
    path = write(tmp_path / "machine.json", to_json(document(data, "machine", {})))
    with pytest.raises(SpecError, match=r"machine\.json: was made of other round trips"):
        bench.fit_again(path, None, print, lambda what, done, total: None)


def test_a_forecast_leaves_out_the_ways_that_it_is_told_to(
        model: Model, calibration: Calibration, tmp_path: Path) -> None:
    path = write(tmp_path / "machine.json", to_json(document(calibration.as_dict(), "machine", {})))
    known = Known.load(path)
    nat = next(way for way in WAYS if way.name == "client to published port, user bridge")
    counts = model.counts(nat)
    found = known.forecast(BLOCKING, {"nat": counts}, [nat.name])["nat"]
    assert found.value == pytest.approx(truth(BLOCKING).total(counts), rel=0.05)
    assert known.without([nat.name]).regime(BLOCKING).total(counts) == pytest.approx(found.value, rel=0.01)
    slower = known.at_speeds({BLOCKING: 1.1}).forecast(BLOCKING, {"nat": counts}, [nat.name])["nat"]
    assert slower.value == pytest.approx(1.1 * found.value)


def test_a_path_with_more_rules_than_any_that_was_calibrated_is_an_extrapolation(calibration: Calibration) -> None:
    prices = calibration.model.regimes[BLOCKING]
    counts = dict(calibration.rows[5].counts)
    assert not prices.outside(counts)
    assert prices.outside({**counts, Kind.RULE: 5000}) == [Kind.RULE]


def test_a_calibration_without_the_rows_behind_it_is_refused(calibration: Calibration, tmp_path: Path) -> None:
    data = calibration.as_dict()
    del data["fitted_on"]
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(data))
    with pytest.raises(SpecError, match=r"machine\.json: says nothing about what it was fitted on"):
        Known.load(path)


def test_the_table_says_the_error_of_every_regime_and_how_many_pairs_are_in_the_wrong_order(
        calibration: Calibration) -> None:
    told = "\n".join(bench.told(calibration))
    for regime in REGIMES:
        assert f"{regime}: " in told
    assert "median error" in told and "predicted in the wrong order" in told
