"""`hopcast experiment throughput-by-driver`: how much each of Docker's network modes carries.

Asked are the ways of `topology.WAYS` that have a driver's name, a loopback, and a bridge between two containers of one
host: one TCP stream and four, one with offloads off at both ends, and UDP by the size of the datagram. Each way is
predicted from the streams of the other ways (`goodput.py`), measured in the same rounds: so today's speed is in the
prices, and no anchors are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from experiments.performance import plots
from experiments.performance.goodput import Rounds, errors, forecasts, gbit, row
from experiments.performance.known import Known
from experiments.performance.latency_by_driver import IN_THE_LITERATURE
from experiments.performance.model import Model
from experiments.performance.relations import RELATIONS, compare, markdown
from experiments.performance.session import Progress, Say, rounds, session
from experiments.performance.streams import CONGESTION, Flow, measure
from experiments.performance.study import Findings, Study, table, where
from experiments.performance.topology import WAYS, spec
from live.iperf import Throughput

NAME = "throughput-by-driver"
ASKED = tuple(way for way in WAYS
              if way.driver or way.name in ("loopback in a container", "user bridge, container to container"))
SIZES = (64, 512, 1400, 8000)
PARALLEL = 4
ABOUT_THROUGHPUT = tuple(relation for relation in RELATIONS
                         if relation.name.startswith(("throughput gap", "UDP goodput")))


def asked() -> list[Flow]:
    """Every way's streams. A loopback has no device whose offloads could be off."""
    found = [Flow(way, parallel=parallel) for parallel in (1, PARALLEL) for way in ASKED]
    found += [Flow(way, offloads=False) for way in ASKED if way.source != way.target]
    return found + [Flow(way, "udp", size) for size in SIZES for way in ASKED]


def run(known: Known, number: int, say: Say, progress: Progress) -> Findings:
    """Measure, fit on the others, predict, compare."""
    model, flows = Model(spec()), asked()
    with session(say=say) as within:
        def carried(jobs: Sequence[Flow]) -> Iterator[tuple[Flow, Throughput]]:
            return measure(within, model, jobs)

        found, noise = rounds(flows, carried, number, progress)
        setting = within.setting
    series = {flow: [each.bits_per_second for each in runs] for flow, runs in found.items()}
    return Findings(evaluate(known, model, series, progress),
                    {f"{flow.way.name}: {flow.series}": each for flow, each in series.items()}, noise, setting,
                    {"tool": f"iperf3, a second each, {CONGESTION}, writes of one super-packet"})


def evaluate(known: Known, model: Model, found: Rounds, progress: Progress = lambda what, done, total: None
             ) -> dict[str, Any]:
    """Everything of data.json but its provenance."""
    predicted = forecasts(known, model, found, ASKED, progress=progress)
    rows = [row(flow, predicted[flow], found[flow]) for flow in found]
    order = {way.driver or way.name: n for n, way in enumerate(ASKED)}
    rows.sort(key=lambda each: (each["protocol"], not each["offloads"], each["flows"], each["size"],
                                order[each["name"]]))
    held = compare(figures(rows, "predicted"), figures(rows, "measured"), ABOUT_THROUGHPUT)
    return {"title": title(rows), "unit": "bits/s of payload", "unit_shown": "Gbit/s", "factor": 1e-9,
            "confidence": 0.95, "rows": rows, "relations": [each.as_dict() for each in held],
            "literature": markdown(held)}


def again(known: Known, before: Mapping[str, Any], progress: Progress) -> Mapping[str, Any]:
    """Predicted anew: each way's rounds are in its row."""
    there = {(each["way"], each["series"]): each["rounds"] for each in before["rows"]}
    return evaluate(known, Model(spec()), {flow: there[flow.way.name, flow.series] for flow in asked()}, progress)


def figures(rows: Sequence[Mapping[str, Any]], which: str) -> dict[str, Any]:
    """For the literature's relations."""
    streams: dict[str, dict[int, Any]] = {}
    datagrams: dict[str, dict[int, Any]] = {}
    for each in rows:
        name = IN_THE_LITERATURE.get(each["name"])
        if name is None or not each["offloads"]:
            continue
        figure = dict(each[which], **({"rounds": each["rounds"]} if which == "measured" else {}))
        if each["protocol"] == "udp":
            datagrams.setdefault(name, {})[each["size"]] = figure
        else:
            streams.setdefault(name, {})[each["flows"]] = figure
    return {"throughput": streams, "udp": datagrams}


def _of(rows: Sequence[Mapping[str, Any]], name: str, **wanted: Any) -> Mapping[str, Any]:
    return next(each for each in rows if each["name"] == name and all(each[key] == wanted[key] for key in wanted))


def title(rows: Sequence[Mapping[str, Any]]) -> str:
    """What came out, as a sentence."""
    one = {"protocol": "tcp", "flows": 1, "offloads": True}
    host = _of(rows, "host", **one)

    def share(driver: str, which: str) -> str:
        return f"{_of(rows, driver, **one)[which]['value'] / host[which]['value']:.0%}"

    told = ", ".join(f"{name} {share(name, 'measured')} (predicted {share(name, 'predicted')})"
                     for name in ("macvlan", "bridge, published port", "overlay"))
    off = _of(rows, "overlay", protocol="tcp", offloads=False)["measured"]["value"]
    return (f"A TCP stream carries {host['measured']['value'] / 1e9:.0f} Gbit/s in host mode; of that, {told}; without "
            f"offloads an overlay carries {off / 1e9:.1f} Gbit/s")


def draw(data: Mapping[str, Any], folder: Path) -> None:
    """TCP as bars, UDP as lines."""
    tcp = [each for each in data["rows"] if each["protocol"] == "tcp"]
    plots.bars({**data, "rows": tcp, "x_label": "throughput"}, folder, NAME)
    udp = [each for each in data["rows"] if each["protocol"] == "udp"]
    lines = [{"name": name, "points": [{**each, "x": each["size"]} for each in udp if each["name"] == name]}
             for name in dict.fromkeys(each["name"] for each in udp)]
    plots.lines({**data, "lines": lines, "title": udp_title(udp), "x_label": "bytes of a datagram",
                 "y_label": "goodput", "log_x": True, "log_y": True}, folder, f"{NAME}-udp")


def udp_title(rows: Sequence[Mapping[str, Any]]) -> str:
    """How packets per second hold as datagrams grow."""
    small, large = ({each["name"]: each["measured"]["value"] / each["size"] for each in rows if each["size"] == size}
                    for size in (SIZES[0], 1400))
    kept = sorted(large[name] / small[name] for name in small)
    return (f"UDP's goodput grows with the datagram: of 64-byte datagrams' rate, {kept[0]:.0%} to {kept[-1]:.0%} is "
            "left with 1400 bytes")


def summary(data: Mapping[str, Any]) -> str:
    """The same for people, as Markdown."""
    middle, worst = errors(data["rows"])
    furthest = max(data["rows"], key=lambda each: abs(each["error"]))
    lines = [
        f"# {NAME}", "", f"{data['title']}.", "",
        "How much does each network mode carry? Measured with iperf3, its client and its server on a CPU each, a "
        "second a run, all streams in each round in a new order. Predicted by the simulation of sockets, windows and "
        "CPUs, with prices from a calibration's round trips and bulk prices from the other ways' streams.", "",
        f"Median error {middle:.1%}, worst {worst:.1%} ({furthest['name']}, {furthest['series']}).", ""]
    for series in dict.fromkeys(each["series"] for each in data["rows"]):
        mine = [each for each in data["rows"] if each["series"] == series]
        median_error, worst_error = errors(mine)
        lines += [f"## {series}", "", f"Gbit/s; median error {median_error:.1%}, worst {worst_error:.1%}; rounds of "
                  f"one way differ by {differ(mine):.0%}.", "",
                  *table(("way", "predicted", "measured", "error"), [
                      (each["name"] + (" (extrapolated)" if each["extrapolated"] else ""), gbit(each["predicted"]),
                       gbit(each["measured"]), f"{each['error']:+.1%}") for each in mine]), ""]
    lines += trust(data["rows"])
    lines += ["## What the literature says", "", data["literature"], *where(data)]
    return "\n".join(lines)


def differ(rows: Sequence[Mapping[str, Any]]) -> float:
    """Largest over smallest round, less one: the median over the ways."""
    return float(median(max(each["rounds"]) / min(each["rounds"]) - 1 for each in rows))


def trust(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where the model falls short of what was asked of it."""
    far = [each for each in rows if abs(each["error"]) > 0.2]
    lines = ["## How far to trust it", "",
             "Asked for was a median error of 8 % and none above 20 %. Each figure is a prediction for a way whose "
             "round trips and streams were left out of all fits that it rests on; extrapolated are those with a step "
             "that no other way has. No error can be told from chance that is smaller than what rounds of one way "
             "differ by.", "",
             f"{PARALLEL} streams are forecast by the prices of one, as if the receiver kept up. Once it is behind, "
             "megabytes stand in its sockets, have left its CPU's cache when they are read, and keep it behind: that "
             "halves what is carried, and whether it happens is chance. The interval knows of it from other ways.", ""]
    lines += [f"- {each['name']}, {each['series']}: {each['error']:+.1%}, from the nearest round {nearest(each):+.1%}; "
              f"rounds measured {', '.join(f'{value / 1e9:.2f}' for value in each['rounds'])}" for each in far]
    return [*lines, ""]


def nearest(row: Mapping[str, Any]) -> float:
    """The error against the round that comes closest: several streams have states that last, and change by chance."""
    return float(min((row["predicted"]["value"] / value - 1 for value in row["rounds"]), key=abs))


STUDY = Study(NAME, "How much does each network mode carry?", 3, run, draw, summary, again)
