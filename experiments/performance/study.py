"""What the experiments have in common: a lab, a calibration, rounds, and results that say what they rest on.

An experiment predicts before it measures, by prices that were fitted without the ways that it asks about, and measures
anchors in the same rounds: ways that were calibrated on, which tell how fast the machine is today. All prices are
stretched by that, and the factor stands in the data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from experiments import results
from experiments.performance import machine
from experiments.performance.cases import Case
from experiments.performance.known import Known
from experiments.performance.model import Model
from experiments.performance.quality import Quality, judge
from experiments.performance.reference import DATA, Published, publish
from experiments.performance.session import Progress, Say, Setting
from experiments.performance.topology import WAYS, Way
from experiments.provenance import moment
from live.noise import Noise
from live.sockperf_output import Latency
from sim.errors import LabError, SpecError

ANCHORS = tuple(way for way in WAYS if way.name in (
    "loopback in a container", "client to client", "host to container, user bridge",
    "overlay, container to container on one host"))


@dataclass(frozen=True, slots=True)
class Findings:
    """What an experiment found: `data` without its provenance, the `series` that tell how well rounds repeat, what
    else the machine did, and what it was measured on."""

    data: Mapping[str, Any]
    series: Mapping[str, Sequence[float]]
    noise: Noise
    setting: Setting
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Study:
    """An experiment as a command. `run(known, rounds, say, progress)`."""

    name: str
    asks: str
    """The question, as a sentence."""
    rounds: int
    run: Callable[[Known, int, Say, Progress], Findings]
    draw: Callable[[Mapping[str, Any], Path], None]
    summary: Callable[[Mapping[str, Any]], str]
    again: Callable[[Known, Mapping[str, Any], Progress], Mapping[str, Any]]
    """(known, an earlier run's data.json, progress) -> the data, predicted anew from what was measured then. SpecError
    where that run has not kept all that it takes."""

    def predict_again(self, known: Known, *, out: Path | None = None, say: Say, progress: Progress,
                      ) -> tuple[Mapping[str, Any], Published]:
        """Predict anew, with the model as it is now, what results/NAME has measured. SpecError where that can't be."""
        path = results.folder(self.name) / DATA
        if not path.exists():
            raise SpecError(f"{self.name} was not run yet: there is no {path}", mend="run it without --again")
        before = results.read_json(path)
        told = before["provenance"] | {"costs": known.model.source, "predicted_again": moment()}
        try:
            data = {**self.again(known, before, progress), "provenance": told}
        except SpecError as error:
            raise SpecError(error.problem, where=str(path), mend=error.mend) from None
        return data, self._publish(data, Quality.from_dict(told["noise"]), out, say)

    def carry_out(self, known: Known, *, rounds: int = 0, out: Path | None = None, say: Say,
                  progress: Progress) -> tuple[Mapping[str, Any], Published]:
        """Run it and write it down: into results/NAME, or `out`. LabError where it can't be measured, ResultsError
        where it could not be written down."""
        results.check((out or results.folder(self.name)).parent)
        number = rounds or self.rounds
        found = self.run(known, number, say, progress)
        quality = judge(found.series, found.noise)
        data = {**found.data, "provenance": about(found.setting, number, known) | dict(found.about)}
        return data, self._publish(data, quality, out, say)

    def _publish(self, data: Mapping[str, Any], quality: Quality, out: Path | None, say: Say) -> Published:
        """Writes it down; where that fails there is a result all the same."""
        try:
            return publish(self.name, data, quality, draw=self.draw, summary=self.summary, out=out, say=say)
        except results.ResultsError as error:
            return Published(out or results.folder(self.name), quality, str(error))


def kept(before: Mapping[str, Any], what: str) -> Any:
    """That part of an earlier run's data. SpecError where it was made before that was kept."""
    if what not in before:
        raise SpecError("was made when not all was kept that a prediction takes", mend="run it without --again")
    return before[what]


def about(setting: Setting, rounds: int, known: Known) -> dict[str, Any]:
    """Provenance of a measured time."""
    return setting.about(rounds) | {"costs": known.model.source}


def calibrated(path: Path | None = None) -> Known:
    """This machine's calibration, or the one in a file. LabError when there is none."""
    wanted = path or machine.costs()
    if path is None and not wanted.exists():
        raise LabError(f"this machine is not calibrated: there is no {wanted}", mend="run `hopcast calibrate` first")
    return Known.load(wanted)


def anchors(regime: str) -> list[Case]:
    """What tells the machine's speed in a regime."""
    return [Case(way, regime) for way in ANCHORS]


def at_todays_speed(known: Known, model: Model, found: Mapping[Case, Sequence[Latency]],
                    ways: Collection[Way] = ANCHORS) -> Known:
    """The calibration, stretched to what the anchors among `found` take of what they took when it was made. `ways`:
    the anchors, where some of the usual ones are asked."""
    then = {(row.name, row.regime): median(row.rounds) for row in known.rows}
    speeds: dict[str, list[float]] = {}
    for case, runs in found.items():
        if case in [Case(way, case.regime) for way in ways]:
            before = then.get((case.name, case.regime)) or known.model.regime(case.regime).total(case.counts(model))
            speeds.setdefault(case.regime, []).append(median(run.p50 for run in runs) / before)
    return known.at_speeds({regime: median(ratios) for regime, ratios in speeds.items()})


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown."""
    return [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in rows)]


def where(data: Mapping[str, Any]) -> list[str]:
    """The last section of a summary."""
    return ["## Where", "", *(f"- {key}: {_words(value)}" for key, value in sorted(data["provenance"].items())), ""]


def _words(value: Any) -> str:
    """A figure of the provenance for people: `bridge (tso on, gro off), veth (tso on)`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} ({_words(inner)})" if isinstance(inner, Mapping) else f"{key} {_words(inner)}"
                         for key, inner in value.items())
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    return "; ".join(map(_words, value)) or "none" if isinstance(value, list | tuple) else str(value)
