"""Host mode versus a published port: what the model counts, and what becomes of measured rounds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from experiments import calibrate, host_vs_nat
from experiments.host_vs_nat import HOST_MODE, PREDICTED, PUBLISHED, Scenario
from live import engine, latency
from live.deploy import deploy
from live.lab import Lab
from sim.fabric.costs import NOMINAL, CostModel
from sim.trace import Kind

ROUNDS = 4
PROVENANCE = {"rounds": ROUNDS, "cpu": "a test's", "kernel": "6.0", "engine": "20.10"}


@pytest.fixture(scope="module")
def counted() -> list[Scenario]:
    asked = host_vs_nat.scenarios()
    host_vs_nat.count(host_vs_nat.topology(), asked)
    return asked


def as_if_measured(counted: list[Scenario], *, slower: float = 1.0) -> list[Scenario]:
    """Rounds of a machine with three times the nominal prices and 0.5 % of noise; the predicted scenarios `slower`."""
    random = np.random.default_rng(7)
    truth = CostModel({kind: 3 * price for kind, price in NOMINAL.items()})
    return [
        Scenario(s.name, s.question, s.counts, [
            calibrate.seconds_of(truth, s.counts) * (1.0 if s.calibrates else slower)
            * (1 + 0.005 * random.standard_normal()) for _ in range(ROUNDS)])
        for s in counted
    ]


@pytest.fixture(scope="module")
def data(counted: list[Scenario]) -> dict[str, Any]:
    return host_vs_nat.evaluate(as_if_measured(counted)) | {"provenance": PROVENANCE}


def row(data: dict[str, Any], name: str) -> dict[str, Any]:
    return next(r for r in data["scenarios"] if r["name"] == name)


def test_a_warm_request_is_one_segment_each_way_in_every_scenario(counted: list[Scenario]) -> None:
    assert {(s.counts[Kind.SEND], s.counts[Kind.DELIVER]) for s in counted} == {(2, 2)}


def test_a_published_port_adds_nat_a_bridge_and_a_veth_to_what_host_mode_costs(counted: list[Scenario]) -> None:
    found = {s.name: s.counts for s in counted}
    assert found[PUBLISHED][Kind.NAT] == 2 and Kind.NAT not in found[HOST_MODE]
    assert found[PUBLISHED][Kind.VETH] == 2 and Kind.VETH not in found[HOST_MODE]
    assert found[PUBLISHED][Kind.BRIDGE] > found[HOST_MODE][Kind.BRIDGE]
    assert found[PUBLISHED][Kind.LINK] == found[HOST_MODE][Kind.LINK]


def test_a_warm_connection_makes_no_new_conntrack_entry(counted: list[Scenario]) -> None:
    assert not [s.name for s in counted if s.counts.get(Kind.CONNTRACK_NEW)]


def test_the_forecast_is_right_where_the_model_is(data: dict[str, Any]) -> None:
    for name in PREDICTED:
        assert abs(row(data, name)["relative_error"]) < 0.02
    predicted, measured = data["extra"]["predicted"], data["extra"]["measured"]
    assert predicted["low"] <= predicted["value"] <= predicted["high"]
    assert predicted["value"] == pytest.approx(measured["value"], rel=0.05)


def test_the_two_questions_do_not_calibrate_their_own_forecast(counted: list[Scenario], data: dict[str, Any]) -> None:
    other = host_vs_nat.evaluate(as_if_measured(counted, slower=2.0))
    for name in PREDICTED:
        twice = pytest.approx(2 * row(data, name)["measured"]["value"], rel=0.02)
        assert row(other, name)["measured"]["value"] == twice
        assert row(other, name)["predicted"] == row(data, name)["predicted"]
    assert other["prices"] == data["prices"]


def test_a_calibration_path_with_the_same_steps_is_named(counted: list[Scenario], data: dict[str, Any]) -> None:
    counts = {s.name: s.counts for s in counted}
    for entry in data["without_twins"]:
        assert all(counts[twin] == counts[entry["name"]] for twin in entry["twins"])
        assert f"{entry['name']} takes exactly the steps of: {', '.join(entry['twins'])}" in host_vs_nat.summary(data)


def test_intervals_that_do_not_meet_are_called_so(counted: list[Scenario], data: dict[str, Any]) -> None:
    far = host_vs_nat.evaluate(as_if_measured(counted, slower=1.5)) | {"provenance": PROVENANCE}
    lines = host_vs_nat.summary(far).splitlines()
    assert all("intervals apart" in line for line in lines if line.startswith(tuple(f"| {n}" for n in PREDICTED)))


def test_the_results_are_figures_words_and_pictures(data: dict[str, Any], tmp_path: Path) -> None:
    host_vs_nat.write(data, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"data.json", "summary.md", "host-vs-nat.png", "host-vs-nat.svg"}
    assert json.loads((tmp_path / "data.json").read_text())["unit"] == "seconds, round trip"
    assert (tmp_path / "host-vs-nat.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(tmp_path / "host-vs-nat.svg").getroot().tag.endswith("svg")
    measured = row(data, PUBLISHED)["measured"]["value"] * 1e6
    assert f"{measured:.2f} [" in (tmp_path / "summary.md").read_text()


@pytest.mark.live
def test_a_request_through_a_published_port_takes_longer_than_in_host_mode() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    if engine.found() is None:
        pytest.skip("needs a Docker Engine")
    if missing := latency.missing_tools():
        pytest.skip(f"needs {', '.join(missing)}")
    asked = [s for s in host_vs_nat.scenarios() if not s.calibrates]
    spec = host_vs_nat.topology()
    with Lab.up(spec) as lab:
        host_vs_nat.measure(deploy(lab, spec), asked, rounds=2, say=lambda _: None)
    best = {s.name: min(s.rounds) for s in asked}
    assert best[HOST_MODE] < best[PUBLISHED] < 1e-3
