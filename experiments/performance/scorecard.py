"""How far the forecasts were off, over everything that was measured: `results/benchmark/`.

Read from the stored results: the calibration's round trips, each by a fit that never saw its way, and whatever the
experiments hold as a pair of a predicted and a measured figure. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from experiments import results
from experiments.performance import machine
from experiments.performance.study import table

NAME = "benchmark"
TAILS = ("p90", "p99")
HEADER = ("what", "figures", "median error", "worst", "which", "extrapolated", "quiet", "measured", "predicted")


@dataclass(frozen=True, slots=True)
class Score:
    """Absolute relative errors of `count` forecasts. `worst_of` names the worst one. `extrapolated` ones are counted
    apart: they have steps that no calibrated path has, or more of them."""

    what: str
    count: int
    median: float
    worst: float
    worst_of: str
    extrapolated: int
    worst_extrapolated: float
    quiet: bool
    date: str
    """Of the measurement."""
    predicted: str
    """When it was predicted: before it was measured that day, or anew after it, by a later model."""


def score(what: str, pairs: Sequence[tuple[str, float, bool]], provenance: Mapping[str, Any]) -> Score | None:
    """`pairs`: (name, relative error, extrapolated). None of none."""
    if not pairs:
        return None
    inside = [(abs(error), name) for name, error, beyond in pairs if not beyond]
    outside = [abs(error) for _, error, beyond in pairs if beyond]
    worst, name = max(inside, default=(0.0, ""))
    date = str(provenance.get("date", ""))
    later = provenance.get("predicted_again") or provenance.get("fitted_again") or {}
    return Score(what, len(inside), median(error for error, _ in inside) if inside else 0.0, worst, name, len(outside),
                 max(outside, default=0.0), bool(provenance.get("noise", {}).get("quiet")),
                 date, str(later.get("date", date)))


def pairs(data: Any, name: str = "", tail: str = "", beyond: bool = False) -> Iterator[tuple[str, str, float, bool]]:
    """Every predicted figure that has a measured one beside it, wherever in the data of an experiment: (name, "p99" or
    whichever percentile beyond the median it is, relative error, extrapolated). A figure that was measured as possibly
    nothing has no relative error and is passed over."""
    if isinstance(data, Mapping):
        name = " ".join(str(data[key]) for key in ("group", "name", "series", "x", "load") if key in data) or name
        beyond = bool(data.get("extrapolated", beyond))
        predicted, measured = (_value(data.get(key)) for key in ("predicted", "measured"))
        spanned = isinstance(data.get("measured"), Mapping)
        least = float(data["measured"].get("low", measured or 0)) if spanned else measured or 0.0
        if predicted is not None and measured and least > 0:
            yield name, tail, predicted / measured - 1, beyond
        for key, inner in data.items():
            if key not in ("provenance", "relations"):
                yield from pairs(inner, name, key if key in TAILS else tail, beyond)
    elif isinstance(data, list):
        for inner in data:
            yield from pairs(inner, name, tail, beyond)


def _value(figure: Any) -> float | None:
    if isinstance(figure, Mapping):
        figure = figure.get("value")
    return float(figure) if isinstance(figure, int | float) and not isinstance(figure, bool) else None


def card(studies: Sequence[str], costs: Path | None = None) -> list[Score]:
    """A score for each regime of this machine's calibration, or that in the file `costs`, and for each of these
    experiments that has a result."""
    found: list[Score | None] = []
    costs = costs or machine.costs()
    if costs.exists():
        data = results.read_json(costs)
        for regime in data["regimes"]:
            rows = [(row["name"], row["error"], bool(row["unknown"])) for row in data["fitted_on"]
                    if row["regime"] == regime]
            found.append(score(f"round trips, {regime}", rows, data["provenance"]))
    for name in studies:
        path = results.folder(name) / "data.json"
        if path.exists():
            data = results.read_json(path)
            for tail in ("", *TAILS):
                mine = [(which, error, beyond) for which, of, error, beyond in pairs(data) if of == tail]
                found.append(score(f"{name}, {tail}" if tail else name, mine, data["provenance"]))
    return [each for each in found if each]


def summary(scores: Sequence[Score]) -> str:
    """The table as Markdown."""
    rows = [[each.what, str(each.count), f"{100 * each.median:.1f} %", f"{100 * each.worst:.1f} %", each.worst_of,
             f"{each.extrapolated}" + (f", worst {100 * each.worst_extrapolated:.0f} %" if each.extrapolated else ""),
             "yes" if each.quiet else "no", each.date,
             "before" if each.predicted == each.date else f"anew {each.predicted}"] for each in scores]
    return "\n".join([
        "# How far the forecasts were off", "",
        "Absolute relative error of every figure that was predicted and then measured, by prices that were fitted "
        "without the way in question. Extrapolated ones have steps that no calibrated path has, or more of them than "
        "any; they are counted apart. What was predicted anew was so by a later model, whose makers knew these data.",
        "", *table(HEADER, rows), ""])


def bands() -> str:
    """What the load curves say of their bands, as a sentence; nothing where they were not measured."""
    path = results.folder("load-curves") / "data.json"
    if not path.exists():
        return ""
    found = results.read_json(path)["verdicts"]
    inside = found["inside"]
    return (f"Load curves up to 80 % of saturation: p50 inside the measured band at {inside['p50']} and p99 at "
            f"{inside['p99']} of {found['points']} loads; the saturation point is off by "
            f"{abs(100 * found['worst_saturation']):.1f} % at most.\n")


def write(studies: Sequence[str], out: Path | None = None, costs: Path | None = None) -> list[Score]:
    """data.json and summary.md in results/benchmark/, or `out`."""
    scores = card(studies, costs)
    folder = out or results.folder(NAME)
    results.write_json(folder / "data.json", [asdict(each) for each in scores])
    results.write(folder / "summary.md", summary(scores) + "\n" + bands())
    return scores
