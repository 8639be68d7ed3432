"""Draws of the time that some steps take, and what many of them come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from .costs import CostModel, Counts

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


class Draws:
    """Draws of the time that some steps take: a gamma distribution with the mean and the deviation of their sum. After
    `POOL` of them the old ones are drawn from: that is quicker."""

    POOL = 2000

    def __init__(self, costs: CostModel, counts: Counts, random: Random) -> None:
        self._random = random
        self._mean, deviation = costs.total(counts), costs.deviation(counts)
        self._gamma = ((self._mean / deviation) ** 2, deviation**2 / self._mean) if deviation else None
        self._pool: list[float] = []

    def __call__(self) -> float:
        if self._gamma is None:
            return self._mean
        pool = self._pool
        if len(pool) >= self.POOL:
            return pool[int(self._random.random() * self.POOL)]
        pool.append(self._random.gammavariate(*self._gamma))
        return pool[-1]


def percentiles(times: Sequence[float], of: Sequence[float] = PERCENTILES) -> dict[float, float]:
    """By nearest rank, of sorted times; none of none."""
    return {p: times[min(len(times) - 1, max(0, math.ceil(len(times) * p / 100) - 1))] for p in of} if times else {}
