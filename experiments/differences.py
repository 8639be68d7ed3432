"""Where a predicted path and a measured one part: events of one side only, other headers, another causal order.

Both sides are lists of events (`experiments/dialogue.py`). Which of them may come in another order than predicted is
said in `experiments/causality.py`; it is asked only where the events themselves are the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from experiments.causality import beginnings, inversions
from experiments.dialogue import Event


@dataclass(frozen=True, slots=True)
class Problem:
    """A place where they part; `at` (seconds) only sorts."""

    at: float
    where: str
    predicted: str
    observed: str
    about: str = ""

    def line(self) -> str:
        about = f"{self.about}: " if self.about else ""
        return f"{self.where}: {about}predicted {self.predicted}, seen {self.observed}"


def problems(mine: list[Event], seen: list[Event]) -> list[Problem]:
    """Of the prediction and of what was seen, the first first; none where they agree."""
    return _differences(mine, seen) or _disorder(mine, seen)


def _differences(mine: list[Event], seen: list[Event]) -> list[Problem]:
    """Events of one side only. Two of the same packet at the same point are one event with other headers."""
    missing, extra = _only_in(mine, seen), _only_in(seen, mine)
    found = []
    for event in missing:
        twin = next((e for e in extra if (e.point, e.way, e.packet) == (event.point, event.way, event.packet)), None)
        if twin is None:
            found.append(Problem(event.at, _at(event), str(event), "nothing"))
            continue
        extra.remove(twin)
        ours, theirs = dict(event.headers), dict(twin.headers)
        fields = [n for n in {**ours, **theirs} if ours.get(n) != theirs.get(n)]
        found.append(Problem(event.at, _at(event), ", ".join(f"{n} {ours.get(n, 'absent')}" for n in fields),
                             ", ".join(f"{n} {theirs.get(n, 'absent')}" for n in fields), str(event)))
    found += [Problem(e.at, _at(e), "nothing", str(e)) for e in extra]
    return sorted(found, key=lambda p: p.at)


def _at(event: Event) -> str:
    return f"{event.point} ({event.way})" if event.way else event.point


def _only_in(these: list[Event], those: list[Event]) -> list[Event]:
    surplus = Counter(these) - Counter(those)
    result = []
    for event in reversed(these):  # of equal events the last ones are the surplus
        if surplus[event] > 0:
            surplus[event] -= 1
            result.append(event)
    return result[::-1]


def _disorder(mine: list[Event], seen: list[Event]) -> list[Problem]:
    """The same events, but in an order that no concurrency explains."""
    swapped = inversions(mine, seen)
    if swapped:
        return [Problem(y.at, _at(y), f"{x} at {_at(x)} before {y}", f"{y} before {x} at {_at(x)}")
                for x, y in swapped]
    ours, theirs = beginnings(mine), beginnings(seen)
    if ours == theirs:
        return []
    return [Problem(0, "the order of dialogues", ", then ".join(ours), ", then ".join(theirs))]
