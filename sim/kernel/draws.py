"""What a kernel or an engine draws: which of several possibilities it takes where none follows from the packets.

The embedded DNS shuffles its answer, IPVS goes on where it stopped. A run of the model takes one way; `Draws` remembers
between how many it chose, so that whoever asks can run the others as well (`sim/predict/questions.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Draws:
    """`wanted`: which way to take at the first draws; after those it is the first."""

    wanted: Sequence[int] = ()
    made: list[tuple[int, int]] = field(default_factory=list)
    """(taken, of how many), in the order in which they came; draws among one are not counted."""

    def begin(self, wanted: Sequence[int] = ()) -> None:
        """A new run."""
        self.wanted, self.made = wanted, []

    def draw(self, possibilities: int) -> int:
        """One of range(possibilities)."""
        if possibilities <= 1:
            return 0
        taken = self.wanted[len(self.made)] if len(self.made) < len(self.wanted) else 0
        self.made.append((taken, possibilities))
        return taken

    def next(self) -> list[int] | None:
        """The `wanted` of the next run, as one counts; None when this run was the last one."""
        for at in range(len(self.made) - 1, -1, -1):
            taken, possibilities = self.made[at]
            if taken + 1 < possibilities:
                return [earlier for earlier, _ in self.made[:at]] + [taken + 1]
        return None
