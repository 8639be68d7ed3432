"""The plots of a verification: who reaches whom, and one question's packets on a ladder; predicted beside measured.

matplotlib without a display (Agg). A title is a sentence that says what came out. Colours follow the outcomes; a red
frame marks a disagreement, a dashed grey one what was not measured.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "hopcast"  # the same plot gives the same SVG

from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Patch, Rectangle  # noqa: E402

from experiments import results  # noqa: E402
from experiments.dialogue import Event  # noqa: E402
from experiments.printable import printable  # noqa: E402
from sim.spec import Question  # noqa: E402
from sim.trace import Answer, Outcome  # noqa: E402

COLOURS = {
    Outcome.REACHED: "#59a14f", Outcome.TIMEOUT: "#e15759", Outcome.REFUSED: "#f28e2b", Outcome.RESET: "#ffbe7d",
    Outcome.HOST_UNREACHABLE: "#b07aa1", Outcome.NET_UNREACHABLE: "#d4a6c8", Outcome.PROHIBITED: "#9d7660",
    Outcome.NO_SUCH_NAME: "#4e79a7", Outcome.NAME_UNANSWERED: "#a0cbe8", Outcome.TOO_LARGE: "#86bcb6",
    Outcome.NOT_RUNNING: "#bab0ac", Outcome.NO_TARGET: "#d7d0cd", Outcome.NOT_SAID: "#f2e2a0",
}
FRAMES = {True: ("white", "-", 1.0), False: ("#d00000", "-", 3.0), None: ("#555555", "--", 1.2)}
COLUMN, LINE, GAP = 1.0, 0.42, 0.16
DPI, LARGEST = 130, 16_000
"""Pixels an inch, and of a side at most: a matrix of hundreds has fewer an inch."""
LONGEST = 120
"""Characters of a text."""


def drawn(text: str) -> str:
    """A text as matplotlib draws it: no mathematics between dollar signs, and not longer than a picture is wide."""
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return printable(short).replace("$", r"\$")


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """NAME.png and NAME.svg. ResultsError."""
    paths = []
    dpi = min(DPI, LARGEST / max(figure.get_size_inches()))
    for suffix, metadata in ((".png", None), (".svg", {"Date": None})):
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for it
            figure.savefig(buffer, format=suffix[1:], dpi=dpi, bbox_inches="tight", metadata=metadata)
        paths.append(results.write(folder / f"{name}{suffix}", buffer.getvalue()))
    return paths


# the matrix


def reachability(
    questions: Sequence[Question], predicted: Sequence[Answer], measured: Sequence[Answer | None],
    agreed: Sequence[bool | None], title: str,
) -> Figure:
    """Sources by targets, twice. A cell has a box for each question, in the colour of its outcome. `name`: by name;
    `pub.`: the published port at the host's address."""
    sources = list(dict.fromkeys(q.source for q in questions))
    targets = list(dict.fromkeys(q.target for q in questions))
    cells: dict[tuple[str, str], list[int]] = {}
    for index, question in enumerate(questions):
        cells.setdefault((question.source, question.target), []).append(index)
    heights = [max(len(cells.get((s, t), [])) for t in targets) * LINE + GAP for s in sources]
    width, height = max(len(targets) * 0.88, 4) * 2 + 3, sum(heights) * 0.62 + 2.6
    figure = Figure(figsize=(width, height))
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.02})
    for axes, answers, name in ((left, predicted, "predicted"), (right, measured, "measured")):
        _matrix(axes, questions, answers, agreed if answers is measured else [True] * len(questions),
                sources, targets, heights, cells)
        axes.set_title(name, fontsize=13, pad=8)
    right.tick_params(left=False)
    used = [o for o in Outcome if any(a is not None and a.outcome is o for a in (*predicted, *measured))]
    legend = [Patch(color=COLOURS[o], label=o.value) for o in used]
    legend += [Patch(facecolor="white", edgecolor=FRAMES[False][0], linewidth=2, label="disagreement")]
    if None in agreed:
        legend += [Patch(facecolor="white", edgecolor=FRAMES[None][0], linestyle="--", label="not measured")]
    figure.legend(handles=legend, loc="lower center", ncol=len(legend), frameon=False, fontsize=10)
    figure.suptitle(drawn(title), fontsize=15, y=0.985)
    figure.subplots_adjust(bottom=1.15 / height, top=1 - 1.05 / height)
    return figure


def _matrix(
    axes: Axes, questions: Sequence[Question], answers: Sequence[Answer | None], agreed: Sequence[bool | None],
    sources: list[str], targets: list[str], heights: list[float], cells: dict[tuple[str, str], list[int]],
) -> None:
    top, middles = 0.0, []
    for source, row in zip(sources, heights, strict=True):
        for column, target in enumerate(targets):
            for line, index in enumerate(cells.get((source, target), [])):
                _box(axes, column, top + GAP / 2 + line * LINE, questions[index], answers[index], agreed[index])
        axes.axhline(top, color="#dddddd", linewidth=0.8, zorder=0)
        middles.append(top + row / 2)
        top += row
    for column in range(1, len(targets)):
        axes.axvline(column, color="#eeeeee", linewidth=0.8, zorder=0)
    axes.set(xlim=(0, len(targets)), ylim=(top, 0), yticks=middles, yticklabels=list(map(drawn, sources)))
    axes.set_xticks([c + 0.5 for c in range(len(targets))], list(map(drawn, targets)), rotation=40, ha="right",
                    rotation_mode="anchor")
    axes.tick_params(length=0, labelsize=10)
    for side in axes.spines.values():
        side.set_color("#dddddd")


def _box(axes: Axes, column: int, top: float, question: Question, answer: Answer | None, agreed: bool | None) -> None:
    edge, style, line = FRAMES[agreed]
    face = COLOURS[answer.outcome] if answer else "#f4f4f4"
    axes.add_patch(Rectangle((column + 0.04, top + 0.03), COLUMN - 0.08, LINE - 0.06, facecolor=face, edgecolor=edge,
                             linestyle=style, linewidth=line))
    what = f"{question.port}/{question.probe}" if question.port else str(question.probe)
    what += " name" if question.by == "name" else " pub." if question.published else ""
    axes.text(column + 0.5, top + LINE / 2, what, ha="center", va="center", fontsize=7.0,
              color="white" if answer else "#777777", weight="bold" if agreed is False else "normal")


# the ladder


@dataclass(frozen=True, slots=True)
class Rung:
    """One packet's way: the points that it passed, and what was rewritten on arrival at each."""

    text: str
    points: tuple[str, ...]
    rewritten: tuple[str, ...]
    arp: bool


BACKGROUND = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
REWRITES = {"ip.src": "src", "ip.dst": "dst", "tcp.sport": "sport", "tcp.dport": "dport", "udp.sport": "sport",
            "udp.dport": "dport", "ip.ttl": "ttl"}


def rungs(events: Sequence[Event]) -> list[Rung]:
    """Events by packet, in order; a point that saw a packet coming in and going out is one."""
    packets: dict[tuple[object, ...], list[Event]] = {}
    for event in events:
        packets.setdefault(event.packet, []).append(event)
    result = []
    for seen in packets.values():
        points: list[str] = []
        notes: list[str] = []
        before = dict(seen[0].headers)
        for event in seen:
            now = dict(event.headers)
            note = ", ".join(f"{short} {now[name]}" for name, short in REWRITES.items()
                             if name in now and name in before and now[name] != before[name])
            before = now
            if points and points[-1] == event.point:
                notes[-1] = ", ".join(filter(None, [notes[-1], note]))
            else:
                points.append(event.point)
                notes.append(note)
        result.append(Rung(seen[0].text, tuple(points), tuple(notes), seen[0].dialogue.startswith("arp")))
    return result


def ladder(predicted: Sequence[Rung], measured: Sequence[Rung] | None, title: str) -> Figure:
    """Time runs down, capture points stand side by side in the order in which packets meet them. Points that only ARP
    reaches (the other ports of a bridge) are not drawn."""
    both_sides = [*predicted, *(measured or [])]
    order = _in_order([rung for rung in both_sides if not rung.arp] or both_sides)
    predicted = _only_at(predicted, order)
    measured = _only_at(measured, order) if measured is not None else None
    rows = max(len(predicted), len(measured or []), 1)
    figure = Figure(figsize=(max(2.1 * len(order), 5) * 2 * 0.72 + 1, 0.62 * rows + 2.6))
    both = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.04})
    for axes, side, name in ((both[0], predicted, "predicted"), (both[1], measured, "measured")):
        axes.set_title(name, fontsize=13, pad=26)
        axes.set(xlim=(-0.5, len(order) - 0.5), ylim=(rows + 0.1, -0.6), yticks=[])
        axes.set_xticks(range(len(order)), [drawn(p).replace(":", "\n", 1) for p in order], fontsize=8.5)
        axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
        for edge in axes.spines.values():
            edge.set_visible(False)
        for x in range(len(order)):
            axes.axvline(x, color="#cccccc", linewidth=1, zorder=0)
        if side is None:
            axes.text((len(order) - 1) / 2, rows / 2, "not measured here", ha="center", color="#777777", fontsize=13)
        for row, rung in enumerate(side or []):
            _rung(axes, row, rung, order)
    figure.suptitle(drawn(title), fontsize=15)
    figure.subplots_adjust(top=1 - 1.45 / figure.get_figheight(), bottom=0.02, left=0.02, right=0.98)
    return figure


def _only_at(of: Sequence[Rung], points: list[str]) -> list[Rung]:
    result = []
    for rung in of:
        kept = [(p, note) for p, note in zip(rung.points, rung.rewritten, strict=True) if p in points]
        if kept:
            result.append(Rung(rung.text, tuple(p for p, _ in kept), tuple(note for _, note in kept), rung.arp))
    return result


def _in_order(of: Sequence[Rung]) -> list[str]:
    """Points along the way: as the first packet meets them, those of later ones beside their neighbours."""
    order: list[str] = []
    for rung in sorted(of, key=lambda r: r.arp):
        for place, point in enumerate(rung.points):
            if point in order:
                continue
            known = [order.index(p) for p in rung.points[:place] if p in order]
            order.insert(known[-1] + 1 if known else len(order), point)
    return order


def _rung(axes: Axes, row: int, rung: Rung, order: list[str]) -> None:
    colour = "#8a8a8a" if rung.arp else "#1f4e79" if order.index(rung.points[0]) <= order.index(rung.points[-1]) else (
        "#b4581a")
    places = [order.index(p) for p in rung.points]
    slope = 0.34 / max(len(places) - 1, 1)
    for step, (x, y) in enumerate(pairwise(places)):
        axes.annotate("", (y, row + slope * (step + 1)), (x, row + slope * step),
                      arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.3, "shrinkA": 1, "shrinkB": 1})
    axes.plot(places, [row + slope * i for i in range(len(places))], "o", color=colour, markersize=3.5)
    low = min(places)
    axes.text(low + (0.04 if places[0] == low else 0), row - 0.1, drawn(rung.text), fontsize=7.4, color=colour,
              va="bottom", ha="left")
    for step, note in enumerate(rung.rewritten):
        if note:
            axes.text(places[step], row + slope * step + 0.1, drawn(note), fontsize=6.8, color="#c00000", va="top",
                      ha="center", bbox=BACKGROUND)
