"""The article that this project follows, section by section: which questions of which scenario stand for each.

`rows` says of every section what was predicted, what was measured, and the verdict, in a line each. It reads what a
verification says of itself as data, so a run of today and a stored one are told alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
    """`verdict`: agreed | disagreed | in part | not measured | not yet; `why`: how many checks, where, or why not."""

    section: str
    says: str
    predicted: str
    measured: str
    verdict: str
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def rows(done: Mapping[str, Mapping[str, Any]], notes: Mapping[str, str]) -> list[Row]:
    """One a section, in the article's order. `done`: scenario -> its verification, as `Verification.as_dict` says it.
    `notes`: scenario -> what else is to be said of how it was measured."""
    return [_row(section, done.get(section.scenario), notes.get(section.scenario, "")) for section in SECTIONS]


def _row(section: Section, of: Mapping[str, Any] | None, note: str) -> Row:
    if of is None:
        return Row(section.title, section.says, NOT_YET, NOT_YET, NOT_YET)
    mine = [asked for asked in of["questions"] if section.has(asked["question"]["group"])]
    checks = [asked[level] for asked in mine for level in ("reachability", "path")]
    verdicts = Counter(check["agreed"] for check in checks)
    predicted = ended([asked["predicted"] for asked in mine])
    reasons = list(dict.fromkeys(check["detail"] for check in checks if check["agreed"] is None))
    made = verdicts[True] + verdicts[False]
    if not made:
        why = "; ".join(reasons) or of["why_not_measured"]
        return Row(section.title, section.says, predicted, "nothing", "not measured", why)
    seen = [asked["measured"] for asked in mine if asked["measured"] and asked["reachability"]["agreed"] is not None]
    verdict = "disagreed" if verdicts[False] else "in part" if verdicts[None] else "agreed"
    count = f"{verdicts[True]} of {len(checks)} checks agreed"
    return Row(section.title, section.says, predicted, ended(seen), verdict,
               "; ".join(filter(None, [count, note, *reasons])))


def ended(answers: Sequence[Mapping[str, Any]]) -> str:
    """`8 questions: 6 reached, 2 no such name`"""
    counts = Counter(answer["outcome"] for answer in answers)
    how = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    return f"{len(answers)} question{'s' if len(answers) != 1 else ''}: {how}" if answers else "no question"
