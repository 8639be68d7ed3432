"""Tunnels and a swarm's own talk in the comparison of paths: what must agree, and what is nobody's business."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.compare import compare_path
from sim.packet import Ethernet, Icmp, IcmpType, IPv4, Packet, Proto, Tcp, TcpFlag, Udp, Unreach, Vxlan, ip
from sim.spec import Dial
from sim.trace import Kind, Step, Trace

POINTS = ["h1:eth0", "h2:eth0"]
DIAL = Dial(source="a1", probe="ping", address="10.0.1.4", source_port=20001)


def outer(sport: int, *, seq: int = 1, back: bool = False, vni: int = 4097) -> list[Step]:
    """An echo message in VXLAN, leaving one host and arriving at the other."""
    hosts, boxes = [ip("192.168.99.101"), ip("192.168.99.102")], [ip("10.0.1.2"), ip("10.0.1.4")]
    points = list(POINTS)
    kind = IcmpType.ECHO_REQUEST
    if back:
        kind = IcmpType.ECHO_REPLY
        for pair in (hosts, boxes, points):
            pair.reverse()
    inner = Packet(eth=Ethernet("02:42:0a:00:01:02", "02:42:0a:00:01:04"), ip=IPv4(*boxes, Proto.ICMP),
                   l4=Icmp(kind, 0, 20001, seq))
    packet = Packet(eth=Ethernet("mac(h1:eth0)", "mac(h2:eth0)"), ip=IPv4(*hosts, Proto.UDP), l4=Udp(sport, 4789),
                    vxlan=Vxlan(vni), inner=inner)
    return [seen(points[0], "out", packet), seen(points[1], "in", packet)]


def seen(point: str, way: str, packet: Packet) -> Step:
    where, _, device = point.partition(":")
    return Step(Kind.SEEN, where, device, packet.snapshot(), way=way)


def gossip(port: int = 7946) -> list[Step]:
    said = Packet(eth=Ethernet("mac(h1:eth0)", "mac(h2:eth0)"),
                  ip=IPv4(ip("192.168.99.101"), ip("192.168.99.102"), Proto.UDP), l4=Udp(port, port), payload=b"ping")
    return [seen("h1:eth0", "out", said), seen("h2:eth0", "in", said)]


def trace(*parts: Iterable[Step]) -> Trace:
    steps = [step for part in parts for step in part]
    for number, step in enumerate(steps):
        step.at = number * 1e-6
    return Trace(steps)


def agreed(mine: Trace, observed: Trace, **more: object) -> bool | None:
    return compare_path(mine, observed, POINTS, dial=DIAL, **more).agreed  # type: ignore[arg-type]


def test_the_source_port_of_a_tunnel_may_be_any_hash() -> None:
    assert agreed(trace(outer(40000), outer(41000, back=True)), trace(outer(55555), outer(55555, back=True))) is True


def test_the_source_port_of_a_tunnel_stays_the_same_for_a_flow() -> None:
    mine = trace(outer(40000), outer(40000, seq=2))
    assert agreed(mine, trace(outer(50000), outer(50000, seq=2))) is True
    assert agreed(mine, trace(outer(50000), outer(50001, seq=2))) is False


def segment(sport: int, seq: int) -> list[Step]:
    """A TCP segment in VXLAN, leaving one host and arriving at the other."""
    steps = outer(sport)
    for step in steps:
        assert step.packet is not None and step.packet.inner is not None and step.packet.inner.ip is not None
        step.packet.inner.ip.proto = Proto.TCP
        step.packet.inner.l4 = Tcp(20001, 80, seq, 0, TcpFlag.SYN)
    return steps


def test_tcp_that_sends_again_may_go_on_with_another_source_port_of_the_tunnel() -> None:
    mine = trace(segment(40000, 1), segment(40000, 1), segment(40000, 2))
    assert agreed(mine, trace(segment(50000, 1), segment(50001, 1), segment(50001, 2))) is True
    assert agreed(mine, trace(segment(50000, 1), segment(50001, 1), segment(50002, 2))) is False


def test_the_source_port_of_a_tunnel_is_of_the_ephemeral_range() -> None:
    assert agreed(trace(outer(40000)), trace(outer(4789))) is False


def test_another_vni_disagrees() -> None:
    assert agreed(trace(outer(40000)), trace(outer(40000, vni=4098))) is False


def test_what_a_swarm_says_to_itself_is_left_out() -> None:
    assert agreed(trace(outer(40000)), trace(gossip(), outer(40000), gossip())) is True


def refused(port: int = 7946) -> list[Step]:
    """A host answers that nobody listens there (any more)."""
    said = gossip(port)[0].packet
    answer = Packet(eth=Ethernet("mac(h2:eth0)", "mac(h1:eth0)"),
                    ip=IPv4(ip("192.168.99.102"), ip("192.168.99.101"), Proto.ICMP),
                    l4=Icmp(IcmpType.DEST_UNREACH, Unreach.PORT), inner=said)
    return [seen("h2:eth0", "out", answer), seen("h1:eth0", "in", answer)]


def test_that_a_killed_engine_hears_no_gossip_is_left_out_with_the_gossip() -> None:
    assert agreed(trace(outer(40000)), trace(gossip(), refused(), outer(40000))) is True
    assert agreed(trace(outer(40000)), trace(outer(40000), refused(7000))) is False
    assert agreed(trace(outer(40000)), trace(outer(40000), refused()), fixed=[7946]) is False


def test_a_port_of_the_swarm_that_the_topology_names_is_compared() -> None:
    assert agreed(trace(outer(40000)), trace(outer(40000), gossip()), fixed=[7946]) is False


def test_other_talk_between_the_hosts_is_not_left_out() -> None:
    assert agreed(trace(outer(40000)), trace(outer(40000), gossip(7000))) is False


def test_a_managers_connection_is_left_out_also_where_it_begins() -> None:
    opening = Packet(eth=Ethernet("mac(h2:eth0)", "mac(h1:eth0)"),
                     ip=IPv4(ip("192.168.99.102"), ip("192.168.99.101"), Proto.TCP), l4=Tcp(45000, 2377, TcpFlag.SYN))
    assert agreed(trace(outer(40000)), trace([seen("h2:eth0", "out", opening)], outer(40000))) is True


def fragments(order: list[int]) -> Trace:
    """The later fragments of a ping of 4000 bytes between the hosts, as they pass h2's uplink in that order."""
    later = {1480: 1480, 2960: 1048}
    src, dst = ip("192.168.99.101"), ip("192.168.99.102")
    out, arriving = [], []
    for offset, length in later.items():
        piece = Packet(eth=Ethernet("mac(h1:eth0)", "mac(h2:eth0)"), payload=bytes(length),
                       ip=IPv4(src, dst, Proto.ICMP, mf=offset == 1480, offset=offset))
        out.append(seen("h1:eth0", "out", piece))
        arriving.append(seen("h2:eth0", "in", piece))
    return trace(out, [arriving[n] for n in order])


def test_a_fragment_may_overtake_another() -> None:
    assert agreed(fragments([0, 1]), fragments([1, 0])) is True


def test_a_missing_fragment_disagrees() -> None:
    assert agreed(fragments([0, 1]), fragments([0])) is False
    assert agreed(fragments([0, 1]), fragments([0, 0])) is False
