"""From counted steps and measured seconds to a cost model: `results/costs/<machine>.json`.

The regressors are the prediction's own steps: how often each `sim.trace.Kind` happens in one warm round trip. Prices
can't be negative, so the fit is non-negative least squares (Lawson and Hanson; scipy's `nnls`). Some kinds always come
together (a socket wakes for every packet that it sends) and no measurement tells them apart; there a weak prior
decides: the nominal table, stretched to this machine's speed, each price uncertain by its own size. What measurements
do say outweighs it by far, and what they don't is part of the interval, because each bootstrap draw moves the prior as
well as the rounds ("randomize, then optimize": Bardsley and others, SIAM J. Sci. Comput. 36, 2014).

Left out: bytes, queues, several CPUs. A price is seconds of one CPU for a small packet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from experiments import results
from experiments.provenance import cpu_model
from sim.errors import SpecError
from sim.fabric.costs import NOMINAL, CostModel
from sim.trace import Kind

RELATIVE_ERROR = 0.01
"""How far a measured round trip may be off, as a fraction: the spread from round to round on a shared machine."""
PRIOR_ERROR = 1.0
"""How far a price may be from the stretched nominal one, as a fraction of it."""
DRAWS = 500
CONFIDENCE = 0.95

Counts = Mapping[str, float]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval; the unit is the caller's."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}

    def __contains__(self, other: float) -> bool:
        return self.low <= other <= self.high


def fit(counts: Sequence[Counts], measured: Sequence[float], *, source: str = "fitted",
        prior_shift: Counts | None = None) -> CostModel:
    """The prices under which the counted steps come closest to the measured seconds, all errors relative.

    `prior_shift` moves the prior of each kind, in its own standard deviations (for draws). SpecError without data.
    """
    if not counts or len(counts) != len(measured) or min(measured) <= 0:
        raise SpecError("a fit needs as many measured times, all above 0, as counted scenarios")
    kinds = sorted({kind for row in counts for kind, n in row.items() if n and NOMINAL[Kind(kind)]})
    nominal = np.array([NOMINAL[Kind(kind)] for kind in kinds])
    seconds = np.array(measured)
    # In units of the nominal price and of the measured time, unknowns and right-hand sides are all near 1.
    design = np.array([[row.get(kind, 0.0) for kind in kinds] for row in counts]) * nominal / seconds[:, None]
    speed = float(design.sum(axis=1).sum() / (design.sum(axis=1) ** 2).sum())
    shift = np.array([(prior_shift or {}).get(kind, 0.0) for kind in kinds])
    system = np.vstack([design / RELATIVE_ERROR, np.eye(len(kinds)) / (PRIOR_ERROR * speed)])
    wanted = np.concatenate([np.ones(len(seconds)) / RELATIVE_ERROR, 1 / PRIOR_ERROR + shift])
    solution, _ = nnls(system, wanted)
    prices = {Kind(kind): float(price) for kind, price in zip(kinds, solution * nominal, strict=True)}
    return CostModel(prices, True, source)


def seconds_of(model: CostModel, counts: Counts) -> float:
    """What `model` says that so many steps take."""
    return model.total({Kind(kind): n for kind, n in counts.items()})


def interval(rounds: Sequence[float], statistic: Callable[[Matrix], Any] = np.median, *, seed: int = 0) -> Interval:
    """A statistic over rounds with its percentile bootstrap interval."""
    values = np.array(rounds)
    draws = np.random.default_rng(seed).integers(0, len(values), (DRAWS, len(values)))
    return _interval(float(statistic(values)), [float(statistic(values[draw])) for draw in draws])


def forecast(calibration: Mapping[str, Counts], rounds: Mapping[str, Sequence[float]], wanted: Mapping[str, Counts], *,
             seed: int = 0) -> tuple[CostModel, dict[str, Interval]]:
    """Fit on `calibration` (scenario -> counts, measured in `rounds`) and predict `wanted`, with intervals.

    A draw takes whole rounds, all scenarios of one together (what drifts, drifts for all), and moves the prior.
    """
    names = list(calibration)
    counts = [calibration[name] for name in names]
    table = np.array([list(rounds[name]) for name in names])
    model = fit(counts, list(np.median(table, axis=1)))
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(DRAWS):
        sample = table[:, random.integers(0, table.shape[1], table.shape[1])]
        shift = dict(zip(sorted(Kind), random.standard_normal(len(Kind)), strict=True))
        one = fit(counts, list(np.median(sample, axis=1)), prior_shift=shift)
        for name, steps in wanted.items():
            drawn[name].append(seconds_of(one, steps))
    return model, {name: _interval(seconds_of(model, steps), drawn[name]) for name, steps in wanted.items()}


def save(model: CostModel, path: Path, *, fitted_on: Sequence[Mapping[str, Any]],
         provenance: Mapping[str, Any]) -> None:
    """Write a cost model that `CostModel.load` reads, with what it rests on. Seconds a step, by kind."""
    results.write_json(path, {
        "machine": path.stem,
        "unit": "seconds a step",
        "prices": {kind.value: float(f"{price:.4g}") for kind, price in model.prices.items()},
        "fitted_on": list(fitted_on),
        "provenance": dict(provenance),
    })


def machine_name() -> str:
    """A file name for this machine: its CPU and how many of them, without the host's own name.

    >>> "/" in machine_name()
    False
    """
    words = re.sub(r"\(.*?\)|[^a-z0-9]+", " ", cpu_model().lower()).split()
    return "-".join([*words, f"{os.cpu_count() or 1}cpu"])


def _interval(value: float, draws: Sequence[float]) -> Interval:
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))
