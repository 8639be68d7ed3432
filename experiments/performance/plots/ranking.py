"""Scenarios in groups, fastest first: a predicted and a measured mark a row, joined, and the error beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.performance.plots.marks import (
    FAINT,
    GREY,
    INK,
    MEASURED,
    NOT_MEASURED,
    NOT_PREDICTED,
    PREDICTED,
    Mark,
    ends,
    error,
    is_wide,
    legend_of,
    mark,
    measurement,
    prediction,
    scale,
    shown,
    whisker,
)
from experiments.performance.plots.page import WIDTH, confidence, page, save, settled, unit, wrap

NAMES = 3.0
"""Inches at most for the names."""
ROW, LINE, HEAD = 0.36, 0.15, 0.42
"""Inches for a row, for each further line of its name, and for the name of a group."""
LIFT = 0.07
"""Inches by which a row's two marks stand above and below its middle."""
COLUMNS = (("predicted", 62, PREDICTED["color"]), ("measured", 122, MEASURED["color"]), ("error", 176, GREY))
"""The figures at the right: where each column ends, in points from the axes."""


def ranking(data: Mapping[str, Any], out: Path, name: str) -> None:
    """Draws NAME.png and NAME.svg in `out`; what `data` holds is in the package's docstring. ResultsError."""
    save(figure, data, out, name)


def figure(data: Mapping[str, Any]) -> Figure:
    """The picture."""
    factor = float(data.get("factor", 1.0))
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in data["rows"]:
        groups.setdefault(row.get("group") or "", []).append(row)
    for rows in groups.values():
        rows.sort(key=lambda row: _place(row, factor))
    names = {row["name"]: wrap(row["name"], NAMES, 9) for row in data["rows"]}
    spans = [[ROW + LINE * names[row["name"]].count("\n") for row in rows] for rows in groups.values()]
    heads = [wrap(group, WIDTH - NAMES - 2.9, 10, "bold") if group else "" for group in groups]
    everything = [row[which] for row in data["rows"] for which in ("predicted", "measured")]
    values = ends(mark(given, factor) for given in everything)
    values += [factor * r for row in data["rows"] for r in row.get("rounds") or ()]
    log = is_wide(values)
    drawn = page(
        data, legend_of(measured=any(row.get("measured") for row in data["rows"]), linestyle="none",
                        extrapolated=any(row.get("extrapolated") for row in data["rows"]),
                        rounds=any(row.get("rounds") for row in data["rows"])),
        x_label=unit(data.get("x_label", "time"), data, log=log), intervals=confidence(data),
        body=sum(map(sum, spans)) + sum(HEAD + 0.18 * head.count("\n") for head in heads) + 0.4)
    panels = drawn.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=[sum(s) for s in spans])[:, 0]
    for axes, rows, span, head in zip(panels, groups.values(), spans, heads, strict=True):
        _group(axes, rows, span, names, factor)
        axes.set_title(head, loc="left", fontsize=10, fontweight="bold", color=INK)
    scale(panels[-1].xaxis, values, log=log)
    for column, end, colour in COLUMNS:
        panels[0].annotate(column, (1, 1), xycoords="axes fraction", xytext=(end, 5), textcoords="offset points",
                           ha="right", fontsize=8.5, color=colour)
    return settled(drawn)


def _place(row: Mapping[str, Any], factor: float) -> float:
    found = mark(row.get("measured"), factor) or mark(row.get("predicted"), factor)
    return found.value if found else 0.0


def _group(axes: Axes, rows: Sequence[Mapping[str, Any]], spans: Sequence[float], names: Mapping[str, str],
           factor: float) -> None:
    top, middles = 0.0, []
    for row, span in zip(rows, spans, strict=True):
        middle = top + span / 2
        predicted, measured = mark(row.get("predicted"), factor), mark(row.get("measured"), factor)
        found = [factor * r for r in row.get("rounds") or ()]
        axes.plot(found, [middle + LIFT] * len(found), ".", color=MEASURED["color"], alpha=0.3, markersize=4, zorder=1)
        if predicted and measured:
            axes.plot([predicted.value, measured.value], [middle - LIFT, middle + LIFT], color=FAINT, linewidth=2,
                      zorder=1.5, solid_capstyle="round")
        if predicted:
            whisker(axes, predicted, middle - LIFT, prediction(bool(row.get("extrapolated"))), zorder=3)
        if measured:
            whisker(axes, measured, middle + LIFT, measurement(), zorder=2)
        _figures(axes, middle, predicted, measured)
        middles.append(middle)
        top += span
    axes.set_yticks(middles, [names[row["name"]] for row in rows], fontsize=9)
    axes.tick_params(axis="y", length=0, pad=7)
    axes.set_ylim(top, 0)
    axes.grid(axis="x", alpha=0.3)


def _figures(axes: Axes, middle: float, predicted: Mark | None, measured: Mark | None) -> None:
    texts = [(shown(predicted.value) if predicted else "", COLUMNS[0]), (shown(measured.value) if measured else "",
             COLUMNS[1]), (error(predicted, measured), COLUMNS[2])]
    if predicted is None or measured is None:
        texts[2] = (NOT_MEASURED if measured is None else NOT_PREDICTED, COLUMNS[2])
    for text, (_, end, colour) in texts:
        axes.annotate(text, (1, middle), xycoords=("axes fraction", "data"), xytext=(end, 0),
                      textcoords="offset points", ha="right", va="center", fontsize=8.5, color=colour)
