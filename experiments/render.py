"""Tables and walks on the terminal, with rich. Everything here takes results and gives renderables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table

from experiments.assumptions import in_a_line
from experiments.compare import LEVELS, Check, Totals, describe_ways
from experiments.terminal import Text
from experiments.walk import Flight, Hop, flights, legs, told
from sim.predict import Prediction
from sim.reasons import decided, in_words
from sim.spec import Question, Spec
from sim.trace import Answer, Outcome, Trace
from sim.underlay import WIRE

if TYPE_CHECKING:
    from experiments.article import Row
    from experiments.verify import Verification

COLOURS = {
    Outcome.REACHED: "green", Outcome.TIMEOUT: "red", Outcome.REFUSED: "yellow", Outcome.RESET: "yellow",
    Outcome.HOST_UNREACHABLE: "magenta", Outcome.NET_UNREACHABLE: "magenta", Outcome.PROHIBITED: "magenta",
    Outcome.NO_SUCH_NAME: "blue", Outcome.NAME_UNANSWERED: "blue", Outcome.TOO_LARGE: "cyan",
    Outcome.NOT_RUNNING: "dim", Outcome.NO_TARGET: "dim", Outcome.NOT_SAID: "yellow",
}
MARKS = {True: Text("agreed", "green"), False: Text("DISAGREED", "bold red"), None: Text("not measured", "yellow")}
Detail = Literal["packets", "all", "brief"]
"""How much of a walk: each packet's hops; every step of every packet; one line a hop."""
LITERAL = re.compile(r"[\d.]+")
"""A target that is an address."""


def outcome(answer: Answer, others: Sequence[Answer] = ()) -> Text:
    """The outcome in its colour, with what else the answer says; with `others` as well, where something is drawn."""
    text = Text(answer.outcome.value, COLOURS[answer.outcome])
    return text.append(describe_ways([answer, *others]).removeprefix(answer.outcome.value), "default")


def by_group(questions: Sequence[Question]) -> dict[str, list[int]]:
    """Heading -> indices, in the order asked."""
    groups: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        groups.setdefault(question.group, []).append(index)
    return groups


def asked(question: Question) -> str:
    """`nginx:80 tcp, published`: the target side of a question."""
    port = f":{question.port}" if question.port else ""
    how: list[str] = [question.probe if question.probe != "tcp" or not question.port else ""]
    size = question.size if question.size != Question.model_fields["size"].default else 0
    how += [f"{size} bytes" if size else f"with {question.body} bytes" if question.body else "",
            "DF" if question.df else ""]
    at = f" at {question.at}" if question.at else ""
    how += ["by name" if question.by == "name" else "", f"published{at}" if question.published else ""]
    how += [f"during {question.during}" if question.during else "", f"after {question.after}" if question.after else ""]
    return f"{question.target}{port} {', '.join(filter(None, how))}".strip()


def predictions(
    of: Prediction, checks: Sequence[tuple[Check, Check]] = (),
) -> RenderableType:
    """One table a group. With `checks` (reachability and path of each question) their verdicts; else times, reasons."""
    tables: list[RenderableType] = []
    questions, answers = of.questions, of.answers
    for group, indices in by_group(questions).items():
        table = Table(title=group or None, title_justify="left", title_style="bold", expand=True)
        table.add_column("from", no_wrap=True)
        table.add_column("to", ratio=3, overflow="fold")
        table.add_column("predicted", ratio=4, overflow="fold")
        if checks:
            table.add_column("measured", no_wrap=True)
            table.add_column("path", no_wrap=True)
        else:
            table.add_column("why, or what for", ratio=5)
        for index in indices:
            ended = outcome(answers[index], [answer for answer, _ in of.others[index]])
            row: list[RenderableType] = [questions[index].source, asked(questions[index]), ended]
            if checks:
                row += [MARKS[check.agreed] for check in checks[index]]
            else:
                ended.append(duration(answers[index].rtt))
                row.append(Text(of.reasons[index] or questions[index].comment, "dim"))
            table.add_row(*row)
        tables.append(table)
    return Group(*tables) if tables else Text("no questions to ask", "dim")


def duration(seconds: float | None) -> Text:
    """`, in 23.4 µs` or `, in 1.203 ms`; nothing where there was no answer."""
    if seconds is None:
        return Text("")
    number, unit = (f"{seconds * 1e6:.1f}", "µs") if seconds < 1e-3 else (f"{seconds * 1e3:.3f}", "ms")
    return Text(f", in {number}\N{NO-BREAK SPACE}{unit}", "dim")


def matrix(spec: Spec, questions: Sequence[Question], answers: Sequence[Answer]) -> Table | None:
    """Who asks by who is asked, and every way in which that ends; None where less than half of that grid is asked."""
    cells: dict[tuple[str, str], list[Outcome]] = {}
    for question, answer in zip(questions, answers, strict=True):
        if not LITERAL.fullmatch(question.target):
            box = None if spec.swarm_service(question.target) else spec.container(question.target)
            cells.setdefault((question.source, box.name if box else question.target), []).append(answer.outcome)
    sources, targets = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True)) if cells else ([], [])
    if not cells or len(cells) * 2 < len(sources) * len(targets):
        return None
    table = Table(title="who reaches whom", title_justify="left", title_style="bold")
    for heading in ("from", *targets):
        table.add_column(heading, no_wrap=True)
    for source in sources:
        row: list[RenderableType] = []
        for target in targets:
            ends = dict.fromkeys(cells.get((source, target), []))
            row.append(Text("\n").join(Text(end.value, COLOURS[end]) for end in ends) if ends else Text("·", "dim"))
        table.add_row(source, *row)
    return table


def disagreements(checks: Sequence[Check]) -> RenderableType:
    """Each check that disagreed: what was predicted, what was seen, where. Then those that were not made, by reason."""
    parts: list[RenderableType] = []
    for check in checks:
        if check.agreed is not False:
            continue
        parts.append(Rule(Text(f"{check.level}: {check.subject}", "bold"), align="left", style="red"))
        grid = Table.grid(padding=(0, 2))
        for name, value in (("where", check.where), ("predicted", check.predicted), ("seen", check.observed)):
            if value:
                grid.add_row(Text(name, "dim"), Text(value))
        parts.append(grid)
        if check.detail:
            parts.append(Padding(_diff(check.detail), (0, 0, 1, 2)))
    unmade: dict[str, list[str]] = {}
    for check in checks:
        if check.agreed is None:
            unmade.setdefault(check.detail, []).append(check.subject)
    for reason, subjects in unmade.items():
        count = f"{len(subjects)} check{'s' if len(subjects) != 1 else ''} not made: "
        parts += [Text.assemble((count, "yellow"), (reason, "bold yellow")),
                  Padding(Text("\n".join(dict.fromkeys(subjects)), "dim"), (0, 0, 1, 2))]
    return Group(*parts)


def _diff(detail: str) -> Text:
    colours = {"-": "red", "+": "green", "@": "cyan"}
    text = Text()
    for line in detail.splitlines():
        text.append(line + "\n", colours.get(line[:1], "dim"))
    return text


def totals(of: Totals) -> Table:
    """Checked, agreed, disagreed, not made: a row a level."""
    table = Table(title="predictions", title_justify="left", title_style="bold")
    for heading in ("level", "checked", "agreed", "disagreed", "not measured"):
        table.add_column(heading, justify="left" if heading == "level" else "right")
    for level in LEVELS:
        row = of.of(level)
        table.add_row(level, str(row.checked), Text(str(row.agreed), "green" if row.agreed else "dim"),
                      Text(str(row.disagreed), "bold red" if row.disagreed else "dim"),
                      Text(str(row.not_made), "yellow" if row.not_made else "dim"))
    return table


# walks


def walk(
    question: Question, answer: Answer, trace: Trace, *, because: str = "", others: Sequence[Answer] = (),
    detail: Detail = "packets", priced: str = "",
) -> RenderableType:
    """Every packet of a question. Packets that go a way already shown take one line; with "brief" they are counted.
    `because`: the cause, where it failed. `others`: how it may end as well, where something is drawn.
    """
    parts: list[RenderableType] = [Text.assemble((str(question), "bold"), ": ", outcome(answer, others))]
    different = dict.fromkeys([answer, *others])
    if len(different) > 1:
        taken = answer.served_by or answer.address
        parts.append(Text(f"drawn: one of {len(different)} ways, here to {taken}", "dim"))
    if because:
        parts.append(_headed("because", Text(because, "bold red")))
    if end := death(answer, trace):
        parts.append(_headed("decided by", Text(end, "red")))
    if priced:
        parts.append(Text(f"times are {priced}", "dim"))
    shown: set[tuple[Any, ...]] = set()
    more = 0
    for flight in flights(trace, everything=detail == "all"):
        if detail != "all":
            hops = (h for h in flight.hops if h.where != WIRE or h.drop)
            flight.hops = [replace(hop, changed=told(hop)) for hop in hops]
        dropped = any(h.drop for h in flight.hops)
        places = [(h.where, h.what if h.drop else h.device) for h in flight.hops if h.device or h.drop]
        route = tuple(dict.fromkeys(places))
        known = detail != "all" and (route in shown or (flight.arp and not dropped))
        shown.add(route)
        if detail == "brief":
            more += known
            parts += [] if known else _in_brief(flight)
        else:
            parts += _flight(flight, brief=known)
    if more:
        parts += [Text(), Text(f"{more} more packet{'s' if more > 1 else ''}: ARP, or on a way that is shown", "dim")]
    return Group(*parts)


def death(answer: Answer, trace: Trace) -> str:
    """Where a question's packet ended, and how: `host: dropped by a rule: …`; empty where none was lost."""
    step = decided(answer, trace)
    return f"{step.point if step.device else step.where}: {in_words(step)}" if step else ""


def _headed(heading: str, text: Text) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=10, no_wrap=True)
    grid.add_row(Text(heading, "dim"), text)
    return grid


def _in_brief(flight: Flight) -> list[RenderableType]:
    """A packet, and a line for each place that it passes; what a process did between packets is one line anyway."""
    if not flight.number:
        return _flight(flight, brief=True)
    stays = legs(flight)
    width = max((len(leg.where) for leg in stays), default=0)
    parts = [Text(), _line(flight, Text(flight.text, "cyan" if flight.arp else "bold cyan"))]
    for leg in stays:
        parts.append(Text.assemble(
            f"      {leg.where:{width}}  ", (leg.what, "bold red" if leg.drop else "default"), "  " * bool(leg.what),
            (f"by {' '.join(leg.devices)}" if leg.devices else "", "green"), no_wrap=True, overflow="ellipsis"))
    return parts


def cautions(of: Prediction) -> list[RenderableType]:
    """What to know before any answer is read, a line each."""
    return [Text(f"caution: {text}", "yellow") for text in of.cautions]


def assumed(spec: Spec, of: Prediction) -> Text:
    """What the forecast takes for granted of engines and hosts."""
    return Text(in_a_line(spec, of.plumbing), "dim")


def _flight(flight: Flight, *, brief: bool) -> list[RenderableType]:
    style = "cyan" if flight.arp else "bold cyan" if flight.number else "blue"
    if not flight.number:
        return [_line(flight, Text(f"{h.where}: {h.what}", style)) for h in flight.hops]
    head = Text(flight.text, style)
    if brief:
        return [_line(flight, head.append(f"  {flight.end}", "not bold default dim") if flight.end else head)]
    grid = Table.grid(padding=(0, 2))
    before = ""
    for hop in flight.hops:
        grid.add_row(Text(hop.where if hop.where != before else "", "bold"), Text(hop.device, "green"), _what(hop))
        before = hop.where
    return [Text(), _line(flight, head), Padding(grid, (0, 0, 0, 6))]


def _line(flight: Flight, text: Text) -> RenderableType:
    """When, which packet, and what about it; where the terminal is narrow the text wraps within its own column."""
    line = Table.grid(padding=(0, 2))
    line.add_column(justify="right", no_wrap=True, width=12)
    line.add_column(justify="right", no_wrap=True, width=3)
    line.add_row(Text(f"{flight.at * 1e3:.3f} ms", "dim"), str(flight.number or ""), text)
    return line


def _what(hop: Hop) -> Text:
    text = Text(hop.what, "bold red" if hop.drop else "default")
    for name, (before, now) in hop.changed.items():
        if name == "eth.ethertype" and before is None:
            continue
        text.append(f"\n{name} ", "yellow")
        if before is not None:
            text.append(str(before), "dim").append(" -> ", "dim")
        text.append(str(now), "bold yellow")
    return text


# whole results


def verification(of: Verification) -> list[RenderableType]:
    """Tables by group, the differences, the totals, and the sentence that says it all."""
    total = of.totals.of()
    style = "bold red" if total.disagreed else "bold yellow" if total.not_made else "bold green"
    parts = [*cautions(of.prediction), predictions(of.prediction, of.answers), assumed(of.spec, of.prediction)]
    parts += [Text(f"engine: {warning}", "yellow") for warning in of.prediction.warnings]
    if total.checked:
        parts.append(disagreements(of.checks))
    return [*parts, totals(of.totals), Text(f"{sentence(of.as_dict())}.", style)]


VERDICTS = {"agreed": "green", "disagreed": "bold red"}


def article(rows: Sequence[Row]) -> Table:
    """The article, a row a section."""
    table = Table(title="the article, section by section", title_justify="left", title_style="bold", show_lines=True)
    for heading in ("section", "predicted", "measured", "verdict"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        verdict = Text(row.verdict, VERDICTS.get(row.verdict, "yellow"))
        table.add_row(Text.assemble((row.section, "bold"), "\n", (row.says, "dim")), row.predicted, row.measured,
                      verdict.append(f"\n{row.why}" if row.why else "", "dim"))
    return table


def sentence(of: Mapping[str, Any]) -> str:
    """The result of a verification (`Verification.as_dict`) in one sentence, with its numbers."""
    total = of["totals"]["all"]
    whole = total["checked"] + total["not_made"]
    if not of["engine"]:
        return f"0 of {whole} predictions checked: nothing was measured, because of {of['why_not_measured']}"
    where = f" in a {of['where']}" if of["where"] else ""
    text = f"{total['checked']} of {whole} predictions checked on Docker Engine {of['engine']}{where}: "
    text += f"{total['agreed']} agreed, {total['disagreed']} disagreed"
    return text + (f", {total['not_made']} could not be measured" if total["not_made"] else "")


def doctor(report: dict[str, Any]) -> RenderableType:
    """What was examined, and how to get what is missing."""
    table = Table()
    for heading in ("", "what", "state", "needed for", "how to get it"):
        table.add_column(heading)
    for item in report["items"]:
        if item["ok"]:
            state = Text("ok", "green")
        elif item["ok"] is None:
            state = Text("not tried", "dim")
        else:
            state = Text("missing", "bold red" if item["required"] else "yellow")
        if item["detail"]:
            state.append(f" {item['detail']}", "dim")
        table.add_row(item["kind"], item["name"], state, Text(item["needed_for"], "dim"),
                      "" if item["ok"] else Text(item["get"]))
    if report["can_run_lab"]:
        last = Text("A lab can run here: predictions can be verified.", "bold green")
    else:
        last = Text(f"No lab can run here; predicting works. {report['why_not']}", "bold red")
    return Group(table, last)
