"""When each question is asked: first those of the undisturbed topology, then fault by fault during it and after it.

Prediction and measurement share this order, for a fault may leave something behind that later questions meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sim.spec import Fault, Question, Spec


@dataclass(frozen=True, slots=True)
class Phase:
    """`questions` are indexes. `before` (no fault): what is asked before anything goes wrong; `during`: the fault is
    injected, then they are asked; `after`: it is mended, then they are asked."""

    when: Literal["before", "during", "after"]
    fault: Fault | None
    questions: tuple[int, ...]


def phases(spec: Spec, questions: Sequence[Question]) -> list[Phase]:
    """The phases in their order. A fault that nobody asks about does not happen, unless it moves tasks that a later one
    finds where they are then; one that happens has both its phases, that of `before` is always there."""
    found = [Phase("before", None, tuple(i for i, q in enumerate(questions) if not q.during and not q.after))]
    asked = {question.during or question.after for question in questions}
    last = max((n for n, fault in enumerate(spec.faults) if fault.moves and fault.name in asked), default=-1)
    for number, fault in enumerate(spec.faults):
        during = tuple(i for i, q in enumerate(questions) if q.during == fault.name)
        after = tuple(i for i, q in enumerate(questions) if q.after == fault.name)
        if during or after or (fault.moves and number < last):
            found += [Phase("during", fault, during), Phase("after", fault, after)]
    return found
