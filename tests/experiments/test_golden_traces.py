"""The model against traces captured on a real engine (`make goldens` takes them again): no root, no engine needed."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from experiments.compare import compare_answer, compare_path
from sim.compose import load
from sim.predict import Prediction, predict
from sim.trace import Answer, Outcome, Trace
from tests.goldens.traces import GOLDEN, SCENARIO, chosen

DATA: dict[str, Any] = json.loads(GOLDEN.read_text())


@cache
def prediction() -> Prediction:
    spec = load(SCENARIO)
    return predict(spec, observed=True, questions=chosen(spec))


def test_the_golden_traces_are_those_of_the_scenario() -> None:
    assert [row["question"] for row in DATA["questions"]] == [str(q) for q in prediction().questions]


@pytest.mark.parametrize("index", range(len(DATA["questions"])), ids=[row["question"] for row in DATA["questions"]])
def test_every_packet_passes_as_it_did_on_the_real_engine(index: int) -> None:
    row, dial = DATA["questions"][index], prediction().dials[index]
    ports = [other.source_port for other in prediction().dials]
    path = compare_path(prediction().traces[index], Trace.from_dict(row["trace"]), DATA["points"], dial=dial,
                        others=ports, bridges=prediction().plumbing.points("bridge"), until=row["until"])
    assert path.agreed is True, path.detail
    answer = compare_answer(prediction().answers[index], Answer(**row["answer"] | {
        "outcome": Outcome(row["answer"]["outcome"])}))
    assert answer.agreed is True, answer.detail
