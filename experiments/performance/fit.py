"""From counted steps and measured seconds to prices, with what the data leaves open.

The regressors are the prediction's own steps: how often each of `sim.fabric.costs.NOMINAL` happens in one warm round
trip. Prices can't be negative, so the fit is non-negative least squares (Lawson and Hanson; scipy's `nnls`). Some steps
always come together (a socket wakes for every packet that it sends) and no measurement tells them apart; there a weak
prior decides: a table of prices, stretched to this machine's speed, each uncertain by its own size (`CARRIED`: by
less). What measurements do say outweighs it by far, and what they don't is part of the interval, because each bootstrap
draw moves the prior as well as the rounds ("randomize, then optimize": Bardsley and others, SIAM J. Sci. Comput. 36,
2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from experiments.performance.intervals import Interval, between
from sim.errors import SpecError
from sim.fabric.costs import NOMINAL, CostModel, Counts
from sim.trace import Kind

RELATIVE_ERROR = 0.01
"""How far a measured round trip may be off, as a fraction: the spread from round to round on a shared machine."""
PRIOR_ERROR = 1.0
"""How far a price may be from the stretched prior's, as a fraction of it."""
CARRIED = {Kind.RULE.value: 0.2}
"""How far a price may be from what it was in the regime before, as a fraction, where it is the work of one loop over
one array: who waits on which CPU has little part in it (24 and 27 ns were measured where requests share a connection
and where each makes its own). Few round trips differ in their rules alone, so a regime of few of them hardly tells."""
DRAWS = 200
TOLD = 0.9
"""A price is told by the data where so much of it (as a share, squared) lies in what the scenarios span."""

Rounds = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Prior:
    """Seconds a step. What is in `sure` is so as it stands, within that fraction of it; all others are stretched to the
    machine's speed first."""

    prices: Mapping[str, float] = field(default_factory=lambda: NOMINAL)
    sure: Mapping[str, float] = field(default_factory=dict)


NOTHING_KNOWN = Prior()


def prior_of_the_next(prices: Mapping[str, float]) -> Prior:
    """One regime's prices as the prior of the next; the nominal one where that regime has none, or none above 0."""
    return Prior({kind: prices.get(kind, 0.0) or nominal for kind, nominal in NOMINAL.items()},
                 {kind: error for kind, error in CARRIED.items() if prices.get(kind)})


def fit(counts: Sequence[Counts], measured: Sequence[float], *, source: str = "fitted",
        prior: Prior = NOTHING_KNOWN, prior_shift: Counts | None = None, wanted: Sequence[Counts] = ()) -> CostModel:
    """The prices under which the counted steps come closest to the measured seconds, all errors relative.

    `prior_shift` moves the prior of each kind, in its own standard deviations (for draws). `wanted`: steps that get a
    price as well if nothing that was measured has them: the prior's, which is all that is known of them. SpecError
    without data.
    """
    if not counts or len(counts) != len(measured) or min(measured) <= 0:
        raise SpecError("a fit needs as many measured times, all above 0, as counted scenarios")
    kinds = _kinds([*counts, *wanted], prior)
    before = np.array([prior.prices[kind] for kind in kinds])
    seconds = np.array(measured)
    # In units of the prior's price and of the measured time, unknowns and right-hand sides are all near 1.
    design = np.array([[row.get(kind, 0.0) for kind in kinds] for row in counts]) * before / seconds[:, None]
    speed = float(design.sum(axis=1).sum() / (design.sum(axis=1) ** 2).sum())
    shift = np.array([(prior_shift or {}).get(kind, 0.0) for kind in kinds])
    error = np.array([prior.sure.get(kind, PRIOR_ERROR) for kind in kinds])
    centre = np.array([1.0 if kind in prior.sure else speed for kind in kinds])
    system = np.vstack([design / RELATIVE_ERROR, np.diag(1 / (error * centre))])
    right = np.concatenate([np.ones(len(seconds)) / RELATIVE_ERROR, 1 / error + shift])
    solution, _ = nnls(system, right)
    prices = {kind: float(price) for kind, price in zip(kinds, solution * before, strict=True)}
    return CostModel(prices, True, source, seen=_spans(counts, kinds))


def forecast(calibration: Mapping[str, Counts], rounds: Rounds, wanted: Mapping[str, Counts], *,
             prior: Prior = NOTHING_KNOWN, seed: int = 0, draws: int = DRAWS,
             ) -> tuple[CostModel, dict[str, Interval], dict[str, Interval]]:
    """Fit on `calibration` (scenario -> counts, measured in `rounds`) and predict `wanted`: the model, what it says of
    each in seconds, and its prices, both with intervals.

    A draw takes whole rounds, all scenarios of one together (what drifts, drifts for all), and moves the prior.
    """
    names = list(calibration)
    counts = [calibration[name] for name in names]
    table = np.array([list(rounds[name]) for name in names])
    unseen = list(wanted.values())
    model = fit(counts, list(np.median(table, axis=1)), prior=prior, wanted=unseen)
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in wanted}
    prices: dict[str, list[float]] = {name: [] for name in model.prices}
    for _ in range(draws):
        sample = table[:, random.integers(0, table.shape[1], table.shape[1])]
        shift = dict(zip(sorted(NOMINAL), random.standard_normal(len(NOMINAL)), strict=True))
        one = fit(counts, list(np.median(sample, axis=1)), prior=prior, prior_shift=shift, wanted=unseen)
        for name, steps in wanted.items():
            drawn[name].append(one.total(steps))
        for name, price in one.prices.items():
            prices[name].append(price)
    return (model, {name: between(model.total(steps), drawn[name]) for name, steps in wanted.items()},
            {name: between(model.prices[name], found) for name, found in prices.items()})


def left_out(counts: Mapping[str, Counts], rounds: Rounds, *, prior: Prior = NOTHING_KNOWN,
             twins: bool = False) -> dict[str, tuple[CostModel, Interval]]:
    """Each scenario predicted by a fit that never saw it, nor, unless `twins`, another one with the very same steps."""
    found = {}
    for name, steps in counts.items():
        known = {other: there for other, there in counts.items()
                 if other != name and (twins or dict(there) != dict(steps))}
        model, predicted, _ = forecast(known, rounds, {name: steps}, prior=prior)
        found[name] = model, predicted[name]
    return found


def indistinct(counts: Sequence[Counts], prior: Prior = NOTHING_KNOWN) -> list[list[str]]:
    """Groups of steps whose prices these scenarios can't tell apart: only sums of them are measured, and the prior
    shares those out. Found in the null space of the counts."""
    kinds = _kinds(counts, prior)
    design = np.array([[row.get(kind, 0.0) for kind in kinds] for row in counts])
    design = design / np.maximum(1e-12, np.linalg.norm(design, axis=0))
    _, sizes, directions = np.linalg.svd(design)
    rank = int((sizes > sizes[0] * 1e-6).sum())
    null: NDArray[np.float64] = directions[rank:]
    open_ones = [i for i in range(len(kinds)) if 1 - float((null[:, i] ** 2).sum()) < TOLD]
    links = {i: {j for j in open_ones if abs(float(null[:, i] @ null[:, j])) > 0.05} for i in open_ones}
    groups: list[list[str]] = []
    while links:
        todo, group = [next(iter(links))], set()
        while todo:
            at = todo.pop()
            if at in links:
                group.add(at)
                todo += links.pop(at)
        groups.append(sorted(kinds[i] for i in group))
    return sorted(groups)


def _kinds(counts: Sequence[Counts], prior: Prior) -> list[str]:
    return sorted({kind for row in counts for kind, n in row.items() if n and prior.prices.get(kind)})


def _spans(counts: Sequence[Counts], kinds: Sequence[str]) -> dict[str, tuple[float, float]]:
    return {kind: (min(row.get(kind, 0.0) for row in counts), max(row.get(kind, 0.0) for row in counts))
            for kind in kinds}
