import random

import pytest

from experiments.performance import goodput
from experiments.performance import throughput_by_driver as study
from experiments.performance.model import Model
from experiments.performance.streams import Flow, Prices
from experiments.performance.topology import spec
from sim.errors import SpecError
from sim.fabric.costs import SPINNING
from tests.experiments.performance import made_up

TRUTH = {
    goodput.ONE: Prices(byte=1.1e-10, path=0.7), goodput.SEVERAL: Prices(byte=1.1e-10, path=0.7),
    goodput.SEGMENTS: Prices(byte=1.1e-10, path=0.7, segment=0.6),
    goodput.DATAGRAMS: Prices(byte=1.5e-10, path=1.3, segment=1.1, program=2e-7, fragment=4e-7)}


def carried(model, flow, costs, prices, **_):
    """A sender that is always busy: quicker than to simulate two."""
    packets = 45 if not flow.offloads else 1
    factor = prices.segment if not flow.offloads else prices.path
    counts = model.round_trip(flow.way, flow.protocol, min(flow.size, 1400) or 14).turns[0].counts
    size = flow.size or 65160
    whole = costs.total(counts) * factor * packets + prices.byte * size + prices.program
    return size * 8 / (whole + (prices.fragment * 6 if flow.size > 1472 else 0))


@pytest.fixture(scope="module")
def model():
    return Model(spec())


@pytest.fixture(scope="module")
def found(model):
    """Rounds that differ by a percent."""
    rolls = random.Random(2)
    costs = goodput.quiet(made_up.known(model).model)
    return {flow: [carried(model, flow, costs, TRUTH[goodput.regime(flow)]) * rolls.gauss(1, 0.01) for _ in range(3)]
            for flow in study.asked()}


@pytest.fixture(scope="module")
def data(model, found):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(goodput, "simulate", carried)
        return study.evaluate(made_up.known(model), model, found) | {"provenance": made_up.PROVENANCE}


def test_each_way_is_asked_for_streams_and_datagrams_and_a_loopback_has_no_offloads_to_switch_off():
    flows = study.asked()
    assert len({flow.way for flow in flows}) == len(study.ASKED)
    assert not any(flow.way.source == flow.way.target for flow in flows if not flow.offloads)
    assert {flow.size for flow in flows if flow.protocol == "udp"} == set(study.SIZES)


def test_every_way_s_datagrams_come_back_in_the_model_of_every_size(model):
    for flow in study.asked():
        try:
            model.round_trip(flow.way, flow.protocol, flow.size or 14)
        except SpecError as error:
            pytest.fail(f"{flow}: {error}")


def test_ways_are_predicted_from_the_others(data):
    assert goodput.errors(data["rows"])[0] < 0.05
    for each in data["rows"]:
        assert each["predicted"]["low"] <= each["predicted"]["value"] <= each["predicted"]["high"]


def test_what_was_measured_is_predicted_again_without_measuring(model, data, monkeypatch):
    monkeypatch.setattr(goodput, "simulate", carried)
    assert study.again(made_up.known(model), data, lambda what, done, total: None)["rows"] == data["rows"]


def test_a_way_with_steps_that_no_other_has_is_extrapolated(data):
    marked = {each["name"] for each in data["rows"] if each["extrapolated"] and each["size"] <= 1400}
    assert marked == {"overlay"}
    assert all(each["extrapolated"] for each in data["rows"] if each["size"] == 8000 and "loopback" not in each["name"])


def test_a_prediction_does_not_see_the_streams_that_it_is_about(model, found, monkeypatch):
    monkeypatch.setattr(goodput, "simulate", carried)
    known = made_up.known(model)
    way = next(way for way in study.ASKED if way.driver == "macvlan")
    odd = {flow: [2 * each for each in rounds] if flow.way == way else rounds for flow, rounds in found.items()}
    plain, moved = (goodput.forecasts(known, model, rounds, [way]) for rounds in (found, odd))
    for flow, forecast in plain.items():
        assert moved[flow].goodput.value == pytest.approx(forecast.goodput.value, rel=0.05)


def test_relations_are_held_against_both(data):
    assert {each["name"] for each in data["relations"]} == {each.name for each in study.ABOUT_THROUGHPUT}
    assert all(each["predicted"]["outcome"] != "no data" for each in data["relations"])


def test_the_sentence_says_what_was_measured_beside_what_was_predicted(data):
    assert "Gbit/s in host mode" in data["title"] and data["title"].count("predicted") == 3


def test_pictures_and_a_summary_come_of_it(data, tmp_path):
    study.draw(data, tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {f"{study.NAME}.png", f"{study.NAME}-udp.png"}
    text = study.summary(data)
    assert "TCP, one stream, offloads off" in text and "What the literature says" in text and "(extrapolated)" in text


def test_bulk_prices_rest_on_a_cpu_for_each_end(model):
    costs = goodput.quiet(made_up.known(model).model)
    assert costs.prices == made_up.known(model).model.regime(SPINNING).prices and not costs.interruptions


def test_flows_have_the_regime_that_they_run_in():
    way = study.ASKED[1]
    assert [goodput.regime(flow) for flow in (Flow(way), Flow(way, parallel=4), Flow(way, offloads=False),
                                              Flow(way, "udp", 64))] == [
        goodput.ONE, goodput.SEVERAL, goodput.SEGMENTS, goodput.DATAGRAMS]


@pytest.mark.parametrize(("with_streams", "byte"), [(True, TRUTH[goodput.ONE].byte),
                                                    (False, goodput.PRIORS[goodput.DATAGRAMS]["byte"])])
def test_a_byte_of_datagrams_too_small_to_tell_is_thought_to_cost_what_it_does_in_a_stream(
        model, found, monkeypatch, with_streams, byte):
    monkeypatch.setattr(goodput, "simulate", carried)
    wanted = [goodput.ONE] if with_streams else []
    rounds = {flow: each for flow, each in found.items() if goodput.regime(flow) in wanted or flow.size == 64}
    forecast = goodput.forecasts(made_up.known(model), model, rounds, study.ASKED[:2])
    for flow in (Flow(way, "udp", 64) for way in study.ASKED[:2]):
        assert forecast[flow].prices["byte"] == pytest.approx(byte, rel=0.1)


def test_several_streams_are_forecast_by_the_prices_of_one_and_as_uncertain_as_other_ways_streams_are(
        model, found, monkeypatch):
    """Where a receiver falls behind they carry half: one way's that did tells nothing of what another one's will do."""
    monkeypatch.setattr(goodput, "simulate", carried)
    behind = {flow: [each / 2 for each in rounds] if flow.parallel > 1 and flow.way == study.ASKED[1] else rounds
              for flow, rounds in found.items()}
    known, asked = made_up.known(model), study.ASKED[:2]
    plain, half = (goodput.forecasts(known, model, rounds, asked) for rounds in (found, behind))
    for flow in plain:
        assert half[flow].goodput.value == plain[flow].goodput.value
        if flow.parallel > 1:
            span = half[flow].goodput
            assert (span.low < 0.6 * span.value) == (flow.way == asked[0])


def test_several_streams_are_not_forecast_where_no_stream_ran_alone(model, found):
    several = {flow: rounds for flow, rounds in found.items() if flow.parallel > 1}
    with pytest.raises(SpecError, match="none was measured alone"):
        goodput.forecasts(made_up.known(model), model, several, study.ASKED[:1])


def test_a_forecast_that_is_far_off_is_held_against_the_nearest_round_too():
    far = {"name": "host", "series": "TCP, 4 streams", "error": 1.0, "predicted": {"value": 40e9},
           "rounds": [20e9, 50e9, 18e9]}
    assert study.nearest(far) == pytest.approx(-0.2)
    told = "\n".join(study.trust([far, {**far, "name": "macvlan", "error": 0.1}]))
    assert "host, TCP, 4 streams: +100.0%, from the nearest round -20.0%" in told and "macvlan" not in told
