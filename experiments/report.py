"""A verification as Markdown, for people who were not there: predicted, measured, and where the two differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.article import SCENARIOS, Row
from experiments.assumptions import in_a_line
from experiments.compare import LEVELS, Check, describe_ways
from experiments.printable import printable
from experiments.render import asked, by_group, sentence
from experiments.verify import Verification

MARKS = {True: "agreed", False: "**DISAGREED**", None: "not measured"}


def summary(of: Verification, title: str, provenance: Mapping[str, Any], plots: Sequence[str] = ()) -> str:
    """`summary.md`."""
    assumed = in_a_line(of.spec, of.prediction.plumbing)
    lines = [f"# {_said(title)}", "", f"{sentence(of.as_dict())}.", "", f"The prediction {assumed}.", "",
             *_totals(of), ""]
    for plot in plots:
        lines += [f"![{plot}]({plot})", ""]
    for group, indices in by_group(of.prediction.questions).items():
        lines += [f"## {_said(group) or 'Questions'}", ""]
        rows = [_row(of, index) for index in indices]
        lines += _table(["from", "to", "predicted", "because", "answer", "path"], rows)
        lines.append("")
    if again := _asked_again(of):
        lines += ["## Asked more than once", "", *_table(["question", "attempts", "what spoilt an attempt"], again), ""]
    if of.prediction.cautions:
        lines += ["## To know before", "", *(f"- {_cell(c)}" for c in of.prediction.cautions), ""]
    if of.prediction.warnings:
        lines += ["## What the engine warns about", "", *(f"- {_cell(w)}" for w in of.prediction.warnings), ""]
    lines += ["## Plumbing", "", *_table(["subject", "", "predicted"], [
        [c.subject, MARKS[c.agreed], c.predicted] for c in of.plumbing]), ""]
    if of.turns:
        lines += ["## Round robin", "", *_table(["balancer", "", "predicted", "seen"], [
            [c.subject, MARKS[c.agreed], c.predicted, c.observed] for c in of.turns]), ""]
    differing = [c for c in of.checks if c.agreed is False or (c.agreed is None and of.measurement)]
    if differing:
        lines += ["## Where prediction and measurement differ", ""]
        lines += [line for check in differing for line in _difference(check)]
    lines += ["## Where this comes from", "", *_table(["", ""], [[k, str(v)] for k, v in provenance.items()]), ""]
    if of.seconds:
        lines += [f"Seconds: {', '.join(f'{stage} {value:.1f}' for stage, value in of.seconds.items())}.", ""]
    return "\n".join(lines)


def article_summary(rows: Sequence[Row], done: Mapping[str, Mapping[str, Any]]) -> str:
    """`summary.md` of the whole article: a row a section, then what each scenario came to."""
    table = _table(["section", "it says", "predicted", "measured", "verdict", ""], [
        [r.section, r.says, r.predicted, r.measured, f"**{r.verdict}**", r.why] for r in rows])
    lines = ["# The article, section by section", "", *table, "", "## Scenarios", ""]
    for name, of in done.items():
        took = f" {of['seconds']['all']:.0f} s with the lab." if "all" in of["seconds"] else ""
        lines.append(f"- [{SCENARIOS[name]}]({name}/summary.md): {sentence(of)}.{took}")
    return "\n".join([*lines, ""])


def _row(of: Verification, index: int) -> list[str]:
    question = of.prediction.questions[index]
    reachability, path = of.answers[index]
    because = of.prediction.reasons[index] or question.comment
    ways = describe_ways([answer for answer, _ in of.prediction.ways(index)])
    return [question.source, asked(question), ways, because, MARKS[reachability.agreed], MARKS[path.agreed]]


def _asked_again(of: Verification) -> list[list[str]]:
    """A row a question that took more than one attempt: each reason once, with how often it came."""
    observations = of.measurement.observations if of.measurement else []
    return [[str(question), str(seen.attempts),
             "; ".join(f"{why} ({count} times)" if count > 1 else why for why, count in Counter(seen.again).items())]
            for question, seen in zip(of.prediction.questions, observations, strict=False) if seen.attempts > 1]


def _totals(of: Verification) -> list[str]:
    rows = []
    for level in LEVELS:
        total = of.totals.of(level)
        rows.append([level, str(total.checked), str(total.agreed), str(total.disagreed), str(total.not_made)])
    return _table(["level", "checked", "agreed", "disagreed", "not measured"], rows)


def _difference(check: Check) -> list[str]:
    lines = [f"### {check.level}: {_said(check.subject)} ({MARKS[check.agreed].strip('*').lower()})", ""]
    for name, value in (("where", check.where), ("predicted", check.predicted), ("seen", check.observed)):
        if value:
            lines.append(f"- {name}: {_said(value)}")
    return [*lines, "", "```", printable(check.detail), "```", ""] if check.detail else [*lines, ""]


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}",
            *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]


def _cell(text: str) -> str:
    return _said(text).replace("|", "\\|")


def _said(text: str) -> str:
    """A text that makes no line, no control and no HTML of its own."""
    return printable(text.replace("\n", " ")).replace("<", "&lt;")
