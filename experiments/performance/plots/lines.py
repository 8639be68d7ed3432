"""Cost against a number (rules, published ports, bytes): a panel a line, the other lines faint behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.performance.plots.marks import (
    FAINT,
    LARGE,
    MEASURED,
    NOT_MEASURED,
    PREDICTED,
    SMALL,
    ends,
    is_wide,
    legend_of,
    mark,
    measurement,
    prediction,
    scale,
    subtitle,
    tick,
    whisker,
)
from experiments.performance.plots.page import WIDTH, abreast, confidence, page, save, settled, unit, wrap

HEIGHT, LEFT = 2.5, 0.7
"""Inches: a panel, and what the labels of the y axes take."""
SIZES = {"predicted": SMALL + 1, "measured": LARGE}

Point = Mapping[str, Any]


def lines(data: Mapping[str, Any], out: Path, name: str) -> None:
    """Draws NAME.png and NAME.svg in `out`; what `data` holds is in the package's docstring. ResultsError."""
    save(figure, data, out, name)


def figure(data: Mapping[str, Any]) -> Figure:
    """The picture."""
    factor, drawn_lines = float(data.get("factor", 1.0)), data["lines"]
    columns = abreast(len(drawn_lines))
    wide = (WIDTH - LEFT) / columns
    blocks = -(-len(drawn_lines) // columns)
    heads = [(wrap(line["name"], wide - 0.4, 10, "bold"), wrap(_note(line), wide - 0.4, 8)) for line in drawn_lines]
    points = [point for line in drawn_lines for point in line["points"]]
    values = ends(mark(point.get(side), factor) for point in points for side in ("predicted", "measured"))
    log_x, log_y = bool(data.get("log_x", False)), bool(data.get("log_y", is_wide(values)))
    drawn = page(
        data, _legend(points, several=len(drawn_lines) > 1), intervals=confidence(data),
        x_label=data["x_label"] + (", log scale" if log_x else ""),
        body=blocks * (HEIGHT + 0.65 + 0.17 * max(name.count("\n") + note.count("\n") for name, note in heads)))
    grid = drawn.add_gridspec(blocks, columns)
    for place, (line, head) in enumerate(zip(drawn_lines, heads, strict=True)):
        axes = drawn.add_subplot(grid[divmod(place, columns)])
        for other in drawn_lines:
            if other is not line:
                known = [(p["x"], m.value) for p in _ordered(other) if (m := mark(p.get("measured"), factor))]
                axes.plot([x for x, _ in known], [y for _, y in known], color=FAINT, linewidth=1, zorder=0.8)
        _line(axes, _ordered(line), factor)
        subtitle(axes, *head)
        scale(axes.yaxis, values, log=log_y, room=0.08)
        scale(axes.xaxis, [float(point["x"]) for point in points], log=log_x, zero=False)
        axes.grid(alpha=0.3)
        axes.tick_params(labelleft=place % columns == 0)
        if place % columns == 0:
            axes.set_ylabel(unit(data["y_label"], data, log=log_y))
    return settled(drawn)


def _ordered(line: Mapping[str, Any]) -> list[Point]:
    return sorted(line["points"], key=lambda point: float(point["x"]))


def _note(line: Mapping[str, Any]) -> str:
    missing = [point["x"] for point in _ordered(line) if mark(point.get("measured")) is None]
    if missing and len(missing) == len(line["points"]):
        return f"{NOT_MEASURED}: prediction only"
    return f"{NOT_MEASURED} at {', '.join(map(tick, missing))}" if missing else ""


def _line(axes: Axes, points: Sequence[Point], factor: float) -> None:
    for side, style, order in (("measured", measurement(), 2), ("predicted", prediction(False), 3)):
        found = [(point["x"], seen, side == "predicted" and bool(point.get("extrapolated")))
                 for point in points if (seen := mark(point.get(side), factor))]
        axes.plot([x for x, _, _ in found], [seen.value for _, seen, _ in found], color=style["color"], linewidth=1.4,
                  alpha=0.8, zorder=order)
        for x, seen, extrapolated in found:
            whisker(axes, x, seen, prediction(True) if extrapolated else style, markersize=SIZES[side],
                    zorder=order + 0.1)


def _legend(points: Sequence[Point], *, several: bool) -> list[Artist]:
    measured = any(mark(point.get("measured")) for point in points)
    entries: list[Artist] = [Line2D([], [], **(PREDICTED | {"markersize": SIZES["predicted"]}))]
    if measured:
        entries.append(Line2D([], [], **(MEASURED | {"markersize": SIZES["measured"]})))
    if any(point.get("extrapolated") for point in points):
        entries.append(legend_of(measured=False, extrapolated=True)[-1])
    if several and measured:
        entries.append(Line2D([], [], color=FAINT, linewidth=1, label="the other panels, measured"))
    return entries
