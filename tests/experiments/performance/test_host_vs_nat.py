"""Host mode versus a published port: what the model counts, and what becomes of measured rounds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import experiments.performance.known
import experiments.performance.session
from experiments.performance import host_vs_nat, latencies
from experiments.performance.cases import Case
from experiments.performance.host_vs_nat import FOR_BULK, HOST, SAID, STUDY, asked, ways
from experiments.performance.known import Known
from experiments.performance.latencies import GROUPS
from experiments.performance.model import Model
from experiments.performance.session import session
from experiments.performance.streams import Flow
from experiments.performance.study import at_todays_speed
from experiments.performance.topology import PORT, PUBLISHED, spec
from experiments.results import to_json
from live import engine, iperf, sockperf
from sim import topology
from sim.errors import SpecError
from sim.fabric.costs import BLOCKING
from sim.spec import Spec
from sim.trace import Kind
from tests.experiments.performance import made_up

ROUNDS = 3


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(spec())


@pytest.fixture(scope="module")
def known(model: Model) -> Known:
    return made_up.known(model)


@pytest.fixture(autouse=True, scope="module")
def few_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latencies, "TRIPS", 500)
        patch.setattr(experiments.performance.known, "DRAWS", 20)
        yield


def streams() -> dict[Flow, list[float]]:
    return {Flow(way): [(30 - 2 * place + 0.1 * turn) * 1e9 for turn in range(ROUNDS)]
            for place, way in enumerate([*ways().values(), *FOR_BULK])}


def evaluated(known: Known, model: Model, slower: float = 1.0) -> dict[str, Any]:
    found = made_up.measured(model, asked(), slower=slower, rounds=ROUNDS)
    today = at_todays_speed(known, model, found)
    return host_vs_nat.told(today, model, found, streams(), ROUNDS) | {
        "provenance": made_up.PROVENANCE | {"speed": today.speed, "rounds": ROUNDS}}


@pytest.fixture(scope="module")
def data(known: Known, model: Model) -> dict[str, Any]:
    return evaluated(known, model)


def test_what_was_measured_is_predicted_again_without_measuring(known: Known, data: dict[str, Any]) -> None:
    found = host_vs_nat.again(known, json.loads(json.dumps(data)), lambda what, done, total: None)
    assert {**found, "provenance": data["provenance"]} == data


def test_a_run_that_has_not_kept_its_streams_is_not_predicted_again(known: Known, data: dict[str, Any]) -> None:
    before = {key: value for key, value in data.items() if key != "streams"}
    with pytest.raises(SpecError, match="when not all was kept"):
        host_vs_nat.again(known, before, lambda what, done, total: None)


def test_a_published_port_adds_nat_a_bridge_and_a_veth_to_what_host_mode_costs(model: Model) -> None:
    found = {name: model.counts(way) for name, way in ways().items()}
    assert found[SAID][Kind.NAT] == 2 and Kind.NAT not in found[HOST]
    assert found[SAID][Kind.VETH] == 2 and Kind.VETH not in found[HOST]
    assert found[SAID][Kind.BRIDGE] > found[HOST].get(Kind.BRIDGE, 0)
    assert found[SAID][Kind.LINK] == found[HOST][Kind.LINK]


def test_a_warm_connection_makes_no_new_conntrack_entry_and_one_for_each_request_does(model: Model) -> None:
    port = ways()[SAID]
    assert not model.counts(port).get(Kind.CONNTRACK_NEW)
    assert model.counts(port, style="connect")[Kind.CONNTRACK_NEW] >= 1


def test_the_forecast_is_right_where_the_model_is(data: dict[str, Any]) -> None:
    assert {row["group"] for row in data["rows"]} == set(GROUPS.values())
    for row in data["rows"]:
        if not row["extrapolated"]:
            assert abs(row["error"]) < 0.03, row["name"]
    for each in data["differences"]:
        assert each["predicted"]["low"] <= each["predicted"]["value"] <= each["predicted"]["high"]
        assert each["ratio"]["predicted"]["value"] == pytest.approx(each["ratio"]["measured"]["value"], rel=0.03)


def test_the_three_ways_do_not_calibrate_their_own_forecast(known: Known, model: Model, data: dict[str, Any]) -> None:
    mine = {way.name for way in ways().values()}
    blind = Known(known.model, tuple(row for row in known.rows if row.way not in mine))
    for other in (evaluated(known, model, slower=1.5), evaluated(blind, model)):
        assert [row["predicted"] for row in other["rows"]] == [row["predicted"] for row in data["rows"]]
        assert [row["predicted"] for row in other["differences"]] == [row["predicted"] for row in data["differences"]]
        assert [row["predicted"] for row in other["throughput"]] == [row["predicted"] for row in data["throughput"]]


def test_a_difference_is_measured_round_by_round(data: dict[str, Any]) -> None:
    group = GROUPS[BLOCKING, "tcp"]
    rounds = {row["name"]: row["rounds"] for row in data["rows"] if row["group"] == group}
    each = next(each for each in data["differences"] if (each["name"], each["group"]) == (SAID, group))
    assert each["rounds"] == pytest.approx([a - b for a, b in zip(rounds[SAID], rounds[HOST], strict=True)])
    assert each["ratio"]["rounds"] == pytest.approx([a / b for a, b in zip(rounds[SAID], rounds[HOST], strict=True)])


def test_the_summary_and_the_pictures_say_what_was_found(data: dict[str, Any], tmp_path: Path) -> None:
    to_json(data)
    said = STUDY.summary(data)
    assert data["title"] in said and "carries 87 % of what it carries to host mode" in said
    STUDY.draw(data, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"host-vs-nat{which}.{suffix}" for which in ("", "-difference", "-throughput") for suffix in ("png", "svg")}


def small() -> Spec:
    """Of the whole topology what the two ways need."""
    listens: list[int | str] = [PORT]
    return (topology("host-vs-nat").host("h1").client("client").network("front")
            .container("app", networks=["front"], host="h1", ports=[f"{PUBLISHED['app']}:{PORT}"], listens=listens)
            .container("agent", mode="host", host="h1", listens=listens).spec())


@pytest.mark.live
def test_a_request_through_a_published_port_takes_longer_than_in_host_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    if engine.found() is None:
        pytest.skip("needs a Docker Engine")
    if missing := [*sockperf.missing_tools(), *iperf.missing_tools()]:
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.setattr(experiments.performance.session, "CALM", 0.0)  # there is no swarm
    host, port = Case(ways()[HOST], BLOCKING), Case(ways()[SAID], BLOCKING)
    with session(small(), lambda _: None) as within:
        runs = [dict(within.latencies([host, port], 0.1)) for _ in range(7)]  # a shared machine has slow moments
        carried = within.stream(port.way, seconds=1).bits_per_second
    below, above = (median(run[case].p50 for run in runs) for case in (host, port))
    assert below < above < 1e-3 and carried > 1e8
