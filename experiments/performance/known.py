"""What a calibration knows: its prices, and the round trips behind them, so that a forecast can leave some out.

A study predicts a way by prices that were fitted without it. The machine may be faster or slower today than when it was
calibrated: `at_speeds` stretches all prices by one factor, taken from anchors that a study measures beside its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from experiments import results
from experiments.performance.cases import REGIMES
from experiments.performance.fit import NOTHING_KNOWN, Prior, fit, forecast, prior_of_the_next
from experiments.performance.intervals import Interval
from sim.errors import SpecError
from sim.fabric.costs import CostModel, Counts

DRAWS = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """A round trip that was calibrated on. `rounds`: its median in each of them, seconds."""

    name: str
    way: str
    regime: str
    counts: Counts
    rounds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """`model` has all regimes. `speed`: by how much today's times are those of the calibration."""

    model: CostModel
    rows: tuple[Measured, ...]
    speed: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Known:
        """Read what `hopcast calibrate` wrote. SpecError when it isn't that."""
        model = CostModel.load(path)
        try:
            rows = tuple(
                Measured(row["name"], row["way"], row["regime"], row["counts"], tuple(map(float, row["rounds"])))
                for row in results.read_json(path)["fitted_on"])
            if not all(row.rounds and all(0 < each < math.inf for each in row.rounds) for row in rows):
                raise ValueError("no times")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise SpecError("says nothing about what it was fitted on", where=str(path),
                            mend="`hopcast calibrate` writes it anew") from None
        return cls(model, rows)

    def at_speeds(self, factors: Mapping[str, float]) -> Known:
        """Regime -> by how much its times are those of the calibration."""
        return replace(self, speed={**self.speed, **factors})

    def without(self, ways: Collection[str] = (), shapes: Sequence[Counts] = ()) -> CostModel:
        """All regimes, fitted without these ways, and without any with exactly the steps of `shapes`, at today's
        speed."""
        regimes = {}
        for regime in self.model.regimes:
            fitted, whole = self._fitted(regime, ways, shapes), self.model.regimes[regime]
            regimes[regime] = stretched(
                replace(whole, prices=fitted.prices, seen=fitted.seen), self.speed.get(regime, 1.0))
        return replace(regimes[next(iter(regimes))], regimes=regimes)

    def forecast(self, regime: str, wanted: Mapping[str, Counts], ways: Collection[str] = ()) -> dict[str, Interval]:
        """Mean seconds of some steps with intervals, by fits without these ways and without twins of what is wanted."""
        known = self._known(regime, ways, list(wanted.values()))
        if not known:
            raise SpecError(f"nothing was calibrated in regime {regime} but what is asked")
        _, found, _ = forecast({row.name: row.counts for row in known}, {row.name: row.rounds for row in known}, wanted,
                               prior=self._prior(regime, ways, list(wanted.values())), draws=DRAWS)
        factor = self.speed.get(regime, 1.0)
        return {name: Interval(each.value * factor, each.low * factor, each.high * factor)
                for name, each in found.items()}

    def _known(self, regime: str, ways: Collection[str], shapes: Sequence[Counts]) -> list[Measured]:
        return [row for row in self.rows if row.regime == regime and row.way not in ways
                and dict(row.counts) not in [dict(shape) for shape in shapes]]

    def _fitted(self, regime: str, ways: Collection[str], shapes: Sequence[Counts]) -> CostModel:
        """With a price for each step that the whole calibration has: those that only what is left out has are priced
        by the prior."""
        known, whole = self._known(regime, ways, shapes), self.model.regimes[regime]
        if not known:
            return whole
        return fit([row.counts for row in known], [median(row.rounds) for row in known],
                   prior=self._prior(regime, ways, shapes), wanted=[dict.fromkeys(whole.prices, 1.0), *shapes])

    def _prior(self, regime: str, ways: Collection[str], shapes: Sequence[Counts]) -> Prior:
        """As in the calibration: the regime before is the prior of the next; here it is one that never saw what is
        left out either."""
        names = [name for name in REGIMES if name in self.model.regimes]
        before = names.index(regime) - 1
        return prior_of_the_next(self._fitted(names[before], ways, shapes).prices) if before >= 0 else NOTHING_KNOWN


def stretched(model: CostModel, factor: float) -> CostModel:
    """Every price times `factor`; interruptions are the machine's and stay as they are."""
    return replace(model, prices={name: price * factor for name, price in model.prices.items()})


def document(calibration: Mapping[str, Any], machine: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The content of results/costs/MACHINE.json."""
    return {"machine": machine, "provenance": dict(provenance), **calibration}

