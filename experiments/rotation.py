"""Round robin over a whole run: which task answered after which.

What one connection gets is drawn: round robin goes on from wherever it stopped. What follows is not. On one balancer
the n-th and the (n + m)-th new connection get the same of m tasks, and m connections in a row get m different ones. So
the questions of a run that pass one balancer are checked against each other, in the order in which they were asked.

A question that was asked twice (frames were lost) leaves open how many connections it took: the count starts anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from experiments.compare import Check
from sim.trace import Answer, Kind, Trace

Ways = Sequence[tuple[Answer, Trace]]
"""How a question may go, predicted."""
Seen = tuple[Answer | None, int]
"""(answer, how often the question was asked until no frame was lost)"""
Turn = tuple[int, str]
"""(how many connections came before, who answered)"""


def rotations(asked: Sequence[tuple[Ways, Seen]]) -> list[Check]:
    """A check for each balancer and service of which two questions or more tell the task. `asked`: in that order."""
    runs: dict[tuple[str, str], list[list[Turn]]] = {}
    counts: dict[tuple[str, str], int] = {}
    tasks: dict[tuple[str, str], set[str]] = {}
    for ways, (answer, attempts) in asked:
        for key in _passed(ways):
            segments = runs.setdefault(key, [[]])
            tasks.setdefault(key, set()).update({predicted.served_by for predicted, _ in ways} - {""})
            if attempts != 1 or answer is None:
                segments.append([])
                counts[key] = 0
                continue
            if answer.served_by:
                segments[-1].append((counts.get(key, 0), answer.served_by))
            counts[key] = counts.get(key, 0) + 1
    return [_check(f"{where}: round robin among {', '.join(sorted(tasks[where, mark]))}", where, segments,
                   len(tasks[where, mark]))
            for (where, mark), segments in runs.items() if any(len(segment) > 1 for segment in segments)]


def _passed(ways: Ways) -> list[tuple[str, str]]:
    """(balancer, its service) of each connection that a question makes there, the same in all its ways; else none."""
    chosen = {tuple((step.where, step.detail.partition(":")[0]) for step in trace if step.kind is Kind.IPVS_NEW)
              for _, trace in ways}
    return list(chosen.pop()) if len(chosen) == 1 else []


def _check(subject: str, where: str, segments: list[list[Turn]], tasks: int) -> Check:
    turns = sum(map(len, segments))
    predicted = f"{turns} connections, each {tasks} in a row to {tasks} different tasks"
    for segment in segments:
        for at, (number, task) in enumerate(segment):
            for earlier, other in segment[:at]:
                if (task == other) != ((number - earlier) % tasks == 0):
                    shown = ", ".join(name for _, name in segment)
                    return Check("reachability", subject, False, predicted, f"not in turn: {shown}", where,
                                 f"connection {earlier + 1} went to {other}, connection {number + 1} to {task}")
    seen = "; ".join(", ".join(name for _, name in segment) for segment in segments if segment)
    return Check("reachability", subject, True, predicted, seen, where)
