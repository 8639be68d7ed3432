"""The picture of predicted beside measured latency: one style for each, intervals drawn, the claim as the title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

PREDICTED: dict[str, Any] = {"color": "#d55e00", "marker": "D", "markersize": 6, "label": "predicted"}
MEASURED: dict[str, Any] = {"color": "#0072b2", "marker": "o", "markersize": 6, "label": "measured"}
"""Colours that colour-blind readers can tell apart (Okabe and Ito), and shapes for print."""
LIFT = 0.16
"""How far a row's two marks stand above and below its line."""
MICRO = 1e6


def headline(data: Mapping[str, Any]) -> str:
    """What came out, as a sentence."""
    rows = {row["name"]: row for row in data["scenarios"]}
    measured, predicted = data["extra"]["measured"]["value"] * MICRO, data["extra"]["predicted"]["value"] * MICRO
    share = 100 * measured / (rows["host mode"]["measured"]["value"] * MICRO)
    return (f"A request through a published port takes {abs(measured):.1f} µs ({abs(share):.0f} %) "
            f"{'more' if measured >= 0 else 'less'} than in host mode; predicted {predicted:+.1f} µs")


def host_vs_nat(data: Mapping[str, Any], out: Path) -> None:
    """Draws `out`/host-vs-nat.png and .svg: above, the two that calibration never saw; below, what it was fitted on."""
    unseen = [row for row in data["scenarios"] if not row["calibrates"]]
    seen = sorted((row for row in data["scenarios"] if row["calibrates"]), key=lambda row: row["measured"]["value"])
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(9, 1.2 + 0.45 * (len(unseen) + len(seen) + 2)), sharex=True, layout="constrained",
        height_ratios=[len(unseen) + 0.6, len(seen)])
    _rows(top, unseen)
    _rows(bottom, seen)
    top.set_title("Asked, never calibrated on", loc="left", fontsize=10)
    bottom.set_title("Calibrated on: each predicted by a fit without it", loc="left", fontsize=10)
    top.legend(loc="upper right", bbox_to_anchor=(1, 1.22), ncols=2, frameon=False, fontsize=9)
    top.annotate("error", (1.0, 1.0), xycoords="axes fraction", xytext=(4, 4), textcoords="offset points", fontsize=8,
                 color="#555555")
    about = data["provenance"]
    bottom.set_xlabel(
        f"round trip of a small TCP request, warm connection (µs): median of {about['rounds']} rounds, "
        f"{100 * data['confidence']:.0f} % intervals\n{about['cpu']}, Linux {about['kernel']}, "
        f"Docker Engine {about['engine']}, one CPU", fontsize=9)
    bottom.set_xlim(left=0)
    out.mkdir(parents=True, exist_ok=True)
    figure.suptitle(headline(data), fontsize=11, fontweight="bold")
    for suffix in ("png", "svg"):
        # No date inside, so that the same figures give the same file.
        figure.savefig(out / f"host-vs-nat.{suffix}", dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    plt.close(figure)


def _rows(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for place, row in enumerate(rows):
        axes.plot([MICRO * r for r in row["rounds"]], [place + LIFT] * len(row["rounds"]), ".", color="#0072b2",
                  alpha=0.25, markersize=4, zorder=1)
        for which, style, lift in (("predicted", PREDICTED, -LIFT), ("measured", MEASURED, LIFT)):
            mark = row[which]
            value, low, high = (MICRO * mark[key] for key in ("value", "low", "high"))
            axes.errorbar(value, place + lift, xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
                          linestyle="none", capsize=3, zorder=2, **(style if place == 0 else style | {"label": None}))
        axes.annotate(f"{100 * row['relative_error']:+.1f} %", (1.0, place), xycoords=("axes fraction", "data"),
                      xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color="#555555")
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
