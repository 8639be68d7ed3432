"""Curves of load: what the simulation says at each rate, beside what was measured, and whether it is right.

What a ping-pong can't tell is learnt from a way that nobody asks about, loopback in a container, under load in the same
rounds (`learnt.py`). How much more often a CPU that has more to do is taken away is learnt from what the other ways'
slowest messages took (`crowding`), never from the way that is predicted.

A predicted figure is the median over as many seeds as there are rounds, between the least and the most of them, widened
by what the fit of the prices leaves open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from experiments.performance.cases import Offered
from experiments.performance.intervals import Interval, interval
from experiments.performance.known import Known
from experiments.performance.learnt import Learnt, learn
from experiments.performance.model import Model
from experiments.performance.topology import WAYS
from live.sockperf_output import Load
from sim.errors import SpecError
from sim.fabric import load
from sim.fabric.costs import SPINNING, CostModel
from sim.fabric.turns import Turn

REFERENCE = next(way for way in WAYS if way.name == "loopback in a container")
SLOW, CALM = 0.05, 0.25
"""Offered there, of what it carries: with long pauses, and with short ones."""
BUSY = 0.55
"""Of what a way carries: from CALM to here interruptions come ever more often."""
CROWDINGS = (1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0)
"""How many times as often they may come there."""
FLOOD = 400_000
"""Messages/s: far more than it carries."""
PERCENTILES = {"p50": 50.0, "p99": 99.0}
WIDER = 0.1
"""By how much the measured band is widened."""
UP_TO = 0.8
"""Of saturation: loads beyond are shown and not counted."""
CLOSE = 0.1
"""A saturation that is off by less is right."""
FLOODED = 1.1
"""Times the predicted saturation: from there on what is answered is what the way carries."""
MESSAGES = 6_000
"""Simulated for a point: sixty are beyond the 99th percentile."""

Found = Mapping[Offered, Sequence[Load]]
Turns = tuple[Turn, Turn, Turn]


def flood() -> Offered:
    """What tells how much the reference carries."""
    return Offered(REFERENCE, FLOOD)


def reference(carries: float) -> list[Offered]:
    """What is learnt from, where that many messages/s are carried there."""
    return [*(Offered(REFERENCE, float(round(share * carries))) for share in (SLOW, CALM)), flood()]


def learnt(known: Known, model: Model, found: Found) -> Learnt:
    """What the reference's rounds say."""
    mine = sorted((each for each in found if each.way == REFERENCE), key=lambda each: each.rate)
    slow, calm, more = (found[each] for each in mine)
    return learn(known.without(), turns(model, mine[0]), slow, calm, more)


def turns(model: Model, offered: Offered) -> Turns:
    """Request, service, answer read. SpecError where others have a part in it."""
    found = model.turns(offered.way, "udp", offered.size)
    if len(found) != 3:
        raise SpecError(f"{offered.way.name}: no two programs alone, so its load is not modelled")
    return found[0], found[1], found[2]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A way's prices, fitted without it, and what it carries with them (messages/s). `open`: by how much its round
    trip may be less or more, as factors; `outside`: steps beyond what the prices were fitted on; `crowding`: how many
    times as often the rest of the machine takes a CPU where BUSY of that is offered. `done`: what was simulated, which
    is kept for forecasts that differ in `crowding` alone."""

    costs: CostModel
    learnt: Learnt
    turns: Turns
    saturation: Interval
    open: tuple[float, float]
    outside: tuple[str, ...]
    crowding: float = 1.0
    done: dict[tuple[Offered, float], list[load.Loaded]] = field(default_factory=dict, compare=False, repr=False)

    def at(self, offered: Offered, seeds: int) -> list[load.Loaded]:
        """The same load, simulated with as many seeds."""
        often = self.often(offered.rate)
        costs, preemption = self.learnt.at(self.costs, offered.rate, often)
        runs = self.done.setdefault((offered, often), [])
        runs += [load.run(costs, *self.turns, rate=offered.rate, burst=offered.burst, size=offered.size,
                          messages=MESSAGES, preemption=preemption, seed=seed) for seed in range(len(runs), seeds)]
        return runs[:seeds]

    def often(self, rate: float) -> float:
        """How many times as often the rest of the machine takes a CPU at this rate."""
        share = (rate / self.saturation.value - CALM) / (BUSY - CALM)
        return 1 + (self.crowding - 1) * min(max(share, 0.0), 1.0)

    def span(self, values: Sequence[float]) -> Interval:
        """Of a time, over seeds."""
        return Interval(median(values), min(values) * self.open[0], max(values) * self.open[1])


def saturation(costs: CostModel, parts: Turns, known: Learnt, size: int, seed: int = 0) -> float:
    """Messages/s that a way carries."""
    flooded, preemption = known.at(costs, math.inf)
    return load.saturation(flooded, *parts, messages=MESSAGES, size=size, preemption=preemption, seed=seed)


def forecast(known: Known, model: Model, offered: Offered, told: Learnt, seeds: int) -> Forecast:
    """How a way is predicted, whatever is offered there."""
    parts = turns(model, offered)
    counts = model.round_trip(offered.way, "udp", offered.size).counts
    costs = known.without([offered.way.name], [counts])
    around = known.forecast(SPINNING, {"": counts}, [offered.way.name])[""]
    low, high = around.low / around.value, around.high / around.value
    rates = [saturation(costs, parts, told, offered.size, seed) for seed in range(seeds)]
    return Forecast(costs, told, parts, Interval(median(rates), min(rates) / high, max(rates) / low), (low, high),
                    tuple(costs.regime(SPINNING).outside(counts)))


@dataclass(frozen=True, slots=True)
class Seen:
    """What was measured of a way: each load's figures, as `measured` says them, and what it carries (messages/s)."""

    points: tuple[tuple[Offered, Mapping[str, Any]], ...]
    saturation: Interval


def measured(offered: Offered, runs: Sequence[Load]) -> dict[str, Any]:
    """One load's rounds."""
    return {
        "load": offered.rate,
        "measured": {name: _band([run.percentiles[p] for run in runs]).as_dict() for name, p in PERCENTILES.items()},
        "lost_measured": _band([run.lost for run in runs]).as_dict(),
        "rounds": {name: [run.percentiles[p] for run in runs] for name, p in PERCENTILES.items()},
        "sent_measured": median(run.rate for run in runs)}


def seen(found: Found, predicted: Interval) -> Seen:
    """All of a way's rounds. `predicted`: what it is said to carry; what is answered of more is what it does carry."""
    flooded = [runs for offered, runs in found.items() if offered.rate >= FLOODED * predicted.value]
    carried = interval([max(run.goodput for run in once) for once in zip(*flooded, strict=True)])
    rows = sorted(found.items(), key=lambda pair: pair[0].rate)
    return Seen(tuple((offered, measured(offered, runs)) for offered, runs in rows), carried)


def carried(ahead: Forecast, carries: float) -> Interval:
    """Messages/s that a way is predicted to carry, where the cables let `carries` through."""
    return ahead.saturation if ahead.saturation.value < carries else Interval(carries, carries, carries)


def crowding(ways: Sequence[tuple[Forecast, Seen]], told: Callable[[int, int], None]) -> list[float]:
    """For each of these ways, how much more often it is interrupted under load, as the others' 99th percentiles tell:
    the factor of CROWDINGS with which they are off by least. `told`: how much of it is done."""
    off: list[list[float]] = []
    for ahead, there in ways:
        told(len(off), len(ways))
        off.append([sum(late(replace(ahead, crowding=factor), there)) for factor in CROWDINGS])
    told(len(ways), len(ways))
    return [min(CROWDINGS, key=lambda factor: sum(row[CROWDINGS.index(factor)] for row in off if row is not mine))
            for mine in off]


def late(ahead: Forecast, there: Seen) -> list[float]:
    """How far the 99th percentile is off, as a logarithm, at each load that counts and has queues."""
    loaded = [(offered, row["rounds"]["p99"]) for offered, row in there.points
              if CALM < offered.rate / there.saturation.value <= UP_TO]
    return [abs(math.log(median(run.percentiles[PERCENTILES["p99"]] for run in ahead.at(offered, len(rounds)))
                         / median(rounds))) for offered, rounds in loaded]


def curve(name: str, ahead: Forecast, there: Seen, carries: float = math.inf) -> dict[str, Any]:
    """A way's curve as the plots read it, with its verdicts. `carries`: messages/s that the cables let through."""
    predicted = carried(ahead, carries)
    points = [_point(ahead, offered, row, carries if carries < math.inf else there.saturation.value)
              for offered, row in there.points]
    error = predicted.value / there.saturation.value - 1
    return {
        "name": name, "points": points, "outside": list(ahead.outside), "crowding": ahead.crowding,
        "saturation": {"predicted": predicted.as_dict(), "measured": there.saturation.as_dict(), "error": error,
                       "right": abs(error) <= CLOSE}}


def _point(ahead: Forecast, offered: Offered, row: Mapping[str, Any], saturation: float) -> dict[str, Any]:
    runs = ahead.at(offered, len(row["rounds"]["p50"]))
    predicted = {name: ahead.span([each.percentiles[p] for each in runs]) for name, p in PERCENTILES.items()}
    return {
        **row, "share": offered.rate / saturation, "counts": offered.rate <= UP_TO * saturation,
        "predicted": {name: each.as_dict() for name, each in predicted.items()},
        "inside": {name: inside(predicted[name].value, Interval(**row["measured"][name])) for name in PERCENTILES},
        "lost_predicted": _band([each.lost for each in runs]).as_dict(),
        "sent_predicted": median(each.sent_rate for each in runs), "extrapolated": bool(ahead.outside)}


def _band(values: Sequence[float]) -> Interval:
    return Interval(median(values), min(values), max(values))


def inside(value: float, band: Interval) -> bool:
    """In the widened band?"""
    return band.low * (1 - WIDER) <= value <= band.high * (1 + WIDER)


def verdicts(curves: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many points that count are inside, for each percentile, and how many saturations are right."""
    counted = [point for path in curves for point in path["points"] if point["counts"]]
    return {
        "points": len(counted),
        "inside": {name: sum(point["inside"][name] for point in counted) for name in PERCENTILES},
        "paths": len(curves), "saturations": sum(path["saturation"]["right"] for path in curves),
        "worst_saturation": max((path["saturation"]["error"] for path in curves), key=abs)}


def simulate(table: Sequence[tuple[str, Forecast, Seen, float]],
             told: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """All curves; `told` how many are done."""
    curves = []
    for done, (name, ahead, there, carries) in enumerate(table):
        told(done, len(table))
        curves.append(curve(name, ahead, there, carries))
    told(len(table), len(table))
    return curves
