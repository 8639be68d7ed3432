"""The article that this project follows, section by section: which questions of which scenario stand for each.

`rows` says of every section what was predicted, what was measured, and the verdict, in a line each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.compare import Check, Totals
from experiments.verify import Verification
from sim.trace import Answer

SCENARIOS: dict[str, str] = {
    "single-host": "The article's networks of a single host",
    "many-hosts": "The article's macvlan networks, on several hosts",
    "overlay": "The article's overlay networks, over three engines in a swarm",
    "ingress": "The article's service with three replicas, behind the ingress network",
}
"""Scenario (`scenarios/article_NAME.yaml`, `-` as `_`) -> its title."""
NOT_YET = "not yet"


@dataclass(frozen=True, slots=True)
class Section:
    """`groups`: the beginnings of the headings of its questions, in a scenario. No scenario: not covered."""

    title: str
    says: str
    scenario: str = ""
    groups: tuple[str, ...] = ()

    def has(self, group: str) -> bool:
        return group.startswith(self.groups)


SECTIONS = (
    Section("default bridge", "containers reach each other by address and not by name", "single-host",
            ("default bridge", "bridges apart")),
    Section("user-defined bridge", "names resolve; networks are apart; published ports lead in", "single-host",
            ("user-defined bridge", "published port", "unpublished port", "internal network", "icc off",
             "on two bridges")),
    Section("host", "the container has the host's own network; published ports are discarded", "single-host",
            ("host network",)),
    Section("macvlan", "each container stands on the hosts' wire with a MAC address of its own", "many-hosts",
            ("macvlan", "bridges on several hosts")),
    Section("none", "loopback is all there is", "single-host", ("none",)),
    Section("overlay", "containers on different engines are on one network", "overlay", ("overlay",)),
    Section("ingress", "every node answers for a service's published port", "ingress", ("ingress", "service")),
    Section("plugin", "other drivers can be plugged in"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """`verdict`: agreed | disagreed | in part | not measured | not yet; `why` when it is none of the first two."""

    section: str
    says: str
    predicted: str
    measured: str
    verdict: str
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def rows(done: Mapping[str, Verification]) -> list[Row]:
    """One a section, in the article's order. `done`: scenario -> its verification."""
    return [_row(section, done.get(section.scenario)) for section in SECTIONS]


def _row(section: Section, of: Verification | None) -> Row:
    if of is None:
        return Row(section.title, section.says, NOT_YET, NOT_YET, NOT_YET)
    mine = [index for index, question in enumerate(of.prediction.questions) if section.has(question.group)]
    checks = [check for index in mine for check in of.answers[index]]
    total = Totals(tuple(checks)).of()
    predicted = ended([of.prediction.answers[index] for index in mine])
    reasons = list(dict.fromkeys(check.detail for check in checks if check.agreed is None))
    if of.measurement is None or not total.checked:
        return Row(section.title, section.says, predicted, "nothing", "not measured", "; ".join(reasons) or of.why_not)
    seen = [o.answer for i, o in enumerate(of.measurement.observations) if i in mine and _asked(of.answers[i])]
    measured = ended([answer for answer in seen if answer is not None])
    verdict = "disagreed" if total.disagreed else "in part" if total.not_made else "agreed"
    why = f"{total.agreed} of {total.checked + total.not_made} checks agreed"
    return Row(section.title, section.says, predicted, measured, verdict, "; ".join([why, *reasons]))


def _asked(checks: tuple[Check, Check]) -> bool:
    return checks[0].agreed is not None


def ended(answers: Sequence[Answer]) -> str:
    """`8 questions: 6 reached, 2 no such name`"""
    counts = Counter(answer.outcome.value for answer in answers)
    how = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    return f"{len(answers)} question{'s' if len(answers) != 1 else ''}: {how}" if answers else "no question"
