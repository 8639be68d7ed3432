import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import SpecError
from sim.fabric.costs import BLOCKING, SPINNING, CostModel, Interruption
from sim.fabric.pingpong import ping_pong
from sim.fabric.turns import Turn
from sim.trace import Kind

TURNS = [
    Turn("client", {Kind.SEND: 1, Kind.VETH: 1}, 42),
    Turn("server", {Kind.WAKEUP: 1, Kind.RECEIVE: 1, Kind.SEND: 1}, 42),
    Turn("client", {Kind.WAKEUP: 1, Kind.RECEIVE: 1}),
]
PRICES = {Kind.SEND: 1e-6, Kind.VETH: 2e-6, Kind.RECEIVE: 3e-6, Kind.WAKEUP: 4e-6}


def test_round_trip_without_spread_takes_what_its_turns_cost():
    costs = CostModel(PRICES)
    trips = ping_pong(costs, TURNS, count=10)
    alone = sum(costs.total(turn.counts) for turn in TURNS)
    assert trips.mean == pytest.approx(alone) and list(trips.percentiles.values()) == [pytest.approx(alone)] * 4


def test_mode_chooses_the_prices():
    costs = CostModel(PRICES, regimes={SPINNING: CostModel({Kind.WAKEUP: 1e-6}), BLOCKING: CostModel(PRICES)})
    assert ping_pong(costs, TURNS, mode=SPINNING, count=1).mean == pytest.approx(2e-6)
    assert ping_pong(costs, TURNS, mode=BLOCKING, count=1).mean == pytest.approx(18e-6)


def test_docker_proxy_is_one_more_turn_there_and_back():
    proxy = Turn("proxy", {Kind.PROXY: 1})
    costs = CostModel({**PRICES, Kind.PROXY: 10e-6})
    turns = [TURNS[0], proxy, TURNS[1], proxy, TURNS[2]]
    for mode in (BLOCKING, SPINNING):
        assert ping_pong(costs, turns, mode=mode, count=3).mean == pytest.approx(38e-6)


@settings(max_examples=20)
@given(st.floats(0.05, 0.4), st.integers(0, 1000))
def test_spread_of_the_steps_leaves_the_mean_and_widens_the_percentiles(variation, seed):
    trips = ping_pong(CostModel(PRICES, variation=variation), TURNS, count=2000, seed=seed)
    assert trips.mean == pytest.approx(18e-6, rel=0.05)
    assert trips.percentiles[50.0] < trips.percentiles[99.0] <= trips.percentiles[99.9]


@pytest.mark.parametrize("mode", [BLOCKING, SPINNING])
def test_interruptions_lengthen_few_round_trips(mode):
    costs = CostModel(PRICES, interruptions=(Interruption(100, 1e-3),))
    trips = ping_pong(costs, TURNS, mode=mode, count=20000)
    assert trips.percentiles[50.0] == pytest.approx(18e-6) and trips.percentiles[99.9] > 100e-6


def test_slow_cable_does_not_delay_a_message_that_its_bucket_has_room_for():
    cable = Turn("client", TURNS[0].counts, 42, rates=(1e6,))
    quiet = ping_pong(CostModel(PRICES), [cable, *TURNS[1:]], count=100)
    assert quiet.percentiles[99.9] == pytest.approx(18e-6)
    busy = ping_pong(CostModel(PRICES), [cable, *TURNS[1:]], count=5000)
    assert busy.percentiles[99.9] == pytest.approx(56 * 8 / 1e6), "the bucket is empty: one packet a round trip"


def test_same_seed_gives_the_same_figures():
    costs = CostModel(PRICES, variation=0.3, interruptions=(Interruption(100, 1e-4),))
    assert ping_pong(costs, TURNS, seed=1, count=500) == ping_pong(costs, TURNS, seed=1, count=500)
    assert ping_pong(costs, TURNS, seed=1, count=500) != ping_pong(costs, TURNS, seed=2, count=500)


def test_what_makes_no_sense_is_refused_in_one_line():
    with pytest.raises(SpecError, match="no mode is called 'sleeping'"):
        ping_pong(CostModel(), TURNS, mode="sleeping")
    with pytest.raises(SpecError, match="at least one round trip"):
        ping_pong(CostModel(), TURNS, count=0)
    with pytest.raises(SpecError, match="never passes"):
        ping_pong(CostModel(), [Turn("client", {}, 70000, rates=(1e6,))], count=1)
