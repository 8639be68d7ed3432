"""Round robin over a run: a balancer that skips or repeats a task is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from experiments.compare import Check
from experiments.measurement import Measurement, Observation
from experiments.rotation import Seen, rotations
from experiments.verify import verify
from sim import topology
from sim.predict import Prediction, predict
from sim.spec import Question, Spec
from sim.trace import Answer, Outcome
from tests.sim.test_mesh import swarm, to_the_mesh


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    asked = [to_the_mesh("client", "192.168.99.101") for _ in range(6)]
    return predict(swarm(*asked, to_the_mesh("client", "192.168.99.102")))


def seen(*tasks: str, attempts: Sequence[int] = ()) -> list[Seen]:
    return [(Answer(Outcome.REACHED, "192.168.99.101", task, "10.0.0.2"), attempts[index] if attempts else 1)
            for index, task in enumerate(tasks)]


def judged(prediction: Prediction, observed: list[Seen]) -> list[Check]:
    return rotations([(prediction.ways(index), each) for index, each in enumerate(observed)])


def test_ipvs_gives_connections_to_the_tasks_in_turn(prediction: Prediction) -> None:
    observed = seen("web.2", "web.1", "web.3", "web.2", "web.1", "web.3", "web.1")
    checks = judged(prediction, observed)
    assert [(c.agreed, c.where) for c in checks] == [(True, "ingress_sbox@h1")]
    assert "web.1, web.2, web.3" in checks[0].subject


def test_a_balancer_that_repeats_a_task_out_of_turn_is_found(prediction: Prediction) -> None:
    observed = seen("web.2", "web.1", "web.3", "web.1", "web.2", "web.3", "web.1")
    check, = judged(prediction, observed)
    assert check.agreed is False and "web.2, web.1, web.3, web.1" in check.observed


def test_a_connection_nobody_told_the_task_of_takes_its_turn_as_well(prediction: Prediction) -> None:
    observed = seen("web.2", "", "web.3", "web.2", "web.1", "web.3", "web.1")
    assert judged(prediction, observed)[0].agreed
    observed = seen("web.2", "", "web.1", "web.3", "web.2", "web.1", "web.1")
    assert judged(prediction, observed)[0].agreed is False


def test_after_a_question_that_was_asked_again_the_count_starts_anew(prediction: Prediction) -> None:
    observed = seen("web.2", "web.1", "web.1", "web.1", "web.3", "web.2", "web.1", attempts=[1, 1, 2, 1, 1, 1, 1])
    assert judged(prediction, observed)[0].agreed


def test_each_nodes_balancer_has_a_turn_of_its_own(prediction: Prediction) -> None:
    observed = seen("web.1", "web.2", "web.3", "web.1", "web.2", "web.3", "web.3")
    assert all(check.agreed for check in judged(prediction, observed))


def test_turns_are_counted_phase_by_phase_for_a_fault_changes_who_takes_part() -> None:
    """Listed question by question, asked phase by phase: before it web.1 and web.2 in turn, and again during it."""
    builder = (topology("t").host("h1").host("h2").host("h3").network("ov", driver="overlay")
               .service("web", networks=["ov"], replicas=2, constraints=["node.role == worker"], ports=["8080:80"])
               .fault("f", "node drained", "h2"))
    spec = builder.ask("client -> h1:8080 around f").ask("client -> h1:8080 around f").spec()
    prediction = predict(spec, observed=True)
    answers = [Answer(Outcome.REACHED, "192.168.99.101", task, "10.0.0.2") for task in (
        "web.1", "web.1", "web.2", "web.2", "web.2", "web.2")]

    def measuring(spec: Spec, questions: Sequence[Question], *, progress: object) -> Measurement:
        seen = [Observation(dial, answer) for dial, answer in zip(prediction.dials, answers, strict=True)]
        return Measurement("20.10.24", prediction.plumbing, [], seen, {})

    turns = verify(spec, measuring=measuring).turns
    assert [(check.subject.partition(", ")[2].partition(", ")[2], check.agreed) for check in turns] == [
        ("", True), ("during f", True), ("after f", False)]
