from sim.fabric import proxy, responder
from sim.fabric.fabric import Fabric
from sim.fabric.probe import probe
from sim.packet import ip
from sim.spec import Dial
from sim.trace import Kind, Outcome
from tests.sim.kernel.machines import switched


def ask(protocol, listening=True):
    """The host's 127.0.0.1:8080 is proxied to c1:80; the answer and the trace."""
    host, _, (c1, *_) = switched(1)
    fabric = Fabric()
    backend = (ip("10.0.0.1"), 80)
    relay = {"tcp": proxy.tcp_proxy, "udp": proxy.udp_proxy}[protocol]
    fabric.spawn(relay(fabric, host, 0, 8080, backend))
    if listening:
        serve = {"tcp": responder.tcp_responder, "udp": responder.udp_responder}[protocol]
        fabric.spawn(serve(fabric, c1, "c1", 80))
    dial = Dial(source="host", probe=protocol, address="127.0.0.1", port=8080)
    return fabric.run(fabric.spawn(probe(fabric, host, dial)), 0.3), fabric.trace()


def test_docker_proxy_hides_the_client_behind_the_bridge_address():
    for protocol in ("tcp", "udp"):
        answer, _ = ask(protocol)
        assert (answer.outcome, answer.served_by, answer.seen_as) == (Outcome.REACHED, "c1", "10.0.0.254")


def test_docker_proxy_opens_a_second_connection_from_an_ephemeral_port():
    _, trace = ask("tcp")
    came = [s.packet for s in trace if s.kind is Kind.SEEN and s.point == "c1:eth0" and s.way == "in"]
    syn = [packet for packet in came if "[SYN]" in str(packet)]
    assert len(syn) == 1 and syn[0].l4.sport >= 32768 and syn[0].l4.dport == 80


def test_docker_proxy_accepts_and_hangs_up_when_nobody_listens_in_the_container():
    answer, _ = ask("tcp", listening=False)
    assert answer.outcome is Outcome.RESET


def test_end_of_stream_passes_through_the_proxy_in_both_directions():
    _, trace = ask("tcp")
    fins = [str(s.packet) for s in trace if s.kind is Kind.SEND and "FIN" in str(s.packet)]
    assert len(fins) == 4


def test_a_port_that_dockerd_holds_takes_connections_and_never_answers():
    host, *_ = switched(1)
    for protocol, outcome in (("tcp", Outcome.TIMEOUT), ("udp", Outcome.TIMEOUT)):
        fabric = Fabric()
        fabric.spawn(proxy.held_port(fabric, host, protocol, 0, 8080))
        dial = Dial(source="host", probe=protocol, address="127.0.0.1", port=8080, timeout=1.5)
        assert fabric.run(fabric.spawn(probe(fabric, host, dial)), 0.3).outcome is outcome
        assert bool([s for s in fabric.trace() if "[SYN|ACK]" in str(s.packet)]) is (protocol == "tcp")
