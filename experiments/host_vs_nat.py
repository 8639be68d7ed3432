"""Host mode versus a published port: how long a request takes from another machine, predicted beside measured.

    python -m experiments.host_vs_nat        # or: make bench

One host with a real engine, two clients on the wire. The two questions, `host mode` and `published port`, are predicted
from a cost model that is fitted on every *other* scenario below, counted and measured the same way in the same rounds.
Each round runs every scenario once, in an order that changes from round to round, so what drifts drifts for all.
No sniffers, no IPv6, one CPU (see `live/latency.py`). The calibration scenarios are predicted too, each by a fit that
leaves it out: that shows how far such a prediction can be trusted.

Writes data.json, summary.md and the plot to results/host-vs-nat/, and the cost model to results/costs/. The unit in
data.json is seconds. Exit codes are those of `hopcast`: 3 where nothing can be measured.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from experiments import calibrate, latency_plots, results
from experiments.calibrate import Counts, Interval
from experiments.provenance import provenance
from live import latency, where
from live.deploy import deploy
from live.deployment import Deployment
from live.lab import Lab
from sim.dial import dial
from sim.errors import HopcastError
from sim.predict import latency as round_trip
from sim.spec import Attachment, Client, Container, Host, Listener, Network, PublishedPort, Question, Spec

NAME = "host-vs-nat"
ROUNDS = 10
HOST_MODE, PUBLISHED = "host mode", "published port"
PREDICTED = (HOST_MODE, PUBLISHED)
EXTRA = "difference"
PORT = 7000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A question with a name, and what was found. `rounds`: the median round trip of each round, in seconds."""

    name: str
    question: Question
    counts: dict[str, float] = field(default_factory=dict)
    rounds: list[float] = field(default_factory=list)

    @property
    def calibrates(self) -> bool:
        return self.name not in PREDICTED


def topology() -> Spec:
    """One host, two clients. The idle networks only make the tables of rules longer, as on a host that is in use."""
    return Spec(
        name="host-vs-nat",
        hosts=(Host(name="host"),),
        clients=(Client(name="client", listens=(Listener(port=PORT),)),
                 Client(name="client2", address="192.168.99.201/24")),
        networks=tuple(Network(name=name) for name in ("idle1", "idle2", "idle3", "front")),
        containers=(
            Container(name="web", mode="bridge", ports=(PublishedPort(container_port=80, host_port=8080),),
                      listens=(Listener(port=80),)),
            Container(name="web_host", mode="host", listens=(Listener(port=80),)),
            Container(name="agent", mode="host", listens=(Listener(port=PORT),)),
            *(Container(name=name, mode="bridge", listens=(Listener(port=PORT),)) for name in ("a1", "a2")),
            *(Container(name=name, attachments=(Attachment(network="front"),), listens=(Listener(port=PORT),))
              for name in ("b1", "b2")),
        ),
    )


def scenarios() -> list[Scenario]:
    """What is asked. The first two are the forecast; everything else calibrates."""
    def tcp(name: str, source: str, target: str, port: int = PORT, *, published: bool = False) -> Scenario:
        return Scenario(name, Question(source=source, target=target, probe="tcp", port=port, published=published))

    return [
        tcp(HOST_MODE, "client", "web_host", 80),
        tcp(PUBLISHED, "client", "web", 80, published=True),
        tcp("loopback in a client", "client", "client"),
        tcp("loopback in a container", "a1", "a1"),
        tcp("loopback on the host", "host", "host"),
        tcp("client to client", "client2", "client"),
        tcp("container to container, docker0", "a1", "a2"),
        tcp("container to container, user bridge", "b1", "b2"),
        tcp("host to container, docker0", "host", "a2"),
        tcp("host to container, user bridge", "host", "b2"),
        tcp("container to host, docker0", "a1", "agent"),
        tcp("container to host, user bridge", "b1", "agent"),
        tcp("container to client, docker0", "a1", "client"),
        tcp("container to client, user bridge", "b1", "client"),
    ]


def count(spec: Spec, asked: Sequence[Scenario]) -> None:
    """The steps of each scenario's warm round trip, predicted."""
    for scenario in asked:
        scenario.counts.update(round_trip(spec, scenario.question).counts)


def measure(deployment: Deployment, asked: Sequence[Scenario], *, rounds: int, seconds: int = 1,
            say: Say = print) -> None:
    """Every scenario once a round, in a new order each round."""
    spec, order = deployment.spec, random.Random(0)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: {len(asked)} scenarios")
        for scenario in order.sample(list(asked), len(asked)):
            question = scenario.question
            to = dial(question, spec, 0, deployment.address_of, deployment.published_port)
            run = latency.ping_pong(deployment.netns_path(question.source), deployment.netns_path(question.target),
                                    to.address, to.port, listen=question.port, seconds=seconds)
            scenario.rounds.append(run.p50)


def evaluate(asked: Sequence[Scenario]) -> dict[str, Any]:
    """Fit, predict, put beside: everything that data.json has but its provenance. Seconds."""
    counts: dict[str, Counts] = {s.name: s.counts for s in asked}
    rounds = {s.name: s.rounds for s in asked}
    known = {s.name: counts[s.name] for s in asked if s.calibrates}
    # Times are linear in counts, so the difference of two round trips is predicted as a round trip of the difference.
    extra = {kind: counts[PUBLISHED].get(kind, 0.0) - counts[HOST_MODE].get(kind, 0.0)
             for kind in {*counts[PUBLISHED], *counts[HOST_MODE]}}
    model, predicted = calibrate.forecast(known, rounds, {n: counts[n] for n in PREDICTED} | {EXTRA: extra})
    for name in known:
        others = {other: steps for other, steps in known.items() if other != name}
        predicted[name] = calibrate.forecast(others, rounds, {name: counts[name]})[1][name]
    bare = {n: {k: steps for k, steps in known.items() if steps != counts[n]} for n in PREDICTED}
    rounds_of_extra = [nat - host for nat, host in zip(rounds[PUBLISHED], rounds[HOST_MODE], strict=True)]
    measured = {name: calibrate.interval(r) for name, r in (rounds | {EXTRA: rounds_of_extra}).items()}
    rows = [_row(s, predicted[s.name], measured[s.name], calibrate.seconds_of(model, s.counts)) for s in asked]
    twins = [{"name": n, "twins": sorted(set(known) - set(bare[n])),
              "predicted": calibrate.forecast(bare[n], rounds, {n: counts[n]})[1][n].as_dict()}
             for n in PREDICTED if len(bare[n]) < len(known)]
    return {
        "unit": "seconds, round trip",
        "confidence": calibrate.CONFIDENCE,
        "scenarios": rows,
        "without_twins": twins,
        "extra": {"predicted": predicted[EXTRA].as_dict(), "measured": measured[EXTRA].as_dict()},
        "ratio": {"predicted": predicted[PUBLISHED].value / predicted[HOST_MODE].value,
                  "measured": _ratio(rounds[PUBLISHED], rounds[HOST_MODE]).as_dict()},
        "prices": {kind.value: price for kind, price in sorted(model.prices.items())},
    }


def _row(scenario: Scenario, predicted: Interval, measured: Interval, fitted: float) -> dict[str, Any]:
    return {
        "name": scenario.name, "question": str(scenario.question), "calibrates": scenario.calibrates,
        "predicted": predicted.as_dict(), "measured": measured.as_dict(), "fitted": fitted,
        "relative_error": predicted.value / measured.value - 1,
        "counts": dict(sorted(scenario.counts.items())), "rounds": scenario.rounds,
    }


def _ratio(above: Sequence[float], below: Sequence[float]) -> Interval:
    return calibrate.interval(list(np.array(above) / np.array(below)))


def summary(data: Mapping[str, Any]) -> str:
    """The same figures as Markdown, for people."""
    def us(interval: Mapping[str, float]) -> str:
        return f"{interval['value'] * 1e6:.2f} [{interval['low'] * 1e6:.2f}, {interval['high'] * 1e6:.2f}]"

    def error(predicted: Mapping[str, float], measured: Mapping[str, float]) -> str:
        apart = predicted["low"] > measured["high"] or predicted["high"] < measured["low"]
        percent = 100 * (predicted["value"] / measured["value"] - 1)
        return f"{percent:+.1f} %{', intervals apart' if apart else ''}"

    def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
        return ["| scenario | predicted (µs) | measured (µs) | error |", "|---|---|---|---|",
                *(f"| {r['name']} ({r['question']}) | {us(r['predicted'])} | {us(r['measured'])} "
                  f"| {error(r['predicted'], r['measured'])} |" for r in rows)]

    rows, extra, ratio, about = data["scenarios"], data["extra"], data["ratio"], data["provenance"]
    calibrating = [r for r in rows if r["calibrates"]]
    typical = float(np.median([abs(r["relative_error"]) for r in calibrating]))
    return "\n".join([
        "# Host mode versus a published port", "", latency_plots.headline(data) + ".", "",
        "Round trip of a small TCP request and its answer on a warm connection, from a client on the wire. Median over "
        f"{about['rounds']} rounds with {100 * data['confidence']:.0f} % intervals.", "",
        *table([r for r in rows if not r["calibrates"]]),
        f"| difference | {us(extra['predicted'])} | {us(extra['measured'])} "
        f"| {error(extra['predicted'], extra['measured'])} |", "",
        f"Published over host mode: predicted {ratio['predicted']:.3f}, measured {ratio['measured']['value']:.3f} "
        f"[{ratio['measured']['low']:.3f}, {ratio['measured']['high']:.3f}].", "",
        "![predicted beside measured](host-vs-nat.png)", "",
        "## How far to trust it", "",
        "The prices are fitted on the scenarios below and never on the two above. Each one below is predicted by a fit "
        f"that leaves it out; the median error of those is {100 * typical:.1f} %. A predicted interval holds the "
        "noise of calibration and what calibration leaves open, and not what the model simplifies: where intervals "
        "are apart, that is the likely reason.", "",
        *table(calibrating), "",
        *(f"In the model, {t['name']} takes exactly the steps of: {', '.join(t['twins'])}. Calibrated without that, "
          f"it is predicted to take {us(t['predicted'])} µs.\n" for t in data["without_twins"]),
        "## Where", "", *(f"- {key}: {value}" for key, value in about.items()), "",
    ])


def write(data: Mapping[str, Any], out: Path) -> None:
    """data.json, summary.md, host-vs-nat.png and .svg in `out`."""
    results.write_json(out / "data.json", data)
    results.write(out / "summary.md", summary(data))
    latency_plots.host_vs_nat(data, out)


def run(out: Path | None = None, *, rounds: int = ROUNDS, costs: Path | None = None,
        say: Say = print) -> dict[str, Any]:
    """The whole experiment: the content of data.json. LabError where it can't be measured; nothing is written then.

    `out` and `costs`: a folder for the results, a file for the cost model; those under results/ unless given.
    """
    where.refuse_times("latency")
    spec, asked = topology(), scenarios()
    count(spec, asked)
    with Lab.up(spec, progress=say) as lab:
        deployment = deploy(lab, spec, say)
        engine = str(lab.engine("host").version()["Version"])
        measure(deployment, asked, rounds=rounds, say=say)
    about = provenance(engine=engine, seed=0) | {
        "rounds": rounds, "pinned_to_cpu": latency.first_cpu(), "tool": "sockperf ping-pong --tcp, 1 s a run"}
    data = evaluate(asked) | {"provenance": about}
    out = out or results.folder(NAME)
    costs = costs or results.folder("costs") / f"{calibrate.machine_name()}.json"
    write(data, out)
    known = [s for s in asked if s.calibrates]
    model = calibrate.fit([s.counts for s in known], [float(np.median(s.rounds)) for s in known])
    calibrate.save(model, costs, provenance=about, fitted_on=[
        {"scenario": row["name"], "measured": row["measured"]["value"], "fitted": row["fitted"],
         "counts": row["counts"]} for row in data["scenarios"] if row["calibrates"]])
    say(f"wrote {out}/ and {costs}")
    return data


def main(
    out: Annotated[Path | None, typer.Option(help="Folder for data.json, summary.md and the plot.")] = None,
    rounds: Annotated[int, typer.Option(min=2, help="How often each scenario is measured.")] = ROUNDS,
) -> None:
    """Measure and predict request latency in host mode and behind a published port."""
    try:
        typer.echo(latency_plots.headline(run(out, rounds=rounds, say=typer.echo)))
    except HopcastError as error:
        typer.echo(f"host_vs_nat: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


if __name__ == "__main__":
    typer.run(main)
