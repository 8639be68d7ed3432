import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.fabric.costs import BLOCKING, SPINNING, CostModel, Interruption
from sim.fabric.load import run, saturation
from sim.fabric.preemption import Preemption
from sim.fabric.turns import Turn
from sim.trace import Kind

TURNS = (Turn("client", {Kind.SEND: 1}, 42), Turn("server", {Kind.WAKEUP: 1, Kind.RECEIVE: 1, Kind.SEND: 1}, 42),
         Turn("client", {Kind.WAKEUP: 1, Kind.RECEIVE: 1}))
APART = CostModel({Kind.SEND: 1e-6, Kind.RECEIVE: 0.5e-6, Kind.WAKEUP: 0.3e-6},
                  interruptions=(Interruption(250, 40e-6),))
SHARED = CostModel({Kind.SEND: 0.9e-6, Kind.RECEIVE: 0.4e-6, Kind.WAKEUP: 1.2e-6})
COSTS = CostModel({}, regimes={SPINNING: APART, BLOCKING: SHARED})


@given(st.floats(0, 3e-6), st.floats(0, 3e-6))
def test_preemption_is_found_again_in_the_load_that_it_makes(before, after):
    busy = 1.5e-6 + 1.6e-6 + before + after
    found = Preemption.fitted(COSTS, *TURNS, latency=1e-6 + 1.8e-6 + 1.6e-6 + before, saturation=1 / (busy * 1.01))
    assert (found.before, found.after) == (pytest.approx(before, abs=1e-12), pytest.approx(after, abs=1e-12))


def test_fitted_preemption_gives_the_latency_and_the_saturation_it_was_fitted_to():
    fitted = Preemption.fitted(COSTS, *TURNS, latency=5.6e-6, saturation=180e3)
    assert run(COSTS, *TURNS, rate=20e3, messages=2000, preemption=fitted).percentiles[50.0] == pytest.approx(5.6e-6)
    assert saturation(COSTS, *TURNS, preemption=fitted) == pytest.approx(180e3, rel=0.01)


def test_preemption_costs_never_less_than_nothing():
    assert Preemption.fitted(COSTS, *TURNS, latency=1e-6, saturation=1e9) == Preemption(0.0, 0.0)


def test_nominal_preemption_grows_with_the_price_of_a_wake_up():
    twice = CostModel({Kind.WAKEUP: 2.4e-6})
    assert Preemption.nominal(twice).after == pytest.approx(2 * Preemption.nominal(COSTS).after)
