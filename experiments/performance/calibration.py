"""`hopcast calibrate`: small round trips in a lab, their counted steps, and the prices that make the one of the other.

Each regime has its own prices, and the first one's are the prior of the others: what a path can't tell there stays as
it is here. Beside the prices a regime has what its round trips say of spread: `variation` from the quartiles, and from
the tails the machine's interruptions.

Every way is then predicted by a fit that never saw it, whole: neither its TCP nor its UDP, nor any other way that takes
the very same steps. That error is what a prediction for somebody's own network can be trusted to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.performance.cases import REGIMES, Case, cases
from experiments.performance.fit import NOTHING_KNOWN, Prior, forecast, indistinct, prior_of_the_next
from experiments.performance.intervals import Interval, interval
from experiments.performance.model import Model
from experiments.performance.session import Progress, Session, rounds
from live.noise import Noise
from live.sockperf_output import Latency
from sim.errors import SpecError
from sim.fabric.costs import NOMINAL, CostModel, Counts, Interruption

ROUNDS = 3
"""What fits into five minutes; `make bench` takes more."""
QUARTILES = 1.349
"""Interquartile range of a normal distribution, in standard deviations."""
DRAWS = 60
"""For the interval of each way that is left out."""
TAILS = (0.99, 0.999, 0.9999, 0.99999)
"""Percentiles that sockperf tells beyond the body of the distribution."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case: `measured` with its interval over rounds, `fitted` with all data, `left_out` by a fit without its way.
    `unknown`: its steps that no other way has, so that only the prior prices them: it is extrapolated. Seconds."""

    case: Case
    counts: Counts
    rounds: tuple[float, ...]
    measured: Interval
    fitted: float
    left_out: Interval
    unknown: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """Of the fit that never saw this way, relative to what was measured."""
        return self.left_out.value / self.measured.value - 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.case.name, "way": self.case.way.name, "protocol": self.case.protocol, "size": self.case.size,
            "regime": self.case.regime, "counts": dict(sorted(self.counts.items())), "rounds": list(self.rounds),
            "measured": self.measured.as_dict(), "fitted": self.fitted,
            "predicted": self.left_out.as_dict(), "error": self.error, "unknown": list(self.unknown)}


@dataclass(frozen=True, slots=True)
class Calibration:
    """`model` has all regimes. `prices`: regime -> regressor -> interval. `open`: regime -> groups that the data can't
    tell apart. `noise`: while it was measured; None where it was fitted again."""

    model: CostModel
    rows: tuple[Row, ...]
    prices: Mapping[str, Mapping[str, Interval]]
    open: Mapping[str, list[list[str]]]
    noise: Noise | None

    def of(self, regime: str) -> list[Row]:
        return [row for row in self.rows if row.case.regime == regime]

    def errors(self, regime: str = "") -> list[float]:
        """Absolute relative errors of the fits that left a way out."""
        return [abs(row.error) for row in self.rows if regime in ("", row.case.regime)]

    def series(self) -> dict[str, Sequence[float]]:
        """For `quality.judge`."""
        return {f"{row.case.name}, {row.case.regime}": row.rounds for row in self.rows}

    def as_dict(self) -> dict[str, Any]:
        """What `CostModel.load` reads, with what it rests on."""
        return {
            "unit": "seconds a step",
            "regimes": {name: self.model.regimes[name].as_dict() | {
                "intervals": {kind: span.as_dict() for kind, span in self.prices[name].items()},
                "not_told_apart": self.open[name]} for name in self.model.regimes},
            "fitted_on": [row.as_dict() for row in self.rows]}


def calibrate(within: Session, model: Model, *, number: int = ROUNDS, progress: Progress) -> Calibration:
    """Measure all cases `number` times, and fit."""
    asked = cases(model)
    found, noise = rounds(asked, within.latencies, number, progress, "calibrating")
    return evaluate(model, found, noise, progress)


def evaluate(model: Model, found: Mapping[Case, Sequence[Latency]], noise: Noise,
             progress: Progress = lambda what, done, total: None) -> Calibration:
    """The fits, of what was measured."""
    def spreading(regime: str, fitted: CostModel, counts: Mapping[str, Counts]) -> CostModel:
        return spread(fitted, counts, {case.name: runs for case, runs in found.items() if case.regime == regime})

    times = {case: [run.p50 for run in runs] for case, runs in found.items()}
    return _fits(model, times, spreading, noise, progress)


def again(model: Model, data: Mapping[str, Any], progress: Progress = lambda what, done, total: None) -> Calibration:
    """The fits, of what an earlier calibration measured (`Calibration.as_dict`), with steps as they are counted now. Of
    spread it tells what it told. SpecError where it is none, or of ways that are asked no more."""
    try:
        rounds = {(row["name"], row["regime"]): [float(each) for each in row["rounds"]] for row in data["fitted_on"]}
        spreads = {name: (float(row["variation"]), tuple(Interruption(*map(float, each)) for each in
                                                         row["interruptions"]))
                   for name, row in data["regimes"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise SpecError("says nothing about what was measured", mend="`hopcast calibrate` measures anew") from None
    times = {case: rounds[key] for case in cases(model) if (key := (case.name, case.regime)) in rounds}
    if len(times) != len(rounds):
        raise SpecError("was made of other round trips than are calibrated on now",
                        mend="`hopcast calibrate` measures anew")

    def spreading(regime: str, fitted: CostModel, counts: Mapping[str, Counts]) -> CostModel:
        variation, interruptions = spreads[regime]
        return replace(fitted, variation=variation, interruptions=interruptions)

    return _fits(model, times, spreading, None, progress)


def _fits(model: Model, times: Mapping[Case, Sequence[float]],
          spreading: Callable[[str, CostModel, Mapping[str, Counts]], CostModel], noise: Noise | None,
          progress: Progress) -> Calibration:
    """`times`: each round's median, seconds."""
    rows: list[Row] = []
    regimes: dict[str, CostModel] = {}
    prices: dict[str, Mapping[str, Interval]] = {}
    unclear: dict[str, list[list[str]]] = {}
    prior = NOTHING_KNOWN
    done, total = 0, len(times)
    for regime in (name for name in REGIMES if any(case.regime == name for case in times)):
        mine = [case for case in times if case.regime == regime]
        counts = {case.name: case.counts(model) for case in mine}
        known = {case.name: times[case] for case in mine}
        fitted, _, prices[regime] = forecast(counts, known, {}, prior=prior)
        unclear[regime] = indistinct(list(counts.values()), prior)
        regimes[regime] = spreading(regime, replace(fitted, source=regime), counts)
        for case in mine:
            progress("leaving each way out", done, total)
            rows.append(_row(case, mine, counts, known, fitted, prior))
            done += 1
        prior = prior_of_the_next(fitted.prices)
    progress("leaving each way out", total, total)
    first = next(iter(regimes.values()))
    return Calibration(replace(first, regimes=regimes), tuple(rows), prices, unclear, noise)


def _row(case: Case, mine: Sequence[Case], counts: Mapping[str, Counts], times: Mapping[str, Sequence[float]],
         fitted: CostModel, prior: Prior) -> Row:
    steps = counts[case.name]
    shape = tuple(sorted(steps.items()))
    others = {other.name: counts[other.name] for other in mine
              if other.way != case.way and tuple(sorted(counts[other.name].items())) != shape}
    known = {kind for row in others.values() for kind, n in row.items() if n}
    unknown = tuple(sorted(kind for kind, n in steps.items() if n and kind not in known and NOMINAL.get(kind)))
    predicted = forecast(others, times, {case.name: steps}, prior=prior, draws=DRAWS)[1][case.name]
    rounds_of = tuple(times[case.name])
    return Row(case, steps, rounds_of, interval(rounds_of), fitted.total(steps), predicted, unknown)


def spread(model: CostModel, counts: Mapping[str, Counts], found: Mapping[str, Sequence[Latency]]) -> CostModel:
    """The model with its `variation` and its `interruptions`: medians over all runs."""
    variations, often, long = [], {tail: [] for tail in TAILS}, {tail: [] for tail in TAILS}  # type: ignore[var-annotated]
    for name, runs in found.items():
        unit = replace(model, variation=1.0).deviation(counts[name])
        for run in runs:
            body = (run.percentiles[75.0] - run.percentiles[25.0]) / QUARTILES
            variations.append(body / unit)
            for tail, beyond in zip(TAILS, (*TAILS[1:], 1.0), strict=True):
                excess = run.percentiles.get(round(100 * tail, 3), run.p50) - run.p50
                often[tail].append((beyond - tail) / run.p50)
                long[tail].append(excess)
    classes = tuple(Interruption(float(np.median(often[tail])), float(np.median(long[tail]))) for tail in TAILS)
    return replace(model, variation=float(np.median(variations)),
                   interruptions=tuple(each for each in classes if each.seconds > 0 and math.isfinite(each.per_second)))
