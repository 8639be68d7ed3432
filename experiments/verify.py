"""Predict, measure, compare: a whole verification of one Spec, question by question.

The order is the point: the prediction is complete before the lab is touched, and what the lab says goes nowhere but
into `experiments/compare.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.compare import Check, Totals, compare_answer, compare_path, compare_plumbing, not_made
from experiments.dialogue import Event, events
from experiments.measure import Measurement, Observation, Progress, measure
from sim.predict import Prediction, predict
from sim.spec import Client, Container, Question, Spec
from sim.trace import Trace


@dataclass(slots=True)
class Verification:
    """`answers` holds (reachability, path) of each question. `measurement` None: nothing was measured (`why_not`)."""

    spec: Spec
    prediction: Prediction
    measurement: Measurement | None
    plumbing: list[Check]
    answers: list[tuple[Check, Check]]
    why_not: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def checks(self) -> list[Check]:
        return [*self.plumbing, *(check for pair in self.answers for check in pair)]

    @property
    def totals(self) -> Totals:
        return Totals(tuple(self.checks))

    @property
    def exit_code(self) -> int:
        """0 all agreed, 1 something disagreed, 3 nothing disagreed but not all could be measured."""
        total = self.totals.of()
        return 1 if total.disagreed else 3 if total.not_made else 0

    def as_dict(self) -> dict[str, Any]:
        observations = self.measurement.observations if self.measurement else [None] * len(self.answers)
        return {
            "file": self.spec.file, "name": self.spec.name, "why_not_measured": self.why_not,
            "engine": self.measurement.engine if self.measurement else "",
            "where": self.measurement.where if self.measurement else "",
            "kernel": self.measurement.kernel if self.measurement else "",
            "points": self.measurement.points if self.measurement else [],
            "seconds": self.seconds,
            "totals": self.totals.as_dict(),
            "warnings": self.prediction.warnings,
            "plumbing": [check.as_dict() for check in self.plumbing],
            "questions": [
                question_as_dict(self.prediction, index) | {
                    "measured": seen.answer.as_dict() if seen and seen.answer else None,
                    "reachability": pair[0].as_dict(), "path": pair[1].as_dict(),
                }
                for index, (pair, seen) in enumerate(zip(self.answers, observations, strict=True))
            ],
        }


    def events(self, index: int) -> tuple[list[Event], list[Event] | None]:
        """The comparable events of a question, predicted and measured (None where it was not)."""
        dial, trace = self.prediction.dials[index], self.prediction.traces[index]
        named, others = _ports_of(self.spec), [d.source_port for d in self.prediction.dials]
        if self.measurement is None:
            return events(trace, _points(self.prediction, trace), dial=dial, fixed=named), None
        seen = self.measurement.observations[index]
        predicted, measured = (
            events(of, self.measurement.points, dial=dial, others=others, fixed=named, until=seen.until)
            for of in (trace, seen.trace))
        return predicted, measured


def question_as_dict(prediction: Prediction, index: int) -> dict[str, Any]:
    """A question with its dial and its predicted answer."""
    return {
        "text": str(prediction.questions[index]),
        "question": prediction.questions[index].model_dump(mode="json"),
        "dial": prediction.dials[index].model_dump(mode="json"),
        "predicted": prediction.answers[index].as_dict(),
    }


def verify(
    spec: Spec, *, questions: Sequence[Question] | None = None, progress: Progress | None = None,
    measuring: Callable[..., Measurement] | None = None,
) -> Verification:
    """Predict `spec`, then prove it on real engines. LabError where no lab can run. `measuring`: in place of `measure`,
    and called as it is (`experiments/micro_vm.py`)."""
    begun = time.monotonic()
    prediction = predict(spec, observed=True, questions=questions)
    predicted = time.monotonic()
    measurement = (measuring or measure)(spec, prediction.questions, progress=progress)
    measured = time.monotonic()
    plumbing = compare_plumbing(prediction.plumbing, measurement.plumbing)
    answers = _compare(spec, prediction, measurement)
    seconds = {"predict": predicted - begun, **measurement.seconds, "compare": time.monotonic() - measured,
               "all": time.monotonic() - begun}
    rounded = {stage: round(value, 3) for stage, value in seconds.items()}
    return Verification(spec, prediction, measurement, plumbing, answers, seconds=rounded)


def unmeasured(spec: Spec, why: str) -> Verification:
    """The predicting half alone: every check is there, and none was made."""
    begun = time.monotonic()
    prediction = predict(spec, observed=True)
    plumbing = [not_made("plumbing", c.subject, c.predicted, why)
                for c in compare_plumbing(prediction.plumbing, prediction.plumbing)]
    answers = []
    for question, answer, trace in zip(prediction.questions, prediction.answers, prediction.traces, strict=True):
        same = compare_answer(answer, answer), compare_path(trace, trace, _points(prediction, trace))
        answers.append((not_made("reachability", str(question), same[0].predicted, why),
                        not_made("path", str(question), same[1].predicted, why)))
    seconds = {"predict": round(time.monotonic() - begun, 3)}
    return Verification(spec, prediction, None, plumbing, answers, why, seconds)


def _points(prediction: Prediction, trace: Trace) -> set[str]:
    """Where sniffers would stand: every device that the trace passes, but those of the underlay."""
    return {s.point for s in trace if s.device and s.where in prediction.plumbing.namespaces}


def _compare(spec: Spec, prediction: Prediction, measurement: Measurement) -> list[tuple[Check, Check]]:
    ports, named = [dial.source_port for dial in prediction.dials], _ports_of(spec)
    bridges = prediction.plumbing.points("bridge")
    return [_compare_one(prediction, index, observation, measurement.points, bridges, ports, named)
            for index, observation in enumerate(measurement.observations)]


def _compare_one(
    prediction: Prediction, index: int, seen: Observation, points: Sequence[str], bridges: set[str],
    others: Sequence[int], named: Sequence[int],
) -> tuple[Check, Check]:
    answer, dial = prediction.answers[index], prediction.dials[index]
    subject, where = str(prediction.questions[index]), dial.source
    path = compare_path(prediction.traces[index], seen.trace, points, subject=subject, dial=dial, others=others,
                        bridges=bridges, fixed=named, until=seen.until)
    if seen.dial is None:
        return (Check("reachability", subject, False, str(answer.outcome.value), "nothing to dial", where, seen.why),
                not_made("path", subject, path.predicted, seen.why))
    if seen.answer is None:
        return (not_made("reachability", subject, str(answer.outcome.value), seen.why),
                not_made("path", subject, path.predicted, seen.why))
    return compare_answer(answer, seen.answer, subject, where), path


def _ports_of(spec: Spec) -> list[int]:
    """Every port that the topology names: these are no ephemeral ports, whatever their number."""
    boxes: list[Container | Client] = [*spec.containers, *spec.clients]
    listening = [listener.port for box in boxes for listener in box.listens]
    published = [port for box in spec.containers for p in box.ports for port in (p.host_port, p.container_port)]
    return sorted({*listening, *published} - {0})
