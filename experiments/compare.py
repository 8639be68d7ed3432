"""Where prediction and capture meet, and nowhere else: plumbing, reachability, and the path of every packet.

Each comparison is a `Check`: agreed, disagreed, or not made (and why). A check says what was predicted, what was
seen, and where they part.

Plumbing is compared line for line, save what the engine itself draws: the embedded DNS's ports, and the order of one
container's published ports among themselves (`sim.plumbing.unordered`).

The path: both traces become lists of events, a frame at a point each (`experiments/dialogue.py`;
`experiments/omissions.py` lists what is left out and why). They agree when each predicted event was seen, as often as
predicted, with every header equal, when nothing else was seen, and when the events came in the same causal order
(`experiments/differences.py`).
A trace with lost frames is never agreed and never disagreed: it was not seen.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from experiments.dialogue import Event, events
from experiments.differences import problems
from experiments.omissions import EPHEMERAL
from sim.plumbing import Namespace, Plumbing, unordered
from sim.spec import Dial
from sim.trace import Answer, Trace

Level = Literal["plumbing", "reachability", "path"]
LEVELS: tuple[Level, ...] = ("plumbing", "reachability", "path")
SHOWN = 12
"""Differences that one check lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison. `agreed` None: not made, and `detail` says why."""

    level: Level
    subject: str
    agreed: bool | None
    predicted: str
    observed: str
    where: str = ""
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def not_made(level: Level, subject: str, predicted: str, why: str) -> Check:
    return Check(level, subject, None, predicted, "not measured", detail=why)


# plumbing


def compare_plumbing(predicted: Plumbing, observed: Plumbing) -> list[Check]:
    """One check per namespace and facet that either side has something to say about; one for the engine's warnings."""
    checks = []
    for label in sorted(predicted.namespaces.keys() | observed.namespaces.keys()):
        mine, seen = predicted.namespaces.get(label), observed.namespaces.get(label)
        if mine is None or seen is None:
            there = ["absent" if side is None else "there" for side in (mine, seen)]
            checks.append(Check("plumbing", f"{label}: namespace", False, there[0], there[1], label))
            continue
        ours, theirs = facets(mine), facets(seen)
        for facet in [*ours, *(f for f in theirs if f not in ours)]:
            lines = ours.get(facet, []), theirs.get(facet, [])
            if any(lines):
                checks.append(_compare_lines(f"{label}: {facet}", *lines, where=label))
    for host in sorted(predicted.inspected.keys() | observed.inspected.keys()):
        told = sorted(predicted.inspected.get(host, [])), sorted(observed.inspected.get(host, []))
        checks.append(_compare_lines(f"{host}: what its engine says", *told, where=host))
    if predicted.warnings or observed.warnings:
        said = sorted(predicted.warnings), sorted(observed.warnings)
        checks.append(_compare_lines("engine: warnings", *said, "engine"))
    return checks


def facets(namespace: Namespace) -> dict[str, list[str]]:
    """A namespace as facets of readable lines, order kept where order means something (rules, nameservers)."""
    links = sorted(namespace.interfaces.values(), key=lambda i: i.name)
    lines = {
        "links": [f"{i.name} {i.kind} mtu {i.mtu} {'up' if i.up else 'down'} {i.options}".rstrip() for i in links],
        "addresses": [f"{i.name} {address}" for i in links for address in i.addresses],
        "MAC addresses": [f"{i.name} {i.mac}" for i in links if i.mac],
        "bridge members": sorted(f"{i.master} has {i.name}" for i in links if i.master),
        "routes": sorted(
            f"{r.dst}{f' via {r.via}' if r.via else ''} dev {r.dev}{f' src {r.src}' if r.src else ''}"
            for r in namespace.routes),
        "listeners": sorted(f"{protocol} {address}:{port}" for protocol, address, port in namespace.listeners),
        "nameservers": list(namespace.nameservers),
        "permanent neighbours": sorted(namespace.neighbours),
        "tunnel endpoints": sorted(namespace.remotes),
        "balanced services": sorted(namespace.balanced),
        "IPsec": sorted(namespace.policies),
    }
    for table in sorted(namespace.rules):
        lines[f"iptables {table}"] = unordered(_with_dns_ports_renamed(namespace.rules[table]))
    return lines


def _with_dns_ports_renamed(rules: Sequence[str]) -> list[str]:
    """The embedded name server's ports are drawn at random: eph1, eph2 in the order in which the table shows them."""
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        if int(match[2]) not in EPHEMERAL:
            return match[0]
        return match[1] + names.setdefault(match[2], f"eph{len(names) + 1}")

    result = []
    for rule in rules:
        rule = re.sub(r"(127\.0\.0\.11:)(\d+)", name, rule)
        if "-s 127.0.0.11" in rule:
            rule = re.sub(r"(--sport )(\d+)", name, rule)
        result.append(rule)
    return result


def _compare_lines(subject: str, predicted: list[str], observed: list[str], where: str) -> Check:
    if predicted == observed:
        same = f"{len(predicted)} line{'s' if len(predicted) != 1 else ''}"
        return Check("plumbing", subject, True, same, same, where)
    diff = list(difflib.unified_diff(predicted, observed, "predicted", "observed", lineterm="", n=1))
    only = [_first([line[1:] for line in diff[2:] if line.startswith(sign)]) for sign in "-+"]
    return Check("plumbing", subject, False, only[0], only[1], where, "\n".join(diff))


def _first(lines: list[str]) -> str:
    if not lines:
        return "nothing"
    return lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")


# reachability


def compare_answer(predicted: Answer, observed: Answer, subject: str = "", where: str = "") -> Check:
    """Same outcome (and so the same kind of failure), address dialled, server, and source that the server saw."""
    names = ("outcome", "address", "served_by", "seen_as")
    differ = [n for n in names if getattr(predicted, n) != getattr(observed, n)]
    detail = "\n".join(f"{n}: predicted {_or_nothing(getattr(predicted, n))}, seen {_or_nothing(getattr(observed, n))}"
                       for n in differ)
    if differ and observed.detail:
        detail += f"\nthe probe said: {observed.detail}"
    return Check("reachability", subject, not differ, describe(predicted), describe(observed), where, detail)


def describe(answer: Answer) -> str:
    """`reached web at 172.18.0.2, seen as 172.18.0.1`."""
    text = str(answer.outcome.value)
    if answer.served_by:
        text += f" {answer.served_by}"
    if answer.address:
        text += f" at {answer.address}"
    if answer.seen_as:
        text += f", seen as {answer.seen_as}"
    return text


def compare_ways(predicted: Sequence[Answer], observed: Answer, subject: str = "", where: str = "") -> Check:
    """As `compare_answer`, where something is drawn on the way: the answer must be one of those predicted."""
    checks = [compare_answer(answer, observed, subject, where) for answer in predicted]
    check = next((c for c in checks if c.agreed), checks[0])
    return replace(check, predicted=describe_ways(predicted))


def describe_ways(answers: Sequence[Answer]) -> str:
    """`reached web.1 or web.2 at 10.0.1.2`: what is the same in all of them is said once."""
    different = list(dict.fromkeys(answers))
    if len(different) == 1:
        return describe(different[0])
    servers = list(dict.fromkeys(a.served_by for a in different))
    same = {replace(a, served_by="") for a in different}
    if len(same) == 1 and all(servers):
        return describe(replace(different[0], served_by=" or ".join(servers)))
    return ", or ".join(describe(answer) for answer in different)


def _or_nothing(value: str) -> str:
    return value or "nothing"


# path


def compare_path(
    predicted: Trace,
    observed: Trace,
    points: Iterable[str],
    *,
    subject: str = "",
    dial: Dial | None = None,
    bridges: Collection[str] = (),
    others: Collection[int] = (),
    fixed: Collection[int] = (),
    drawn: Collection[int] = EPHEMERAL,
    until: float | None = None,
) -> Check:
    """Header for header, point for point. The keywords are those of `dialogue.events`."""
    at = sorted(set(points))
    mine, seen = (
        events(each, at, dial=dial, bridges=bridges, others=others, fixed=fixed, drawn=drawn, until=until)
        for each in (predicted, observed))
    if observed.lost or predicted.lost:
        lost = observed.lost or predicted.lost
        return not_made("path", subject, _summary(mine), f"the capture lost {lost} frame{'s' if lost != 1 else ''}")
    found = problems(mine, seen)
    if not found:
        return Check("path", subject, True, _summary(mine), _summary(seen))
    first = found[0]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    detail = "\n".join([*(p.line() for p in found[:SHOWN]), *more])
    return Check("path", subject, False, first.predicted, first.observed, first.where, detail)


def _summary(of: list[Event]) -> str:
    return f"{len(of)} frames at {len({e.point for e in of})} points" if of else "no packet"


# totals


@dataclass(frozen=True, slots=True)
class Total:
    """`checked` counts the checks that were made: agreed and disagreed."""

    agreed: int = 0
    disagreed: int = 0
    not_made: int = 0

    @property
    def checked(self) -> int:
        return self.agreed + self.disagreed


@dataclass(frozen=True, slots=True)
class Totals:
    checks: tuple[Check, ...]

    def of(self, level: Level | None = None) -> Total:
        verdicts = Counter(c.agreed for c in self.checks if level in (None, c.level))
        return Total(verdicts[True], verdicts[False], verdicts[None])

    def as_dict(self) -> dict[str, Any]:
        levels: tuple[Level | None, ...] = (*LEVELS, None)
        return {level or "all": {"checked": (t := self.of(level)).checked, **asdict(t)} for level in levels}
