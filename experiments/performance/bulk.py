"""What bulk costs: the prices that round trips can't tell, fitted on streams of other ways than the one that is asked.

Round trips of small messages know the price of each step, but hardly that of a byte: 64 KiB that cross from one CPU to
another run through caches in another way than the 14 bytes of a request do, and they drive out what the path's code had
there. So a few unknowns (`streams.Prices`) are fitted on measured streams: seconds a byte that is copied, a factor on
the steps of a super-packet, one on those of segments that come one behind the other; for datagrams seconds a byte, a
factor on their steps, and the work of iperf3 itself.

The simulation of a stream is no sum of prices (two programs wait for each other, and so on), so the fit is Gauss's and
Newton's: logarithms of throughput over logarithms of prices, slopes by differences, and a weak prior that keeps what
the streams don't tell where it was. A dearer step never makes a stream faster, and never slower by more than in
proportion: slopes beyond that are the grain of a short simulation. What noisy streams hardly tell can run to where a
simulated stream collapses; a step that makes the fit worse is not taken, and the next one is half as long. Slopes and
the point that they belong to are found once, with all streams; a fit `without` some is the solution of what is left
there, so that nothing of theirs is in it but where the curves are taken for straight. A draw of the bootstrap takes
whole rounds, and adds to each stream what some other's fit is off by: the interval is as wide as the model is wrong
elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from experiments.performance.intervals import Interval, around
from sim.errors import SpecError

PRIOR_ERROR = 0.7
"""How far a price may be from its prior: a factor of two, as a logarithm."""
RELATIVE_ERROR = 0.05
"""How far a stream may be from its simulation, as a logarithm."""
STEP = 0.1
"""Of a logarithm, for slopes: what is smaller drowns in the grain of a short simulation."""
FAR = 0.1
"""A stream that is farther off than this, as a logarithm, pulls no more than one that is just so far (Huber)."""
REWEIGHED = 5
LONGEST = 0.5
"""A step, as a logarithm: beyond, slopes are others."""
PASSES = 3
DRAWS = 300

Case = TypeVar("Case", bound=Hashable)
Vector = NDArray[np.float64]
Simulate = Callable[[Case, Mapping[str, float]], float]
"""The throughput of a stream under such prices."""


@dataclass(frozen=True, slots=True)
class Fitted(Generic[Case]):
    """`prices`: what came out. Of each stream, as logarithms: `missing`, measured over simulated at these prices;
    `slopes`, of its throughput over each price. `prior`: what the prices were thought to be."""

    prices: Mapping[str, float]
    prior: Mapping[str, float]
    missing: Mapping[Case, float]
    slopes: Mapping[Case, Sequence[float]]

    @property
    def misfit(self) -> float:
        """What `solve` makes small: how far streams are off, and prices from their prior."""
        off = np.abs(np.array(list(self.missing.values())))
        squares = np.where(off < FAR, off**2, FAR * (2 * off - FAR))
        return float(squares.sum() / RELATIVE_ERROR**2 + (self._away()**2).sum() / PRIOR_ERROR**2)

    def without(self, some: Collection[Case], longest: float = LONGEST) -> Fitted[Case]:
        """Fitted on all but these, by a step that takes no price farther than `longest`."""
        cases = [case for case in self.missing if case not in some]
        if not cases:
            raise SpecError("bulk prices need a measured stream")
        matrix = np.array([self.slopes[case] for case in cases])
        missing = np.array([self.missing[case] for case in cases])
        moved = solve(matrix, missing, self._away(), longest)
        left = missing - matrix @ moved
        return Fitted(self._at(moved), self.prior, dict(zip(cases, map(float, left), strict=True)), self.slopes)

    def draws(self, rounds: Mapping[Case, Sequence[float]], *, seed: int = 0, number: int = DRAWS) -> Vector:
        """What the prices may be as well: steps from these, as logarithms, a row a draw. `rounds` of each stream."""
        cases = list(self.missing)
        table = np.log(np.array([list(rounds[case]) for case in cases]))
        matrix, missing = np.array([self.slopes[case] for case in cases]), np.array(list(self.missing.values()))
        middle, random = np.median(table, axis=1), np.random.default_rng(seed)
        found = []
        for _ in range(number):
            sample = table[:, random.integers(0, table.shape[1], table.shape[1])]
            news = np.median(sample, axis=1) - middle + random.choice(missing, len(cases))
            away = self._away() + PRIOR_ERROR * random.standard_normal(len(self.prior))
            found.append(solve(matrix, missing + news, away))
        return np.array(found)

    def interval(self, value: float, case: Case, draws: Vector, *, seed: int = 0) -> Interval:
        """Of a forecast `value` for a stream whose slopes are known, which may be off as the fitted ones are."""
        off = np.random.default_rng(seed).choice(list(self.missing.values()), len(draws))
        return around(value, list(value * np.exp(draws @ np.array(self.slopes[case]) + off)))

    def _away(self) -> Vector:
        return np.array([math.log(self.prices[name] / self.prior[name]) for name in self.prior])

    def _at(self, moved: Vector) -> dict[str, float]:
        return {name: self.prices[name] * math.exp(step) for name, step in zip(self.prior, moved, strict=True)}


def fit(simulate: Simulate[Case], measured: Mapping[Case, float], prior: Mapping[str, float], *,
        progress: Callable[[int, int], None] = lambda done, total: None) -> Fitted[Case]:
    """The prices under which the simulated throughputs come closest to the measured ones."""
    if not measured:
        raise SpecError("bulk prices need a measured stream")
    cases = list(measured)
    total, done = len(cases) * (len(prior) + PASSES + 1), 0

    def simulated(prices: Mapping[str, float]) -> Vector:
        nonlocal done
        found = []
        for case in cases:
            found.append(math.log(max(simulate(case, prices), 1.0)))
            done += 1
            progress(done, total)
        return np.array(found)

    wanted = np.log([measured[case] for case in cases])
    here = simulated(prior)
    slopes = np.stack([(simulated({**prior, name: prior[name] * math.exp(STEP)}) - here) / STEP for name in prior],
                      axis=1)
    slopes = np.clip(slopes, -1.0, 0.0)
    rows = dict(zip(cases, slopes.tolist(), strict=True))

    def at(prices: Mapping[str, float], left: Vector) -> Fitted[Case]:
        return Fitted(dict(prices), prior, dict(zip(cases, map(float, left), strict=True)), rows)

    fitted, longest = at(prior, wanted - here), LONGEST
    for _ in range(PASSES):
        prices = fitted.without((), longest).prices
        tried = at(prices, wanted - simulated(prices))
        if tried.misfit <= fitted.misfit:
            fitted = tried
        else:
            longest /= 2
    return fitted


def solve(slopes: Vector, missing: Vector, away: Vector, longest: float = LONGEST) -> Vector:
    """The step of prices that changes throughputs by `missing`, from a point that is `away` from the prior."""
    found: Vector = np.zeros(slopes.shape[1])
    for _ in range(REWEIGHED):
        weight = np.sqrt(FAR / np.maximum(np.abs(missing - slopes @ found), FAR)) / RELATIVE_ERROR
        system = np.vstack([slopes * weight[:, None], np.eye(slopes.shape[1]) / PRIOR_ERROR])
        right = np.concatenate([missing * weight, -away / PRIOR_ERROR])
        found = np.clip(np.linalg.lstsq(system, right, rcond=None)[0], -longest, longest)
    return found
