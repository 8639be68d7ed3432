"""Draws of the time that some steps take, and what many of them come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from .costs import CostModel, Counts

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


class Draws:
    """Draws of the time that some steps take. After `POOL` of them the old ones are drawn from: that is quicker."""

    POOL = 2000

    def __init__(self, costs: CostModel, counts: Counts, random: Random) -> None:
        self._costs, self._counts, self._random = costs, counts, random
        self._pool: list[float] = []

    def __call__(self) -> float:
        pool = self._pool
        if len(pool) >= self.POOL:
            return pool[int(self._random.random() * self.POOL)]
        pool.append(self._costs.sample(self._counts, self._random))
        return pool[-1]


def percentiles(times: Sequence[float], of: Sequence[float] = PERCENTILES) -> dict[float, float]:
    """By nearest rank, of sorted times; none of none."""
    return {p: times[min(len(times) - 1, max(0, math.ceil(len(times) * p / 100) - 1))] for p in of} if times else {}
