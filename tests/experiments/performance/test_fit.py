"""The fit from counted steps and measured seconds to prices, and intervals over rounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.performance.fit import Prior, fit, forecast, indistinct, left_out, prior_of_the_next
from experiments.performance.intervals import Interval, between, interval
from experiments.performance.machine import name as machine_name
from sim.errors import SpecError
from sim.fabric.costs import BYTE_SENT, NOMINAL, Counts
from sim.trace import Kind

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
ROUNDS = st.lists(st.floats(1e-6, 1e-3), min_size=1, max_size=9)


def true_seconds(counts: Counts) -> float:
    return sum(TRUE[Kind(kind)] * n for kind, n in counts.items())


def rounds(noise: float, seed: int = 1) -> dict[str, list[float]]:
    random = np.random.default_rng(seed)
    return {name: [true_seconds(c) * (1 + noise * random.standard_normal()) for _ in range(9)]
            for name, c in SCENARIOS.items()}


def test_a_path_never_measured_is_predicted_from_the_steps_it_shares_with_others() -> None:
    model, predicted, prices = forecast(SCENARIOS, rounds(0.005), {"unseen": UNSEEN})
    assert predicted["unseen"].value == pytest.approx(true_seconds(UNSEEN), rel=0.02)
    assert true_seconds(UNSEEN) in predicted["unseen"]
    assert model.calibrated and set(prices) == set(model.prices)
    assert all(model.prices[kind] == span.value for kind, span in prices.items())


def test_steps_that_always_come_together_share_their_cost_as_the_nominal_table_does() -> None:
    model = fit(list(SCENARIOS.values()), [true_seconds(c) for c in SCENARIOS.values()])
    assert model.prices[Kind.SEND] + model.prices[Kind.WAKEUP] == pytest.approx(2.3e-6, rel=0.02)
    assert min(model.prices.values()) > 0


def test_steps_that_always_come_together_are_named_as_not_told_apart() -> None:
    assert indistinct(list(SCENARIOS.values())) == [[Kind.SEND.value, Kind.WAKEUP.value]]


def test_a_prior_shares_out_what_the_data_leave_open() -> None:
    dear = {**NOMINAL, Kind.WAKEUP: 2 * NOMINAL[Kind.WAKEUP]}
    seconds = [true_seconds(c) for c in SCENARIOS.values()]
    usual, other = fit(list(SCENARIOS.values()), seconds), fit(list(SCENARIOS.values()), seconds, prior=Prior(dear))
    assert other.prices[Kind.WAKEUP] > usual.prices[Kind.WAKEUP]
    assert other.total(SCENARIOS["loopback"]) == pytest.approx(usual.total(SCENARIOS["loopback"]), rel=0.03)


def test_a_rule_costs_in_the_next_regime_what_it_cost_in_the_one_before_unless_the_data_say_otherwise() -> None:
    before = prior_of_the_next({Kind.SEND: 1e-6, Kind.RULE: 25e-9})
    hardly = {"one": {Kind.SEND: 2, Kind.RULE: 10}, "other": {Kind.SEND: 4, Kind.RULE: 21}}
    seconds = [4e-6, 8.1e-6]  # as well twice as many nanoseconds for each of the two as ten times as many for a rule
    assert fit(list(hardly.values()), seconds, prior=before).prices[Kind.RULE] == pytest.approx(25e-9, rel=0.2)
    assert fit(list(hardly.values()), seconds, prior=Prior(before.prices)).prices[Kind.RULE] > 40e-9
    many = hardly | {"long chain": {Kind.SEND: 2, Kind.RULE: 1000}}
    assert fit(list(many.values()), [*seconds, 53e-6], prior=before).prices[Kind.RULE] == pytest.approx(50e-9, rel=0.05)


def test_what_calibration_says_nothing_about_widens_the_interval() -> None:
    known = {name: c for name, c in SCENARIOS.items() if name != "translated"}
    measured = rounds(0.002)
    with_nat = forecast(SCENARIOS, measured, {"unseen": UNSEEN})[1]["unseen"]
    less = forecast(known | {"nat and loopback": {**SCENARIOS["loopback"], Kind.NAT: 2, Kind.ROUTE: 6}},
                    measured | {"nat and loopback": [6e-6] * 9}, {"unseen": UNSEEN})[1]["unseen"]
    assert less.high - less.low > with_nat.high - with_nat.low


def test_a_step_that_was_never_measured_has_the_priors_price_and_is_beyond_what_was_seen() -> None:
    steps = {**UNSEEN, Kind.ENCAP: 2.0}
    model, predicted, _ = forecast(SCENARIOS, rounds(0.002), {"tunnel": steps, "unseen": UNSEEN})
    speed = model.prices[Kind.ENCAP] / NOMINAL[Kind.ENCAP]
    assert 0.1 < speed < 10 and model.outside(steps) == [Kind.ENCAP] and not model.outside(UNSEEN)
    more = predicted["tunnel"].value - predicted["unseen"].value
    assert more == pytest.approx(2 * model.prices[Kind.ENCAP])
    width = {name: span.high - span.low for name, span in predicted.items()}
    assert width["tunnel"] > width["unseen"] + more
    assert Kind.ENCAP not in fit(list(SCENARIOS.values()), [true_seconds(c) for c in SCENARIOS.values()]).prices


def test_a_scenario_left_out_is_predicted_without_its_twins_unless_they_are_asked_for() -> None:
    counts = SCENARIOS | {"bridge again": SCENARIOS["bridge"]}
    measured = rounds(0.001)
    measured["bridge again"] = measured["bridge"]
    wrong = measured | {"bridge": [2 * time for time in measured["bridge"]]}
    alone, helped = left_out(counts, wrong), left_out(counts, wrong, twins=True)
    truth = true_seconds(SCENARIOS["bridge"])
    assert alone["bridge again"][1].value == pytest.approx(truth, rel=0.1)
    assert helped["bridge again"][1].value > 1.2 * truth


def test_a_byte_has_a_price_as_a_step_has() -> None:
    counts: list[Counts] = [{Kind.SEND: 2, BYTE_SENT: size} for size in (28, 2800, 28000)]
    model = fit(counts, [2e-6 + 1e-10 * row[BYTE_SENT] for row in counts])
    assert model.prices[BYTE_SENT] == pytest.approx(1e-10, rel=0.02)


@given(st.lists(st.fixed_dictionaries({Kind.SEND.value: st.integers(1, 4), Kind.VETH.value: st.integers(0, 6),
                                       Kind.RULE.value: st.integers(0, 40)}), min_size=1, max_size=6),
       st.lists(st.floats(1e-6, 1e-4), min_size=6, max_size=6))
@settings(max_examples=60)
def test_no_step_ever_earns_time(counts: list[Counts], seconds: list[float]) -> None:
    model = fit(counts, seconds[: len(counts)])
    assert all(price >= 0 for price in model.prices.values())


@given(st.floats(1e-3, 1e3))
@settings(max_examples=30)
def test_a_machine_that_is_so_many_times_slower_has_prices_that_are_so_many_times_higher(factor: float) -> None:
    seconds = [true_seconds(c) for c in SCENARIOS.values()]
    one, other = (fit(list(SCENARIOS.values()), [k * s for s in seconds]) for k in (1.0, factor))
    assert other.total(UNSEEN) == pytest.approx(factor * one.total(UNSEEN), rel=1e-6)


def test_a_tap_costs_nothing_and_gets_no_price() -> None:
    assert NOMINAL[Kind.SEEN] == 0
    model = fit([{Kind.SEND: 2, Kind.SEEN: 8}, {Kind.SEND: 4, Kind.SEEN: 2}], [2e-6, 4e-6])
    assert Kind.SEEN not in model.prices


def test_a_fit_without_measurements_is_refused() -> None:
    with pytest.raises(SpecError, match="as many measured"):
        fit([{Kind.SEND: 2}], [])


def test_an_interval_holds_its_own_value_and_narrows_with_quiet_rounds() -> None:
    loud, quiet = interval([1.0, 1.2, 0.8, 1.1, 0.9, 1.3]), interval([1.0, 1.01, 0.99, 1.0, 1.0, 1.01])
    assert loud.value in loud and quiet.value in quiet
    assert quiet.high - quiet.low < loud.high - loud.low
    assert 5.0 not in Interval(1.0, 0.9, 1.1)
    assert loud.as_dict() == {"value": loud.value, "low": loud.low, "high": loud.high}


def test_intervals_are_apart_where_they_have_nothing_in_common() -> None:
    assert Interval(1.0, 0.9, 1.1).apart(Interval(2.0, 1.2, 3.0))
    assert Interval(2.0, 1.2, 3.0).apart(Interval(1.0, 0.9, 1.1))
    assert not Interval(1.0, 0.9, 1.1).apart(Interval(2.0, 1.1, 3.0))


@given(ROUNDS)
@settings(max_examples=60)
def test_an_interval_lies_within_its_rounds_whatever_they_are(found: list[float]) -> None:
    span = interval(found)
    assert min(found) <= span.low <= span.value <= span.high <= max(found)
    assert interval(found) == span


@given(ROUNDS, st.floats(0.1, 10.0))
@settings(max_examples=60)
def test_an_interval_has_the_unit_of_its_rounds(found: list[float], factor: float) -> None:
    span, other = interval(found), interval([factor * time for time in found])
    scaled = [factor * end for end in (span.value, span.low, span.high)]
    assert [other.value, other.low, other.high] == pytest.approx(scaled)


def test_most_of_the_draws_lie_between_the_ends_of_their_interval() -> None:
    draws = list(np.random.default_rng(1).standard_normal(1000))
    span = between(0.0, draws)
    assert sum(draw in span for draw in draws) == pytest.approx(950, abs=3)


def test_the_machines_name_can_be_a_file_name() -> None:
    assert machine_name().endswith("cpu") and "/" not in machine_name() and " " not in machine_name()
