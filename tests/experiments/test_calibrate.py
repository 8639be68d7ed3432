"""The fit from counted steps and measured seconds to prices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.calibrate import Counts, Interval, fit, forecast, interval, machine_name, save, seconds_of
from sim.errors import SpecError
from sim.fabric.costs import NOMINAL, CostModel
from sim.trace import Kind, Step

TRUE = {Kind.SEND: 1.4e-6, Kind.WAKEUP: 0.9e-6, Kind.VETH: 0.4e-6, Kind.BRIDGE: 0.25e-6, Kind.HOOK: 0.02e-6,
        Kind.NAT: 0.2e-6}
SCENARIOS: dict[str, Counts] = {
    "loopback": {Kind.SEND: 2, Kind.WAKEUP: 2},
    "pair": {Kind.SEND: 2, Kind.WAKEUP: 2, Kind.VETH: 2},
    "bridge": {Kind.SEND: 2, Kind.WAKEUP: 2, Kind.VETH: 4, Kind.BRIDGE: 2},
    "hooked": {Kind.SEND: 2, Kind.WAKEUP: 2, Kind.VETH: 4, Kind.BRIDGE: 2, Kind.HOOK: 24},
    "translated": {Kind.SEND: 2, Kind.WAKEUP: 2, Kind.VETH: 2, Kind.HOOK: 24, Kind.NAT: 2},
}
UNSEEN: Counts = {Kind.SEND: 2.0, Kind.WAKEUP: 2.0, Kind.VETH: 4.0, Kind.BRIDGE: 2.0, Kind.HOOK: 12.0, Kind.NAT: 2.0}


def true_seconds(counts: Counts) -> float:
    return sum(TRUE[Kind(kind)] * n for kind, n in counts.items())


def rounds(noise: float, seed: int = 1) -> dict[str, list[float]]:
    random = np.random.default_rng(seed)
    return {name: [true_seconds(c) * (1 + noise * random.standard_normal()) for _ in range(9)]
            for name, c in SCENARIOS.items()}


def test_a_path_never_measured_is_predicted_from_the_steps_it_shares_with_others() -> None:
    model, predicted = forecast(SCENARIOS, rounds(0.005), {"unseen": UNSEEN})
    assert predicted["unseen"].value == pytest.approx(true_seconds(UNSEEN), rel=0.02)
    assert true_seconds(UNSEEN) in predicted["unseen"]
    assert model.calibrated


def test_steps_that_always_come_together_share_their_cost_as_the_nominal_table_does() -> None:
    model = fit(list(SCENARIOS.values()), [true_seconds(c) for c in SCENARIOS.values()])
    assert model.prices[Kind.SEND] + model.prices[Kind.WAKEUP] == pytest.approx(2.3e-6, rel=0.02)
    assert min(model.prices.values()) > 0


def test_what_calibration_says_nothing_about_widens_the_interval() -> None:
    known = {name: c for name, c in SCENARIOS.items() if name != "translated"}
    measured = rounds(0.002)
    _, with_nat = forecast(SCENARIOS, measured, {"unseen": UNSEEN})
    _, less = forecast(known | {"nat and loopback": {**SCENARIOS["loopback"], Kind.NAT: 2, Kind.ROUTE: 6}},
                       measured | {"nat and loopback": [6e-6] * 9}, {"unseen": UNSEEN})
    assert less["unseen"].high - less["unseen"].low > with_nat["unseen"].high - with_nat["unseen"].low


@given(st.lists(st.fixed_dictionaries({Kind.SEND.value: st.integers(1, 4), Kind.VETH.value: st.integers(0, 6),
                                       Kind.RULE.value: st.integers(0, 40)}), min_size=1, max_size=6),
       st.lists(st.floats(1e-6, 1e-4), min_size=6, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_step_ever_earns_time(counts: list[Counts], seconds: list[float]) -> None:
    model = fit(counts, seconds[: len(counts)])
    assert all(price >= 0 for price in model.prices.values())


def test_a_tap_costs_nothing_and_gets_no_price() -> None:
    assert NOMINAL[Kind.SEEN] == 0
    model = fit([{Kind.SEND: 2, Kind.SEEN: 8}, {Kind.SEND: 4, Kind.SEEN: 2}], [2e-6, 4e-6])
    assert Kind.SEEN not in model.prices


def test_a_fit_without_measurements_is_refused() -> None:
    with pytest.raises(SpecError, match="as many measured"):
        fit([{Kind.SEND: 2}], [])


def test_the_saved_model_prices_a_step_as_the_fitted_one(tmp_path: Path) -> None:
    model = fit(list(SCENARIOS.values()), [true_seconds(c) for c in SCENARIOS.values()])
    path = tmp_path / "costs" / "box.json"
    save(model, path, fitted_on=[{"scenario": "loopback"}], provenance={"rounds": 9})
    loaded = CostModel.load(path)
    assert loaded.calibrated and loaded.source == "box"
    assert loaded.price(Step(Kind.VETH, "host", count=3)) == pytest.approx(3 * model.prices[Kind.VETH], rel=1e-3)
    assert seconds_of(loaded, UNSEEN) == pytest.approx(seconds_of(model, UNSEEN), rel=1e-3)


def test_an_interval_holds_its_own_value_and_narrows_with_quiet_rounds() -> None:
    loud, quiet = interval([1.0, 1.2, 0.8, 1.1, 0.9, 1.3]), interval([1.0, 1.01, 0.99, 1.0, 1.0, 1.01])
    assert loud.value in loud and quiet.value in quiet
    assert quiet.high - quiet.low < loud.high - loud.low
    assert 5.0 not in Interval(1.0, 0.9, 1.1)


def test_the_machines_name_can_be_a_file_name() -> None:
    assert machine_name().endswith("cpu") and "/" not in machine_name() and " " not in machine_name()
