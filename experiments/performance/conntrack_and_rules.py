"""`hopcast experiment conntrack-and-rules`: what rules, networks and published ports cost, and what conntrack does.

Every network puts rules of its own into FORWARD and the isolation chains; each forwarded packet walks those that stand
before the ones that let it through. Every published port puts its rules into nat's DOCKER and POSTROUTING and filter's
DOCKER; the first packet of a connection walks them, and conntrack knows what became of it for the others.

All numbers are hosts of one lab (`crowded.py`), so that they are measured in the same rounds. No calibration has as
many rules as are asked here: what is predicted is the price of a rule times many, extrapolated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.performance import crowded, plots
from experiments.performance.cases import CONNECT, Case
from experiments.performance.intervals import Interval, interval
from experiments.performance.known import Known
from experiments.performance.model import Model
from experiments.performance.session import PING_PONG, Progress, Say, rounds, session
from experiments.performance.study import Findings, Study, at_todays_speed, table, where
from experiments.performance.topology import Way
from live.sockperf_output import Latency
from sim.fabric.costs import BLOCKING, SPINNING, Counts
from sim.trace import Kind

NAME = "conntrack-and-rules"
ASKED = (crowded.PUBLISHED, crowded.PUBLISHED_APP)
"""No price rests on these, nor on any way with the very same steps."""
NETWORKS, NEW, PORTS = "networks", "new-connections", "ports"
X_LABELS = {NETWORKS: "other networks of the engine", NEW: "other networks of the engine",
            PORTS: "ports published before"}

Found = Mapping[Case, Sequence[float]]
"""Each round's median, seconds."""


@dataclass(frozen=True, slots=True)
class Line:
    """One way on the hosts of a row. `each`: what there is one more of from host to host."""

    picture: str
    name: str
    each: str
    regime: str
    numbers: tuple[int, ...]
    way: Callable[[int], Way]

    def case(self, number: int) -> Case:
        return Case(self.way(number), self.regime)


def _web(number: int) -> Way:
    return crowded.web(crowded.networks_host(number))


def _app(number: int) -> Way:
    return crowded.app(crowded.networks_host(number))


def _port(number: int) -> Way:
    return crowded.web(crowded.ports_host(number))


LINES = (
    Line(NETWORKS, "a kept connection, docker0", "network", BLOCKING, crowded.NETWORKS, _web),
    Line(NETWORKS, "a kept connection, docker0, both ends polling", "network", SPINNING, crowded.NETWORKS, _web),
    Line(NETWORKS, "a kept connection, the network made last", "network", BLOCKING, crowded.NETWORKS, _app),
    Line(NEW, "a connection for each request, docker0", "network", CONNECT, crowded.NETWORKS, _web),
    Line(NEW, "a connection for each request, the network made last", "network", CONNECT, crowded.NETWORKS, _app),
    Line(PORTS, "a kept connection", "published port", BLOCKING, crowded.PORTS, _port),
    Line(PORTS, "a connection for each request", "published port", CONNECT, crowded.PORTS, _port),
)
PAIRS = (("loopback", crowded.LOOPBACK, crowded.LOOPBACK_HOST), ("over the wire", crowded.WIRE, crowded.WIRE_HOST))
"""The same way where nothing filters, and where the host's netfilter and conntrack are on it."""
KEPT = {BLOCKING: "kept connection", CONNECT: "a connection for each request"}


def jobs() -> list[Case]:
    """Everything that a round measures."""
    found = [line.case(number) for line in LINES for number in line.numbers]
    found += [Case(crowded.known(name), regime) for _, *both in PAIRS for name in both for regime in KEPT]
    found += [Case(way, regime) for way in crowded.ANCHORS for regime in (BLOCKING, SPINNING, CONNECT)]
    return list(dict.fromkeys(found))


def run(known: Known, number: int, say: Say, progress: Progress) -> Findings:
    """Measure, predict, compare."""
    wanted = crowded.spec()
    model = Model(wanted)
    with session(wanted, say) as within:
        found, noise = rounds(jobs(), within.latencies, number, progress)
        setting = within.setting
    series = {f"{case.name}, {case.regime}": [run.p50 for run in runs] for case, runs in found.items()}
    return Findings(evaluate(known, model, found), series, noise, setting, {
        "tool": f"{PING_PONG}; a probe of our own for a connection for each request", "userland-proxy": False})


def evaluate(known: Known, model: Model, found: Mapping[Case, Sequence[Latency]]) -> dict[str, Any]:
    """Everything of data.json but its provenance."""
    return told(at_todays_speed(known, model, found, crowded.ANCHORS), model,
                {case: [run.p50 for run in runs] for case, runs in found.items()})


def again(known: Known, before: Mapping[str, Any], progress: Progress) -> Mapping[str, Any]:
    """Predicted anew: rounds are in the points and the rows, and the machine's speed that day beside them."""
    rounds = {line["name"]: {point["x"]: point["rounds"] for point in line["points"]} for line in before["lines"]}
    found = {line.case(number): rounds[line.name][number] for line in LINES for number in line.numbers}
    regimes = {group: regime for regime, group in KEPT.items()}
    found |= {Case(crowded.known(row["name"]), regimes[row["group"]]): row["rounds"] for row in before["rows"]}
    return told(known.at_speeds(before["speed"]), Model(crowded.spec()), found)


def told(today: Known, model: Model, found: Found) -> dict[str, Any]:
    """Everything of data.json but its provenance, by a calibration at the speed of the day."""
    lines = [_line(today, model, line, found) for line in LINES]
    pairs = [_pair(today, model, *pair, regime, found) for regime in KEPT for pair in PAIRS]
    return {"title": title(lines), "unit": "seconds, round trip, median", "confidence": 0.95, "lines": lines,
            "rows": [row for regime in KEPT for row in _rows(today, model, regime, found)], "netfilter": pairs,
            "speed": dict(today.speed)}


def _line(today: Known, model: Model, line: Line, found: Found) -> dict[str, Any]:
    cases = {str(number): line.case(number) for number in line.numbers}
    counts = {name: case.counts(model) for name, case in cases.items()}
    predicted = today.forecast(line.regime, counts, ASKED)
    prices = today.without(ASKED, list(counts.values())).regime(line.regime)
    medians = {name: found[case] for name, case in cases.items()}
    points = [{
        "x": int(name), "rules": counts[name].get(Kind.RULE, 0.0), "predicted": predicted[name].as_dict(),
        "measured": interval(medians[name]).as_dict(), "rounds": list(medians[name]),
        "error": predicted[name].value / interval(medians[name]).value - 1,
        "extrapolated": bool(prices.outside(counts[name]))} for name in cases]
    more = _more(counts[str(line.numbers[0])], counts[str(line.numbers[-1])], line.numbers[-1] - line.numbers[0])
    steeper = today.forecast(line.regime, {"": more}, ASKED)[""] if more else Interval(0.0, 0.0, 0.0)
    slopes = [slope(list(zip(line.numbers, of_a_round, strict=True)))
              for of_a_round in zip(*medians.values(), strict=True)]
    return {"name": line.name, "picture": line.picture, "each": line.each, "regime": line.regime, "points": points,
            "slope": {"rules": more.get(Kind.RULE, 0.0), "predicted": steeper.as_dict(),
                      "measured": interval(slopes).as_dict(), "rounds": slopes}}


def _more(least: Counts, most: Counts, number: int) -> dict[str, float]:
    """What each one adds to a round trip."""
    kinds = {*least, *most}
    return {kind: more for kind in kinds if (more := (most.get(kind, 0.0) - least.get(kind, 0.0)) / number)}


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that is nearest to them."""
    return float(np.polyfit([x for x, _ in points], [y for _, y in points], 1)[0])


def _rows(today: Known, model: Model, regime: str, found: Found) -> list[dict[str, Any]]:
    made = []
    for name in (name for _, *both in PAIRS for name in both):
        case = Case(crowded.known(name), regime)
        counts, medians = case.counts(model), list(found[case])
        predicted = today.forecast(regime, {"": counts}, [name])[""]
        made.append({
            "name": name, "group": KEPT[regime], "predicted": predicted.as_dict(),
            "measured": interval(medians).as_dict(), "rounds": medians,
            "error": predicted.value / interval(medians).value - 1,
            "extrapolated": bool(today.without([name], [counts]).regime(regime).outside(counts))})
    return made


def _pair(today: Known, model: Model, name: str, bare: str, filtered: str, regime: str,
          found: Found) -> dict[str, Any]:
    """What netfilter adds to a way: paired by round, and predicted by fits that saw neither of the two."""
    cases = [Case(crowded.known(each), regime) for each in (bare, filtered)]
    steps = _more(cases[0].counts(model), cases[1].counts(model), 1)
    predicted = today.forecast(regime, {"": steps}, [bare, filtered])[""]
    both = zip(*(found[case] for case in cases), strict=True)
    added = [with_it - without for without, with_it in both]
    return {"name": name, "group": KEPT[regime], "steps": dict(sorted(steps.items())),
            "predicted": predicted.as_dict(), "measured": interval(added).as_dict(), "rounds": added}


def title(lines: Sequence[Mapping[str, Any]]) -> str:
    """What came out, as a sentence."""
    steep = {line["name"]: {side: line["slope"][side]["value"] * 1e9 for side in ("measured", "predicted")}
             for line in lines}

    def told(line: Line) -> str:
        return f"{steep[line.name]['measured']:.0f} ns (predicted {steep[line.name]['predicted']:.0f})"

    return (f"Each network more costs a round trip to a port that a container on docker0 publishes {told(LINES[0])}, "
            f"and {told(LINES[3])} where the request makes a connection of its own; each port published before "
            f"costs a new connection {told(LINES[6])}")


def draw(data: Mapping[str, Any], folder: Path) -> None:
    """Networks, new connections, ports, and what netfilter adds."""
    for picture, label in X_LABELS.items():
        mine = [line for line in data["lines"] if line["picture"] == picture]
        plots.lines({**data, "lines": mine, "title": line_title(mine), "x_label": label,
                     "y_label": "round trip, median", "unit_shown": "µs", "factor": 1e6, "log_y": False},
                    folder, f"{NAME}-{picture}")
    plots.ranking({**data, "title": netfilter_title(data["netfilter"]), "x_label": "round trip, median",
                   "unit_shown": "µs", "factor": 1e6}, folder, NAME)


def line_title(lines: Sequence[Mapping[str, Any]]) -> str:
    """A picture's own sentence."""
    told = [f"{nano(line['slope']['measured'])} (predicted {nano(line['slope']['predicted'])}) for {line['name']}"
            for line in lines]
    return f"Each {lines[0]['each']} more adds to a round trip: " + "; ".join(told)


def netfilter_title(pairs: Sequence[Mapping[str, Any]]) -> str:
    """The sentence about conntrack."""
    told = [f"{pair['measured']['value'] * 1e6:.1f} µs (predicted {pair['predicted']['value'] * 1e6:.1f}) "
            f"{pair['name']}, {pair['group']}" for pair in pairs]
    return "What a host's netfilter and conntrack add to a round trip: " + "; ".join(told)


def nano(span: Mapping[str, float]) -> str:
    return f"{span['value'] * 1e9:.0f} ns"


def spread(span: Mapping[str, float], factor: float, digits: int) -> str:
    """A figure with its interval."""
    return (f"{span['value'] * factor:.{digits}f} "
            f"[{span['low'] * factor:.{digits}f}, {span['high'] * factor:.{digits}f}]")


def summary(data: Mapping[str, Any]) -> str:
    """The same for people, as Markdown."""
    lines = [
        f"# {NAME}", "", f"{data['title']}.", "", f"{STUDY.asks} Measured as TCP round trips from a client on the wire "
        "to a published port, kept and with a connection for each request, on hosts of one lab that differ in that "
        "number only. Predicted by counting the steps and with prices that were fitted without any way to a published "
        f"port from a client; prices stretched to today's speed, {speeds(data['speed'])}.", "",
        "## What each one more costs", "", "A straight line through the medians of each round; ns a round trip.", "",
        *table(("line", "one more", "rules it adds", "predicted", "measured", "error", "a rule, predicted",
                "a rule, measured"), [_slope_row(line) for line in data["lines"]]), ""]
    for line in data["lines"]:
        lines += [f"### {line['name']}", "", "µs", "", *table(
            (f"{line['each']}s", "rules walked", "predicted", "measured", "error"),
            [(f"{point['x']}{' (extrapolated)' if point['extrapolated'] else ''}", f"{point['rules']:.0f}",
              spread(point["predicted"], 1e6, 2), spread(point["measured"], 1e6, 2), f"{point['error']:+.1%}")
             for point in line["points"]]), ""]
    lines += ["## What netfilter and conntrack add", "", "The same way without rules or conntrack, and with a host's; "
              "µs a round trip, paired by round; predicted by fits that saw neither.", "",
              *table(("way", "request", "steps that it adds", "predicted", "measured"), [
                  (pair["name"], pair["group"], ", ".join(f"{n:.0f} {kind}" for kind, n in pair["steps"].items()),
                   spread(pair["predicted"], 1e6, 2), spread(pair["measured"], 1e6, 2))
                  for pair in data["netfilter"]]), "", *trust(data)]
    return "\n".join([*lines, *where(data)])


def _slope_row(line: Mapping[str, Any]) -> tuple[str, ...]:
    steep = line["slope"]
    rules, there, seen = steep["rules"], steep["predicted"], steep["measured"]
    if not rules:
        return (line["name"], line["each"], "0", "0", spread(seen, 1e9, 1), "", "", "")
    return (line["name"], line["each"], f"{rules:.0f}", spread(there, 1e9, 0), spread(seen, 1e9, 0),
            f"{there['value'] / seen['value'] - 1:+.1%}", spread(there, 1e9 / rules, 1), spread(seen, 1e9 / rules, 1))


def speeds(factors: Mapping[str, float]) -> str:
    return ", ".join(f"{regime} ×{factor:.3f}" for regime, factor in factors.items())


def trust(data: Mapping[str, Any]) -> list[str]:
    """How far off it was, and where."""
    errors = {f"{line['name']}, {point['x']}": point["error"] for line in data["lines"] for point in line["points"]}
    far = {name: error for name, error in errors.items() if abs(error) > 0.1}
    apart = [line["name"] for line in data["lines"] if line["slope"]["rules"]
             and Interval(**line["slope"]["predicted"]).apart(Interval(**line["slope"]["measured"]))]
    steepest = f"outside of each other's intervals: {', '.join(apart)}" if apart else "within each other's intervals"
    return [
        "## How far to trust it", "",
        f"Over all {len(errors)} points: median error {np.median(np.abs(list(errors.values()))):.1%}, worst "
        f"{max(map(abs, errors.values())):.1%}. Slopes are {steepest}.", "",
        "One price holds for all rules, whatever they match. Points marked as extrapolated have more than any way "
        "of the calibration.", "",
        *(f"- {name}: {error:+.1%}" for name, error in far.items()), *([""] if far else [])]


STUDY = Study(NAME, "What do rules, networks and published ports cost, and what does conntrack?", 3, run, draw, summary,
              again)
