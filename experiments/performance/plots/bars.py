"""How much each path carries: a panel a series (single stream, eight streams, ...), two bars a path, and the error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.performance.plots.marks import (
    GREY,
    NOT_MEASURED,
    NOT_PREDICTED,
    ends,
    error,
    legend_of,
    mark,
    measurement,
    prediction,
    scale,
    shown,
    subtitle,
    whisker,
)
from experiments.performance.plots.page import WIDTH, abreast, confidence, page, save, settled, unit, wrap

NAMES = 2.0
"""Inches at most for the names of the paths."""
ROW, LINE = 0.5, 0.15
"""Inches for a path, and for each further line of its name beyond the second."""
THICK = 0.36
"""A bar's share of its row."""
FIGURES = 1.1
"""Inches of a panel that are kept free for the figures beside the bars."""
ALIKE = 5.0
"""Largest over smallest maximum up to which all panels have the same scale."""


def bars(data: Mapping[str, Any], out: Path, name: str) -> None:
    """Draws NAME.png and NAME.svg in `out`; what `data` holds is in the package's docstring. ResultsError."""
    save(figure, data, out, name)


def figure(data: Mapping[str, Any]) -> Figure:
    """The picture."""
    factor, rows = float(data.get("factor", 1.0)), data["rows"]
    paths = list(dict.fromkeys(row["name"] for row in rows))
    series = list(dict.fromkeys(row.get("series") or "" for row in rows))
    names = [wrap(path, NAMES, 9) for path in paths]
    columns = abreast(len(series))
    wide = (WIDTH - NAMES - 0.3) / columns
    blocks = -(-len(series) // columns)
    heads = [wrap(one, wide - 0.3, 10, "bold") for one in series]
    longest = max(name.count("\n") for name in names)
    reach = {one: ends(mark(row.get(side), factor) for row in rows if (row.get("series") or "") == one
                       for side in ("predicted", "measured")) for one in series}
    largest = [max(values) for values in reach.values() if values]
    alike = bool(largest) and max(largest) <= ALIKE * min(largest)
    own = "" if alike or len(series) == 1 else "; each panel has its own scale"
    drawn = page(
        data, legend_of(measured=any(row.get("measured") for row in rows),
                        extrapolated=any(row.get("extrapolated") for row in rows)),
        x_label=unit(data.get("x_label", "throughput"), data) + own, intervals=confidence(data),
        body=blocks * (len(paths) * (ROW + LINE * max(0, longest - 2)) + 0.65
                       + 0.17 * max(head.count("\n") for head in heads)))
    grid = drawn.add_gridspec(blocks, columns)
    for place, (one, head) in enumerate(zip(series, heads, strict=True)):
        axes = drawn.add_subplot(grid[divmod(place, columns)])
        _panel(axes, paths, [row for row in rows if (row.get("series") or "") == one], factor)
        subtitle(axes, head, "")
        scale(axes.xaxis, [v for values in reach.values() for v in values] if alike else reach[one], log=False,
              room=min(0.5, FIGURES / wide))
        axes.set_yticks(range(len(paths)), names if place % columns == 0 else [""] * len(paths), fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return settled(drawn)


def _panel(axes: Axes, paths: Sequence[str], rows: Sequence[Mapping[str, Any]], factor: float) -> None:
    for absent in set(range(len(paths))) - {paths.index(row["name"]) for row in rows}:
        axes.annotate("no data", (0, absent), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
                      color=GREY)
    for row in rows:
        middle = paths.index(row["name"])
        predicted, measured = mark(row.get("predicted"), factor), mark(row.get("measured"), factor)
        for seen, style, place, hollow in (
                (predicted, prediction(bool(row.get("extrapolated"))), middle - THICK / 2, row.get("extrapolated")),
                (measured, measurement(), middle + THICK / 2, False)):
            missing = NOT_PREDICTED if seen is predicted and predicted is None else NOT_MEASURED
            if seen is None:
                axes.annotate(missing, (0, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
                              color=GREY)
                continue
            axes.barh(place, seen.value, height=THICK, color="white" if hollow else style["color"], linewidth=1,
                      alpha=1 if hollow else 0.35, edgecolor=style["color"] if hollow else "none",
                      linestyle="--" if hollow else "-", zorder=1)
            whisker(axes, seen, place, style, markersize=4.5, zorder=3)
            text = shown(seen.value)
            if seen is predicted and measured is not None:
                text += f"  ({error(predicted, measured)})"
            axes.annotate(text, (seen.high, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8,
                          color=style["color"])
    axes.set_ylim(len(paths) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0, pad=7)
    axes.grid(axis="x", alpha=0.3)
