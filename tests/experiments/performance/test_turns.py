"""Turns: what one CPU does between two wake-ups."""

from __future__ import annotations

import pytest

from experiments.performance import shaped
from experiments.performance.model import Model
from experiments.performance.topology import WAYS, Way, spec
from sim import topology
from sim.errors import SpecError
from sim.fabric.costs import BYTE_SENT, SEGMENT, CostModel
from sim.fabric.pingpong import ping_pong
from sim.fabric.turns import CLIENT, PROXY, SERVER
from sim.predict import latency
from sim.spec import Question
from sim.trace import Kind


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(spec())


def way(name: str) -> Way:
    return next(way for way in WAYS if way.name == name)


def test_a_round_trip_has_turns_of_the_client_the_server_and_the_client_that_reads(model: Model) -> None:
    turns = model.turns(way("client to published port, user bridge"))
    assert [turn.program for turn in turns] == [CLIENT, SERVER, CLIENT]
    assert turns[0].counts[Kind.NAT] == 1 and turns[1].counts[Kind.SEND] == 1 and turns[2].counts[Kind.RECEIVE] == 1
    assert [turn.size for turn in turns] == [66, 66, 0]


def test_docker_proxy_has_turns_of_its_own_there_and_back(model: Model) -> None:
    turns = model.turns(way("host to 127.0.0.1, docker-proxy"))
    assert [turn.program for turn in turns] == [CLIENT, PROXY, SERVER, PROXY, CLIENT]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("each", [each for each in WAYS if each.driver], ids=lambda each: each.name)
def test_turns_hold_every_step_of_the_full_path(model: Model, each: Way, protocol: str) -> None:
    trip = model.round_trip(each, protocol)  # type: ignore[arg-type]
    summed = {name: sum(turn.counts.get(name, 0) for turn in trip.turns) for name in trip.counts}
    assert summed == trip.counts


@pytest.mark.parametrize("each", [each for each in WAYS if each.driver], ids=lambda each: each.name)
def test_a_ping_pong_of_turns_takes_as_long_as_the_full_path_of_packets(model: Model, each: Way) -> None:
    question = each.question("udp")
    costs = CostModel()
    full = latency(spec(), question, costs)
    fast = ping_pong(costs, full.turns, count=3)
    assert fast.percentiles[50.0] == pytest.approx(full.seconds, rel=1e-9)


def test_a_connection_for_each_request_has_a_new_conntrack_entry_and_the_handshake(model: Model) -> None:
    one = way("client to host mode")
    kept, each = model.counts(one), model.counts(one, style="connect")
    assert Kind.CONNTRACK_NEW not in kept and each[Kind.CONNTRACK_NEW] == 1
    assert each[SEGMENT] > 2 * kept[SEGMENT]


def test_a_larger_message_costs_bytes_and_no_further_steps(model: Model) -> None:
    one = way("client to host mode")
    small, large = model.round_trip(one, "udp").counts, model.round_trip(one, "udp", 1400).counts
    assert large[BYTE_SENT] == 2 * 1400
    assert {k: n for k, n in large.items() if "byte" not in k} == {k: n for k, n in small.items() if "byte" not in k}


def test_a_cable_with_a_rate_is_named_in_the_turn_that_crosses_it() -> None:
    slow = (topology("t").host("h", link={"rate": 1e8}).client("client")
            .container("web", mode="host", host="h", listens=["80/udp"]).spec())
    trip = latency(slow, Question(source="client", target="web", probe="udp", port=80))
    assert [turn.rates for turn in trip.turns] == [(1e8,), (1e8,), ()], "a cable is shaped at both ends"


def test_a_connection_for_each_request_is_asked_of_tcp_only() -> None:
    with pytest.raises(SpecError, match="a connection for each request is tcp's"):
        latency(spec(), way("client to host mode").question("udp"), style="connect")


def test_a_packet_is_its_senders_until_another_ip_layer_takes_it() -> None:
    slow = Model(shaped.spec())
    own, routed = ({turn.program: turn for turn in reversed(slow.turns(way, "udp"))} for way in shaped.THROUGH)
    assert (own[CLIENT].rates, own[CLIENT].held) == ((shaped.RATE,), 1)
    assert (routed[CLIENT].rates, routed[CLIENT].held) == ((shaped.RATE,), 0)
    assert routed[SERVER].held == 1
