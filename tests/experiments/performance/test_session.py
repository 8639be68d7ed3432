"""Rounds: everything once, in a new order each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.performance.cases import Case
from experiments.performance.session import BATCH, batches, rounds
from experiments.performance.topology import WAYS
from sim.fabric.costs import BLOCKING, SPINNING


def test_every_job_is_done_once_a_round_and_the_order_changes() -> None:
    orders: list[list[int]] = []

    def measure(jobs: Sequence[int]) -> Iterator[tuple[int, int]]:
        orders.append(list(jobs))
        for job in jobs:
            yield job, 10 * job

    said: list[tuple[str, int, int]] = []
    found, noise = rounds(range(8), measure, 3, lambda what, done, total: said.append((what, done, total)), "asking")
    assert found == {job: [10 * job] * 3 for job in range(8)}
    assert len(orders) == 3 and all(sorted(order) == list(range(8)) for order in orders)
    assert orders[0] != orders[1] and noise.seconds >= 0
    assert said[0] == ("asking, round 1 of 3", 1, 24) and said[-1] == ("asking, round 3 of 3", 24, 24)


def test_a_batch_has_one_regime_and_no_more_clients_than_can_wait_side_by_side() -> None:
    asked = [Case(way, regime) for way in WAYS for regime in (BLOCKING, SPINNING)]
    found = list(batches(asked))
    assert all({case.regime for case in batch} == {regime} for regime, batch in found)
    assert max(len(batch) for _, batch in found) == BATCH
    assert sorted(map(str, (case for _, batch in found for case in batch))) == sorted(map(str, asked))
