import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import SpecError
from sim.fabric.costs import BLOCKING, SPINNING, CostModel, Interruption
from sim.fabric.load import run, saturation
from sim.fabric.preemption import Preemption
from sim.fabric.sampling import percentiles
from sim.fabric.turns import Turn
from sim.trace import Kind

PRICES = {Kind.SEND: 1e-6, Kind.VETH: 1e-6, Kind.RECEIVE: 1e-6, Kind.WAKEUP: 2e-6}
COSTS = CostModel(PRICES)
SPREAD = CostModel(PRICES, variation=0.5, interruptions=(Interruption(250, 5e-6), Interruption(2, 1e-3)))
FORWARD = Turn("client", {Kind.SEND: 1, Kind.VETH: 1}, 42)
SERVE = Turn("server", {Kind.WAKEUP: 1, Kind.RECEIVE: 1, Kind.SEND: 1, Kind.VETH: 1}, 42)
RECEIVE = Turn("client", {Kind.WAKEUP: 1, Kind.RECEIVE: 1})
TURNS = (FORWARD, SERVE, RECEIVE)
SWITCH = Preemption.nominal(COSTS)
SUM = sum(COSTS.total(turn.counts) for turn in TURNS)
ALONE = SUM + SWITCH.before
PER_MESSAGE = 3e-6 + 3e-6 + SWITCH.before + SWITCH.after
"""Of CPU 1: reads and answers without a wake-up, the receiver's turn, a preemption."""
CAPACITY = 1 / PER_MESSAGE


def test_one_message_takes_what_its_turns_cost_together():
    loaded = run(COSTS, *TURNS, rate=1000, messages=1, preemption=Preemption(0, 0))
    assert list(loaded.percentiles.values()) == [pytest.approx(SUM, rel=1e-9)] * 4


def test_one_message_waits_for_the_server_to_be_thrown_off_its_cpu():
    loaded = run(COSTS, *TURNS, rate=1000, messages=1, preemption=Preemption(5e-6, 100e-6))
    assert loaded.percentiles[50.0] == pytest.approx(SUM + 5e-6)


def test_each_turn_is_priced_by_the_regime_that_it_runs_in():
    slow = CostModel({kind: 10 * price for kind, price in PRICES.items()})
    costs = CostModel({}, regimes={SPINNING: COSTS, BLOCKING: slow})
    expected = COSTS.total(FORWARD.counts) + COSTS.total(SERVE.counts) + slow.total(RECEIVE.counts)
    alone = run(costs, *TURNS, rate=1000, messages=1, preemption=Preemption(0, 0))
    assert alone.percentiles[50.0] == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_even_messages_without_spread_never_queue_below_saturation(share):
    loaded = run(COSTS, *TURNS, rate=share * CAPACITY, messages=2000)
    # Near saturation the next message comes while the CPU is switched back: it waits for that, and no poll was in vain.
    longest = ALONE + (SWITCH.after if share > 0.6 else 0)
    assert loaded.lost == 0 and loaded.percentiles[99.9] <= longest * (1 + 1e-9)
    assert loaded.sent_rate == pytest.approx(share * CAPACITY, rel=1e-3)
    assert loaded.answered_rate == pytest.approx(share * CAPACITY, rel=1e-3)


def test_cpus_are_busy_with_the_work_of_each_message():
    loaded = run(COSTS, *TURNS, rate=50e3, messages=5000)
    assert loaded.busy == (pytest.approx(50e3 * 2e-6, rel=1e-3), pytest.approx(50e3 * (PER_MESSAGE + 2e-6), rel=1e-3))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_random_messages_queue_as_in_m_d_1(load):
    serve = Turn("server", {Kind.RECEIVE: 10})
    loaded = run(COSTS, Turn("client", {}), serve, Turn("client", {}), rate=load / 10e-6, poisson=True,
                 messages=40000, buffer=1 << 30, seed=3)
    waiting = load * 10e-6 / (2 * (1 - load))
    assert loaded.mean - 10e-6 == pytest.approx(waiting, rel=0.15)


def test_burst_waits_for_its_own_messages():
    loaded = run(COSTS, *TURNS, rate=1000, burst=4, messages=4000)
    # Each of a burst is served when the one before it is through, and was sent 2 µs after that; the first one alone
    # pays for a poll.
    last = ALONE + 3 * (PER_MESSAGE - 2e-6)
    assert loaded.percentiles[99.9] == pytest.approx(last)
    assert loaded.sent_rate == pytest.approx(1000, rel=1e-2)


@pytest.mark.parametrize("times", [1.2, 2.0, 3.0])
def test_beyond_saturation_what_exceeds_the_capacity_is_lost(times):
    loaded = run(COSTS, *TURNS, rate=times * CAPACITY)
    assert loaded.lost == pytest.approx(1 - 1 / times, abs=0.01)
    assert loaded.answered_rate == pytest.approx(CAPACITY, rel=0.01)


def test_beyond_saturation_a_message_waits_behind_a_full_buffer():
    # 256 small datagrams, less the quarter of it that is given back only when it is read.
    loaded = run(COSTS, *TURNS, rate=1.5 * CAPACITY)
    assert 0.7 * 256 / CAPACITY < loaded.percentiles[50.0] < 256 / CAPACITY + ALONE


def test_larger_datagrams_fill_the_buffer_sooner():
    small = run(COSTS, *TURNS, rate=2 * CAPACITY, size=14).percentiles[50.0]
    large = run(COSTS, *TURNS, rate=2 * CAPACITY, size=1400).percentiles[50.0]
    assert large == pytest.approx(small * 832 / 2304, rel=0.1)


def test_saturation_is_the_capacity_of_the_slower_cpu():
    assert saturation(COSTS, *TURNS) == pytest.approx(CAPACITY, rel=0.01)
    slow = Turn("client", {Kind.SEND: 20}, 42)
    assert saturation(COSTS, slow, SERVE, RECEIVE) == pytest.approx(1 / 20e-6, rel=0.01)


def test_sender_that_can_not_keep_up_sends_as_fast_as_it_can():
    loaded = run(COSTS, Turn("client", {Kind.SEND: 20}, 42), SERVE, RECEIVE, rate=1e6, messages=2000)
    assert loaded.sent_rate == pytest.approx(50e3, rel=0.01) and loaded.lost == 0 and loaded.offered == 1e6


def test_saturation_is_where_loss_begins():
    most = saturation(SPREAD, *TURNS, messages=40000)
    assert run(SPREAD, *TURNS, rate=0.9 * most).lost < 0.002
    assert run(SPREAD, *TURNS, rate=1.1 * most).lost > 0.05


def test_interruptions_are_in_the_tail_and_not_in_the_median():
    calm, noisy = run(COSTS, *TURNS, rate=20e3), run(SPREAD, *TURNS, rate=20e3)
    assert noisy.percentiles[50.0] == pytest.approx(calm.percentiles[50.0], rel=0.05)
    assert noisy.percentiles[99.9] > 1.5 * calm.percentiles[99.9]


def test_late_sender_catches_up():
    costs = CostModel(PRICES, interruptions=(Interruption(20, 2e-3),))
    loaded = run(costs, *TURNS, rate=50e3)
    assert loaded.sent_rate == pytest.approx(50e3, rel=0.01)


def test_slow_cable_carries_its_rate_and_queues_for_its_limit():
    forward = Turn("client", FORWARD.counts, 42, rates=(10e6,))
    most = 10e6 / (56 * 8)
    loaded = run(COSTS, forward, SERVE, RECEIVE, rate=1.5 * most, messages=10000)
    assert loaded.lost == pytest.approx(1 / 3, abs=0.01)
    # tc makes the limit of 50 ms and of the burst, whose tokens are long used up.
    assert loaded.percentiles[50.0] == pytest.approx(0.05 + 65536 * 8 / 10e6, rel=0.02)
    assert saturation(COSTS, forward, SERVE, RECEIVE) == pytest.approx(most, rel=0.05)


def test_sender_waits_while_its_own_packets_fill_its_socket():
    own = Turn("client", FORWARD.counts, 42, rates=(10e6,), held=1)
    most = 10e6 / (56 * 8)
    loaded = run(COSTS, own, SERVE, RECEIVE, rate=1.5 * most, messages=10000)
    assert loaded.lost == 0 and loaded.sent_rate == pytest.approx(most, rel=0.01)
    # 212992 bytes of send buffer hold 256 small datagrams, and one more waits to be taken.
    assert loaded.percentiles[50.0] == pytest.approx(257 / most, rel=0.01)


def test_cable_of_the_way_back_loses_answers():
    serve = Turn("server", SERVE.counts, 42, rates=(10e6,))
    loaded = run(COSTS, FORWARD, serve, RECEIVE, rate=2 * 10e6 / (56 * 8), messages=10000)
    assert loaded.lost == pytest.approx(0.5, abs=0.01)


def test_tunnel_makes_packets_longer_on_a_cable():
    tunnelled = Turn("client", {**FORWARD.counts, Kind.ENCAP: 1}, 42, rates=(10e6,))
    assert saturation(COSTS, tunnelled, SERVE, RECEIVE) == pytest.approx(10e6 / (106 * 8), rel=0.05)


def test_cable_that_nothing_can_cross_leaves_no_answer():
    forward = Turn("client", FORWARD.counts, 70000, rates=(10e6,))
    loaded = run(COSTS, forward, SERVE, RECEIVE, rate=1000, messages=10)
    assert loaded.lost == 1 and not loaded.percentiles and math.isnan(loaded.mean)


def test_same_seed_gives_the_same_figures():
    assert run(SPREAD, *TURNS, rate=80e3, seed=5) == run(SPREAD, *TURNS, rate=80e3, seed=5)
    assert run(SPREAD, *TURNS, rate=80e3, seed=5) != run(SPREAD, *TURNS, rate=80e3, seed=6)


@settings(max_examples=20)
@given(st.sampled_from([Kind.SEND, Kind.VETH, Kind.RECEIVE]), st.floats(1e-8, 1e-5), st.floats(1e4, 3e5))
def test_dearer_step_never_makes_a_message_faster(kind, more, rate):
    dearer = CostModel({**PRICES, kind: PRICES[kind] + more})
    one, other = (run(costs, *TURNS, rate=rate, messages=300, buffer=1 << 30) for costs in (COSTS, dearer))
    # Who has to wait may be spared a poll in vain, and win up to the price of that.
    spared = PRICES[Kind.WAKEUP]
    assert all(other.percentiles[p] >= one.percentiles[p] * (1 - 1e-9) - spared for p in one.percentiles)


@settings(max_examples=10)
@given(st.sampled_from(sorted(PRICES)), st.floats(1e-8, 1e-5))
def test_dearer_step_never_makes_saturation_come_later(kind, more):
    dearer = CostModel({**PRICES, kind: PRICES[kind] + more})
    # A few hundred answers are counted: one of them more or less makes no difference.
    assert saturation(dearer, *TURNS, messages=3000) <= saturation(COSTS, *TURNS, messages=3000) * 1.005


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": 1, "messages": 0}, {"rate": 1, "burst": 0}])
def test_load_that_is_none_is_refused(wrong):
    with pytest.raises(SpecError, match="can't offer"):
        run(COSTS, *TURNS, **wrong)


def test_free_sender_that_never_waits_is_refused():
    with pytest.raises(SpecError, match="costs nothing"):
        saturation(CostModel({}), *TURNS)


def test_percentiles_are_those_of_the_nearest_rank():
    assert percentiles(list(range(1, 1001)), [50.0, 99.0, 99.9]) == {50.0: 500, 99.0: 990, 99.9: 999}
    assert percentiles([]) == {}


def test_twenty_thousand_messages_take_about_a_second_of_cpu_time():
    start = time.process_time()
    run(SPREAD, *TURNS, rate=80e3)
    assert time.process_time() - start < 5.0, "five times what it should take: no more than a tripwire"
