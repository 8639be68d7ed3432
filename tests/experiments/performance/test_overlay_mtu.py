import json

import pytest

from experiments.performance import goodput, topology
from experiments.performance import overlay_mtu as study
from experiments.performance.model import Model
from experiments.performance.streams import Flow, Prices, mtu
from experiments.performance.study import at_todays_speed
from sim.trace import Kind
from tests.experiments.performance import made_up


def carried(model, flow, costs, prices, **_):
    """A sender that is always busy: a super-packet with offloads, else a segment at a time."""
    size = 64000 if flow.offloads else mtu(model, flow.way) - 52
    factor = prices.path if flow.offloads else prices.segment
    return size * 8 / (costs.total(model.turns(flow.way)[0].counts) * factor + prices.byte * size)


@pytest.fixture(scope="module")
def model():
    return Model(study.spec())


@pytest.fixture(scope="module")
def data(model):
    known = made_up.known(Model(topology.spec()))
    flows, cases = study.jobs()
    costs = goodput.quiet(known.model)
    streams = {flow: [carried(model, flow, costs, Prices(byte=1.2e-10, path=0.7, segment=0.9))] * 3 for flow in flows}
    trips = made_up.measured(model, cases)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(goodput, "simulate", carried)
        return study.told(at_todays_speed(known, model, trips), model, streams,
                          {case: [run.p50 for run in runs] for case, runs in trips.items()}) | {
            "provenance": made_up.PROVENANCE}


def test_what_was_measured_is_predicted_again_without_measuring(data, monkeypatch):
    monkeypatch.setattr(goodput, "simulate", carried)
    known, before = made_up.known(Model(topology.spec())), json.loads(json.dumps(data))
    found = study.again(known, before, lambda what, done, total: None)
    assert {**found, "provenance": data["provenance"]} == data


def test_each_overlay_has_its_mtu_and_goes_between_the_same_two_hosts(model):
    assert [mtu(model, way) for way in study.OVERLAYS.values()] == list(study.MTUS)
    hosts = {(study.spec().container(way.source).host, study.spec().container(way.target).host)
             for way in study.OVERLAYS.values()}
    assert hosts == {("h1", "h2")}


def test_a_message_goes_in_fragments_where_it_does_not_fit(model):
    cut = {case.way.name: case.counts(model).get(Kind.FRAGMENT, 0) for case in study.jobs()[1]
           if case.way in study.OVERLAYS.values()}
    numbers = list(cut.values())
    assert numbers[-1] == 0 and all(numbers[:-1]), cut
    assert numbers[0] >= numbers[1], "a smaller MTU makes more of them"


def test_what_fragments_cost_comes_from_other_ways(data):
    truth = made_up.truth("spinning").prices[Kind.FRAGMENT]
    assert data["fragment"]["value"] == pytest.approx(truth, rel=0.15)
    assert max(abs(each["error"]) for each in data["latency"]) < 0.1


def test_streams_are_predicted_without_any_overlay_between_hosts(data):
    assert len(data["rows"]) == 2 * len(study.MTUS)
    assert goodput.errors(data["rows"])[0] < 0.1
    off = [each["predicted"]["value"] for each in data["rows"] if each["series"] == study.OFF]
    assert off == sorted(off), "without offloads a larger MTU carries more"


def test_pictures_and_a_summary_come_of_it(data, tmp_path):
    study.draw(data, tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {f"{study.NAME}.png", f"{study.NAME}-latency.png"}
    text = study.summary(data)
    assert data["title"] in text and "fragments cut and joined" in text


def test_flows_ask_with_offloads_on_and_off():
    flows, _ = study.jobs()
    for way in study.OVERLAYS.values():
        assert {Flow(way), Flow(way, offloads=False)} <= set(flows)
