"""The orchestration with a measurement made from the prediction itself: what is planted there must come out."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

import experiments.verify
from experiments.demo import scenario
from experiments.measurement import Measurement, Observation
from experiments.publish import nat_question, publish
from experiments.render import sentence
from experiments.verify import Verification, unmeasured, verify
from sim.errors import LabError, PlumbError
from sim.packet import Packet
from sim.predict import Prediction, predict
from sim.spec import Spec
from sim.trace import Answer, Outcome, Trace


@pytest.fixture(scope="module")
def spec() -> Spec:
    return scenario("single-host")


@pytest.fixture(scope="module")
def prediction(spec: Spec) -> Prediction:
    return predict(spec, observed=True)


def echo(prediction: Prediction) -> Measurement:
    """A machine that does exactly what was predicted."""
    points = sorted({s.point for trace in prediction.traces for s in trace
                     if s.device and s.where in prediction.plumbing.namespaces})
    observations = [
        Observation(dial, answer, Trace(copy.deepcopy(trace.observed(points).steps)), until=60.0)
        for dial, answer, trace in zip(prediction.dials, prediction.answers, prediction.traces, strict=True)]
    return Measurement("20.10.24", copy.deepcopy(prediction.plumbing), points, observations, {"lab up": 1.0})


def verified(spec: Spec, measurement: Measurement, monkeypatch: pytest.MonkeyPatch) -> Verification:
    monkeypatch.setattr(experiments.verify, "measure", lambda *_, **__: measurement)
    return verify(spec)


def test_a_machine_that_does_as_predicted_agrees_on_every_level(
    spec: Spec, prediction: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = verified(spec, echo(prediction), monkeypatch)
    assert [c for c in result.checks if c.agreed is not True] == []
    assert result.exit_code == 0
    assert len(result.answers) >= 25
    assert "0 disagreed" in sentence(result.as_dict())


def test_planted_differences_are_found_each_on_its_level(
    spec: Spec, prediction: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    measurement = echo(prediction)
    measurement.plumbing.namespaces["host"].rules["filter"].reverse()
    measurement.observations[0].answer = Answer(Outcome.TIMEOUT)
    packet = measurement.observations[1].trace.steps[0].packet
    assert isinstance(packet, Packet) and packet.eth is not None
    packet.eth.src = "02:00:00:00:00:99"
    measurement.observations[2].trace.lost = 4
    result = verified(spec, measurement, monkeypatch)
    assert result.exit_code == 1
    assert [c.subject for c in result.plumbing if not c.agreed] == ["host: iptables filter"]
    assert [i for i, (reach, _) in enumerate(result.answers) if reach.agreed is False] == [0]
    assert [i for i, (_, path) in enumerate(result.answers) if path.agreed is False] == [1]
    assert [i for i, (_, path) in enumerate(result.answers) if path.agreed is None] == [2]


def test_a_refusal_that_was_not_predicted_is_a_disagreement_and_all_else_is_not_made(
    spec: Spec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuses(*_: object, **__: object) -> Measurement:
        raise PlumbError("numerical result out of range", where="network front")

    monkeypatch.setattr(experiments.verify, "measure", refuses)
    result = verify(spec)
    assert result.exit_code == 1
    assert [(c.subject, c.predicted, c.observed) for c in result.checks if c.agreed is False] == [
        ("network front: deployed", "deployed", "refused: numerical result out of range")]
    assert {c.detail for c in result.checks if c.agreed is None} == {"the engine refuses network front"}
    assert (result.totals.of().checked, result.totals.of().agreed) == (1, 0)
    assert "on Docker Engine 20.10: 0 agreed, 1 disagreed" in sentence(result.as_dict())
    assert result.as_dict()["plumbing"][0]["observed"] == "refused: numerical result out of range"
    publish(result, tmp_path, "refused")
    assert "seen: refused: numerical result out of range" in (tmp_path / "summary.md").read_text()


def test_lost_frames_alone_are_no_pass(
    spec: Spec, prediction: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    measurement = echo(prediction)
    measurement.observations[5].trace.lost = 1
    assert verified(spec, measurement, monkeypatch).exit_code == LabError.exit_code


def test_a_question_that_could_not_be_asked_says_why(
    spec: Spec, prediction: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    measurement = echo(prediction)
    measurement.observations[3] = Observation(prediction.dials[3], why="the probe died")
    measurement.observations[4] = Observation(why="web does not publish port 80/tcp")
    result = verified(spec, measurement, monkeypatch)
    reach, path = result.answers[3]
    assert (reach.agreed, path.agreed, path.detail) == (None, None, "the probe died")
    reach, path = result.answers[4]
    assert (reach.agreed, reach.observed, path.agreed) == (False, "nothing to dial", None)


def test_an_unmeasured_verification_has_every_check_and_made_none(spec: Spec) -> None:
    result = unmeasured(spec, "no root")
    total = result.totals.of()
    assert total.checked == 0 and total.not_made == len(result.plumbing) + 2 * len(result.answers)
    assert all(c.detail == "no root" for c in result.checks)
    assert sentence(result.as_dict()).startswith(f"0 of {total.not_made} predictions checked")


def test_results_hold_data_summary_and_plots(
    spec: Spec, prediction: Prediction, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measurement = echo(prediction)
    measurement.observations[0].answer = Answer(Outcome.TIMEOUT)
    result = verified(spec, measurement, monkeypatch)
    written = {p.name for p in publish(result, tmp_path, "A test")}
    assert written == {"data.json", "summary.md", "reachability.png", "reachability.svg", "path.png", "path.svg"}
    text = (tmp_path / "summary.md").read_text()
    assert "1 disagreed" in text and "DISAGREED" in text and "## Where prediction and measurement differ" in text
    assert (tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")


def test_a_summary_says_which_questions_were_asked_again_and_what_had_spoilt_them(
    spec: Spec, prediction: Prediction, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measurement = echo(prediction)
    publish(verified(spec, measurement, monkeypatch), tmp_path, "Once each")
    assert "## Asked more than once" not in (tmp_path / "summary.md").read_text()
    measurement.observations[2].attempts = 4
    measurement.observations[2].again = ["1 frame lost", "the probe was late", "1 frame lost"]
    publish(verified(spec, measurement, monkeypatch), tmp_path, "Again")
    text = (tmp_path / "summary.md").read_text()
    row = f"| {prediction.questions[2]} | 4 | 1 frame lost (2 times); the probe was late |"
    assert "## Asked more than once" in text and row in text


def test_the_question_for_the_ladder_goes_through_a_published_port_from_outside(spec: Spec) -> None:
    result = unmeasured(spec, "no root")
    index = nat_question(result)
    assert index is not None
    question = result.prediction.questions[index]
    assert question.published and spec.client(question.source) is not None
