"""`hopcast experiment host-vs-nat`: what a published port costs beside host mode, asked from another machine.

Three ways from one client to one host: a program in host mode, and two in containers behind a published port, on
docker0 and on a user-defined bridge. Latency in every regime is predicted by prices that saw none of the three, nor any
way with exactly their steps. What a port costs is a difference, and as times are linear in steps it is predicted as the
difference of the steps; measured, it is taken round by round. Throughput is that of one TCP stream, predicted from the
streams of other ways (`goodput.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.performance import goodput, plots
from experiments.performance.cases import CONNECT, Case
from experiments.performance.goodput import Rounds
from experiments.performance.intervals import Interval, interval
from experiments.performance.known import Known, stretched
from experiments.performance.latencies import (
    GROUPS,
    MEASURED,
    blame,
    difference,
    forecasts,
    row,
    runs_of,
    share,
    speeds,
    split,
    tables,
    trust,
    us,
)
from experiments.performance.model import Model
from experiments.performance.session import PING_PONG, Progress, Say, rounds, session
from experiments.performance.streams import CONGESTION, Flow
from experiments.performance.streams import measure as measure_streams
from experiments.performance.study import Findings, Study, anchors, at_todays_speed, kept, table, where
from experiments.performance.topology import WAYS, Way, spec
from live.sockperf_output import Latency
from sim.fabric.costs import BLOCKING, SPINNING

NAME = "host-vs-nat"
HOST = "host mode"
ASKED = {HOST: "client to host mode", "published port, docker0": "client to published port, docker0",
         "published port, user bridge": "client to published port, user bridge"}
"""Name here -> of the way in `topology.WAYS`."""
SAID = "published port, user bridge"
"""What the title is about: containers of a Compose file are on such networks."""
FOR_BULK = tuple(way for way in WAYS if way.name in (
    "client to client", "host to host", "host to container, user bridge", "user bridge, container to container",
    "macvlan, client to container"))
"""Whose streams tell what bulk costs."""

Measured = Mapping[Case, Sequence[Latency]]


def ways() -> dict[str, Way]:
    """By their names here."""
    named = {way.name: way for way in WAYS}
    return {name: named[way] for name, way in ASKED.items()}


def asked() -> list[Case]:
    """Each way in every group."""
    return [Case(way, regime, "udp" if protocol == "udp" else "tcp")
            for regime, protocol in GROUPS for way in ways().values()]


def run(known: Known, number: int, say: Say, progress: Progress) -> Findings:
    """Measure the three ways and anchors in the same rounds, then streams over the three and others, predict, compare.
    Streams come last: iperf3 leaves its port in TIME_WAIT, and sockperf could not take it."""
    model = Model(spec())
    cases = [*asked(), *(case for regime in (BLOCKING, SPINNING, CONNECT) for case in anchors(regime))]
    flows = [Flow(way) for way in (*ways().values(), *FOR_BULK)]
    with session(say=say) as within:
        found, noise = rounds(cases, within.latencies, number, progress)
        streams, more = rounds(flows, lambda some: measure_streams(within, model, some), number, progress, "streams")
        setting = within.setting
    carried = {flow: [run.bits_per_second for run in runs] for flow, runs in streams.items()}
    today = at_todays_speed(known, model, found)
    series = {f"{case.name}, {case.regime}": [run.p50 for run in runs] for case, runs in found.items()}
    series |= {f"{flow.way.name}, {flow.series}": each for flow, each in carried.items()}
    return Findings(told(today, model, found, carried, number, progress), series, noise.then(more), setting,
                    {"speed": speeds(today), "tool": f"{PING_PONG}; iperf3, {CONGESTION}"})


def again(known: Known, before: Mapping[str, Any], progress: Progress) -> Mapping[str, Any]:
    """Predicted anew: rounds of round trips are in their rows, those of all streams by themselves, and the machine's
    speed that day in the provenance."""
    about, streams = before["provenance"], kept(before, "streams")
    carried = {Flow(way): streams[way.name] for way in (*ways().values(), *FOR_BULK)}
    return told(known.at_speeds(about["speed"]), Model(spec()), runs_of(before["rows"], asked()), carried,
                about["rounds"], progress)


def told(today: Known, model: Model, found: Measured, carried: Rounds, number: int,
         progress: Progress = lambda what, done, total: None) -> dict[str, Any]:
    """Everything of data.json but its provenance, by a calibration at the speed of the day."""
    cases, names = asked(), {way: name for name, way in ways().items()}
    predicted = forecasts(today, model, cases, number, apart=False)
    rows = []
    for case in cases:
        whole = stretched(today.model.regime(case.regime), today.speed.get(case.regime, 1.0))
        rows.append(row(case, names[case.way], predicted[case], found[case],
                        blame(case.counts(model), predicted[case].prices, whole)))
    differences = _differences(today, model, cases, found)
    return {"title": title(differences), "unit": "seconds, round trip", "unit_shown": "µs", "factor": 1e6,
            "confidence": 0.95, "x_label": "round trip, median", "rows": rows, "differences": differences,
            "throughput": _throughput(replace(today, speed={}), model, carried, progress),
            "streams": {flow.way.name: list(rounds) for flow, rounds in carried.items()}}


def _differences(known: Known, model: Model, cases: Sequence[Case], found: Measured) -> list[dict[str, Any]]:
    """What each published port takes beyond host mode, and the ratio of the two."""
    host, parts = ways()[HOST], []
    for regime, together in split(cases, apart=False):
        counts = {case: case.counts(model) for case in cases if case.regime == regime and case.way.name in together}
        pairs = [(case, Case(host, regime, case.protocol)) for case in counts if case.way != host]
        more = {f"more, {case.name}": {kind: counts[case].get(kind, 0.0) - counts[base].get(kind, 0.0)
                                       for kind in {*counts[case], *counts[base]}} for case, base in pairs}
        spans = known.forecast(regime, more | {case.name: steps for case, steps in counts.items()}, together)
        for case, base in pairs:
            extra, below = spans[f"more, {case.name}"], spans[base.name]
            left, ratios = difference(found[case], found[base])
            parts.append({
                "name": next(name for name, way in ways().items() if way == case.way),
                "group": GROUPS[regime, case.protocol], "predicted": extra.as_dict(),
                "measured": interval(left).as_dict(), "rounds": left,
                "error": extra.value / interval(left).value - 1,
                "ratio": {"predicted": _ratio(extra, below).as_dict(), "measured": interval(ratios).as_dict(),
                          "rounds": ratios}})
    order = list(GROUPS.values())
    return sorted(parts, key=lambda part: order.index(part["group"]))


def _ratio(extra: Interval, below: Interval) -> Interval:
    """How many times as long it takes, when it takes that much more."""
    corners = [1 + end / base for end in (extra.low, extra.high) for base in (below.low, below.high)]
    return Interval(1 + extra.value / below.value, min(corners), max(corners))


def _throughput(known: Known, model: Model, carried: Rounds, progress: Progress) -> list[dict[str, Any]]:
    """As the plots draw it, in bits per second. What streams cost is fitted on those of other ways today, so that
    today's speed is in it; no round trip over one of the three is in it either."""
    names = {way: name for name, way in ways().items()}
    shapes = [dict(case.counts(model)) for case in asked()]
    others = tuple(each for each in known.rows
                   if each.way not in ASKED.values() and dict(each.counts) not in shapes)
    predicted = goodput.forecasts(replace(known, rows=others), model, carried, list(names), together=True,
                                  progress=progress)
    return [{**goodput.row(flow, predicted[flow], rounds), "name": names[flow.way], "congestion": CONGESTION}
            for flow, rounds in carried.items() if flow.way in names]


def title(differences: Sequence[Mapping[str, Any]]) -> str:
    """What came out, as a sentence."""
    mine = next(each for each in differences if each["name"] == SAID and each["group"] == GROUPS[BLOCKING, "tcp"])

    def more(side: str) -> str:
        return f"{1e6 * mine[side]['value']:+.1f} µs, ×{mine['ratio'][side]['value']:.2f}".replace("-", "\u2212")

    return f"A published port makes a TCP request take longer than in host mode: {more('measured')}; " \
           f"predicted {more('predicted')}"


def draw(data: Mapping[str, Any], folder: Path) -> None:
    """The round trips, what a port adds to them, and the streams."""
    plots.ranking({**data, "rows": [row for row in data["rows"] if row["regime"] != CONNECT]}, folder, NAME)
    plots.ranking({**data, "rows": data["differences"], "x_label": "longer than in host mode by, median",
                   "title": _difference_title(data["differences"])}, folder, f"{NAME}-difference")
    plots.bars({**data, "rows": data["throughput"], "unit_shown": "Gbit/s", "factor": 1e-9, "x_label": "throughput",
                "title": _throughput_title(data["throughput"])}, folder, f"{NAME}-throughput")


def _difference_title(differences: Sequence[Mapping[str, Any]]) -> str:
    values = [each["measured"]["value"] * 1e6 for each in differences]
    inside = sum(each["predicted"]["low"] <= each["measured"]["high"]
                 and each["measured"]["low"] <= each["predicted"]["high"] for each in differences)
    return (f"A published port adds {min(values):.1f} to {max(values):.1f} µs to a request; in {inside} of "
            f"{len(values)} cases the predicted interval meets the measured one")


def _throughput_title(rows: Sequence[Mapping[str, Any]]) -> str:
    mine = {row["name"]: row for row in rows}
    ratio = interval(list(np.array(mine[SAID]["rounds"]) / np.array(mine[HOST]["rounds"])))
    predicted = mine[SAID]["predicted"]["value"] / mine[HOST]["predicted"]["value"]
    return (f"One TCP stream to a published port carries {100 * ratio.value:.0f} % of what it carries to host mode "
            f"[{100 * ratio.low:.0f}, {100 * ratio.high:.0f}]; predicted {100 * predicted:.0f} %")


def summary(data: Mapping[str, Any]) -> str:
    """The same for people, as Markdown."""
    return "\n".join([
        "# Host mode versus a published port", "", f"{data['title']}.", "",
        "A client on another machine asks a program in host mode, and one in a container behind a published port: what "
        "does the container's own network cost, in time and in throughput?", "",
        f"{MEASURED} Every path was measured once a round, {data['provenance']['rounds']} rounds, in an order that "
        "changes from round to round; differences and ratios are taken round by round.", "",
        "## What a published port adds", "",
        *table(("", "predicted (µs)", "measured (µs)", "error", "predicted ratio", "measured ratio"), [
            [f"{each['name']}; {each['group']}", us(each["predicted"]), us(each["measured"]), share(each["error"]),
             *(_span(each["ratio"][side]) for side in ("predicted", "measured"))] for each in data["differences"]]),
        "", f"![what a published port adds]({NAME}-difference.png)", "",
        "## Round trips", "", f"![medians, predicted beside measured]({NAME}.png)", "", *tables(data["rows"]),
        "## Throughput", "", f"{_throughput_title(data['throughput'])}.", "",
        "iperf3, one TCP stream, a second a run, each end on a CPU of its own. What bulk costs is fitted on the "
        f"streams of: {'; '.join(way.name for way in FOR_BULK)}.", "",
        *table(("path", "predicted (Gbit/s)", "measured (Gbit/s)", "error"),
               [_carried(each) for each in data["throughput"]]), "",
        f"![throughput]({NAME}-throughput.png)", "",
        "## How far to trust it", "",
        "The prices are fitted on other paths: none of the three is among them, nor any that takes exactly their "
        "steps. A predicted interval holds the noise of calibration and what calibration leaves open, and not what the "
        "model simplifies. What is 2 % of a round trip is 6 % of a difference that is a third of it.", "",
        *trust(data["rows"]), *where(data)])


def _span(span: Mapping[str, float]) -> str:
    return f"{span['value']:.3f} [{span['low']:.3f}, {span['high']:.3f}]"


def _carried(each: Mapping[str, Any]) -> list[str]:
    name = each["name"] + (" (extrapolated)" if each["extrapolated"] else "")
    return [name, goodput.gbit(each["predicted"]), goodput.gbit(each["measured"]), share(each["error"])]


STUDY = Study(NAME, "What does a published port cost beside host mode?", 4, run, draw, summary, again)
