"""What makes two paths disagree, and what must not."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable

import pytest

from experiments.compare import compare_path
from sim.packet import BROADCAST, ZERO_MAC, Arp, Ethernet, EtherType, Icmp, IPv4, Packet, Tcp, TcpFlag, Udp, ip
from sim.spec import Dial
from sim.trace import Kind, Step, Trace

A, B, GW, HOST, CLIENT = (ip(t) for t in ("172.18.0.2", "172.18.0.3", "172.18.0.1", "192.168.99.101", "192.168.99.200"))
MAC = {A: "02:42:ac:12:00:02", B: "02:42:ac:12:00:03", GW: "mac(host:br(net))", HOST: "mac(host:eth0)",
       CLIENT: "mac(client:eth0)"}
SYN, ACK, FIN, PSH, RST = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.PSH, TcpFlag.RST
DIAL = Dial(source="client", probe="tcp", address="192.168.99.101", port=8080, source_port=20007)

FROM_CLIENT = (("client:eth0", "out"), ("host:eth0", "in"), ("host:br(net)", "out"), ("host:veth(a@net)", "out"),
               ("a:eth0", "in"))
TO_CLIENT = (("a:eth0", "out"), ("host:veth(a@net)", "in"), ("host:br(net)", "in"), ("host:eth0", "out"),
             ("client:eth0", "in"))
POINTS = sorted({point for point, _ in FROM_CLIENT} | {"host:veth(b@net)", "b:eth0"})


def seen(point: str, way: str, packet: Packet) -> Step:
    where, _, device = point.partition(":")
    return Step(Kind.SEEN, where, device, packet, way=way)


def trace(steps: Iterable[Step], lost: int = 0) -> Trace:
    """Stamped a microsecond apart."""
    result = [copy.deepcopy(s) for s in steps]
    for number, step in enumerate(result):
        step.at = number * 1e-6
    return Trace(result, lost)


def segment(
    flags: int, seq: int, payload: bytes = b"", *, back: bool = False, ack: int = 0, port: int = 20007
) -> list[Step]:
    """One segment between the client and port 80 of `a`, published as 8080 of the host, at each point of its way."""
    steps = []
    for number, (point, way) in enumerate(TO_CLIENT if back else FROM_CLIENT):
        outside = number < 2 if not back else number > 2
        src, dst = (CLIENT, HOST if outside else A) if not back else (HOST if outside else A, CLIENT)
        macs = (MAC[CLIENT], MAC[HOST]) if outside else (MAC[GW], MAC[A])
        eth = Ethernet(*(macs if not back else macs[::-1]))
        server = 8080 if outside else 80
        l4 = Tcp(port, server, flags, seq, ack) if not back else Tcp(server, port, flags, seq, ack)
        ttl = 64 if (outside != back) else 63
        steps.append(seen(point, way, Packet(eth=eth, ip=IPv4(src, dst, 6, ttl, df=True), l4=l4, payload=payload)))
    return steps


def arp(
    asker: int, target: int, points: Iterable[tuple[str, str]], *, answer: bool = False, unicast: bool = False
) -> list[Step]:
    if answer:
        packet = Packet(eth=Ethernet(MAC[target], MAC[asker], EtherType.ARP),
                        arp=Arp(2, MAC[target], target, MAC[asker], asker))
    else:
        packet = Packet(eth=Ethernet(MAC[asker], MAC[target] if unicast else BROADCAST, EtherType.ARP),
                        arp=Arp(1, MAC[asker], asker, ZERO_MAC, target))
    return [seen(point, way, packet.copy()) for point, way in points]


OUTER_ASK, OUTER_ANSWER = FROM_CLIENT[:2], TO_CLIENT[3:]
INNER_ASK = (("host:br(net)", "out"), ("host:veth(a@net)", "out"), ("a:eth0", "in"), ("host:veth(b@net)", "out"),
             ("b:eth0", "in"))
INNER_ANSWER = (("a:eth0", "out"), ("host:veth(a@net)", "in"), ("host:br(net)", "in"))


def connection() -> dict[str, list[Step]]:
    """A published port called from outside, with cold caches, packet by packet."""
    syn = segment(SYN, 0)
    return {
        "ask": arp(CLIENT, HOST, OUTER_ASK), "answer": arp(CLIENT, HOST, OUTER_ANSWER, answer=True),
        "syn at the host": syn[:2],
        "inner ask": arp(GW, A, INNER_ASK), "inner answer": arp(GW, A, INNER_ANSWER, answer=True),
        "syn": syn[2:],
        "syn ack": segment(SYN | ACK, 0, back=True, ack=1), "ack": segment(ACK, 1, ack=1),
        "data": segment(PSH | ACK, 1, b"web\n", back=True, ack=1), "data ack": segment(ACK, 1, ack=5),
        "server fin": segment(FIN | ACK, 5, back=True, ack=1),
        "client fin": segment(FIN | ACK, 1, ack=6), "last ack": segment(ACK, 6, back=True, ack=2),
    }


def flat(parts: dict[str, list[Step]]) -> list[Step]:
    return [step for steps in parts.values() for step in steps]


def verdict(observed: Trace, predicted: Trace | None = None, **more: object):  # type: ignore[no-untyped-def]
    options = {"dial": DIAL} | more
    expected = trace(flat(connection())) if predicted is None else predicted
    return compare_path(expected, observed, POINTS, **options)  # type: ignore[arg-type]


def test_the_same_path_agrees() -> None:
    check = verdict(trace(flat(connection())))
    assert check.agreed is True
    assert check.predicted == check.observed


def test_nothing_predicted_and_nothing_seen_agrees() -> None:
    assert verdict(Trace(), Trace()).agreed is True


# planted differences


def change(step: Step, edit: Callable[[Packet], None]) -> None:
    assert step.packet is not None
    edit(step.packet)


def test_a_wrong_ttl_behind_the_router_is_found_where_it_is() -> None:
    parts = connection()
    change(parts["syn"][0], lambda p: setattr(p.ip, "ttl", 64))
    check = verdict(trace(flat(parts)))
    assert check.agreed is False
    assert (check.where, check.predicted, check.observed) == ("host:br(net) (out)", "ip.ttl 63", "ip.ttl 64")


def test_a_missing_nat_shows_both_addresses_and_ports() -> None:
    parts = connection()
    for step in parts["syn"]:
        change(step, lambda p: (setattr(p.ip, "dst", HOST), setattr(p.l4, "dport", 8080)))  # type: ignore[func-returns-value]
    check = verdict(trace(flat(parts)))
    assert check.agreed is False
    assert check.predicted == "ip.dst 172.18.0.2, tcp.dport 80"
    assert check.observed == "ip.dst 192.168.99.101, tcp.dport 8080"
    assert "a:eth0 (in)" in check.detail


@pytest.mark.parametrize("edit", [
    lambda p: setattr(p.eth, "src", "02:00:00:00:00:99"), lambda p: setattr(p, "csum", "partial"),
    lambda p: setattr(p.l4, "flags", int(SYN | ACK | PSH)), lambda p: setattr(p.ip, "df", False),
    lambda p: setattr(p.ip, "tos", 16), lambda p: setattr(p.l4, "seq", 1), lambda p: setattr(p, "payload", b"x"),
    lambda p: setattr(p.l4, "dport", 20008), lambda p: setattr(p.eth, "dst", BROADCAST),
])
def test_every_header_field_counts(edit: Callable[[Packet], None]) -> None:
    parts = connection()
    change(parts["syn ack"][2], edit)
    assert verdict(trace(flat(parts))).agreed is False


def test_an_additional_packet_is_found() -> None:
    parts = connection()
    parts["reset"] = segment(RST, 5, back=True)[:1]
    check = verdict(trace(flat(parts)))
    assert (check.agreed, check.where, check.predicted) == (False, "a:eth0 (out)", "nothing")
    assert check.observed == "TCP 172.18.0.2:80 > 192.168.99.200:20007 [RST]"


def test_a_retransmission_counts() -> None:
    twice = connection()
    twice["syn again"] = segment(SYN, 0)
    assert verdict(trace(flat(twice))).agreed is False
    assert verdict(trace(flat(connection())), trace(flat(twice))).agreed is False
    assert verdict(trace(flat(twice)), trace(flat(twice))).agreed is True


def test_a_packet_missing_at_one_point_is_found() -> None:
    parts = connection()
    del parts["data"][3]
    check = verdict(trace(flat(parts)))
    assert (check.agreed, check.where, check.observed) == (False, "host:eth0 (out)", "nothing")


def test_a_packet_seen_at_a_point_that_was_not_predicted_is_found() -> None:
    parts = connection()
    stray = copy.deepcopy(parts["syn"][1])
    stray.device = "veth(b@net)"
    parts["syn"].append(stray)
    assert verdict(trace(flat(parts))).agreed is False


def test_hops_in_another_order_disagree() -> None:
    parts = connection()
    parts["syn"][0], parts["syn"][1] = parts["syn"][1], parts["syn"][0]
    check = verdict(trace(flat(parts)))
    assert check.agreed is False
    assert "before" in check.predicted


def test_an_answer_before_its_request_disagrees() -> None:
    parts = connection()
    order = list(parts)
    order.remove("syn ack")
    order.insert(order.index("syn"), "syn ack")
    assert verdict(trace(flat({k: parts[k] for k in order}))).agreed is False


def test_a_connection_that_does_not_wait_for_arp_disagrees() -> None:
    parts = connection()
    order = ["syn at the host", *(k for k in parts if k != "syn at the host")]
    check = verdict(trace(flat({k: parts[k] for k in order})))
    assert (check.agreed, check.where) == (False, "the order of dialogues")


def test_a_missing_arp_answer_at_a_flooded_port_is_found() -> None:
    parts = connection()
    parts["inner ask"].pop()
    assert verdict(trace(flat(parts))).agreed is False


def test_a_trace_with_lost_frames_is_neither_agreed_nor_disagreed() -> None:
    check = verdict(trace(flat(connection()), lost=1))
    assert check.agreed is None
    assert check.detail == "the capture lost 1 frame"
    assert verdict(trace([], lost=3)).agreed is None


def test_the_handshakes_own_ack_is_compared() -> None:
    parts = connection()
    parts["ack"], parts["data ack"] = [], []
    assert verdict(trace(flat(parts))).agreed is False


def test_another_ip_of_an_arp_question_is_found() -> None:
    parts = connection()
    change(parts["ask"][0], lambda p: setattr(p.arp, "sender_ip", HOST))
    assert verdict(trace(flat(parts))).agreed is False


def test_a_missing_pure_ack_is_found() -> None:
    parts = connection()
    parts["data ack"] = []
    assert verdict(trace(flat(parts))).agreed is False


def test_another_ack_number_is_found() -> None:
    parts = connection()
    for step in parts["client fin"]:
        change(step, lambda p: setattr(p.l4, "ack", 5))
    assert verdict(trace(flat(parts))).agreed is False


# harmless variations


def test_the_two_ends_of_a_connection_race() -> None:
    """The client hangs up before the server's FIN has come."""
    parts = connection()
    del parts["last ack"]  # it follows from both
    expected = trace(flat(parts))
    mixed: list[Step] = []
    for theirs, ours in zip(parts.pop("server fin"), parts.pop("client fin"), strict=True):
        mixed += [ours, theirs]
    parts["ends"] = mixed
    assert verdict(trace(flat(parts)), expected).agreed is True


def test_copies_of_a_flooded_frame_run_side_by_side() -> None:
    parts = connection()
    parts["inner ask"] = [parts["inner ask"][i] for i in (0, 3, 1, 4, 2)]
    assert verdict(trace(flat(parts))).agreed is True


def test_a_later_copy_of_a_packet_may_be_under_way_when_an_earlier_one_has_arrived() -> None:
    first, again = segment(SYN, 0), segment(SYN, 0)
    burst = [*first[:4], *again[:4], first[4], again[4]]
    assert verdict(trace([*first, *again]), trace(burst)).agreed is True
    assert verdict(trace([*first[:2], first[4], *first[2:4], *again]), trace(burst)).agreed is False


def test_a_bridge_and_its_port_may_bear_the_same_time_stamp() -> None:
    parts = connection()
    back = parts["data"]
    back[1], back[2] = back[2], back[1]
    observed = trace(flat(parts))
    tied = [s for s in observed if s.packet and s.packet.payload and s.way == "in" and s.where == "host"]
    assert verdict(observed).agreed is False
    tied[1].at = tied[0].at
    assert verdict(observed).agreed is True


def test_a_stale_neighbour_is_asked_again_without_harm() -> None:
    parts = connection()
    parts["reconfirm"] = arp(GW, A, INNER_ASK[:3], unicast=True)
    parts["reconfirmed"] = arp(GW, A, INNER_ANSWER, answer=True)
    assert verdict(trace(flat(parts))).agreed is True
    parts["unasked"] = arp(GW, A, INNER_ANSWER, answer=True)
    assert verdict(trace(flat(parts))).agreed is False


def test_tails_of_another_questions_dial_are_not_this_questions() -> None:
    tail = segment(FIN | ACK, 5, back=True, port=20006)
    observed = trace([*tail, *flat(connection())])
    assert verdict(observed).agreed is False
    assert verdict(observed, others=[20006, 20007]).agreed is True


def test_late_segments_of_an_earlier_docker_proxy_connection_are_not_this_questions() -> None:
    late = segment(FIN | ACK, 5, back=True, port=40123)[:2]
    assert verdict(trace([*late, *flat(connection())])).agreed is True
    whole = [*segment(SYN, 0, port=40123)[2:], *segment(RST | ACK, 0, back=True, port=40123)[:3]]
    assert verdict(trace([*flat(connection()), *whole])).agreed is False


def test_what_comes_after_the_window_is_on_neither_side() -> None:
    parts = connection()
    parts["late"] = arp(CLIENT, HOST, OUTER_ASK)
    predicted = trace(flat(parts))
    for step in predicted.steps[-2:]:
        step.at = 2.0
    assert verdict(trace(flat(connection())), predicted).agreed is False
    assert verdict(trace(flat(connection())), predicted, until=1.6).agreed is True


def proxied(port: int) -> Trace:
    """docker-proxy's own connection, after the client's."""
    accepted = segment(SYN | ACK, 0, back=True, port=port)[:3]
    return trace([*segment(SYN, 0)[:2], *segment(SYN, 0, port=port)[2:], *accepted])


def test_ephemeral_ports_may_differ_but_not_change_under_way() -> None:
    assert verdict(proxied(40001), proxied(50002)).agreed is True
    broken = proxied(40001)
    change(broken.steps[-1], lambda p: setattr(p.l4, "dport", 40002))
    assert verdict(broken, proxied(50002)).agreed is False


def test_a_port_that_the_topology_names_keeps_its_number() -> None:
    assert verdict(proxied(40001), proxied(40002), fixed=[40001, 40002]).agreed is False


def test_ports_of_a_range_that_a_container_was_given_are_drawn_as_well() -> None:
    assert verdict(proxied(30001), proxied(30002)).agreed is False
    assert verdict(proxied(30001), proxied(30002), drawn=range(30000, 30011)).agreed is True


def dns(query: int, answers: list[int]) -> list[Step]:
    def lo(sport: int, dport: int, length: int) -> list[Step]:
        packet = Packet(eth=Ethernet(ZERO_MAC, ZERO_MAC), ip=IPv4(ip("127.0.0.1"), ip("127.0.0.11"), 17),
                        l4=Udp(sport, dport), payload=bytes(length))
        return [seen("a:lo", way, packet.copy()) for way in ("out", "in")]

    steps = lo(query, 45555, 30) + lo(query, 45555, 31)
    for length in answers:
        steps += lo(53, query, length)
    return steps


def test_two_answers_of_the_name_server_may_overtake_each_other() -> None:
    first, second = (trace(dns(41000, order)) for order in ([46, 30], [30, 46]))
    assert compare_path(first, second, ["a:lo"]).agreed is True
    assert compare_path(first, trace(dns(50000, [46])), ["a:lo"]).agreed is False
    assert compare_path(first, trace(dns(50000, [46, 31])), ["a:lo"]).agreed is False


def test_a_name_servers_answer_to_an_earlier_question_is_not_this_questions() -> None:
    late = dns(50000, [46])[-2:]
    assert compare_path(trace(dns(41000, [46])), trace([*late, *dns(42000, [46])]), ["a:lo"]).agreed is True


def test_an_icmp_error_is_compared_with_what_it_quotes() -> None:
    def refused(about: int) -> Trace:
        quoted = Packet(ip=IPv4(A, B, 17, 63), l4=Udp(20007, about))
        error = Packet(eth=Ethernet(MAC[B], MAC[A]), ip=IPv4(B, A, 1, 64, tos=0xC0), l4=Icmp(3, 3), inner=quoted)
        return trace([seen("a:eth0", "in", error)])

    assert compare_path(refused(9), refused(9), ["a:eth0"], dial=DIAL).agreed is True
    assert compare_path(refused(9), refused(10), ["a:eth0"], dial=DIAL).agreed is False


def test_points_that_nobody_sniffed_at_are_not_compared() -> None:
    parts = connection()
    predicted = trace(flat(parts))
    observed = Trace([s for s in predicted if s.where != "host"])
    outside = [p for p in POINTS if not p.startswith("host:")]
    assert compare_path(predicted, observed, outside, dial=DIAL).agreed is True


@pytest.mark.parametrize("seed", range(40))
def test_no_single_removal_duplication_or_header_change_goes_unseen(seed: int) -> None:
    dice = random.Random(seed)
    parts = {k: v for k, v in connection().items() if k not in ("data ack", "last ack")}
    steps = flat(parts)
    victim = dice.randrange(len(steps))
    kind = dice.choice(["remove", "double", "alter"])
    planted = [copy.deepcopy(s) for s in steps]
    if kind == "remove":
        del planted[victim]
    elif kind == "double":
        # (a second pure ACK is harmless by rule)
        victim = next(i for i in range(victim, victim - len(steps), -1) if not _is_ack(steps[i]))
        planted.insert(victim, copy.deepcopy(steps[victim]))
    else:
        change(planted[victim], lambda p: setattr(p.eth, "dst", "02:42:00:00:00:99"))
    assert verdict(trace(planted), trace(steps)).agreed is False


def _is_ack(step: Step) -> bool:
    assert step.packet is not None
    l4 = step.packet.l4
    return isinstance(l4, Tcp) and l4.flags == ACK
