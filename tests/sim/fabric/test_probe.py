import pytest

from sim.fabric import responder
from sim.fabric.fabric import Fabric
from sim.fabric.probe import probe
from sim.spec import Dial
from sim.trace import Kind, Outcome
from tests.sim.kernel.machines import pair


def run(protocol, address="10.0.0.2", *, port=80, rules=(), serve=True, timeout=1.5):
    a, b = pair()
    for rule in rules:
        b.iptables(rule)
    fabric = Fabric()
    if serve:
        fabric.spawn(responder.tcp_responder(fabric, b, "b", 80))
        fabric.spawn(responder.udp_responder(fabric, b, "b", 80))
    dial = Dial(source="a", probe=protocol, address=address, port=port, timeout=timeout)
    return fabric.run(fabric.spawn(probe(fabric, a, dial)), 0.3), fabric


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_responder_says_who_it_is_and_whom_it_sees(protocol):
    answer, _ = run(protocol)
    assert (answer.outcome, answer.served_by, answer.seen_as) == (Outcome.REACHED, "b", "10.0.0.1")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_closed_port_is_refused(protocol):
    assert run(protocol, port=81)[0].outcome is Outcome.REFUSED


@pytest.mark.parametrize("protocol", ["ping", "tcp", "udp"])
def test_dropped_packets_are_a_timeout_after_the_time_that_was_given(protocol):
    answer, fabric = run(protocol, rules=["-P INPUT DROP"], timeout=1.25)
    assert answer.outcome is Outcome.TIMEOUT and answer.rtt is None
    assert fabric.now == pytest.approx(1.25 + 0.3, abs=0.01)


@pytest.mark.parametrize("protocol", ["ping", "tcp"])
def test_address_that_nobody_has_is_host_unreachable_after_three_seconds(protocol):
    answer, _ = run(protocol, "10.0.0.77", timeout=4)
    assert answer.outcome is Outcome.HOST_UNREACHABLE


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_connect_without_a_route_says_whose_route_is_missing(protocol):
    answer, _ = run(protocol, "172.18.0.2")
    assert (answer.outcome, answer.detail) == (Outcome.NET_UNREACHABLE, "a: no route to 172.18.0.2")


def test_dialogue_on_the_wire_is_request_answer_and_orderly_close():
    _, fabric = run("tcp")
    data = [(s.packet.l4.sport == 80, len(s.packet.payload)) for s in fabric.trace()
            if s.kind is Kind.SEEN and s.point == "a:eth0" and getattr(s.packet, "payload", b"")]
    assert data == [(False, 9), (True, len(b"b 10.0.0.1\n"))]


@pytest.mark.parametrize("protocol", ["ping", "tcp", "udp"])
def test_dialling_0_0_0_0_reaches_the_machine_itself(protocol):
    _a, b = pair()
    fabric = Fabric()
    fabric.spawn(responder.tcp_responder(fabric, b, "b", 80))
    fabric.spawn(responder.udp_responder(fabric, b, "b", 80))
    dial = Dial(source="b", probe=protocol, address="0.0.0.0", port=80, timeout=1.5)
    answer = fabric.run(fabric.spawn(probe(fabric, b, dial)), 0.3)
    assert (answer.outcome, answer.address) == (Outcome.REACHED, "0.0.0.0")
    assert answer.seen_as == ("" if protocol == "ping" else "127.0.0.1")
