"""What every picture has around its panels: a sentence as its title, a legend, and a footer that says where the figures
come from. Texts are wrapped by their measured width, and the page grows with them, so nothing is clipped.

The same data give the same bytes: no dates, a fixed salt for the ids of an SVG, a font that matplotlib brings along.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from experiments import results
from experiments.performance.plots.marks import GREY, INK

RC: Any = {
    "svg.hashsalt": "hopcast", "font.family": "DejaVu Sans", "font.size": 9, "text.parse_math": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9.5, "axes.labelsize": 9,
    "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "grid.alpha": 0.3, "axes.axisbelow": True,
}
WIDTH, MARGIN = 10.0, 0.15
"""Inches: every page, and what stays free around everything."""
TITLE, FOOTER = 13.0, 8.0
"""Sizes of type, in points."""
DPI = 150

GLUE = re.compile(r"(?<=\d) (?=%|[nµm]?s\b|[kMG]?bit/s|[kM]?B\b|bytes)")
"""Between a number and its unit no line is broken."""
SEAM = re.compile(r"(?<=[_/:.-])")
"""Where a word may be broken that is longer than a line."""

Draw = Callable[[Mapping[str, Any]], Figure]


def save(draw: Draw, data: Mapping[str, Any], out: Path, name: str) -> None:
    """NAME.png and NAME.svg in `out`. ResultsError."""
    if not any(data.get(what) for what in ("rows", "curves", "lines")):
        raise results.ResultsError(f"{name}: nothing to draw, the data have neither rows nor curves nor lines")
    with mpl.rc_context(RC):
        figure = draw(data)
        # Not by `savefig`, which draws all of it twice: once to find out where it is.
        for suffix, printed in (("png", partial(FigureCanvasAgg(figure).print_png, metadata={"Software": None})),
                                ("svg", partial(FigureCanvasSVG(figure).print_svg, metadata={"Date": None}))):
            buffer = io.BytesIO()
            printed(buffer)
            results.write(out / f"{name}.{suffix}", buffer.getvalue())


def page(data: Mapping[str, Any], legend: Sequence[Artist], *, body: float, x_label: str, intervals: str) -> Figure:
    """A figure with room of `body` inches for the panels, which the caller adds: constrained layout keeps them between
    the legend and the label that their x axes share. `intervals`: what bars and bands are, for the footer."""
    figure = Figure(figsize=(WIDTH, body), dpi=DPI)
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    room = WIDTH - 2 * MARGIN

    def height(artist: Artist) -> float:
        return float(artist.get_window_extent(renderer).height) / DPI

    title = figure.text(0, 0, wrap(data["title"], room, TITLE, "bold"), size=TITLE, weight="bold", color=INK, va="top")
    footer = figure.text(0, 0, wrap(where(data, intervals), room, FOOTER), size=FOOTER, color=GREY, va="bottom",
                         linespacing=1.35)
    label = figure.text(0, 0, wrap(x_label, room, 9), size=9, va="bottom", ha="center")
    for rows in range(1, len(legend) + 1):
        key = figure.legend(handles=list(legend), loc="upper left", ncols=-(-len(legend) // rows), frameon=False,
                            borderpad=0, borderaxespad=0, columnspacing=1.8, handlelength=2.6)
        if key.get_window_extent(renderer).width / DPI <= room or rows == len(legend):
            break
        key.remove()
    head, below = MARGIN + height(title) + 0.14 + height(key) + 0.1, MARGIN + height(footer) + 0.14
    foot = below + height(label) + 0.04
    total = head + body + foot
    figure.set_size_inches(WIDTH, total)
    left = MARGIN / WIDTH
    title.set_position((left, 1 - MARGIN / total))
    footer.set_position((left, MARGIN / total))
    label.set_position((0.5, below / total))
    key.set_bbox_to_anchor((left, 1 - (MARGIN + height(title) + 0.14) / total))
    figure.set_layout_engine("constrained", rect=(left, foot / total, room / WIDTH, body / total), w_pad=0.06,
                             h_pad=0.04)
    return figure


def settled(figure: Figure) -> Figure:
    """The figure with its panels where the layout puts them, for good. The layout's solver differs in the last digit of
    a float from run to run, which would change an SVG: so positions are rounded."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(float(part), 5) for part in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))
    return figure


def where(data: Mapping[str, Any], intervals: str) -> str:
    """Machine, kernel, engine, rounds, what the intervals are, and why a run was noisy; what the provenance doesn't say
    is left out."""
    about: Mapping[str, Any] = data.get("provenance", {})
    parts = []
    if about.get("cpu"):
        parts.append(str(about["cpu"]) + (f", {_many(about['cpus'], 'CPU')}" if about.get("cpus") else ""))
    if about.get("kernel"):
        parts.append(f"Linux {about['kernel']}")
    if about.get("engine"):
        engine = str(about["engine"])
        parts.append(f"Docker Engine {engine}" if engine[0].isdigit() else f"engine: {engine}")
    rounds = about.get("rounds", data.get("rounds"))
    if rounds:
        parts.append(_many(rounds, "round"))
    parts.append(intervals)
    noise = about.get("noise")
    if isinstance(noise, Mapping) and noise.get("quiet") is False:
        parts.append(f"a noisy run: {'; '.join(noise.get('reasons', ()))}")
    return "  ·  ".join(parts)


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def confidence(data: Mapping[str, Any]) -> str:
    """What an interval in `data` is."""
    level = data.get("confidence", data.get("provenance", {}).get("confidence"))
    return f"{100 * level:.3g} % intervals" if level else "level of the intervals not stated"


def abreast(panels: int) -> int:
    """How many panels stand side by side."""
    return {1: 1, 2: 2, 4: 2}.get(panels, 3)


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Inches that a line of text takes."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72


def wrap(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """Broken into lines that fit: between words, and inside of one that is too long for a line of its own, there after
    a hyphen or the like if possible."""
    lines = [""]
    for word in GLUE.sub("\u00a0", text).split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(longer, size, weight) <= inches:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for part in SEAM.split(word):
            if lines[-1] and width_of(lines[-1] + part, size, weight) > inches:
                lines.append("")
            for letter in part:
                if lines[-1] and width_of(lines[-1] + letter, size, weight) > inches:
                    lines.append("")
                lines[-1] += letter
    return "\n".join(line.strip() for line in lines)


def unit(label: str, data: Mapping[str, Any], *, log: bool = False) -> str:
    """A label of an axis with the unit that is shown."""
    shown = data.get("unit_shown", "")
    return f"{label}{f' ({shown})' if shown else ''}{', log scale' if log else ''}".strip()
