"""The two styles in which predictions and measurements are drawn, everywhere, and how a figure becomes a mark.

Colour says which of the two it is: orange is predicted, blue is measured (colour-blind readers can tell them apart;
after Okabe and Ito), and the shape says it in print. A prediction outside of the calibrated range is hollow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, SymmetricalLogLocator

PREDICTED: dict[str, Any] = {"color": "#d55e00", "marker": "D", "markersize": 6, "label": "predicted"}
MEASURED: dict[str, Any] = {"color": "#0072b2", "marker": "o", "markersize": 6, "label": "measured"}
HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 1.4}
"""On top of PREDICTED where a prediction is extrapolated: outside of what calibration has seen."""
INK, GREY, FAINT = "#222222", "#555555", "#bbbbbb"
THIN = "\u2009"
"""A narrow space, between thousands."""
NOT_MEASURED, NOT_PREDICTED = "not measured", "not predicted"

LARGE, SMALL = 7.0, 3.5
"""Of the marks on lines: a measured one stays visible around the predicted one that it hits."""
WIDE = 30.0
"""Largest over smallest from which on a linear axis would squeeze the small values into its corner."""


class Mark(NamedTuple):
    """A value with its interval, in the unit that is shown."""

    value: float
    low: float
    high: float


def mark(given: object, factor: float = 1.0) -> Mark | None:
    """From {"value", "low", "high"} or a plain number; None where there is none."""
    if isinstance(given, Mapping):
        value = given.get("value")
        low, high = given.get("low"), given.get("high")
    else:
        value = low = high = given
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    ends = [end if isinstance(end, int | float) and math.isfinite(end) else value for end in (low, high)]
    return Mark(value * factor, min(value, *ends) * factor, max(value, *ends) * factor)


def prediction(extrapolated: bool) -> dict[str, Any]:
    """The style of a predicted point, without a label."""
    return PREDICTED | {"label": None} | (HOLLOW if extrapolated else {})


def measurement() -> dict[str, Any]:
    """The style of a measured point, without a label."""
    return MEASURED | {"label": None}


def legend_of(*, measured: bool, extrapolated: bool, rounds: bool = False, **line: Any) -> list[Line2D]:
    """The entries for what occurs in a picture. `line`: how both are drawn besides, such as linestyle."""
    bare = {"linestyle": "none"} | line
    entries = [Line2D([], [], **(PREDICTED | bare))]
    if measured:
        entries.append(Line2D([], [], **(MEASURED | bare)))
    if rounds:
        entries.append(Line2D([], [], color=MEASURED["color"], marker=".", alpha=0.4, linestyle="none",
                              label="each round"))
    if extrapolated:
        entries.append(Line2D([], [], **(PREDICTED | HOLLOW | bare | {
            "label": "extrapolated: beyond what was calibrated"})))
    return entries


def whisker(axes: Axes, x: Mark | float, y: Mark | float, style: Mapping[str, Any], **more: Any) -> None:
    """One point with its interval along whichever of x and y is a Mark."""
    middle = [v.value if isinstance(v, Mark) else v for v in (x, y)]
    arms = [[[v.value - v.low], [v.high - v.value]] if isinstance(v, Mark) else None for v in (x, y)]
    look: dict[str, Any] = {"linestyle": "none", "capsize": 2.5, "elinewidth": 1.2, "clip_on": False}
    look |= dict(style) | more
    axes.errorbar([middle[0]], [middle[1]], xerr=arms[0], yerr=arms[1], **look)


def shown(value: float) -> str:
    """Three digits or all before the point, thousands apart, no exponents: 0.0123, 8.17, 152, 21 437."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}".replace(",", THIN)


def tick(value: float, _: object = None) -> str:
    """The same for an axis or a sentence, where zeros behind the point say nothing."""
    text = shown(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def error(predicted: Mark | None, measured: Mark | None) -> str:
    """How far the prediction is off, as a percentage of what was measured."""
    if predicted is None or measured is None:
        return ""
    if measured.value == 0:
        return "0 %" if predicted.value == 0 else "–"
    percent = 100 * (predicted.value / measured.value - 1)
    text = f"{percent:+.1f} %" if abs(percent) < 99.95 else f"{percent:+.0f} %"
    return "0.0 %" if text[1:] == "0.0 %" else text.replace("-", "\u2212")


def subtitle(axes: Axes, name: str, note: str) -> None:
    """A panel's name in bold and a note below it, both wrapped by the caller."""
    lift = 4.0
    if note:
        axes.annotate(note, (0, 1), xycoords="axes fraction", xytext=(0, lift), textcoords="offset points", size=8,
                      color=GREY, va="bottom", linespacing=1.2)
        lift += 8 * 1.25 * (note.count("\n") + 1) + 4
    axes.set_title(name, loc="left", size=10, weight="bold", color=INK, pad=lift)


def is_wide(values: Iterable[float]) -> bool:
    """Whether they ask for a logarithmic axis."""
    known = list(values)
    return bool(known) and min(known) > 0 and max(known) / min(known) > WIDE


def ends(marks: Iterable[Mark | None]) -> list[float]:
    """All that must be inside of the axes."""
    return [end for m in marks if m is not None for end in (m.low, m.value, m.high)]


def _plain(value: float, _: object) -> str:
    return f"{value:,.10g}".replace(",", THIN).replace("-", "\u2212")


def scale(axis: Axis, values: Iterable[float], *, log: bool, room: float = 0.06, zero: bool = True) -> None:
    """Limits that hold all values, with `room` beyond the largest (a fraction of the axis). Linear: from zero on, but
    without `zero` from the smallest on where half of the axis would be empty. Logarithmic: labels are numbers and no
    powers, and a zero among the values is shown."""
    axes, level = axis.axes, axis.axis_name == "x"  # type: ignore[attr-defined]
    limits, kind = (axes.set_xlim, axes.set_xscale) if level else (axes.set_ylim, axes.set_yscale)
    known = sorted(values) or [0.0, 1.0]
    positive = [v for v in known if v > 0] or [0.1, 1.0]
    if not log:
        bottom, top = min(0.0, known[0]), max(known[-1], 0.0) or 1.0
        if not zero and known[0] > top / 2:
            margin = (top - known[0] or top / 2) * 2 * room
            limits(known[0] - margin, top + margin)
        else:
            limits(bottom * (1 + room), top + room / (1 - room) * (top - bottom))
        axis.set_major_formatter(FuncFormatter(_plain))
        return
    decades = math.log10(positive[-1] / positive[0])
    margin = max(room * decades, 0.12 if decades > 0.7 else 0.3)
    left, right = positive[0] / 10 ** margin, positive[-1] * 10 ** margin
    steps = (1.0, 2.0, 5.0) if decades + 2 * margin < 1.6 else (1.0, 3.0) if decades < 2.5 else (1.0,)
    if known[0] <= 0:  # symmetric: linear up to the smallest that is positive
        kind("symlog", linthresh=positive[0], linscale=0.5)
        axis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=positive[0], subs=steps))
        left = -positive[0] / 4
    else:
        kind("log")
        axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(FuncFormatter(tick))
    axis.set_minor_formatter(NullFormatter())
    limits(left, right)
