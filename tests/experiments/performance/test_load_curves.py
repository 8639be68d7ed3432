"""Curves of load: what is asked, what is learnt, and what becomes of measured rounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import experiments.performance.known
from experiments.performance import load_curves, loads, shaped
from experiments.performance.cases import Offered
from experiments.performance.intervals import Interval
from experiments.performance.known import Known
from experiments.performance.learnt import Learnt
from experiments.performance.loads import Found
from experiments.performance.model import Model
from experiments.performance.study import anchors
from experiments.performance.topology import WAYS, Way, spec
from experiments.results import to_json
from live.sockperf_output import Load
from sim.errors import SpecError
from sim.fabric import load
from sim.fabric.costs import SPINNING, Interruption
from sim.fabric.preemption import Preemption
from tests.experiments.performance import made_up

COSTLY = Preemption(1.5e-6, 0.5e-6)
SPARSE = (0.2, 0.7, 1.5)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(spec())


@pytest.fixture(scope="module")
def slow() -> Model:
    return Model(shaped.spec())


@pytest.fixture(scope="module")
def known(model: Model) -> Known:
    return made_up.known(model)


def quietly(what: str, done: int, total: int) -> None:
    """Progress that nobody wants to see."""


def answered(known: Known, model: Model, asked: Sequence[Offered], rounds: int = 2) -> Found:
    """What a machine measures whose programs preempt each other as dearly as COSTLY."""

    def once(each: Offered, seed: int) -> Load:
        found = load.run(known.model, *loads.turns(model, each), rate=each.rate, burst=each.burst, size=each.size,
                         messages=2000, preemption=COSTLY, seed=100 + seed)
        sent = round(found.sent_rate)
        return Load(each.rate, sent, round(sent * (1 - found.lost)), 1.0, found.mean, dict(found.percentiles))

    return {each: [once(each, seed) for seed in range(rounds)] for each in asked}


def carried(known: Known, model: Model) -> float:
    """Messages/s, by the reference."""
    return answered(known, model, [loads.flood()], 1)[loads.flood()][0].goodput


@pytest.fixture(scope="module")
def data(known: Known, model: Model, slow: Model) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_curves, "SHARES", SPARSE)
        patch.setattr(shaped, "LOADS", (0.5, 1.5))
        patch.setattr(experiments.performance.known, "DRAWS", 10)
        patch.setattr(loads, "MESSAGES", 2000)
        patch.setattr(loads, "CROWDINGS", (1.0, 2.0))
        speed = made_up.measured(model, anchors(SPINNING))
        reference = loads.reference(carried(known, model))
        asked = load_curves.offered(known, model, speed, answered(known, model, reference, 1))
        found = answered(known, model, [*asked, *reference])
        limited = answered(known, slow, shaped.asked())
        whole, today = load_curves.evaluate(known, model, slow, speed, found, limited, quietly)
        yield whole | {"provenance": made_up.PROVENANCE | {"speed": dict(today.speed)}}


def test_what_is_learnt_from_is_not_what_is_asked_about() -> None:
    assert loads.REFERENCE not in load_curves.ASKED
    assert len(load_curves.ASKED) == len(load_curves.DRIVERS)


def test_what_was_measured_is_predicted_again_without_measuring(known: Known, data: Mapping[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments.performance.known, "DRAWS", 10)
        patch.setattr(loads, "MESSAGES", 2000)
        patch.setattr(loads, "CROWDINGS", (1.0, 2.0))
        found = load_curves.again(known, json.loads(json.dumps(data)), quietly)
    assert found == {key: value for key, value in data.items() if key != "provenance"}


def test_loads_that_teach_are_parts_of_what_the_machine_carries(known: Known, model: Model) -> None:
    slow, calm, flood = (each.rate for each in loads.reference(100_000))
    assert (slow, calm) == (5_000, 25_000) and flood > carried(known, model)


def test_the_price_of_a_preemption_is_learnt_on_loopback(known: Known, model: Model) -> None:
    reference = loads.reference(carried(known, model))
    learnt = loads.learnt(known, model, answered(known, model, reference)).preemption
    assert learnt.before == pytest.approx(COSTLY.before, rel=0.15)
    assert learnt.after == pytest.approx(COSTLY.after, abs=0.2e-6)


def test_a_machine_that_is_as_the_model_says_is_predicted_at_all_loads_that_count(data: dict[str, Any]) -> None:
    told = data["verdicts"]
    assert told["points"] == 2 * told["paths"]
    assert told["inside"]["p50"] == told["points"]
    assert told["saturations"] == told["paths"] == len(load_curves.ASKED)


def test_beyond_saturation_messages_are_lost_and_those_loads_are_not_counted(data: dict[str, Any]) -> None:
    for path in data["curves"]:
        last = path["points"][-1]
        assert last["lost_predicted"]["value"] > 0.2
        assert not last["counts"]


def test_a_sender_waits_for_its_own_queue_and_a_routers_queue_drops(data: dict[str, Any]) -> None:
    flooded = {path["name"]: path["points"][-1] for path in data["slow_cable"]["curves"]}
    own, routed = (flooded[shaped.name(way, 1)] for way in shaped.THROUGH)
    assert own["lost_predicted"]["value"] == 0
    assert own["sent_predicted"] == pytest.approx(shaped.capacity(), rel=0.01)
    assert own["predicted"]["p50"]["value"] == pytest.approx(94 / shaped.capacity(), rel=0.02)
    assert routed["lost_predicted"]["value"] == pytest.approx(1 / 3, abs=0.02)
    assert routed["predicted"]["p50"]["value"] == pytest.approx(0.055, rel=0.02)


def test_a_burst_beyond_the_bucket_waits_below_the_cables_capacity(data: dict[str, Any]) -> None:
    half = {path["name"]: path["points"][0] for path in data["slow_cable"]["curves"]}
    one, many = (half[shaped.name(shaped.THROUGH[1], burst)] for burst in shaped.BURSTS)
    assert one["load"] == many["load"]
    assert many["predicted"]["p50"]["value"] > 50 * one["predicted"]["p50"]["value"]


@pytest.mark.parametrize(("value", "there"), [(0.89, False), (0.91, True), (1.5, True), (2.19, True), (2.21, False)])
def test_the_band_of_the_rounds_is_widened_by_a_tenth(value: float, there: bool) -> None:
    assert loads.inside(value, Interval(1.5, 1.0, 2.0)) is there


def test_a_way_by_docker_proxy_is_refused(model: Model) -> None:
    proxied = next(way for way in WAYS if way.address and way.published)
    with pytest.raises(SpecError):
        loads.turns(model, Offered(proxied, 1000.0))


def test_the_title_has_the_figures_and_the_data_is_json(data: dict[str, Any]) -> None:
    for path in data["curves"]:
        assert f"{path['saturation']['measured']['value'] / 1e3:.0f}" in data["title"]
    assert to_json(data)


def test_the_summary_names_what_is_out_of_the_band(data: Mapping[str, Any]) -> None:
    path = data["curves"][0]
    wrong = {**path["points"][0], "inside": {"p50": True, "p99": False}}
    said = load_curves.summary({**data, "curves": [{**path, "points": [wrong]}]})
    assert "out of the band: p99 at" in said


def test_both_pictures_are_drawn(data: dict[str, Any], tmp_path: Path) -> None:
    load_curves.draw(data, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{kind}" for name in (load_curves.NAME, load_curves.CABLE) for kind in ("png", "svg")}


BUSY_MACHINE = Learnt(Preemption(0.5e-6, 0.5e-6), (Interruption(200.0, 30e-6), Interruption(500.0, 4e-6)))


def under_load(known: Known, model: Model, crowding: float, way: Way) -> tuple[loads.Forecast, loads.Seen]:
    """A way's forecast, and what a machine measures there that is interrupted so many times as often under load."""
    offered = Offered(way, 1.0)
    parts = loads.turns(model, offered)
    carries = loads.saturation(known.model, parts, BUSY_MACHINE, offered.size)
    ahead = loads.Forecast(known.model, BUSY_MACHINE, parts, Interval(carries, carries, carries), (1.0, 1.0), ())
    points = []
    for share in (0.1, 0.4, 0.7):
        at = Offered(way, round(share * carries))
        runs = replace(ahead, crowding=crowding).at(at, 3)
        points.append((at, {"rounds": {"p99": [run.percentiles[99.0] for run in runs]}}))
    return ahead, loads.Seen(tuple(points), Interval(carries, carries, carries))


@pytest.fixture
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "MESSAGES", 1000)
    monkeypatch.setattr(loads, "CROWDINGS", (1.0, 2.0, 3.0))


@pytest.mark.usefixtures("shorter")
def test_a_machine_that_is_interrupted_more_often_under_load_shows_it_on_every_other_way(
        known: Known, model: Model) -> None:
    for crowding in (1.0, 2.0):
        ways = [under_load(known, model, crowding, way) for way in load_curves.ASKED[:2]]
        assert loads.crowding(ways, lambda done, total: None) == [crowding] * 2


@pytest.mark.usefixtures("shorter")
def test_what_a_way_measured_has_no_part_in_how_often_it_is_said_to_be_interrupted(known: Known, model: Model) -> None:
    first, second, third = (under_load(known, model, 2.0, way) for way in load_curves.ASKED[:3])
    late = replace(first[1], points=tuple(
        (offered, {"rounds": {"p99": [50 * value for value in row["rounds"]["p99"]]}})
        for offered, row in first[1].points))
    found = loads.crowding([(first[0], late), second, third], lambda done, total: None)
    assert found[0] == 2.0


@pytest.mark.usefixtures("shorter")
def test_interruptions_come_more_often_with_the_load_until_it_is_busy(known: Known, model: Model) -> None:
    ahead, _ = under_load(known, model, 1.0, load_curves.ASKED[0])
    crowded, carries = replace(ahead, crowding=3.0), ahead.saturation.value
    assert crowded.often(0.2 * carries) == 1.0
    assert crowded.often(0.4 * carries) == pytest.approx(2.0)
    assert crowded.often(0.6 * carries) == crowded.often(0.9 * carries) == 3.0
