"""Round trips that an experiment asks about: predicted by prices that never saw their ways, beside what was measured.

The median is what such prices say of the counted steps, with the interval of the fit. The percentiles beyond it are
those of simulated round trips (`sim/fabric/pingpong.py`), whose steps vary and are interrupted as the calibration found
them to: the median over as many seeds as there are rounds, between the least and the most of them, widened by what the
fit leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from experiments.performance.cases import CONNECT, Case
from experiments.performance.intervals import Interval, interval
from experiments.performance.known import Known
from experiments.performance.model import Model
from experiments.performance.study import table
from live.sockperf_output import Latency
from sim.fabric.costs import BLOCKING, SPINNING, CostModel, Counts
from sim.fabric.pingpong import ping_pong
from sim.predict.roundtrip import Style

TAILS = (90.0, 99.0)
AROUND = (98.0, 99.5)
"""On either side of the 99th."""
STEEP = 1.5
"""Where these two are that far apart, the 99th is somewhere between two kinds of round trips, and chance says where."""
TRIPS = 5000
"""Simulated for a percentile: fifty of them are beyond the 99th."""
GROUPS = {
    (BLOCKING, "tcp"): "TCP, both ends sleep on one CPU", (SPINNING, "tcp"): "TCP, each end polls on a CPU of its own",
    (BLOCKING, "udp"): "UDP, both ends sleep on one CPU", (SPINNING, "udp"): "UDP, each end polls on a CPU of its own",
    (CONNECT, "tcp"): "TCP, a connection for each request"}
"""In the order in which they are shown."""
FAR = 0.05
"""A prediction that is off by more is explained."""
HEADER = ("path", "predicted (µs)", "measured (µs)", "error", "p90: predicted, measured", "p99: predicted, measured")
MEASURED = (
    "sockperf asks from one end and answers at the other, one request of 14 bytes after the other on a warm "
    "connection, without sniffers. A connection for each request is a probe of its own, in Python at both ends, whose "
    "time is part of both columns.")


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds. `steep`: the 99th percentile is between those round trips that are interrupted and those that are not.
    `outside`: of which steps there are more or fewer than in anything that these prices were fitted on. `prices`: in
    the regime of the case."""

    p50: Interval
    tails: Mapping[float, Interval]
    steep: bool
    outside: tuple[str, ...]
    prices: CostModel


def forecasts(known: Known, model: Model, asked: Sequence[Case], seeds: int, *,
              apart: bool = True) -> dict[Case, Forecast]:
    """Each by a fit without its own way, or, not `apart`, without any of the ways that are asked."""
    found = {}
    for regime, ways in split(asked, apart=apart):
        mine = [case for case in asked if case.regime == regime and case.way.name in ways]
        wanted = {case.name: case.counts(model) for case in mine}
        medians = known.forecast(regime, wanted, ways)
        prices = known.without(ways, list(wanted.values())).regime(regime)
        for case in mine:
            p50 = medians[case.name]
            beyond = tails(prices, model, case, p50, seeds)
            steep = beyond[AROUND[1]].value > STEEP * beyond[AROUND[0]].value
            found[case] = Forecast(p50, beyond, steep, tuple(prices.outside(wanted[case.name])), prices)
    return found


def split(asked: Sequence[Case], *, apart: bool) -> list[tuple[str, list[str]]]:
    """The regimes, each with the ways that are left out together."""
    parts = dict.fromkeys((case.regime, case.way.name) for case in asked)
    if apart:
        return [(regime, [way]) for regime, way in parts]
    return [(regime, [way for other, way in parts if other == regime])
            for regime in dict.fromkeys(regime for regime, _ in parts)]


def tails(prices: CostModel, model: Model, case: Case, p50: Interval, seeds: int) -> dict[float, Interval]:
    """The percentiles beyond the median, simulated."""
    style: Style = "connect" if case.regime == CONNECT else "kept"
    turns = model.round_trip(case.way, case.protocol, case.size, style).turns
    mode = SPINNING if case.regime == SPINNING else BLOCKING
    wanted = (*TAILS, *AROUND)
    runs = [ping_pong(prices, turns, mode=mode, count=TRIPS, seed=seed, of=wanted).percentiles for seed in range(seeds)]
    below, above = p50.low / p50.value, p50.high / p50.value
    return {tail: Interval(median(values), min(values) * below, max(values) * above)
            for tail in wanted for values in [[run[tail] for run in runs]]}


def row(case: Case, name: str, forecast: Forecast, runs: Sequence[Latency], blame: Sequence[str]) -> dict[str, Any]:
    """What data.json says of a case, and the plots draw."""
    rounds = [run.p50 for run in runs]
    percentiles = {f"p{tail:.0f}": {"predicted": forecast.tails[tail].as_dict(),
                                    "measured": interval([run.percentiles[tail] for run in runs]).as_dict(),
                                    "rounds": [run.percentiles[tail] for run in runs]} for tail in TAILS}
    return {"name": name, "way": case.way.name, "group": GROUPS[case.regime, case.protocol], "regime": case.regime,
            "protocol": case.protocol, "predicted": forecast.p50.as_dict(), "measured": interval(rounds).as_dict(),
            "rounds": rounds, "error": forecast.p50.value / median(rounds) - 1, "percentiles": percentiles,
            "steep": forecast.steep, "extrapolated": bool(forecast.outside), "outside": list(forecast.outside),
            "blame": list(blame)}


def runs_of(rows: Sequence[Mapping[str, Any]], asked: Sequence[Case]) -> dict[Case, list[Latency]]:
    """What the runs measured that the `asked` cases' rows tell of, as far as they say."""
    there = {(row["way"], row["regime"], row["protocol"]): row for row in rows}
    found = {}
    for case in asked:
        mine = there[case.way.name, case.regime, case.protocol]
        beyond = [mine["percentiles"][f"p{tail:.0f}"]["rounds"] for tail in TAILS]
        found[case] = [Latency(0, p50, {50.0: p50, **dict(zip(TAILS, tails, strict=True))})
                       for p50, *tails in zip(mine["rounds"], *beyond, strict=True)]
    return found


def blame(counts: Counts, fitted: CostModel, whole: CostModel, most: int = 3) -> list[str]:
    """In which steps a prediction would have been another one, had the calibration's prices been used that did see its
    way: the likely reason why it is off. The largest first."""
    moved = {kind: n * (fitted.prices.get(kind, 0.0) - whole.prices.get(kind, 0.0)) for kind, n in counts.items()}
    largest = sorted(moved, key=lambda kind: (-abs(moved[kind]), kind))[:most]
    return [f"{kind} {1e6 * moved[kind]:+.2f} µs".replace(" -", " \u2212") for kind in largest
            if abs(moved[kind]) > 5e-9]


def percentile(data: Mapping[str, Any], which: str) -> dict[str, Any]:
    """The same data with a percentile in place of the median, for a plot."""
    return {**data, "rows": [{**row, **row["percentiles"][which]} for row in data["rows"]]}


def difference(above: Sequence[Latency], below: Sequence[Latency]) -> tuple[list[float], list[float]]:
    """Of medians, round by round: what is left, and the ratio."""
    one, other = (np.array([run.p50 for run in runs]) for runs in (above, below))
    return list(one - other), list(one / other)


def speeds(known: Known) -> dict[str, float]:
    """By how much today's times are those of the calibration, for the provenance."""
    return {regime: round(factor, 4) for regime, factor in known.speed.items()}


def us(span: Mapping[str, float]) -> str:
    """`8.17 [8.02, 8.30]`, in µs."""
    return f"{1e6 * span['value']:.2f} [{1e6 * span['low']:.2f}, {1e6 * span['high']:.2f}]"


def share(fraction: float) -> str:
    """`+4.2 %`."""
    return f"{100 * fraction:+.1f} %".replace("-", "\u2212")


def tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown: a table for each group, the fastest first."""
    lines: list[str] = []
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = sorted((row for row in rows if row["group"] == group), key=lambda row: row["measured"]["value"])
        lines += [f"### {group}", "", *table(HEADER, [_cells(row) for row in mine]), ""]
    return lines


def _cells(row: Mapping[str, Any]) -> list[str]:
    name = row["name"] + (" (extrapolated)" if row["extrapolated"] else "")
    beyond = [", ".join(us(row["percentiles"][which][side]) for side in ("predicted", "measured"))
              for which in ("p90", "p99")]
    return [name, us(row["predicted"]), us(row["measured"]), share(row["error"]), *beyond]


def trust(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown: how far the predictions are off, where they fall short and which steps' prices moved them."""
    lines = ["| percentile | median error | worst error | in |", "|---|---|---|---|"]
    for which in ("p50", "p90", "p99"):
        errors = [(abs(_error(row, which)), row) for row in rows]
        worst, at = max(errors, key=lambda pair: pair[0])
        lines.append(f"| {which} | {100 * median(size for size, _ in errors):.1f} % | {100 * worst:.1f} % "
                     f"| {at['name']}; {at['group']} |")
    lines.append("")
    if steep := [row for row in rows if row["steep"]]:
        lines.append(f"- In {len(steep)} of {len(rows)} rows about one round trip in a hundred is interrupted for "
                     f"longer than it takes itself (timer ticks): p99 is between those that are and those that are "
                     f"not, and a little more or less of them moves it far: {'; '.join(_brief(steep))}.")
    for row in rows:
        if row["extrapolated"]:
            lines.append(f"- {row['name']}; {row['group']}: extrapolated, nothing else that was calibrated has as many "
                         f"of: {', '.join(row['outside'])}.")
    for row in sorted(rows, key=lambda row: -abs(row["error"])):
        if abs(row["error"]) > FAR:
            why = ", ".join(row["blame"])
            lines.append(f"- {row['name']}; {row['group']}: off by {share(row['error'])}. "
                         + (f"Leaving its way out of the fit moved, of its steps: {why}." if why else
                            "The prices of the whole calibration say the same."))
    return [*lines, ""]


def _brief(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Group by group."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["name"])
    return [f"{group}: {', '.join(names)}" for group, names in groups.items()]


def _error(row: Mapping[str, Any], which: str) -> float:
    found = row if which == "p50" else row["percentiles"][which]
    return float(found["predicted"]["value"] / found["measured"]["value"] - 1)
