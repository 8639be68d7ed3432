"""What a load on loopback teaches."""

from __future__ import annotations

import json

import pytest

from experiments.performance.learnt import Learnt, interrupted, learn
from live.sockperf_output import Load
from sim.fabric import load
from sim.fabric.costs import BLOCKING, SPINNING, CostModel, Interruption
from sim.fabric.preemption import Preemption
from sim.fabric.turns import Turn
from sim.trace import Kind

PRICES: dict[str, float] = {Kind.SEND: 1e-6, Kind.RECEIVE: 1e-6, Kind.WAKEUP: 2e-6}
COSTS = CostModel(PRICES, regimes={BLOCKING: CostModel(PRICES), SPINNING: CostModel(PRICES)})
TURNS = (Turn("client", {Kind.SEND: 1}, 42), Turn("server", {Kind.WAKEUP: 1, Kind.RECEIVE: 1, Kind.SEND: 1}, 42),
         Turn("client", {Kind.WAKEUP: 1, Kind.RECEIVE: 1}))


def loaded(offered: float, p50: float, goodput: float = 0.0, late: float = 10e-6) -> Load:
    answered = round(goodput or offered)
    return Load(offered, round(offered), answered, 1.0, p50, {50.0: p50, 99.0: p50 + late, 99.9: p50 + 4 * late})


def learnt(slow: float = 11e-6, calm: float = 10e-6) -> Learnt:
    return learn(COSTS, TURNS, [loaded(10_000, slow)] * 3, [loaded(50_000, calm)] * 3, [loaded(400_000, 1e-3, 1e5)] * 3)


def test_the_latency_without_a_queue_tells_what_a_preemption_costs() -> None:
    assert learnt().preemption.before == pytest.approx(2e-6)


def test_a_path_that_rested_is_slower_in_proportion_to_the_pause() -> None:
    found = learnt()
    assert found.cooling == pytest.approx(0.1 / 80e-6)
    there, preemption = found.at(COSTS, 10_000)
    assert there.regime(SPINNING).total({Kind.SEND: 1}) == pytest.approx(1.1e-6)
    assert preemption.before == pytest.approx(2.2e-6)
    assert found.at(COSTS, 200_000)[0].regime(SPINNING).total({Kind.SEND: 1}) == pytest.approx(1e-6)


def test_a_path_that_rested_is_never_faster() -> None:
    assert learnt(slow=9e-6).cooling == 0


def test_interruptions_make_as_many_messages_late_as_were_seen() -> None:
    long, short = interrupted({99.0: 10e-6, 99.9: 40e-6}, alone=5e-6, busy=0.5)
    assert (long.seconds, short.seconds) == (40e-6, 10e-6)
    late_by_short = long.per_second * (5e-6 + 2 * 30e-6) + short.per_second * 5e-6
    assert late_by_short == pytest.approx(0.01) and long.per_second * 5e-6 <= 0.001 + 1e-12


def test_a_machine_on_which_nobody_is_late_has_no_interruptions() -> None:
    assert interrupted({99.0: 0.0, 99.9: 0.0}, 5e-6) == ()


def test_interruptions_may_come_more_often_than_they_were_learnt() -> None:
    found = learnt()
    twice = found.at(COSTS, 60_000, 2.0)[0].regime(SPINNING).interruptions
    assert [each.seconds for each in twice] == [each.seconds for each in found.interruptions]
    assert [each.per_second for each in twice] == [2 * each.per_second for each in found.interruptions]


def test_what_was_learnt_is_the_same_after_it_was_written_and_read() -> None:
    assert Learnt.from_dict(json.loads(json.dumps(learnt().as_dict()))) == learnt()


@pytest.mark.parametrize("share", [0.25, 0.55])
def test_interruptions_that_a_load_taught_make_the_simulated_load_as_late(share: float) -> None:
    """The formula and the simulation mean the same by an interruption, whether there are queues or not."""
    preemption, seen = Preemption(0.0, 0.0), (Interruption(250.0, 30e-6), Interruption(600.0, 5e-6))
    rate = share * load.saturation(COSTS, *TURNS, messages=2000, preemption=preemption)

    def tails(interruptions: tuple[Interruption, ...]) -> tuple[float, dict[float, float]]:
        costs = Learnt(preemption, interruptions).at(COSTS, rate)[0]
        found = load.run(costs, *TURNS, rate=rate, messages=40_000, preemption=preemption, seed=1).percentiles
        return found[50.0], {p: found[p] - found[50.0] for p in (99.0, 99.9)}

    alone, late = tails(seen)
    assert tails(interrupted(late, alone, share))[1] == pytest.approx(late, rel=0.25)


def test_interruptions_are_those_of_the_load_and_not_of_the_ping_pong() -> None:
    told = Learnt(Preemption(0.0, 0.0), (Interruption(300.0, 20e-6),))
    assert told.at(COSTS, 1000)[0].regime(SPINNING).interruptions == told.interruptions
    assert told.at(COSTS, 1000)[0].regime(BLOCKING).interruptions == ()
