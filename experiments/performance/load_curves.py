"""`hopcast experiment load-curves`: latency and loss against offered load, up to saturation and past it.

Four ways through Docker's networks are offered fractions of what the model says they carry: each is predicted by prices
that never saw it, at the speed that the machine has today, and what a ping-pong can't tell is learnt under load on a
way that nobody asks about (`loads.py`). Then a slow cable: messages of 1000 bytes from half of its rate to half more
than it, one by one and in bursts (`shaped.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.performance import loads, plots, shaped
from experiments.performance.cases import Case, Offered
from experiments.performance.intervals import Interval
from experiments.performance.known import Known
from experiments.performance.learnt import Learnt
from experiments.performance.loads import Forecast, Found, Seen
from experiments.performance.model import Model
from experiments.performance.session import BATCH, Progress, Say, Session, rounds, session
from experiments.performance.study import Findings, Study, anchors, at_todays_speed, table, where
from experiments.performance.topology import WAYS, Way, spec
from live.sockperf_output import Latency, Load
from sim.fabric.costs import SPINNING

NAME, CABLE = "load-curves", "load-curves-slow-cable"
DRIVERS = {
    "client to host mode": "host mode, from a client",
    "user bridge, container to container": "user bridge, container to container",
    "client to published port, user bridge": "published port (NAT), from a client",
    "overlay, container to container on two hosts": "overlay, container to container on two hosts"}
"""Way -> what its panel is called."""
ASKED = tuple(way for way in WAYS if way.name in DRIVERS)
SHARES = (0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)
"""Of the predicted saturation."""

SEEDS = 3
"""Of the simulations by which a way is said to carry so much."""
MEASURED = ("load", "measured", "lost_measured", "rounds", "sent_measured")
"""What a point says of its rounds."""
ANCHORING = 0.2
"""Seconds of each anchor, several times a round."""

Speeds = Mapping[Case, Sequence[Latency]]


def run(known: Known, number: int, say: Say, progress: Progress) -> Findings:
    """Learn from the reference, offer what the model says each way carries and parts of it, predict, compare."""
    model, slow = Model(spec()), Model(shaped.spec())
    with session(say=say) as within:
        flooded, _ = rounds([loads.flood()], within.loads, 1, progress, "sounding")
        fixed: list[Case | Offered] = [*anchors(SPINNING), *loads.reference(flooded[loads.flood()][0].goodput)]
        first, _ = rounds(fixed, _measurer(within), 1, progress, "sounding")
        asked = offered(known, model, *_apart(first))
        found, noise = rounds([*asked, *fixed], _measurer(within), number, progress)
        setting = within.setting
    with session(of=shaped.spec(), say=say) as within:
        limited, more = rounds(shaped.asked(), within.loads, number, progress, "a slow cable")
    data, today = evaluate(known, model, slow, *_apart(found), limited, progress)
    series = {f"{path['name']}, {point['load']:.0f} messages/s": point["rounds"]["p50"]
              for path in data["curves"] for point in path["points"] if point["counts"]}
    return Findings(data, series, noise.then(more), setting, {
        "speed": dict(today.speed), "tool": "sockperf under-load, UDP, every message answered"})


def _measurer(within: Session) -> Callable[[Sequence[Case | Offered]], Iterator[tuple[Case | Offered, Latency | Load]]]:
    """The anchors again and again between the loads, as a load's moment is its own: the machine's speed is told from
    the same minutes."""
    def measure(jobs: Sequence[Case | Offered]) -> Iterator[tuple[Case | Offered, Latency | Load]]:
        cases = [job for job in jobs if isinstance(job, Case)]
        asked = [job for job in jobs if isinstance(job, Offered)]
        for start in range(0, len(asked), BATCH):
            yield from within.latencies(cases, ANCHORING)
            yield from within.loads(asked[start:start + BATCH])

    return measure


def _apart(found: Mapping[Case | Offered, Sequence[Latency | Load]]) -> tuple[dict[Case, list[Latency]], Found]:
    return ({job: [run for run in runs if isinstance(run, Latency)] for job, runs in found.items()
             if isinstance(job, Case)},
            {job: [run for run in runs if isinstance(run, Load)] for job, runs in found.items()
             if isinstance(job, Offered)})


def offered(known: Known, model: Model, speed: Speeds, found: Found) -> list[Offered]:
    """The rates: parts of what each way is predicted to carry."""
    today = at_todays_speed(known, model, speed)
    told, asked = loads.learnt(today, model, found), []
    for way in ASKED:
        counts = model.round_trip(way, "udp").counts
        each = Offered(way, 1.0)
        rate = loads.saturation(today.without([way.name], [counts]), loads.turns(model, each), told, each.size)
        asked += [Offered(way, float(round(share * rate))) for share in SHARES]
    return asked


def of(found: Found, way: Way, burst: int = 1) -> Found:
    """What was offered to one way."""
    return {each: runs for each, runs in found.items() if (each.way, each.burst) == (way, burst)}


def evaluate(known: Known, model: Model, slow: Model, speed: Speeds, found: Found, limited: Found,
             progress: Progress) -> tuple[dict[str, Any], Known]:
    """Everything of data.json but its provenance, and the calibration at today's speed."""
    today = at_todays_speed(known, model, speed)
    rates = {way: of(found, way) for way in ASKED}
    through = {(way, burst): of(limited, way, burst) for way in shaped.THROUGH for burst in shaped.BURSTS}
    return told(today, model, slow, loads.learnt(today, model, found),
                lambda way, ahead: loads.seen(rates[way], loads.carried(ahead, math.inf)),
                lambda way, burst, ahead: loads.seen(through[way, burst], loads.carried(ahead, shaped.capacity())),
                progress), today


def again(known: Known, before: Mapping[str, Any], progress: Progress) -> Mapping[str, Any]:
    """Predicted anew: each load's rounds are in its point, the machine's speed that day in the provenance. What the
    reference taught is kept as it was told."""
    today = known.at_speeds(before["provenance"]["speed"])
    there = {path["name"]: path for path in (*before["curves"], *before["slow_cable"]["curves"])}

    def kept(name: str, way: Way, **more: int) -> Seen:
        points = tuple((Offered(way, row["load"], **more), {key: row[key] for key in MEASURED})
                       for row in there[name]["points"])
        return Seen(points, Interval(**there[name]["saturation"]["measured"]))

    return told(today, Model(spec()), Model(shaped.spec()), Learnt.from_dict(before["learnt"]),
                lambda way, ahead: kept(DRIVERS[way.name], way),
                lambda way, burst, ahead: kept(shaped.name(way, burst), way, size=shaped.BYTES, burst=burst), progress)


def told(today: Known, model: Model, slow: Model, learnt: Learnt, free: Callable[[Way, Forecast], Seen],
         limited: Callable[[Way, int, Forecast], Seen], progress: Progress) -> dict[str, Any]:
    """Everything of data.json but its provenance. `free`, `limited`: what was measured of a way, of one through the
    slow cable."""
    ahead = [loads.forecast(today, model, Offered(way, 1.0), learnt, SEEDS) for way in ASKED]
    there = [free(way, each) for way, each in zip(ASKED, ahead, strict=True)]
    often = loads.crowding(list(zip(ahead, there, strict=True)),
                           lambda done, total: progress("learning from the other ways", done, total))
    table = [(DRIVERS[way.name], replace(each, crowding=factor), seen, math.inf)
             for way, each, seen, factor in zip(ASKED, ahead, there, often, strict=True)]
    for way in shaped.THROUGH:
        each = loads.forecast(today, slow, Offered(way, 1.0, shaped.BYTES), learnt, SEEDS)
        table += [(shaped.name(way, burst), each, limited(way, burst, each), shaped.capacity())
                  for burst in shaped.BURSTS]
    whole = loads.simulate(table, lambda done, total: progress("simulating", done, total))
    curves, through = whole[:len(ASKED)], whole[len(ASKED):]
    said, cable = loads.verdicts(curves), loads.verdicts(through)
    return {
        "title": title(curves, said), "unit": "seconds, round trip", "unit_shown": "µs", "factor": 1e6,
        "curves": curves, "verdicts": said,
        "slow_cable": {"title": cable_title(through, cable), "curves": through, "verdicts": cable,
                       "rate": shaped.RATE, "bytes": shaped.BYTES, "burst": shaped.BURST},
        "learnt": learnt.as_dict()}


def title(curves: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> str:
    """What came out, as a sentence."""
    rates = {path["name"].partition(",")[0]: path["saturation"] for path in curves}
    said = ", ".join(f"{name} {rate['measured']['value'] / 1e3:.0f} (predicted {rate['predicted']['value'] / 1e3:.0f})"
                     for name, rate in rates.items())
    inside = told["inside"]
    return (f"Thousand requests per second at saturation: {said}; up to {100 * loads.UP_TO:.0f} % of that the "
            f"predicted p50 is in the measured band at {inside['p50']} and the p99 at {inside['p99']} of "
            f"{told['points']} loads")


def cable_title(curves: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> str:
    """The same of the slow cable."""
    longest = {path["name"].partition(":")[0]: path["points"][-1]["measured"]["p50"]["value"] * 1e3 for path in curves}
    lost = {path["name"].partition(":")[0]: path["points"][-1]["lost_measured"]["value"] for path in curves}
    said = "; ".join(f"{name} waits {wait:.1f} ms and loses {100 * lost[name]:.0f} %" for name, wait in longest.items())
    points = [point for path in curves for point in path["points"]]
    inside = {p: sum(point["inside"][p] for point in points) for p in loads.PERCENTILES}
    return (f"Half more than a cable of {shaped.RATE / 1e6:.0f} Mbit/s carries: {said}; the predicted p50 is in the "
            f"measured band at {inside['p50']} and the p99 at {inside['p99']} of all {len(points)} loads")


def draw(data: Mapping[str, Any], folder: Path) -> None:
    """Both pictures."""
    plots.curves(data, folder, NAME)
    plots.curves({**data, **data["slow_cable"], "unit_shown": "ms", "factor": 1e3}, folder, CABLE)


def summary(data: Mapping[str, Any]) -> str:
    """The same for people, as Markdown."""
    slow = data["slow_cable"]
    return "\n".join([
        "# Latency against offered load", "", f"{data['title']}.", "",
        "How long does a request take, and how many are lost, as more and more of them are sent over one of Docker's "
        "networks?", "",
        "sockperf sends UDP messages of 14 bytes at a rate, and each is answered; sender and server have a CPU of "
        f"their own, and no sniffer runs. Every load was measured once a round, {data['provenance']['rounds']} rounds, "
        "in an order that changes from round to round; the rates are parts of what the model says that the way "
        "carries.", "",
        f"![latency against load]({NAME}.png)", "", "## Saturation", "",
        *table(("path", "predicted (messages/s)", "measured (messages/s)", "error"),
               [_carries(path) for path in data["curves"]]), "",
        f"{_counted(data['verdicts'])}", "",
        *[line for path in data["curves"] for line in _section(path, 1e6, "µs")],
        "## A slow cable", "", f"{slow['title']}.", "",
        f"Messages of {slow['bytes']} bytes through a token bucket of {slow['rate'] / 1e6:.0f} Mbit/s, one by one and "
        f"{slow['burst']} at once. While a packet waits in the queue of its own machine or of the switch, its socket "
        "is charged for it, and a sender whose socket is full waits; once a router has forwarded it nobody waits, and "
        "the queue drops what does not fit.", "",
        f"![latency against load, slow cable]({CABLE}.png)", "",
        *[line for path in slow["curves"] for line in _section(path, 1e3, "ms")],
        "## How far to trust it", "",
        f"A load is right where the predicted percentile lies between the lowest and the highest round, widened by "
        f"{100 * loads.WIDER:.0f} %. The prices never saw the way that they predict. Learnt under load on loopback, "
        f"which nobody asks about: {_learnt(data['learnt'], data['curves'])}", "",
        *_short(data["curves"]), *_short(slow["curves"]), *where(data)])


def _learnt(told: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> str:
    often = ", ".join(f"{per_second:.0f} times a second for {seconds * 1e6:.0f} µs"
                      for per_second, seconds in told["interruptions"])
    more = ", ".join(f"{path['crowding']:g} ({path['name']})" for path in curves)
    return (f"a preemption costs {told['before'] * 1e6:.2f} µs before the woken thread runs and "
            f"{told['after'] * 1e6:.2f} µs after it; the rest of the machine takes a CPU {often or 'never'}; after a "
            f"pause of 100 µs all takes {100 * 1e-4 * told['cooling']:.0f} % longer. Learnt from the 99th percentiles "
            f"of the other ways, each time without the one that is predicted: where {100 * loads.BUSY:.0f} % of what a "
            f"way carries is offered, a CPU is taken so many times as often: {more}.")


def _counted(told: Mapping[str, Any]) -> str:
    return (f"Up to {100 * loads.UP_TO:.0f} % of saturation, p50 is inside the measured band at "
            f"{told['inside']['p50']} of {told['points']} loads and p99 at {told['inside']['p99']}; "
            f"{told['saturations']} of {told['paths']} saturations are within {100 * loads.CLOSE:.0f} %, the worst is "
            f"off by {100 * told['worst_saturation']:+.1f} %.")


def _carries(path: Mapping[str, Any]) -> list[str]:
    rate = path["saturation"]
    spans = ["{:.0f} [{:.0f}, {:.0f}]".format(*(rate[side][key] for key in ("value", "low", "high")))
             for side in ("predicted", "measured")]
    return [path["name"], *spans, f"{100 * rate['error']:+.1f} %"]


def _section(path: Mapping[str, Any], factor: float, unit: str) -> list[str]:
    rows = [[f"{point['load']:.0f}", f"{100 * point['share']:.0f} %",
             *(text for name in loads.PERCENTILES for text in (
                 f"{point['predicted'][name]['value'] * factor:.4g}",
                 "{:.4g}–{:.4g}".format(*(point["measured"][name][end] * factor for end in ("low", "high"))),
                 "in" if point["inside"][name] else "out")),
             f"{100 * point['lost_predicted']['value']:.1f} | {100 * point['lost_measured']['value']:.1f}"]
            for point in path["points"]]
    header = ("messages/s", "of saturation", f"p50 predicted ({unit})", "measured", "", f"p99 predicted ({unit})",
              "measured", "", "% lost, predicted", "measured")
    return [f"### {path['name'][0].upper()}{path['name'][1:]}", "", *table(header, rows), ""]


def _short(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a prediction falls short, and by how much."""
    lines = []
    for path in curves:
        missed = [f"{name} at {100 * point['share']:.0f} % ({_off(point, name):+.0f} %)" for point in path["points"]
                  if point["counts"] for name in loads.PERCENTILES if not point["inside"][name]]
        if missed:
            lines.append(f"- {path['name']}: out of the band: {', '.join(missed)}")
        if path["outside"]:
            lines.append(f"- {path['name']}: extrapolated, as no calibrated path has so many of "
                         f"{', '.join(path['outside'])}")
    return [*lines, ""] if lines else []


def _off(point: Mapping[str, Any], name: str) -> float:
    """How far beyond the nearer end of the band, in percent."""
    value, band = point["predicted"][name]["value"], point["measured"][name]
    return 100 * (float(value / (band["low"] if value < band["low"] else band["high"])) - 1)


STUDY = Study(NAME, "How do latency and loss grow with the load?", 3, run, draw, summary, again)
