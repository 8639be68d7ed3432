"""Latency against offered load, a panel a path: p50 and p99, predicted as lines and measured as points in the band of
their rounds; below each, what was lost; where the path saturates, predicted and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.performance.plots.marks import (
    GREY,
    LARGE,
    MEASURED,
    NOT_MEASURED,
    PREDICTED,
    SMALL,
    Mark,
    ends,
    legend_of,
    mark,
    measurement,
    prediction,
    scale,
    subtitle,
    tick,
    whisker,
)
from experiments.performance.plots.page import WIDTH, abreast, page, save, settled, unit, wrap

LATENCY, LOSS, LEFT = 2.5, 0.9, 0.7
"""Inches: the heights of a panel's two parts, and what the labels of the y axes take."""
THOUSAND = 1e-3
PERCENTILES: dict[str, tuple[str, str]] = {"p50": ("-", "o"), "p99": ("--", "^")}
"""How each is drawn: the line of what is predicted, the mark of what was measured."""

SIDES = ("predicted", "measured")
NOTHING = Mark(math.nan, math.nan, math.nan)
"""A gap in a line and in a band."""

Point = Mapping[str, Any]


def curves(data: Mapping[str, Any], out: Path, name: str) -> None:
    """Draws NAME.png and NAME.svg in `out`; what `data` holds is in the package's docstring. ResultsError."""
    save(figure, data, out, name)


def figure(data: Mapping[str, Any]) -> Figure:
    """The picture."""
    factor, paths = float(data.get("factor", 1e6)), data["curves"]
    columns = abreast(len(paths))
    wide = (WIDTH - LEFT) / columns
    blocks = -(-len(paths) // columns)
    heads = [(wrap(path["name"], wide - 0.4, 10, "bold"), wrap(_note(path), wide - 0.4, 8)) for path in paths]
    lines = max(name.count("\n") + note.count("\n") for name, note in heads)
    drawn = page(
        data, _legend(paths), intervals="bands: lowest to highest round",
        x_label=data.get("x_label", "offered load (thousand messages per second)"),
        body=blocks * (LATENCY + LOSS + 0.85 + 0.17 * lines))
    grid = drawn.add_gridspec(2 * blocks, columns, height_ratios=[LATENCY, LOSS] * blocks)
    points = [point for path in paths for point in path["points"]]
    loads = [0.0, *(THOUSAND * point["load"] for point in points)]
    loads += ends(mark(rate, THOUSAND) for path in paths for rate in (path.get("saturation") or {}).values())
    times = ends(_at(point, which, p, factor) for point in points for which in SIDES for p in PERCENTILES)
    lost = ends(mark(point.get(f"lost_{which}"), 100) for point in points for which in SIDES)
    for place, (path, head) in enumerate(zip(paths, heads, strict=True)):
        block, column = divmod(place, columns)
        top, below = (drawn.add_subplot(grid[2 * block + part, column]) for part in (0, 1))
        _latency(top, path["points"], factor)
        _loss(below, path["points"])
        subtitle(top, *head)
        scale(top.yaxis, times, log=True)
        scale(below.yaxis, [0.0, 1.0, *lost], log=False, room=0.1)
        for axes in (top, below):
            _saturation(axes, path)
            scale(axes.xaxis, loads, log=False)
            axes.grid(alpha=0.3)
            axes.tick_params(labelleft=column == 0, labelbottom=axes is below)
        if column == 0:
            top.set_ylabel(unit(data.get("y_label", "round trip"), {"unit_shown": "µs"} | dict(data), log=True))
            below.set_ylabel("lost (%)")
    return settled(drawn)


def _at(point: Point, side: str, percentile: str, factor: float) -> Mark | None:
    return mark((point.get(side) or {}).get(percentile), factor)


def _note(path: Mapping[str, Any]) -> str:
    """What is said below a panel's name: where it saturates, and what has not been measured."""
    rates = {side: mark((path.get("saturation") or {}).get(side), THOUSAND) for side in SIDES}
    said = [f"{tick(rate.value)}k/s {side}" for side, rate in rates.items() if rate]
    notes = [f"saturates at {', '.join(said)}"] if said else []
    missing = [point["load"] for point in path["points"] if not any(_at(point, "measured", p, 1) for p in PERCENTILES)]
    if missing and len(missing) == len(path["points"]):
        notes.append(f"{NOT_MEASURED}: prediction only")
    elif missing:
        notes.append(f"{NOT_MEASURED} at {', '.join(f'{tick(THOUSAND * load)}k/s' for load in missing)}")
    return "; ".join(notes)


def _latency(axes: Axes, points: Sequence[Point], factor: float) -> None:
    ordered = sorted(points, key=lambda point: float(point["load"]))
    for percentile, (line, shape) in PERCENTILES.items():
        for side, style in (("measured", measurement()), ("predicted", prediction(False))):
            marks = [_at(point, side, percentile, factor) or NOTHING for point in ordered]
            loads, values = [THOUSAND * point["load"] for point in ordered], [seen.value for seen in marks]
            if side == "measured":
                axes.fill_between(loads, [seen.low for seen in marks], [seen.high for seen in marks], linewidth=0,
                                  color=style["color"], alpha=0.18, zorder=1)
                for load, seen in zip(loads, marks, strict=True):
                    whisker(axes, load, seen, style, marker=shape, markersize=LARGE, zorder=2, capsize=0)
            else:
                axes.plot(loads, values, color=style["color"], linestyle=line, linewidth=1.5, zorder=3)
                for point, load, seen in zip(ordered, loads, marks, strict=True):
                    _forecast(axes, load, seen, bool(point.get("extrapolated")))


def _forecast(axes: Axes, load: float, seen: Mark, extrapolated: bool) -> None:
    whisker(axes, load, seen, prediction(extrapolated), markersize=SMALL + extrapolated, zorder=4)


def _loss(axes: Axes, points: Sequence[Point]) -> None:
    ordered = sorted(points, key=lambda point: float(point["load"]))
    for side in SIDES:
        found = [(THOUSAND * point["load"], seen, bool(point.get("extrapolated"))) for point in ordered
                 if (seen := mark(point.get(f"lost_{side}"), 100))]
        if side == "predicted":
            axes.plot([load for load, _, _ in found], [seen.value for _, seen, _ in found], linewidth=1.5, zorder=3,
                      color=PREDICTED["color"])
        for load, seen, extrapolated in found:
            if side == "measured":
                whisker(axes, load, seen, measurement(), markersize=LARGE, zorder=2)
            else:
                _forecast(axes, load, seen, extrapolated)


def _saturation(axes: Axes, path: Mapping[str, Any]) -> None:
    for side, style in (("measured", MEASURED), ("predicted", PREDICTED)):
        rate = mark((path.get("saturation") or {}).get(side), THOUSAND)
        if rate:
            axes.axvline(rate.value, color=style["color"], linestyle=":", linewidth=1.4, zorder=0.8)
            if rate.high > rate.low:
                axes.axvspan(rate.low, rate.high, color=style["color"], alpha=0.12, linewidth=0, zorder=0.5)


def _legend(paths: Sequence[Mapping[str, Any]]) -> list[Artist]:
    points = [point for path in paths for point in path["points"]]
    entries: list[Artist] = [
        Line2D([], [], **(PREDICTED | {"markersize": SMALL, "linestyle": line,
                                       "label": f"{PREDICTED['label']} {name}"}))
        for name, (line, _) in PERCENTILES.items()]
    if any(point.get("measured") for point in points):
        entries += [Line2D([], [], **(MEASURED | {"marker": shape, "markersize": LARGE, "linestyle": "none",
                                                  "label": f"{MEASURED['label']} {name}"}))
                    for name, (_, shape) in PERCENTILES.items()]
        entries.append(Patch(color=MEASURED["color"], alpha=0.18, linewidth=0, label="lowest to highest round"))
    if any(path.get("saturation") for path in paths):
        entries.append(Line2D([], [], color=GREY, linestyle=":", linewidth=1.4, label="saturation"))
    if any(point.get("extrapolated") for point in points):
        entries.append(legend_of(measured=False, extrapolated=True)[-1])
    return entries
