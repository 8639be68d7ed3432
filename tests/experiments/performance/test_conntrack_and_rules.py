"""What rules and published ports cost: on a machine that does not exist, and what the model counts."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from experiments.performance import conntrack_and_rules as study
from experiments.performance import crowded, topology
from experiments.performance.cases import CONNECT, Case
from experiments.performance.model import Model
from sim.fabric.costs import BLOCKING
from sim.trace import Kind
from tests.experiments.performance import made_up


@pytest.fixture(scope="module")
def model():
    return Model(crowded.spec())


@pytest.fixture(scope="module")
def data(model):
    known = made_up.known(Model(topology.spec()))
    found = made_up.measured(model, study.jobs(), slower=1.1)
    return study.evaluate(known, model, found) | {"provenance": made_up.PROVENANCE}


def rules(model, line):
    return [line.case(number).counts(model).get(Kind.RULE, 0.0) for number in line.numbers]


def test_hosts_of_a_row_differ_in_their_number_of_rules_only(model):
    for line in study.LINES:
        others = [{kind: n for kind, n in line.case(number).counts(model).items() if kind != Kind.RULE}
                  for number in line.numbers]
        assert all(one == other for one, other in pairwise(others)), line.name


def test_each_network_adds_as_many_rules_as_the_one_before(model):
    for line in study.LINES:
        steps = [(more - less) / (after - before) for (before, after), (less, more) in zip(
            pairwise(line.numbers), pairwise(rules(model, line)), strict=True)]
        assert len(set(steps)) == 1, line.name


def test_a_packet_of_docker0_walks_the_rules_of_all_networks_and_one_of_the_newest_few(model):
    last, newest = study.LINES[0], study.LINES[2]
    assert rules(model, last)[-1] > 3 * rules(model, newest)[-1]


def test_an_established_connection_does_not_walk_the_rules_of_published_ports_and_a_new_one_does(model):
    kept, new = study.LINES[5], study.LINES[6]
    assert (kept.regime, new.regime) == (BLOCKING, CONNECT)
    assert len(set(rules(model, kept))) == 1
    assert rules(model, new)[-1] - rules(model, new)[0] >= crowded.PORTS[-1]


def test_ways_that_are_in_the_calibration_too_have_its_labels(model):
    for way in (*map(crowded.known, (crowded.LOOPBACK, crowded.WIRE_HOST, crowded.PUBLISHED)), *crowded.ANCHORS):
        assert Case(way, BLOCKING).counts(model)


def test_a_pair_differs_in_netfilter_only(data):
    for pair in data["netfilter"]:
        assert set(pair["steps"]) <= {Kind.NETFILTER, Kind.HOOK, Kind.RULE, Kind.CONNTRACK, Kind.CONNTRACK_NEW}
        assert (Kind.CONNTRACK_NEW in pair["steps"]) == (pair["group"] == study.KEPT[CONNECT])


def test_slopes_and_points_come_out_of_a_calibration_that_never_saw_them(data):
    for line in data["lines"]:
        predicted, measured = (line["slope"][side]["value"] for side in ("predicted", "measured"))
        if line["slope"]["rules"]:
            assert predicted == pytest.approx(measured, rel=0.15), line["name"]
        else:
            assert predicted == 0
        assert max(abs(point["error"]) for point in line["points"]) < 0.1, line["name"]
    assert data["speed"][BLOCKING] == pytest.approx(1.1, rel=0.02)


def test_more_rules_than_any_calibrated_way_has_is_extrapolated(data):
    points = data["lines"][0]["points"]
    assert not points[0]["extrapolated"] and points[-1]["extrapolated"]


def test_the_slope_of_a_straight_line_is_its_own():
    assert study.slope([(0, 1.0), (9, 10.0), (28, 29.0)]) == pytest.approx(1.0)


def test_pictures_and_a_summary_come_of_it(data, tmp_path):
    study.draw(data, tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {
        f"{study.NAME}{more}.png" for more in ("", *(f"-{picture}" for picture in study.X_LABELS))}
    text = study.summary(data)
    assert data["title"] in text and "(extrapolated)" in text


def test_what_was_measured_is_predicted_again_without_measuring(data):
    before = json.loads(json.dumps(data))
    found = study.again(made_up.known(Model(topology.spec())), before, lambda what, done, total: None)
    assert {**found, "provenance": data["provenance"]} == data
