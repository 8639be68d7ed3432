"""TCP requests with a body: segments, path MTUs, and black holes."""

from __future__ import annotations

import pytest

from sim import compose
from sim.errors import SpecError
from sim.packet import Icmp, Tcp, TcpFlag
from sim.predict import Prediction, predict
from sim.trace import Kind, Trace

FILE = """
name: mtu
services:
  build: {image: nginx, ports: ["8080:80"]}
x-hopcast:
  hosts: {host: {link: {mtu: 1450}, firewall: [%s]}}
  clients:
    mirror: {address: 192.168.99.200/24, listens: [443]}
    small: {address: 192.168.99.201/24, link: {mtu: 1400}, listens: [443]}
  questions: [%s]
"""
NO_ICMP = '"-A OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP"'


def forecast(question: str, rule: str = "") -> Prediction:
    return predict(compose.loads(FILE % (rule, question), environment={}))


def sent(trace: Trace, where: str) -> list[int]:
    """Bytes of data in the segments that left a machine's eth0, in order."""
    return [len(step.packet.payload) for step in trace if step.kind is Kind.SEEN and step.way == "out" and step.packet
            and step.point == f"{where}:eth0" and isinstance(step.packet.l4, Tcp) and step.packet.payload]


def told(trace: Trace) -> int:
    """How many ICMP errors were made."""
    return sum(step.kind is Kind.ICMP_ERROR for step in trace)


def test_a_segment_is_as_large_as_the_smaller_of_both_ends_takes() -> None:
    found = forecast('{from: build, to: "small:443", size: 4000}')
    assert found.answers[0].outcome == "reached" and sent(found.traces[0], "mtu-build-1") == [1348, 1348, 1304]
    assert told(found.traces[0]) == 0


def test_a_router_tells_of_a_smaller_mtu_and_what_is_missing_is_cut_anew() -> None:
    found = forecast('{from: build, to: "mirror:443", size: 4000}')
    assert found.answers[0].outcome == "reached" and told(found.traces[0]) == 2
    assert sent(found.traces[0], "mtu-build-1") == [1448, 1448, 1104, 1398, 1398, 100]


def test_where_icmp_is_lost_a_large_request_stalls_and_a_small_one_does_not() -> None:
    found = forecast('{from: build, to: "mirror:443", size: 4000}', NO_ICMP)
    assert found.answers[0].outcome == "timeout"
    # the tail passes; what is missing goes out by RACK, then the first segment on each time-out
    assert sent(found.traces[0], "mtu-build-1")[:6] == [1448, 1448, 1104, 1448, 1448, 1448]
    fins = [step for step in found.traces[0] if step.packet and isinstance(step.packet.l4, Tcp)
            and step.packet.l4.flags & TcpFlag.FIN and step.where == "mtu-build-1"]
    assert not fins  # nothing new leaves after a time-out
    small = forecast('{from: build, to: "mirror:443", size: 1398}', NO_ICMP)
    assert small.answers[0].outcome == "reached"


def test_who_answers_nothing_is_probed_with_the_last_segment() -> None:
    found = forecast('{from: build, to: "mirror:443", size: 2896}', NO_ICMP)
    segments = [step.packet.l4 for step in found.traces[0] if step.kind is Kind.SEEN and step.way == "out"
                and step.point == "mtu-build-1:eth0" and step.packet and step.packet.payload]
    assert [segment.seq for segment in segments if isinstance(segment, Tcp)][:5] == [1, 1449, 1449, 1, 1]


def test_a_frame_that_a_cable_does_not_take_is_told_to_nobody() -> None:
    found = forecast('{from: mirror, to: "build:80", size: 4000}')
    assert found.answers[0].outcome == "timeout" and told(found.traces[0]) == 0


def test_the_host_itself_knows_its_own_mtu() -> None:
    found = forecast('{from: host, to: "mirror:443", size: 4000}', NO_ICMP)
    assert found.answers[0].outcome == "reached" and sent(found.traces[0], "host") == [1398, 1398, 1204]


def test_docker_proxy_passes_on_as_one_write_what_waits() -> None:
    found = forecast('{from: host, to: "127.0.0.1:8080", size: 4000}')
    assert found.answers[0].outcome == "reached"
    assert [len(step.packet.payload) for step in found.traces[0] if step.kind is Kind.SEEN and step.packet
            and step.point == "mtu-build-1:eth0" and step.way == "in" and step.packet.payload] == [1448, 1448, 1104]


def test_icmp_quotes_the_beginning_of_a_segment() -> None:
    found = forecast('{from: build, to: "mirror:443", size: 2000}')
    errors = [step.packet for step in found.traces[0] if step.kind is Kind.ICMP_ERROR and step.packet]
    assert len(errors) == 1 and isinstance(errors[0].l4, Icmp) and errors[0].l4.mtu == 1450
    assert errors[0].size() <= 576


@pytest.mark.parametrize(("question", "problem"), [
    ('{from: build, to: "mirror:443", size: 8000}', "more than 5 segments of 1448"),
    ('{from: build, to: "mirror:443", size: 5}', "a request has 9 bytes at least"),
    ('{from: build, to: "mirror:443", size: 100000}', "out of range"),
    ('{from: build, to: "mirror:443/udp", size: 4000}', "size for pings and tcp"),
    ('{from: build, to: "mirror:443", df: true}', "df is for pings"),
])
def test_a_body_that_can_not_be_asked_with_is_refused(question: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        forecast(question)


def test_a_reset_behind_a_hole_is_challenged_and_the_answer_to_that_ends_the_connection() -> None:
    found = forecast('{from: build, to: "mirror:443", size: 1448}', NO_ICMP)
    end = [(step.way, step.packet.l4.flags) for step in found.traces[0] if step.kind is Kind.SEEN and step.packet
           and step.point == "mirror:eth0" and isinstance(step.packet.l4, Tcp)][-3:]
    assert end == [("in", TcpFlag.RST | TcpFlag.ACK), ("out", TcpFlag.ACK), ("in", TcpFlag.RST)]


def test_the_reason_names_the_mtu_and_what_became_of_the_error_about_it() -> None:
    for size in (4000, 2896, 1448):
        found = forecast(f'{{from: build, to: "mirror:443", size: {size}}}', NO_ICMP)
        assert "1500 bytes do not fit the MTU 1450 of eth0 in host" in found.reasons[0]
        assert "the ICMP error that says so does not come back" in found.reasons[0]
        assert "chain OUTPUT" in found.reasons[0]
