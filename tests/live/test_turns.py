"""Clients that are measured in turns."""

from __future__ import annotations

from live.sockperf_output import Latency
from live.turns import TURN, in_turn


class Counting:
    """Nothing counts in its first `unready` seconds."""

    def __init__(self, name: str, said: list[tuple[str, float]], unready: float = 0.0) -> None:
        self.name, self.said, self.unready = name, said, unready
        self.counted = 0.0

    def turn(self, seconds: float) -> None:
        self.said.append((self.name, seconds))
        warm = min(seconds, self.unready)
        self.unready -= warm
        self.counted += seconds - warm

    def result(self) -> Latency:
        return Latency(len(self.said), 0.0, {50.0: self.counted})


def test_each_goes_on_for_a_moment_and_stands_still_while_the_others_do() -> None:
    said: list[tuple[str, float]] = []
    runs = in_turn([Counting("a", said), Counting("b", said), Counting("c", said)], 4 * TURN)
    assert said == [(name, TURN) for _ in range(4) for name in "abc"]
    assert [run.p50 for run in runs] == [4 * TURN] * 3


def test_who_warms_up_longer_has_more_turns_and_the_last_ones_whole() -> None:
    said: list[tuple[str, float]] = []
    in_turn([Counting("a", said), Counting("b", said, unready=TURN)], 2 * TURN)
    assert said == [("a", TURN), ("b", TURN)] * 2 + [("b", TURN)]


def test_one_client_alone_is_measured_in_one_go() -> None:
    said: list[tuple[str, float]] = []
    in_turn([Counting("a", said)], 1.5)
    assert said == [("a", 1.5)]
