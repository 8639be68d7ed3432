"""A trace told hop by hop."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from experiments import render
from experiments.walk import decided, flights, told, why
from sim import compose
from sim.packet import Arp, Ethernet, Icmp, IPv4, Packet, Udp, Vxlan, ip
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


def test_the_rule_that_dropped_the_packet_decides() -> None:
    step = decided(Answer(Outcome.TIMEOUT), lost())
    assert step is not None and step.detail == RULE
    assert why(Answer(Outcome.TIMEOUT), lost()) == f"host: dropped by a rule: {RULE}"


def test_a_frame_for_somebody_else_decides_nothing() -> None:
    trace = Trace([Step(Kind.DROP, "other", "eth0", ping(), reason=DropReason.NOT_FOR_US)])
    assert decided(Answer(Outcome.TIMEOUT), trace) is None


def test_what_was_reached_needs_no_reason() -> None:
    assert why(Answer(Outcome.REACHED), lost()) == ""


def test_a_name_that_nobody_knows_is_explained_by_the_name_server() -> None:
    trace = Trace([Step(Kind.DNS, "busybox2", detail="busybox1: no such name")])
    assert why(Answer(Outcome.NO_SUCH_NAME), trace) == "the name server in busybox2 says busybox1: no such name"


def test_each_hop_says_which_headers_changed() -> None:
    (flight,) = flights(lost())
    assert [h.kind for h in flight.hops][:3] == ["socket-send", "veth", "route"]
    assert flight.hops[2].changed == {"ip.ttl": (64, 63)}
    assert flight.end.startswith("dropped in host")


def test_taps_are_shown_when_everything_is_asked_for() -> None:
    assert len(flights(lost(), everything=True)[0].hops) == len(flights(lost())[0].hops) + 1


def test_a_walk_shows_the_rule_and_the_change() -> None:
    console = Console(file=StringIO(), width=140)
    question = Question(source="busybox1", target="web")
    console.print(render.walk(question, Answer(Outcome.TIMEOUT, "172.18.0.2"), lost()))
    text = console.file.getvalue()  # type: ignore[attr-defined]
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


def test_a_question_that_ends_while_arp_still_asks_says_who_is_silent() -> None:
    def arp(op: int, sender: str, target: str) -> Packet:
        return Packet(eth=Ethernet("a", "b"), arp=Arp(op, "a", ip(sender), "b", ip(target)))

    asked, answered = arp(1, "10.0.0.1", "10.0.0.9"), arp(2, "10.0.0.9", "10.0.0.1")
    steps = [Step(Kind.SEEN, "app", "eth0", asked, way="out")]
    assert why(Answer(Outcome.TIMEOUT), Trace(steps)) == "app:eth0: 10.0.0.9 does not answer ARP"
    assert why(Answer(Outcome.TIMEOUT), Trace([*steps, Step(Kind.SEEN, "app", "eth0", answered, way="in")])) == ""


def test_the_wire_between_the_machines_is_no_hop() -> None:
    trace = Trace([Step(Kind.LINK, "client", "eth0", ping(), "to @wire:client"),
                   Step(Kind.BRIDGE, WIRE, "switch", ping(), "somebody is at host"),
                   Step(Kind.ROUTE, "host", "", ping(), "somewhere")])
    console = Console(file=StringIO(), width=140)
    console.print(render.walk(Question(source="client", target="web"), Answer(Outcome.REACHED), trace))
    text = console.file.getvalue()  # type: ignore[attr-defined]
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
