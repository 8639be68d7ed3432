"""Predict, measure, compare: a whole verification of one Spec, question by question.

The order is the point: the prediction is complete before the lab is touched, and what the lab says goes nowhere but
into `experiments/compare.py`.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from experiments.assumptions import assumptions
from experiments.compare import (
    Check,
    Totals,
    compare_answer,
    compare_path,
    compare_plumbing,
    compare_ways,
    describe_ways,
    not_made,
)
from experiments.dialogue import Event, events
from experiments.forecast import question_as_dict
from experiments.measure import Progress, measure
from experiments.measurement import TOO_LATE, Measurement, Observation
from experiments.rotation import rotations
from sim.errors import PlumbError
from sim.kernel.sysctl import EPHEMERAL, PORT_RANGE, Sysctls
from sim.phases import phases
from sim.predict import Prediction, predict, undisturbed
from sim.spec import Client, Container, Question, Spec
from sim.trace import Answer, Outcome, Trace


@dataclass(slots=True)
class Verification:
    """`answers` holds (reachability, path) of each question, `turns` what several questions say together of round
    robin. `measurement` None: nothing was measured (`why_not`)."""

    spec: Spec
    prediction: Prediction
    measurement: Measurement | None
    plumbing: list[Check]
    answers: list[tuple[Check, Check]]
    why_not: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    turns: list[Check] = field(default_factory=list)
    engine: str = ""
    """Which one refused, where that is all that was measured."""

    @property
    def checks(self) -> list[Check]:
        return [*self.plumbing, *(check for pair in self.answers for check in pair), *self.turns]

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
            "engine": self.measurement.engine if self.measurement else self.engine,
            "where": self.measurement.where if self.measurement else "",
            "kernel": self.measurement.kernel if self.measurement else "",
            "points": self.measurement.points if self.measurement else [],
            "seconds": self.seconds,
            "totals": self.totals.as_dict(),
            "assumes": assumptions(self.spec, self.prediction.plumbing),
            "warnings": self.prediction.warnings,
            "cautions": self.prediction.cautions,
            "plumbing": [check.as_dict() for check in self.plumbing],
            "round_robin": [check.as_dict() for check in self.turns],
            "questions": [
                question_as_dict(self.prediction, index) | {
                    "measured": seen.answer.as_dict() if seen and seen.answer else None,
                    **({"attempts": seen.attempts, "asked_again": seen.again} if seen else {}),
                    "reachability": pair[0].as_dict(), "path": pair[1].as_dict(),
                }
                for index, (pair, seen) in enumerate(zip(self.answers, observations, strict=True))
            ],
        }


    def events(self, index: int) -> tuple[list[Event], list[Event] | None]:
        """The comparable events of a question, predicted and measured (None where it was not)."""
        dial, trace = self.prediction.dials[index], self.prediction.traces[index]
        named, others = _ports_of(self.spec), [d.source_port for d in self.prediction.dials]
        drawn = drawn_ports(self.spec)
        if self.measurement is None:
            return events(trace, _points(self.prediction, trace), dial=dial, fixed=named, drawn=drawn), None
        seen = self.measurement.observations[index]
        predicted, measured = (
            events(of, seen.points or self.measurement.points, dial=dial, others=others, fixed=named, drawn=drawn,
                   until=seen.until)
            for of in (trace, seen.trace))
        return predicted, measured


def verify(
    spec: Spec, *, questions: Sequence[Question] | None = None, progress: Progress | None = None,
    measuring: Callable[..., Measurement] | None = None, linux: str = "",
    predicting: Callable[..., Prediction] = predict,
) -> Verification:
    """Predict `spec`, then prove it on real engines. LabError where no lab can run. `measuring`: in place of `measure`,
    and called as it is (`experiments/micro_vm.py`); where an engine refuses what was predicted to be deployed, that is
    a disagreement like others, and nothing else is measured. `linux`: release of the kernel that will measure, empty
    for this machine's own. `predicting`: in place of `predict`, where somebody has more to say of what it refuses."""
    linux = linux or platform.release()
    begun = time.monotonic()
    prediction = predicting(spec, observed=True, questions=questions, linux=linux)
    predicted = time.monotonic()
    try:
        measurement = (measuring or measure)(spec, prediction.questions, progress=progress)
    except PlumbError as refusal:
        return _refused(spec, prediction, refusal, {"predict": predicted - begun, "all": time.monotonic() - begun})
    measured = time.monotonic()
    without = _on_this_kernel(spec, prediction, measurement)
    plumbing = [_or_not_made(check, without.plumbing.get(check.subject, ()))
                for check in compare_plumbing(prediction.plumbing, measurement.plumbing)]
    answers = _compare(spec, prediction, measurement, without)
    seconds = {"predict": predicted - begun, **measurement.seconds, "compare": time.monotonic() - measured,
               "all": time.monotonic() - begun}
    rounded = {stage: round(value, 3) for stage, value in seconds.items()}
    turns = [] if "ip_vs" in measurement.lacking else _turns(spec, prediction, measurement)
    return Verification(spec, prediction, measurement, plumbing, answers, seconds=rounded, turns=turns)


def _turns(spec: Spec, prediction: Prediction, measurement: Measurement) -> list[Check]:
    """Round robin, phase by phase: a fault may change among whom, and every change may begin anew."""
    checks = []
    for phase in phases(spec, prediction.questions):
        seen = [(index, measurement.observations[index]) for index in phase.questions]
        for check in rotations([(prediction.ways(index), (each.answer, each.attempts)) for index, each in seen]):
            when = f", {phase.when} {phase.fault.name}" if phase.fault else ""
            checks.append(replace(check, subject=check.subject + when))
    return checks


def unmeasured(spec: Spec, why: str) -> Verification:
    """The predicting half alone: every check is there, and none was made."""
    begun = time.monotonic()
    prediction = predict(spec, observed=True)
    seconds = {"predict": round(time.monotonic() - begun, 3)}
    return Verification(spec, prediction, None, *_all_not_made(prediction, why), why, seconds)


def _refused(spec: Spec, prediction: Prediction, refusal: PlumbError, seconds: dict[str, float]) -> Verification:
    """An engine refused what the model had deployed: that is the one check that was made."""
    why = f"the engine refuses {refusal.where}"
    deployed = Check("plumbing", f"{refusal.where}: deployed", False, "deployed", f"refused: {refusal.refusal}",
                     spec.places.get(refusal.where, refusal.where),
                     f"the engine refuses it, which was not predicted: {refusal.refusal}")
    plumbing, answers = _all_not_made(prediction, why)
    rounded = {stage: round(value, 3) for stage, value in seconds.items()}
    return Verification(spec, prediction, None, [deployed, *plumbing], answers, why, rounded,
                        engine=spec.hosts[0].engine.version)


def _all_not_made(prediction: Prediction, why: str) -> tuple[list[Check], list[tuple[Check, Check]]]:
    """Every check of plumbing, and those of each question."""
    plumbing = [not_made("plumbing", c.subject, c.predicted, why)
                for c in compare_plumbing(prediction.plumbing, prediction.plumbing)]
    answers = []
    for question, answer, trace in zip(prediction.questions, prediction.answers, prediction.traces, strict=True):
        same = compare_answer(answer, answer), compare_path(trace, trace, _points(prediction, trace))
        answers.append((not_made("reachability", str(question), same[0].predicted, why),
                        not_made("path", str(question), same[1].predicted, why)))
    return plumbing, answers


def _points(prediction: Prediction, trace: Trace) -> set[str]:
    """Where sniffers would stand: every device that the trace passes, but those of the underlay."""
    return {s.point for s in trace if s.device and s.where in prediction.plumbing.namespaces}


@dataclass(slots=True)
class _Without:
    """What can't be measured because the kernel that measured lacks a feature: all that a prediction for just that
    kernel has otherwise. Subject of plumbing, or index in `questions` -> the features."""

    plumbing: dict[str, list[str]] = field(default_factory=dict)
    questions: dict[int, list[str]] = field(default_factory=dict)


def _on_this_kernel(spec: Spec, prediction: Prediction, measurement: Measurement) -> _Without:
    without = _Without()
    for feature in sorted(measurement.lacking):
        other = predict(spec, observed=True, questions=prediction.questions, lacking=frozenset({feature}),
                        linux=measurement.kernel or platform.release())
        for check in compare_plumbing(prediction.plumbing, other.plumbing):
            if not check.agreed:
                without.plumbing.setdefault(check.subject, []).append(feature)
        for index in range(len(prediction.questions)):
            if not _goes_as(prediction.ways(index), other.ways(index), measurement.points):
                without.questions.setdefault(index, []).append(feature)
    return without


def _goes_as(ways: list[tuple[Answer, Trace]], others: list[tuple[Answer, Trace]], points: Sequence[str]) -> bool:
    return len(ways) == len(others) and all(
        one[0] == other[0] and compare_path(one[1], other[1], points).agreed
        for one, other in zip(ways, others, strict=True))


def _or_not_made(check: Check, features: Sequence[str]) -> Check:
    return not_made(check.level, check.subject, check.predicted, _lacks(features)) if features else check


def _lacks(features: Sequence[str]) -> str:
    return f"can't be measured here: kernel lacks {', '.join(features)}"


def _lost(frames: int, chance: float) -> str:
    """A prediction is of the case in which all frames arrive; how probable that is says whether to ask again."""
    return f"cables lost {frames} frame{'s' if frames != 1 else ''}; none is lost in {chance:.0%} of all runs"


def _compare(
    spec: Spec, prediction: Prediction, measurement: Measurement, without: _Without
) -> list[tuple[Check, Check]]:
    ports, named = [dial.source_port for dial in prediction.dials], _ports_of(spec)
    bridges, drawn = prediction.plumbing.points("bridge"), drawn_ports(spec)
    checks = []
    for index, seen in enumerate(measurement.observations):
        features = without.questions.get(index)
        if features:
            seen = Observation(prediction.dials[index], until=seen.until, why=_lacks(features))
        elif seen.lost:
            chance = undisturbed(spec, prediction.traces[index])
            seen = Observation(prediction.dials[index], until=seen.until, why=_lost(seen.lost, chance))
        elif prediction.answers[index].outcome is Outcome.NOT_SAID:
            seen = Observation(prediction.dials[index], until=seen.until, why=prediction.answers[index].detail)
        checks.append(_compare_one(prediction, index, seen, measurement.points, bridges, ports, named, drawn))
    return checks


def _compare_one(
    prediction: Prediction, index: int, seen: Observation, points: Sequence[str], bridges: set[str],
    others: Sequence[int], named: Sequence[int], drawn: Collection[int],
) -> tuple[Check, Check]:
    dial, subject, where = prediction.dials[index], str(prediction.questions[index]), prediction.dials[index].source
    ways = prediction.ways(index)
    expected = describe_ways([answer for answer, _ in ways])
    fitting = [trace for answer, trace in ways if seen.answer and compare_answer(answer, seen.answer).agreed]
    paths = [compare_path(trace, seen.trace, points, subject=subject, dial=dial, others=others, bridges=bridges,
                          fixed=named, drawn=drawn, until=seen.until)
             for trace in fitting or [prediction.traces[index]]]
    path = next((check for check in paths if check.agreed), paths[0])
    if seen.dial is None:
        return (Check("reachability", subject, False, expected, "nothing to dial", where, seen.why),
                not_made("path", subject, path.predicted, seen.why))
    if seen.answer is None:
        return (not_made("reachability", subject, expected, seen.why),
                not_made("path", subject, path.predicted, seen.why))
    if seen.late and not path.agreed:
        path = not_made("path", subject, path.predicted, f"{TOO_LATE}, {seen.attempts} times in a row")
    return compare_ways([answer for answer, _ in ways], seen.answer, subject, where), path


def drawn_ports(spec: Spec) -> Collection[int]:
    """Those that some kernel may draw for who sends: Linux's range, and the ranges of containers with their own."""
    ports = set(EPHEMERAL)
    for box in spec.containers:
        if PORT_RANGE in box.sysctls:
            sysctls = Sysctls()
            sysctls[PORT_RANGE] = box.sysctls[PORT_RANGE]
            ports.update(sysctls.ports)
    return ports


def _ports_of(spec: Spec) -> list[int]:
    """Every port that the topology names: these are no ephemeral ports, whatever their number."""
    boxes: list[Container | Client] = [*spec.containers, *spec.clients]
    listening = [listener.port for box in boxes for listener in box.listens]
    published = [port for box in spec.containers for p in box.ports for port in (p.host_port, p.container_port)]
    services = [port for s in spec.services for p in s.ports for port in (p.published, p.target)]
    return sorted({*listening, *published, *services} - {0})
