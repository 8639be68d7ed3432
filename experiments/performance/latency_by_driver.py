"""`hopcast experiment latency-by-driver`: how long a request takes over each of Docker's network modes.

Asked are the ways of `topology.WAYS` that have a driver's name, all of them from one machine's program to another's:
TCP and UDP, with ends that sleep and ends that poll, and with a connection for each request. Each is predicted by
prices that never saw its way, at the speed that the machine has today: anchors that nobody asks about are measured in
the same rounds.

A container behind a bridge is masqueraded when it asks another machine, so "bridge, going out" has NAT, too, as a
published port has it. Docker offers no bridge to another machine without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.performance import plots
from experiments.performance.cases import CONNECT, Case
from experiments.performance.known import Known, stretched
from experiments.performance.latencies import (
    GROUPS,
    MEASURED,
    Forecast,
    blame,
    forecasts,
    percentile,
    row,
    runs_of,
    share,
    speeds,
    tables,
    trust,
)
from experiments.performance.model import Model
from experiments.performance.relations import RELATIONS, Row, compare, markdown
from experiments.performance.session import PING_PONG, Progress, Say, rounds, session
from experiments.performance.study import Findings, Study, anchors, at_todays_speed, table, where
from experiments.performance.topology import WAYS, spec
from experiments.performance.verdicts import Outcome
from live.sockperf_output import Latency
from sim.fabric.costs import BLOCKING, SPINNING

NAME = "latency-by-driver"
DRIVERS = tuple(way for way in WAYS if way.driver)
IN_THE_LITERATURE = {"native": "native", "host": "host", "macvlan": "macvlan", "bridge, going out": "bridge",
                     "bridge, published port": "bridge+NAT", "overlay": "overlay"}
"""Driver -> what the literature's figures (`verdicts.Figures`) call it."""
SAID = (BLOCKING, "tcp")
"""The group that the title and the full table of relations are about: what an application's request and answer are."""
ABOUT_LATENCY = tuple(relation for relation in RELATIONS if relation.paths)

Measured = Mapping[Case, Sequence[Latency]]


def asked() -> list[Case]:
    """Every driver in every group."""
    return [Case(way, regime, "udp" if protocol == "udp" else "tcp") for regime, protocol in GROUPS for way in DRIVERS]


def run(known: Known, number: int, say: Say, progress: Progress) -> Findings:
    """Measure asked ways and anchors in the same rounds, predict, compare."""
    model, cases = Model(spec()), asked()
    speed = [case for regime in (BLOCKING, SPINNING, CONNECT) for case in anchors(regime) if case.way not in DRIVERS]
    with session(say=say) as within:
        found, noise = rounds([*cases, *speed], within.latencies, number, progress)
        setting = within.setting
    data, today = evaluate(known, model, cases, found, number)
    series = {f"{case.name}, {case.regime}": [run.p50 for run in runs] for case, runs in found.items()}
    return Findings(data, series, noise, setting, {"speed": speeds(today), "tool": PING_PONG})


def evaluate(known: Known, model: Model, cases: Sequence[Case], found: Measured,
             number: int) -> tuple[dict[str, Any], Known]:
    """Everything of data.json but its provenance, and the calibration at today's speed."""
    today = at_todays_speed(known, model, {case: runs for case, runs in found.items() if case.way not in DRIVERS})
    return told(today, model, cases, found, number), today


def again(known: Known, before: Mapping[str, Any], progress: Progress) -> Mapping[str, Any]:
    """Predicted anew: the rounds of each percentile are in the rows, the machine's speed that day in the provenance."""
    about = before["provenance"]
    return told(known.at_speeds(about["speed"]), Model(spec()), asked(), runs_of(before["rows"], asked()),
                about["rounds"])


def told(today: Known, model: Model, cases: Sequence[Case], found: Measured, number: int) -> dict[str, Any]:
    """Everything of data.json but its provenance, by a calibration at the speed of the day."""
    predicted = forecasts(today, model, cases, number)
    rows = []
    for case in cases:
        forecast = predicted[case]
        whole = stretched(today.model.regime(case.regime), today.speed.get(case.regime, 1.0))
        rows.append(row(case, case.way.driver, forecast, found[case],
                        blame(case.counts(model), forecast.prices, whole)))
    return {
        "title": title(rows), "unit": "seconds, round trip", "unit_shown": "µs", "factor": 1e6, "confidence": 0.95,
        "x_label": "round trip, median", "rows": rows,
        "relations": {name: [each.as_dict() for each in held(today, model, cases, predicted, found, group)]
                      for group, name in GROUPS.items()},
        "literature": markdown(held(today, model, cases, predicted, found, SAID))}


def held(known: Known, model: Model, cases: Sequence[Case], predicted: Mapping[Case, Forecast], found: Measured,
         group: tuple[str, str]) -> list[Row]:
    """The literature's relations against one group. Its "why" is told with the prices of the whole calibration."""
    mine = {IN_THE_LITERATURE[case.way.driver]: case for case in cases if (case.regime, case.protocol) == group}
    prices = stretched(known.model.regime(group[0]), known.speed.get(group[0], 1.0)).prices
    steps = {path: {kind: n * prices.get(kind, 0.0) for kind, n in case.counts(model).items()}
             for path, case in mine.items()}
    measured = {path: row(case, path, predicted[case], found[case], ()) for path, case in mine.items()}
    return compare({"latency": {path: each["predicted"] for path, each in measured.items()}, "steps": steps},
                   {"latency": {path: {**each["measured"], "rounds": each["rounds"]}
                                for path, each in measured.items()}}, ABOUT_LATENCY)


def title(rows: Sequence[Mapping[str, Any]]) -> str:
    """What came out, as a sentence."""
    mine = {row["name"]: row for row in rows if row["group"] == GROUPS[SAID]}

    def over_host(driver: str, which: str) -> str:
        return share(mine[driver][which]["value"] / mine["host"][which]["value"] - 1)

    others = ("macvlan", "bridge, published port", "overlay")
    told = ", ".join(f"{name} {over_host(name, 'measured')} (predicted {over_host(name, 'predicted')})"
                     for name in others)
    host = mine["host"]["measured"]["value"] * 1e6
    return f"A TCP request and its answer take {host:.1f} µs in host mode; beside that, {told}"


def draw(data: Mapping[str, Any], folder: Path) -> None:
    """Kept connections and a connection for each request apart, as the one takes many times the other."""
    kept = {**data, "rows": [row for row in data["rows"] if row["regime"] != CONNECT]}
    plots.ranking(kept, folder, NAME)
    p99 = {**percentile(kept, "p99"), "x_label": "round trip, 99th percentile",
           "title": _tail_title(kept["rows"])}
    plots.ranking(p99, folder, f"{NAME}-p99")
    connect = [row for row in data["rows"] if row["regime"] == CONNECT]
    plots.ranking({**data, "rows": connect, "x_label": "from connect to close, median",
                   "title": _connect_title(connect)}, folder, f"{NAME}-connect")


def _tail_title(rows: Sequence[Mapping[str, Any]]) -> str:
    times = {row["percentiles"]["p99"]["measured"]["value"] / row["measured"]["value"]: row for row in rows}
    steady, least = (f"×{end:.2f} ({times[end]['name']}; {times[end]['group']})" for end in (min(times), max(times)))
    return f"One round trip in a hundred takes more than {steady} to {least} of the median"


def _connect_title(rows: Sequence[Mapping[str, Any]]) -> str:
    mine = {row["name"]: row for row in rows}
    host, far = (mine[name] for name in ("host", "bridge, published port"))

    def more(which: str) -> str:
        return f"{1e6 * (far[which]['value'] - host[which]['value']):+.1f} µs"

    return (f"With a connection for each request, a published port takes {more('measured')} beside host mode's "
            f"{1e6 * host['measured']['value']:.0f} µs (predicted {more('predicted')})")


def summary(data: Mapping[str, Any]) -> str:
    """The same for people, as Markdown."""
    groups = list(data["relations"])
    by_name = {name: {row["name"]: row for row in rows} for name, rows in data["relations"].items()}
    verdicts = [[name, *(_verdict(by_name[group][name]) for group in groups)] for name in by_name[groups[0]]]
    return "\n".join([
        "# Latency by network driver", "", f"{data['title']}.", "",
        "How long do a small request and its answer take from one machine to another, by the network driver that "
        "Docker has between them?", "",
        f"{MEASURED} Every path was measured once a round, {data['provenance']['rounds']} rounds, in an order that "
        "changes from round to round.", "",
        "Paths: " + "; ".join(f"**{way.driver}**: {way.name}" for way in DRIVERS) + ".", "",
        f"![medians, predicted beside measured]({NAME}.png)", "",
        *tables(data["rows"]),
        f"![99th percentiles]({NAME}-p99.png)", "", f"![a connection for each request]({NAME}-connect.png)", "",
        "## How far to trust it", "",
        "Each path is predicted by prices that were fitted without it, or any path with exactly its steps. A predicted "
        "interval holds the noise of calibration and what calibration leaves open, and not what the model simplifies.",
        "", *trust(data["rows"]),
        "## What the literature says", "",
        f"For {GROUPS[SAID]}. Here \"bridge\" is a container that asks another machine: Docker masquerades it, so it "
        "has NAT as a published port has.", "",
        data["literature"],
        "The same relations in every group, as predicted / as measured:", "",
        *table(("relation", *groups), verdicts), "",
        *_opposite(data), "",
        *where(data)])


def _verdict(row: Mapping[str, Any]) -> str:
    return " / ".join(each["outcome"] + (f" ({each['ratio']['value']:.2f})" if each["ratio"] else "")
                      for each in (row["predicted"], row["measured"]))


def _opposite(data: Mapping[str, Any]) -> list[str]:
    """Relations of which prediction and measurement say the contrary of each other."""
    contrary = {Outcome.HOLDS.value, Outcome.FAILS.value}
    found = [f"- {row['name']}; {group}" for group, rows in data["relations"].items() for row in rows
             if {row["predicted"]["outcome"], row["measured"]["outcome"]} == contrary]
    return ["Prediction and measurement say the contrary of each other in:", "", *found] if found else [
        "Nowhere do prediction and measurement say the contrary of each other."]


STUDY = Study(NAME, "How long does a request take over each of Docker's network drivers?", 3, run, draw,
              summary, again)
