"""An estimate with its confidence interval, by the percentile bootstrap over rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 500
CONFIDENCE = 0.95

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

    def apart(self, other: Interval) -> bool:
        """Do the intervals not overlap?"""
        return self.low > other.high or self.high < other.low


def interval(rounds: Sequence[float], statistic: Callable[[Matrix], Any] = np.median, *, seed: int = 0) -> Interval:
    """A statistic over rounds with its bootstrap interval."""
    values = np.array(rounds)
    draws = np.random.default_rng(seed).integers(0, len(values), (DRAWS, len(values)))
    return between(float(statistic(values)), [float(statistic(values[draw])) for draw in draws])


def between(value: float, draws: Sequence[float]) -> Interval:
    """An estimate and the interval that CONFIDENCE of its draws lie in."""
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))


def around(value: float, draws: Sequence[float]) -> Interval:
    """The same of an estimate that is not the middle of its draws: never without itself."""
    span = between(value, draws)
    return Interval(value, min(span.low, value), max(span.high, value))
