"""`hopcast experiment overlay-mtu`: what the MTU of an overlay (`com.docker.network.driver.mtu`) does.

The option names the MTU of the network below: the overlay's own is 50 bytes less, for VXLAN's headers (`maxMTU`,
libnetwork's drivers/overlay/ov_network.go). MTU means the overlay's own here, as its containers see it.

One overlay for each MTU, all between the same two hosts: a TCP stream with offloads on and off, and a UDP request of
1400 bytes and its answer, which below an MTU of 1428 go in fragments. The calibration knows an overlay by round trips
of 14 bytes at its own MTU. What bulk costs comes from streams of other ways, and what a fragment costs from requests of
other ways that need fragments too, all measured in the same lab: round trips first, then streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from experiments.performance import plots
from experiments.performance.cases import LARGE, Case
from experiments.performance.goodput import Rounds, errors, forecasts, gbit, row
from experiments.performance.intervals import Interval, between, interval
from experiments.performance.known import Known
from experiments.performance.model import Model
from experiments.performance.session import PING_PONG, Progress, Say, rounds, session
from experiments.performance.streams import CONGESTION, Flow, measure
from experiments.performance.study import Findings, Study, anchors, at_todays_speed, kept, table, where
from experiments.performance.topology import PORT, WAYS, Way
from live.iperf import Throughput
from sim import topology
from sim.fabric.costs import SPINNING
from sim.spec import Spec
from sim.trace import Kind

NAME = "overlay-mtu"
MTUS = (600, 900, 1200, 1450)
VXLAN = 50
"""Bytes of its headers."""
OVERLAYS = {mtu: Way(f"overlay, MTU {mtu}", f"a{mtu}", f"b{mtu}") for mtu in MTUS}
OTHERS = tuple(way for way in WAYS if way.name in (
    "client to client", "client to host mode", "user bridge, container to container", "host to container, user bridge",
    "overlay, container to container on one host"))
"""Measured beside: what bulk and fragments cost is taken from them."""
FRAGMENTED = 4000
"""Bytes of a request that is cut into three on a way with an MTU of 1500."""
Trips = Mapping[Case, Sequence[float]]
"""Each round's median, seconds."""
ON, OFF = "TCP stream, offloads on", "TCP stream, offloads off"


def spec() -> Spec:
    """Two hosts with an overlay of each MTU, and what the other ways need."""
    listens: list[int | str] = [PORT, f"{PORT}/udp"]
    built = (
        topology("overlay-mtu").host("h1").host("h2")
        .client("client", listens=listens).client("peer", listens=listens)
        .network("front").network("ov", driver="overlay", attachable=True)
        .container("b1", networks=["front"], host="h1", listens=listens)
        .container("app", networks=["front"], host="h1", listens=listens)
        .container("agent", mode="host", host="h1", listens=listens)
        .container("alone", mode="none", host="h1", listens=listens)
        .container("o1", networks=["ov"], host="h1", listens=listens)
        .container("o2", networks=["ov"], host="h1", listens=listens))
    for mtu in MTUS:
        built = (built.network(f"ov{mtu}", driver="overlay", attachable=True,
                               options={"com.docker.network.driver.mtu": str(mtu + VXLAN)})
                 .container(f"a{mtu}", networks=[f"ov{mtu}"], host="h1", listens=listens)
                 .container(f"b{mtu}", networks=[f"ov{mtu}"], host="h2", listens=listens))
    return built.spec()


def jobs() -> tuple[list[Flow], list[Case]]:
    """Streams and round trips, the asked ones and the others."""
    flows = [Flow(way, offloads=on) for on in (True, False) for way in (*OVERLAYS.values(), *OTHERS)]
    asked = [Case(way, SPINNING, "udp", LARGE) for way in OVERLAYS.values()]
    return flows, asked + [Case(way, SPINNING, "udp", FRAGMENTED) for way in OTHERS[:3]] + anchors(SPINNING)


def run(known: Known, number: int, say: Say, progress: Progress) -> Findings:
    """Measure, fit on the others, predict, compare."""
    wanted = spec()
    model, (flows, cases) = Model(wanted), jobs()
    with session(wanted, say) as within:
        def carried(asked: Sequence[Flow]) -> Iterator[tuple[Flow, Throughput]]:
            return measure(within, model, asked)

        trips, quiet = rounds(cases, within.latencies, number, progress)
        # iperf3's servers leave connections in TIME_WAIT, and sockperf's can't take the port until those are gone
        found, noise = rounds(flows, carried, number, progress, "streams")
        setting = within.setting
    streams = {flow: [run.bits_per_second for run in runs] for flow, runs in found.items()}
    medians = {case: [run.p50 for run in runs] for case, runs in trips.items()}
    series = {f"{flow.way.name}: {flow.series}": speeds for flow, speeds in streams.items()}
    series |= {case.name: rounds for case, rounds in medians.items()}
    return Findings(told(at_todays_speed(known, model, trips), model, streams, medians, progress), series,
                    quiet.then(noise), setting,
                    {"tool": f"iperf3, a second each, {CONGESTION}, writes of one super-packet; {PING_PONG}"})


def again(known: Known, before: Mapping[str, Any], progress: Progress) -> Mapping[str, Any]:
    """Predicted anew: what all streams and round trips measured is in `rounds`, and the machine's speed beside it."""
    rounds, (flows, cases) = kept(before, "rounds"), jobs()
    return told(known.at_speeds({SPINNING: before["speed"]}), Model(spec()),
                {flow: rounds["streams"][f"{flow.way.name}: {flow.series}"] for flow in flows},
                {case: rounds["trips"][case.name] for case in cases}, progress)


def told(today: Known, model: Model, streams: Rounds, trips: Trips,
         progress: Progress = lambda what, done, total: None) -> dict[str, Any]:
    """Everything of data.json but its provenance, by a calibration at the speed of the day."""
    asked = list(OVERLAYS.values())
    predicted = forecasts(replace(today, speed={}), model, streams, asked, together=True, progress=progress)
    of = {way: mtu for mtu, way in OVERLAYS.items()}
    carried = [{**row(flow, predicted[flow], streams[flow]), "mtu": of[flow.way], "x": of[flow.way],
                "series": ON if flow.offloads else OFF} for flow in streams if flow.way in of]
    price = fragment(today, model, trips)
    answered = [trip(today, model, case, trips[case], price, of[case.way]) for case in trips if case.way in of]
    return {"title": title(carried, answered), "unit": "bits/s of payload; seconds, round trip, median",
            "confidence": 0.95, "rows": carried, "latency": answered, "fragment": price.as_dict(),
            "speed": today.speed.get(SPINNING, 1.0),
            "rounds": {"streams": {f"{flow.way.name}: {flow.series}": list(each) for flow, each in streams.items()},
                       "trips": {case.name: list(each) for case, each in trips.items()}}}


def fragment(today: Known, model: Model, trips: Trips) -> Interval:
    """Seconds for each time that a fragment is cut off or put together: what other ways' requests in fragments take
    beyond their other steps. No round trip of a calibration has any."""
    found: list[list[float]] = []
    for case, medians in trips.items():
        counts = case.counts(model)
        if case.size != FRAGMENTED:
            continue
        rest = today.forecast(SPINNING, {"": whole(counts)})[""].value
        found.append([max(each - rest, 0.0) / counts[Kind.FRAGMENT] for each in medians])
    each = [median(per_round) for per_round in zip(*found, strict=True)]
    if not each:
        return Interval(0.0, 0.0, 0.0)
    return between(median(each), [value for one in found for value in one])


def whole(counts: Mapping[str, float]) -> dict[str, float]:
    return {name: n for name, n in counts.items() if name != Kind.FRAGMENT}


def trip(today: Known, model: Model, case: Case, medians: Sequence[float], price: Interval, mtu: int
         ) -> dict[str, Any]:
    """One round trip, predicted and measured."""
    counts = case.counts(model)
    number = counts.get(Kind.FRAGMENT, 0.0)
    rest = today.forecast(SPINNING, {"": whole(counts)})[""]
    predicted = Interval(rest.value + number * price.value, rest.low + number * price.low,
                         rest.high + number * price.high)
    measured = interval(medians)
    return {"name": case.name, "x": mtu, "mtu": mtu, "fragments": number, "predicted": predicted.as_dict(),
            "measured": measured.as_dict(), "rounds": list(medians),
            "error": predicted.value / measured.value - 1,
            "extrapolated": bool(today.model.regime(SPINNING).outside(whole(counts)))}


def title(carried: Sequence[Mapping[str, Any]], answered: Sequence[Mapping[str, Any]]) -> str:
    """What came out, as a sentence."""
    low, high = min(MTUS), max(MTUS)

    def share(series: str, which: str) -> str:
        found = {each["mtu"]: each[which]["value"] for each in carried if each["series"] == series}
        return f"{found[low] / found[high]:.0%}"

    by_mtu = {each["mtu"]: each for each in answered}

    def longer(which: str) -> str:
        return f"{1e6 * (by_mtu[low][which]['value'] - by_mtu[high][which]['value']):.0f} µs"

    return (f"An overlay with an MTU of {low} carries {share(ON, 'measured')} of the TCP stream that one with {high} "
            f"carries (predicted {share(ON, 'predicted')}), without offloads {share(OFF, 'measured')} "
            f"({share(OFF, 'predicted')}), and a request of {LARGE} bytes takes {longer('measured')} "
            f"longer ({longer('predicted')})")


def draw(data: Mapping[str, Any], folder: Path) -> None:
    """Streams and round trips over the MTU."""
    lines = [{"name": series, "points": [each for each in data["rows"] if each["series"] == series]}
             for series in (ON, OFF)]
    plots.lines({**data, "lines": lines, "x_label": "MTU of the overlay, bytes", "y_label": "throughput",
                 "unit_shown": "Gbit/s", "factor": 1e-9, "log_y": True}, folder, NAME)
    latency = [{"name": f"UDP request and answer of {LARGE} bytes", "points": data["latency"]}]
    plots.lines({**data, "lines": latency, "title": latency_title(data["latency"]),
                 "x_label": "MTU of the overlay, bytes", "y_label": "round trip, median", "unit_shown": "µs",
                 "factor": 1e6, "log_y": False}, folder, f"{NAME}-latency")


def latency_title(answered: Sequence[Mapping[str, Any]]) -> str:
    """The second picture's sentence."""
    by_mtu = {each["mtu"]: each["measured"]["value"] * 1e6 for each in answered}
    return (f"A request of {LARGE} bytes and its answer take {by_mtu[max(MTUS)]:.1f} µs where they fit a packet, and "
            f"{by_mtu[min(MTUS)]:.1f} µs in fragments of an MTU of {min(MTUS)}")


def summary(data: Mapping[str, Any]) -> str:
    """The same for people, as Markdown."""
    middle, worst = errors([*data["rows"], *data["latency"]])
    lines = [
        f"# {NAME}", "", f"{data['title']}.", "",
        "What does the MTU of an overlay do? Measured with iperf3 and sockperf, client and server on a CPU each, "
        "each round in a new order. Predicted with prices from the calibration's round trips, and what "
        "bulk and fragments cost from other ways measured beside.", "",
        f"Median error {middle:.1%}, worst {worst:.1%}.", ""]
    for series in (ON, OFF):
        mine = [each for each in data["rows"] if each["series"] == series]
        lines += [f"## {series}", "", "Gbit/s", "", *table(("MTU", "predicted", "measured", "error"), [
            (str(each["mtu"]), gbit(each["predicted"]), gbit(each["measured"]), f"{each['error']:+.1%}")
            for each in mine]), ""]
    lines += [f"## A UDP request and its answer, {LARGE} bytes", "", "µs", "",
              *table(("MTU", "fragments cut and joined", "predicted", "measured", "error"), [
                  (str(each["mtu"]), f"{each['fragments']:.0f}", micro(each["predicted"]), micro(each["measured"]),
                   f"{each['error']:+.1%}") for each in data["latency"]]), "",
              f"A fragment was taken to cost {micro(data['fragment'])} µs each time that it is cut off or joined: "
              f"from other ways' requests of {FRAGMENTED} bytes, measured in the same rounds.", ""]
    lines += trust(data)
    return "\n".join([*lines, *where(data)])


def micro(span: Mapping[str, float]) -> str:
    return f"{span['value'] * 1e6:.2f} [{span['low'] * 1e6:.2f}, {span['high'] * 1e6:.2f}]"


def trust(data: Mapping[str, Any]) -> list[str]:
    """Where it falls short."""
    far = [(each.get("series", "latency"), each) for each in (*data["rows"], *data["latency"])
           if abs(each["error"]) > 0.2]
    lines = ["## How far to trust it", "",
             "No stream of an overlay between two hosts is in the fit of the bulk prices: only its steps' prices are "
             "known, from small round trips."]
    return [*lines, "", *(f"- MTU {each['mtu']}, {series}: {each['error']:+.1%}" for series, each in far), ""]


STUDY = Study(NAME, "What does the MTU of an overlay do?", 3, run, draw, summary, again)
