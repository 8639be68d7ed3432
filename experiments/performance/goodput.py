"""What streams carry, each predicted from the streams of other ways: the steps' prices from a calibration's round
trips, those of bulk from what else was measured in the same rounds.

Bulk has regimes as round trips have them: one stream, one that is cut into segments at once, and datagrams. Each is
fitted for itself; but what small datagrams hardly tell, and large ones not apart from their fragments, a byte, is
thought to cost what it does in one stream. A way that is asked is left out of all of it: of the calibration
(`Known.without`) and of the streams that bulk's prices rest on (`bulk.Fitted.without`). Only the streams of the others
are fitted with the prices of the whole calibration.
Several streams at once are forecast by the prices of one: what they carry where the receiver keeps up. Whether it does
is chance (ARCHITECTURE.md), so they tell no price, and their interval is as wide as other ways' rounds are off.
Spread and interruptions are not simulated: what they cost on the average is in the prices that are fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

from experiments.performance import bulk
from experiments.performance.intervals import Interval, around, interval
from experiments.performance.known import Known
from experiments.performance.model import Model
from experiments.performance.streams import Flow, Prices, simulate
from experiments.performance.topology import Way
from sim.errors import SpecError
from sim.fabric.costs import BYTE_RECEIVED, BYTE_SENT, SPINNING, CostModel, Counts

ONE, SEVERAL, SEGMENTS, DATAGRAMS = "one stream", "several streams", "segments", "datagrams"
PRIORS: dict[str, dict[str, float]] = {
    ONE: {"byte": 1.0e-10, "path": 0.8},
    SEGMENTS: {"byte": 1.0e-10, "path": 0.8, "segment": 0.8},
    DATAGRAMS: {"byte": 2.0e-10, "path": 1.5, "segment": 1.3, "program": 1.0e-7, "fragment": 0.5e-6},
}
"""Regime -> `streams.Prices`: orders of magnitude. A copy runs at some 10 GB/s; steps take about what they take in a
round trip."""

Rounds = Mapping[Flow, Sequence[float]]
Fits = dict[str, bulk.Fitted[Flow]]


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
    all streams carried, those of other ways too. SpecError where there are several streams and not one alone."""
    costs = {way: quiet(known.without([way.name])) for way in dict.fromkeys(flow.way for flow in rounds)}
    every = quiet(known.model)
    parts = {name: {flow: each for flow, each in rounds.items() if regime(flow) == name} for name in (*PRIORS, SEVERAL)}
    fits: Fits = {}
    for name in PRIORS:
        if carried := {flow: median(each) for flow, each in parts[name].items()}:
            fits[name] = bulk.fit(partial(_simulated, model, every), carried, _prior(fits, name),
                                  progress=partial(progress, f"bulk prices, {name}"))
    found: dict[Flow, Forecast] = {}
    for way in asked:
        out = set(asked) if together else {way}
        for name, flows in parts.items():
            mine = [flow for flow in flows if flow.way == way]
            if not mine:
                continue
            others = _without(fits, ONE if name == SEVERAL else name, out)
            left = {flow: each for flow, each in flows.items() if flow.way not in out}
            draws = others.draws(left) if name != SEVERAL else None
            for flow in mine:
                value = simulate(model, flow, costs[way], Prices(**others.prices))
                span = (others.interval(value, flow, draws) if draws is not None else
                        around(value, [value * part for part in off(model, every, left, others.prices)]))
                found[flow] = Forecast(span, others.prices, tuple(unknown(model, flow, costs[way])))
    return found


def _without(fits: Fits, name: str, ways: Collection[Way]) -> bulk.Fitted[Flow]:
    """A regime's fit without these ways, and so what was thought before it."""
    if name not in fits:
        raise SpecError("several streams are forecast by the prices of one, and none was measured alone")
    return replace(fits[name], prior=_prior(fits, name, ways)).without(
        [flow for flow in fits[name].missing if flow.way in ways])


def _prior(fits: Fits, name: str, ways: Collection[Way] = ()) -> Mapping[str, float]:
    if name != DATAGRAMS or ONE not in fits:
        return PRIORS[name]
    one = _without(fits, ONE, ways) if ways else fits[ONE]
    return {**PRIORS[name], "byte": one.prices["byte"]}


def off(model: Model, costs: CostModel, rounds: Rounds, prices: Mapping[str, float]) -> list[float]:
    """What each round carried of what these prices say of it."""
    return [each / simulated for flow, runs in rounds.items()
            for simulated in [_simulated(model, costs, flow, prices)] for each in runs] or [1.0]


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
