"""Rounds: everything once, in a new order each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.performance.cases import CONNECT, Case
from experiments.performance.session import READY, WAVE, batches, rounds
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


def test_what_is_measured_several_times_a_round_is_one_job_of_it() -> None:
    said: list[tuple[int, int]] = []
    found, _ = rounds("ab", lambda jobs: iter([("a", 1), ("b", 2), ("a", 3)]), 2,
                      lambda what, done, total: said.append((done, total)))
    assert found == {"a": [1, 3, 1, 3], "b": [2, 2]}
    assert said == [(1, 4), (2, 4), (2, 4), (3, 4), (4, 4), (4, 4)]


def test_clients_of_one_regime_wait_together_and_a_tcp_server_has_one_of_those_that_are_measured_in_turns() -> None:
    asked = [Case(way, regime, protocol) for way in WAYS for regime in (BLOCKING, SPINNING)
             for protocol in ("tcp", "udp")]
    found = list(batches(asked))
    waves = [(regime, wave) for regime, batch in found for wave in batch]
    assert all(1 <= sum(map(len, batch)) <= READY for _, batch in found)
    assert sorted(map(str, asked)) == sorted(str(case) for _, wave in waves for case in wave)
    for regime, wave in waves:
        assert {case.regime for case in wave} == {regime}
        servers = [case.way.target for case in wave if case.protocol == "tcp"]
        assert len(servers) == len(set(servers))
    sizes = [len(wave) for _, wave in waves]
    assert max(sizes) <= WAVE and min(sizes) >= 2, "nobody is measured alone"


def test_clients_that_connect_anew_share_their_server_and_are_measured_in_turns() -> None:
    [(regime, waves)] = list(batches([Case(way, CONNECT) for way in WAYS][:WAVE]))
    assert regime == CONNECT and [len(wave) for wave in waves] == [WAVE]
