"""What streams carry, each predicted from the streams of other ways: the steps' prices from a calibration's round
trips, those of bulk from what else was measured in the same rounds.

Bulk has regimes as round trips have them: one stream, several at once (whose data drive each other out of the caches),
one that is cut into segments at once, and datagrams. Each is fitted for itself; but what small datagrams hardly tell,
and large ones not apart from their fragments, a byte, is thought to cost what it does in one stream. A way that is
asked is left out of all of it: of the calibration (`Known.without`) and of the streams that bulk's prices rest on
(`bulk.Fitted.without`). Only the streams of the others are fitted with the prices of the whole calibration.
Spread and interruptions are not simulated: what they cost on the average is in the prices that are fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

from experiments.performance import bulk
from experiments.performance.intervals import Interval, interval
from experiments.performance.known import Known
from experiments.performance.model import Model
from experiments.performance.streams import Flow, Prices, simulate
from experiments.performance.topology import Way
from sim.fabric.costs import BYTE_RECEIVED, BYTE_SENT, SPINNING, CostModel, Counts

ONE, SEVERAL, SEGMENTS, DATAGRAMS = "one stream", "several streams", "segments", "datagrams"
PRIORS: dict[str, dict[str, float]] = {
    ONE: {"byte": 1.0e-10, "path": 0.8},
    SEVERAL: {"byte": 1.3e-10, "path": 0.8},
    SEGMENTS: {"byte": 1.0e-10, "path": 0.8, "segment": 0.8},
    DATAGRAMS: {"byte": 2.0e-10, "path": 1.5, "segment": 1.3, "program": 1.0e-7, "fragment": 0.5e-6},
}
"""Regime -> `streams.Prices`: orders of magnitude. A copy runs at some 10 GB/s; steps take about what they take in a
round trip; several streams copy from a farther cache."""

Rounds = Mapping[Flow, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Bits/s. `unknown`: the steps on the way of which no other calibrated way has so few or so many."""

    goodput: Interval
    prices: Mapping[str, float]
    unknown: tuple[str, ...]


def regime(flow: Flow) -> str:
    if flow.protocol == "udp":
        return DATAGRAMS
    return SEVERAL if flow.parallel > 1 else ONE if flow.offloads else SEGMENTS


def forecasts(known: Known, model: Model, rounds: Rounds, asked: Collection[Way], *,
              together: bool = False, progress: Callable[[str, int, int], None] = lambda what, done, total: None,
              ) -> dict[Flow, Forecast]:
    """Every stream of the ways `asked`, by fits without that way; or, `together`, without any of them. `rounds`: what
    all streams carried, those of other ways too."""
    found: dict[Flow, Forecast] = {}
    costs = {way: quiet(known.without([way.name])) for way in dict.fromkeys(flow.way for flow in rounds)}
    every = quiet(known.model)
    copied: dict[Way | None, float] = {}  # seconds a byte of one stream, by the way left out
    for name, prior in PRIORS.items():
        mine = {flow: each for flow, each in rounds.items() if regime(flow) == name}
        if not mine:
            continue
        follows = name == DATAGRAMS and bool(copied)
        prior = {**prior, "byte": copied[None]} if follows else prior
        fitted = bulk.fit(partial(_simulated, model, every), {flow: median(each) for flow, each in mine.items()}, prior,
                          progress=partial(progress, f"bulk prices, {name}"))
        for way in asked:
            flows = [flow for flow in mine if flow.way == way]
            out = [flow for flow in mine if flow.way == way or (together and flow.way in asked)]
            thought = {**prior, "byte": copied[way]} if follows else prior
            others = replace(fitted, prior=thought).without(out)
            if name == ONE:
                copied |= {None: fitted.prices["byte"], way: others.prices["byte"]}
            draws = others.draws({flow: mine[flow] for flow in others.missing})
            for flow in flows:
                value = simulate(model, flow, costs[way], Prices(**others.prices))
                found[flow] = Forecast(others.interval(value, flow, draws), others.prices,
                                       tuple(unknown(model, flow, costs[way])))
    return found


def _simulated(model: Model, costs: CostModel, flow: Flow, prices: Mapping[str, float]) -> float:
    return simulate(model, flow, costs, Prices(**prices))


def quiet(known: CostModel) -> CostModel:
    """The prices where each end has a CPU, without their spread."""
    return replace(known.regime(SPINNING), variation=0.0, interruptions=())


def unknown(model: Model, flow: Flow, costs: CostModel) -> list[str]:
    """Steps beyond what was calibrated on; bytes always are, and have prices of their own here."""
    counts: Counts = model.round_trip(flow.way, flow.protocol, flow.size or 14).counts
    return costs.outside({name: n for name, n in counts.items() if name not in (BYTE_SENT, BYTE_RECEIVED)})


def row(flow: Flow, forecast: Forecast, rounds: Sequence[float]) -> dict[str, Any]:
    """What the pictures and tables take."""
    measured = interval(rounds)
    return {
        "name": flow.way.driver or flow.way.name, "way": flow.way.name, "series": flow.series,
        "protocol": flow.protocol, "size": flow.size, "flows": flow.parallel, "offloads": flow.offloads,
        "predicted": forecast.goodput.as_dict(), "measured": measured.as_dict(), "rounds": list(rounds),
        "error": forecast.goodput.value / measured.value - 1, "extrapolated": bool(forecast.unknown),
        "unknown": list(forecast.unknown),
        "bulk": {name: float(f"{price:.4g}") for name, price in forecast.prices.items()}}


def errors(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Median and worst, absolute and relative."""
    found = [abs(row["error"]) for row in rows]
    return median(found), max(found)


def gbit(span: Mapping[str, float]) -> str:
    """`12.3 [12.1, 12.6] Gbit/s`, with the digits that small figures need."""
    digits = 1 if span["value"] >= 10e9 else 2 if span["value"] >= 1e9 else 3
    value, low, high = (f"{span[key] / 1e9:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
