"""Whether a measured run was quiet enough to be a reference, and if not, why, in words.

Three criteria, each with its reason below. Each is about what a reader would otherwise blame on the network or on the
model: time that the hypervisor took, CPUs that others used, and rounds that don't repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from live.noise import Noise

STEAL_LIMIT = 0.01
"""Of the CPUs' time. What is stolen lands in whichever requests are under way: from 1 % on, the 99th percentile is the
hypervisor's and no longer the network's."""
OTHERS_LIMIT = 0.05
"""Of the CPUs' time. The measured programs run at the highest priority, so others delay them less than that, but they
share caches with them and their softirqs have no priority: a median moves by about as much as others use."""
SPREAD_LIMIT = 0.05
"""Interquartile range of the rounds over their median. Predictions are held to a median error of 5 %: where rounds of
one and the same path differ by as much, such a comparison says nothing."""
FEWEST_ROUNDS = 3
"""Below that there are no quartiles to speak of."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The verdict. `reasons` is empty exactly where the run was quiet. `spread` is the median over the series, None
    where no series has rounds enough."""

    quiet: bool
    reasons: tuple[str, ...]
    spread: float | None
    noise: Noise

    def as_dict(self) -> dict[str, Any]:
        """What a result's provenance says of it."""
        return self.noise.as_dict() | {
            "quiet": self.quiet, "reasons": list(self.reasons),
            "spread": None if self.spread is None else round(self.spread, 4)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Quality:
        """What `as_dict` made."""
        noise = Noise(**{each.name: row[each.name] for each in fields(Noise) if each.name in row})
        return cls(bool(row["quiet"]), tuple(row["reasons"]), row["spread"], noise)

    def __str__(self) -> str:
        return "quiet" if self.quiet else f"noisy: {'; '.join(self.reasons)}"


def judge(series: Mapping[str, Sequence[float]], noise: Noise) -> Quality:
    """`series`: scenario -> what each round measured, in any unit, all above 0 where it can be (a loss of 0 has no
    relative spread and is passed over)."""
    spreads = {name: spread for name, rounds in series.items() if (spread := spread_of(rounds)) is not None}
    typical = float(np.median(list(spreads.values()))) if spreads else None
    reasons = []
    if noise.steal > STEAL_LIMIT:
        reasons.append(f"the hypervisor took {_percent(noise.steal)} of the time (limit {_percent(STEAL_LIMIT)})")
    if noise.others > OTHERS_LIMIT:
        reasons.append(f"other programs used {_percent(noise.others)} of the CPUs (limit {_percent(OTHERS_LIMIT)})")
    if typical is None:
        reasons.append(f"fewer than {FEWEST_ROUNDS} rounds: nobody can say whether they repeat")
    elif typical > SPREAD_LIMIT:
        worst = max(spreads, key=spreads.__getitem__)
        reasons.append(f"rounds differ by {_percent(typical)} (limit {_percent(SPREAD_LIMIT)}), "
                       f"most in {worst}: {_percent(spreads[worst])}")
    return Quality(not reasons, tuple(reasons), typical, noise)


def spread_of(rounds: Sequence[float]) -> float | None:
    """Interquartile range over median. None where it means nothing: too few rounds, or a median that is not above 0."""
    if len(rounds) < FEWEST_ROUNDS:
        return None
    low, median, high = (float(value) for value in np.quantile(rounds, (0.25, 0.5, 0.75)))
    return (high - low) / median if median > 0 else None


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
