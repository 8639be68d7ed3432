"""Latency by driver: what is asked of the model, and what becomes of measured rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import experiments.performance.known
from experiments.performance import latencies, latency_by_driver
from experiments.performance.cases import REGIMES, Case
from experiments.performance.known import Known
from experiments.performance.latencies import GROUPS, difference, forecasts
from experiments.performance.latency_by_driver import DRIVERS, IN_THE_LITERATURE, STUDY, asked
from experiments.performance.model import Model
from experiments.performance.study import anchors, at_todays_speed
from experiments.performance.topology import spec
from experiments.results import to_json
from live.sockperf_output import Latency
from sim.fabric.costs import BLOCKING, SPINNING
from sim.trace import Kind
from tests.experiments.performance import made_up

ROUNDS = 3


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(spec())


@pytest.fixture(scope="module")
def known(model: Model) -> Known:
    return made_up.known(model)


@pytest.fixture(scope="module")
def data(known: Known, model: Model) -> Iterator[dict[str, Any]]:
    """Everything that is asked, with fewer draws than in earnest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latencies, "TRIPS", 500)
        patch.setattr(experiments.performance.known, "DRAWS", 20)
        found = made_up.measured(model, asked(), rounds=ROUNDS)
        yield latency_by_driver.evaluate(known, model, asked(), found, ROUNDS)[0] | {
            "provenance": made_up.PROVENANCE}


def test_what_was_measured_is_predicted_again_without_measuring(
        known: Known, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latencies, "TRIPS", 500)
    monkeypatch.setattr(experiments.performance.known, "DRAWS", 20)
    before = {**data, "provenance": {**made_up.PROVENANCE, "rounds": ROUNDS, "speed": {}}}
    found = latency_by_driver.again(known, before, lambda what, done, total: None)
    assert [row["rounds"] for row in found["rows"]] == [row["rounds"] for row in data["rows"]]
    assert [row["percentiles"]["p99"]["measured"] for row in found["rows"]] == [
        row["percentiles"]["p99"]["measured"] for row in data["rows"]]
    assert [row["error"] for row in found["rows"]] == pytest.approx([row["error"] for row in data["rows"]], abs=0.01)


def test_every_driver_is_asked_in_every_group_and_the_literature_knows_all_of_them() -> None:
    cases = asked()
    assert len(cases) == len(set(cases)) == len(DRIVERS) * len(GROUPS)
    assert {way.driver for way in DRIVERS} == set(IN_THE_LITERATURE)
    assert set(IN_THE_LITERATURE.values()) == {"native", "host", "macvlan", "bridge", "bridge+NAT", "overlay"}


def test_a_driver_is_predicted_where_the_model_is_right_and_its_steps_are_known(data: dict[str, Any]) -> None:
    for row in data["rows"]:
        assert row["predicted"]["low"] <= row["predicted"]["value"] <= row["predicted"]["high"]
        if not row["extrapolated"]:
            assert abs(row["error"]) < 0.03, row["name"]


def test_only_an_overlay_has_tunnels_so_it_is_extrapolated_without_itself(data: dict[str, Any]) -> None:
    beyond = {row["name"] for row in data["rows"] if {"vxlan-encap", "vxlan-decap"} & set(row["outside"])}
    assert beyond == {"overlay"}
    wide = {row["name"]: row["predicted"]["high"] - row["predicted"]["low"] for row in data["rows"]
            if row["group"] == GROUPS[BLOCKING, "tcp"]}
    assert wide["overlay"] > wide["host"]


def test_what_was_measured_on_a_way_does_not_touch_its_forecast(known: Known, model: Model) -> None:
    way = next(way for way in DRIVERS if way.driver == "overlay")
    cases = [Case(way, BLOCKING), Case(way, SPINNING)]
    rows = tuple(replace(row, rounds=tuple(9 * time for time in row.rounds)) if row.way == way.name else row
                 for row in known.rows)
    whole = replace(known.model, regimes={
        regime: replace(each, prices={**each.prices, Kind.ENCAP: 1.0}) for regime, each in known.model.regimes.items()})
    before, after = (forecasts(each, model, cases, 1) for each in (known, Known(whole, rows)))
    for case in cases:
        assert before[case].p50 == after[case].p50 and before[case].tails == after[case].tails
        assert before[case].prices == after[case].prices


def test_a_machine_that_is_slower_today_is_told_by_anchors(known: Known, model: Model) -> None:
    cases = [case for regime in REGIMES for case in anchors(regime)]
    today = at_todays_speed(known, model, made_up.measured(model, cases, slower=1.2))
    assert today.speed == {regime: pytest.approx(1.2, rel=0.01) for regime in REGIMES}
    way = [Case(DRIVERS[0], BLOCKING)]
    now, then = (forecasts(each, model, way, 1)[way[0]] for each in (today, known))
    assert now.p50.value == pytest.approx(today.speed[BLOCKING] * then.p50.value)


def test_percentiles_are_in_order_and_have_intervals(data: dict[str, Any]) -> None:
    for row in data["rows"]:
        p90, p99 = row["percentiles"]["p90"]["predicted"], row["percentiles"]["p99"]["predicted"]
        assert row["predicted"]["value"] < p90["value"] < p99["value"]
        assert p99["low"] <= p99["value"] <= p99["high"]


def test_relations_are_held_against_both_sides_in_every_group(data: dict[str, Any]) -> None:
    assert list(data["relations"]) == list(GROUPS.values())
    for rows in data["relations"].values():
        assert all(row["measured"]["outcome"] != "no data" and row["predicted"]["outcome"] != "no data" for row in rows)
    assert "| relation | predicted | measured | source |" in data["literature"]
    to_json(data)


def test_the_difference_of_two_ways_is_taken_round_by_round() -> None:
    def run(p50: float) -> Latency:
        return Latency(1, p50, {50.0: p50})

    assert difference([run(3.0), run(6.0)], [run(2.0), run(3.0)]) == ([1.0, 3.0], [1.5, 2.0])


def test_the_summary_and_the_pictures_say_what_was_found(data: dict[str, Any], tmp_path: Path) -> None:
    said = STUDY.summary(data)
    assert data["title"] in said and "## How far to trust it" in said and "overlay (extrapolated)" in said
    assert "NAT / host" in said and "Sources, with what of them was read" in said
    STUDY.draw(data, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"latency-by-driver{which}.{suffix}" for which in ("", "-p99", "-connect") for suffix in ("png", "svg")}
