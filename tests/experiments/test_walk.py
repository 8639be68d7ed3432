"""A trace told hop by hop."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from experiments import render
from experiments.walk import flights, legs, told
from sim import compose
from sim.packet import Ethernet, Icmp, IPv4, Packet, Udp, Vxlan, ip
from sim.spec import Question
from sim.trace import Answer, DropReason, Kind, Outcome, Step, Trace
from sim.underlay import WIRE

RULE = "filter DOCKER-ISOLATION-STAGE-2: -o docker0 -j DROP"


def ping(ttl: int = 64, dst: str = "172.18.0.2") -> Packet:
    return Packet(eth=Ethernet("a", "b"), ip=IPv4(ip("172.17.0.3"), ip(dst), 1, ttl), l4=Icmp(8, 0, 1, 1), uid=7)


def lost() -> Trace:
    return Trace([
        Step(Kind.SEND, "busybox1", "", ping()), Step(Kind.SEEN, "busybox1", "eth0", ping(), way="out"),
        Step(Kind.VETH, "busybox1", "eth0", ping(), "to host:veth(busybox1@bridge)"),
        Step(Kind.ROUTE, "host", "", ping(63), "172.18.0.0/16 dev br(x)"),
        Step(Kind.DROP, "other", "eth0", ping(), "", reason=DropReason.NOT_FOR_US),
        Step(Kind.DROP, "host", "", ping(63), RULE, reason=DropReason.RULE),
    ])


def drawn(renderable: RenderableType, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_cause_and_the_rule_that_dropped_the_packet_are_both_told() -> None:
    text = drawn(render.walk(Question(source="busybox1", target="web"), Answer(Outcome.TIMEOUT), lost(),
                             because="they share no network"))
    assert "because     they share no network" in text
    assert f"decided by  host: dropped by a rule: {RULE}" in text


def test_each_hop_says_which_headers_changed() -> None:
    (flight,) = flights(lost())
    assert [h.kind for h in flight.hops][:3] == ["socket-send", "veth", "route"]
    assert flight.hops[2].changed == {"ip.ttl": (64, 63)}
    assert flight.end.startswith("dropped in host")


def test_taps_are_shown_when_everything_is_asked_for() -> None:
    assert len(flights(lost(), everything=True)[0].hops) == len(flights(lost())[0].hops) + 1


def test_a_walk_shows_the_rule_and_the_change() -> None:
    text = drawn(render.walk(Question(source="busybox1", target="web"), Answer(Outcome.TIMEOUT, "172.18.0.2"), lost()))
    assert RULE in text and "DROPPED" in text
    assert "ip.ttl 64 -> 63" in text


def test_the_rule_that_drops_is_told_once_with_how_many_were_tried() -> None:
    steps = list(lost())
    trace = Trace([*steps[:-1], Step(Kind.RULE, "host", detail=RULE, count=10), steps[-1]])
    hops = flights(trace)[0].hops
    assert hops[-1].what == f"DROPPED by a rule: {RULE}  (10 rules tried)"
    assert not [hop for hop in hops if hop.kind == Kind.RULE]
    assert [hop for hop in flights(trace, everything=True)[0].hops if hop.kind == Kind.RULE]


def test_a_packet_is_told_with_the_source_address_that_routing_chose() -> None:
    asked = Packet(ip=IPv4(0, ip("172.18.0.2"), 1, 64), l4=Icmp(8, 0, 1, 1), uid=9)
    sent = Packet(ip=IPv4(ip("172.17.0.3"), ip("172.18.0.2"), 1, 64), l4=Icmp(8, 0, 1, 1), uid=9)
    (flight,) = flights(Trace([Step(Kind.SEND, "app", "", asked), Step(Kind.ROUTE, "app", "", sent, "default")]))
    assert flight.text == str(sent)
    assert flight.hops[1].changed == {"ip.src": (None, "172.17.0.3")}


def test_the_wire_between_the_machines_is_no_hop() -> None:
    trace = Trace([Step(Kind.LINK, "client", "eth0", ping(), "to @wire:client"),
                   Step(Kind.BRIDGE, WIRE, "switch", ping(), "somebody is at host"),
                   Step(Kind.ROUTE, "host", "", ping(), "somewhere")])
    text = drawn(render.walk(Question(source="client", target="web"), Answer(Outcome.REACHED), trace))
    assert "somewhere" in text and "somebody is at host" not in text


def test_a_matrix_names_every_way_in_which_one_asks_another() -> None:
    spec = compose.loads("services: {a: {image: x}, b: {image: x}}", environment={})
    direct = Question(source="hopcast-a-1", target="hopcast-b-1")
    asked = [direct, Question(source="hopcast-a-1", target="b", by="name")]
    table = render.matrix(spec, asked, [Answer(Outcome.REACHED), Answer(Outcome.NO_SUCH_NAME)])
    assert table is not None
    console = Console(file=StringIO(), width=140)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert [column.header for column in table.columns] == ["from", "hopcast-b-1"]
    assert "reached" in text and "no such name" in text


def tunnelled() -> Trace:
    inside = ping()
    outside = Packet(
        eth=None, ip=IPv4(ip("192.168.99.101"), ip("192.168.99.102"), 17, 64), l4=Udp(40000, 4789),
        vxlan=Vxlan(4097), inner=inside, uid=7)
    return Trace([
        Step(Kind.SEND, "web", "", inside), Step(Kind.ENCAP, "ov(n)@h1", "vxlan0", inside, "VNI 4097"),
        Step(Kind.ROUTE, "h1", "", outside, "192.168.99.0/24 dev eth0"),
        Step(Kind.DECAP, "ov(n)@h2", "vxlan0", inside, "VNI 4097"), Step(Kind.DELIVER, "db", "", ping(63)),
    ])


def test_a_tunnels_header_is_told_without_the_packet_inside_over_again() -> None:
    (flight,) = flights(tunnelled())
    assert [told(hop) for hop in flight.hops] == [
        {}, {},
        {"ip.src": (None, "192.168.99.101"), "ip.dst": (None, "192.168.99.102"), "udp.sport": (None, 40000),
         "udp.dport": (None, 4789), "vxlan.vni": (None, 4097)},
        {}, {"ip.ttl": (64, 63)},
    ]
    assert "inner.icmp.seq" in flight.hops[2].changed  # as data nothing is left out


def test_a_large_ping_is_another_question_to_the_reader_too() -> None:
    asked = render.asked(Question(source="a", target="b", size=1400, df=True, by="name"))
    assert asked == "b ping, 1400 bytes, DF, by name"


def test_frames_that_a_softirq_takes_off_the_backlog_are_no_lines_of_their_own() -> None:
    trace, question = Trace([*list(lost())[:3], Step(Kind.BACKLOG, "host")]), Question(source="a", target="b")
    assert "backlog" not in drawn(render.walk(question, Answer(Outcome.TIMEOUT), trace))
    assert "backlog" in drawn(render.walk(question, Answer(Outcome.TIMEOUT), trace, detail="all"))


def test_in_brief_each_place_takes_one_line_that_says_what_became_of_the_packet() -> None:
    (flight,) = flights(lost())
    assert [(leg.where, leg.devices, leg.what, leg.drop) for leg in legs(flight)] == [
        ("busybox1", ("eth0",), "", False), ("host", (), f"TTL 64 -> 63; DROPPED by a rule: {RULE}", True)]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_in_brief_a_hop_never_takes_two_lines(width: int) -> None:
    walked = render.walk(Question(source="a", target="b"), Answer(Outcome.TIMEOUT), lost(), detail="brief")
    lines = drawn(walked, width).splitlines()[-2:]
    assert [line.split()[0] for line in lines] == ["busybox1", "host"]
    assert all(len(line) <= width for line in lines)


def test_in_brief_packets_on_a_known_way_are_counted() -> None:
    steps = list(lost())
    again = [replace(step, packet=replace(ping(), uid=8)) for step in steps]
    text = drawn(render.walk(Question(source="a", target="b"), Answer(Outcome.TIMEOUT), Trace([*steps, *again]),
                             detail="brief"))
    assert "1 more packet: ARP, or on a way that is shown" in text
