"""IPVS in its namespace, hop by hop.

The headers, lengths and TTLs of the ingress path are those that sniffers saw on a swarm of three 20.10 engines (Linux
6.1); the leg over VXLAN, which changes nothing inside, is left out.
"""

from __future__ import annotations

import pytest

from sim.fabric.fabric import Fabric
from sim.kernel.datagram import PingSocket, UdpSocket
from sim.kernel.draws import Draws
from sim.kernel.tcp import TcpSocket
from sim.packet import Icmp, IcmpType, IPv4, Packet, Proto, Udp, Unreach, dotted, ip
from sim.trace import DropReason, Kind, Outcome
from tests.sim.kernel.mesh import Mesh, connect, ends, frames, given_to, ingress, listen, segment, virtual

PUBLISHED = "192.168.99.101"
HOPS = {
    "client:eth0": ("192.168.99.1:50001 > 192.168.99.101:8088", 64, 62),
    "h1:eth1": ("192.168.99.1:50001 > 192.168.99.101:8088", 64, 62),
    "h1:docker_gwbridge": ("192.168.99.1:50001 > 172.18.0.2:8088", 63, 63),
    "ingress_sbox:eth1": ("192.168.99.1:50001 > 172.18.0.2:8088", 63, 63),
    "ingress_sbox:eth0": ("10.0.0.2:50001 > 10.0.0.6:8088", 62, 64),
    "task6:eth0": ("10.0.0.2:50001 > 10.0.0.6:8088", 62, 64),
}
"""Capture point -> (the ends as the request shows them, its TTL there, the answer's TTL there)."""
ASKED = [("SYN", 0, 0, 0), ("ACK", 1, 1, 0), ("PSH|ACK", 1, 1, 83), ("ACK", 84, 209, 0), ("ACK", 84, 222, 0),
         ("FIN|ACK", 84, 222, 0), ("ACK", 85, 223, 0)]
ANSWERED = [("SYN|ACK", 0, 1, 0), ("ACK", 1, 84, 0), ("PSH|ACK", 1, 84, 208), ("PSH|ACK", 209, 84, 13),
            ("FIN|ACK", 222, 84, 0), ("ACK", 223, 85, 0)]
"""(flags, seq, ack, length) as captured, each direction on its own: the two FINs crossed."""


def inverse(flow: str) -> str:
    src, dst = flow.split(" > ")
    return f"{dst} > {src}"


def converse(mesh: Mesh) -> Fabric:
    """83 bytes one way, 208 and 13 back, and both ends close at once."""
    listeners = listen(mesh)
    fabric, sock = connect(mesh, PUBLISHED, 8088)
    child: TcpSocket = listeners[6].inbox[0]
    for speaker, length, until in ((sock, 83, 0.2), (child, 208, 0.3), (child, 13, 0.4)):
        fabric.walk(speaker.send(b"x" * length, fabric.now))
        fabric.env.run(until=until)
    child.inbox.clear()
    sock.inbox.clear()
    fabric.walk(child.close(fabric.now))
    fabric.walk(sock.close(fabric.now))
    fabric.env.run(until=0.5)
    return fabric


@pytest.mark.parametrize("point", HOPS)
def test_each_hop_of_the_ingress_path_shows_the_headers_that_were_captured_there(point: str) -> None:
    flow, request_ttl, reply_ttl = HOPS[point]
    packets = frames(converse(ingress()), point)
    assert {ends(p) for p in packets} == {flow, inverse(flow)}
    assert [segment(p) for p in packets if ends(p) == flow] == [(*s, request_ttl) for s in ASKED]
    assert [segment(p) for p in packets if ends(p) == inverse(flow)] == [(*s, reply_ttl) for s in ANSWERED]
    assert {(p.csum, p.ip.df) for p in packets if p.ip} == {("partial", True)}


def test_a_request_and_its_answer_cross_the_hops_in_order() -> None:
    mesh = ingress()
    listen(mesh)
    fabric, _ = connect(mesh, PUBLISHED, 8088)
    crossed = [s.point for s in fabric.trace() if s.kind is Kind.SEEN and s.packet and s.packet.ip and s.point in HOPS]
    there = list(HOPS)
    assert crossed == [*there, *reversed(there), *there]


def test_a_closed_port_behind_the_mesh_resets_the_connection_for_the_published_address() -> None:
    mesh = ingress()
    fabric, sock = connect(mesh, PUBLISHED, 8088)
    assert sock.error is Outcome.REFUSED
    for point, (flow, _, ttl) in HOPS.items():
        assert [(ends(p), segment(p)[0], p.ip and p.ip.ttl) for p in frames(fabric, point)][1:] == [
            (inverse(flow), "RST|ACK", ttl)]


def test_a_balanced_packet_passes_output_and_postrouting_and_leaves_the_rest_of_input_out() -> None:
    mesh = ingress()
    listen(mesh)
    fabric, _ = connect(mesh, PUBLISHED, 8088)
    inside = [s for s in fabric.trace() if s.where == "ingress_sbox"]
    request = inside[:next(at for at, s in enumerate(inside) if s.kind is Kind.SEEN and s.way == "out" and (
        s.packet is not None and s.packet.ip is not None))]
    assert [s.detail for s in request if s.kind is Kind.HOOK] == [
        "mangle/PREROUTING", "nat/PREROUTING", "mangle/INPUT", "mangle/OUTPUT", "mangle/POSTROUTING", "nat/POSTROUTING"]
    assert [s.detail for s in request if s.kind in (Kind.IPVS, Kind.NAT)] == [
        "to 10.0.0.6:8088", "SNAT 192.168.99.1:50001 -> 10.0.0.2:50001"]


def test_an_answer_is_seen_by_ipvs_in_forward_after_conntrack_undid_the_snat() -> None:
    mesh = ingress()
    listen(mesh)
    fabric, _ = connect(mesh, PUBLISHED, 8088)
    done = [s.detail for s in fabric.trace() if s.where == "ingress_sbox" and s.kind in (Kind.IPVS, Kind.NAT)]
    assert done[2:4] == ["un-SNAT 10.0.0.2:50001 -> 192.168.99.1:50001", "answers as 172.18.0.2:8088"]
    assert done[4] == "to 10.0.0.6:8088"


def test_conntrack_of_the_sandbox_keeps_the_virtual_address_and_the_task() -> None:
    mesh = ingress()
    listen(mesh)
    connect(mesh, PUBLISHED, 8088)
    (entry,) = mesh.balancer.netfilter.conntrack.entries()
    assert (str(entry.original), str(entry.reply)) == (
        "src=192.168.99.1 dst=172.18.0.2 sport=50001 dport=8088", "src=10.0.0.6 dst=10.0.0.2 sport=8088 dport=50001")


def test_without_its_sysctl_balanced_connections_are_untracked_and_get_no_snat() -> None:
    mesh = ingress()
    mesh.balancer.sysctls["net.ipv4.vs.conntrack"] = "0"
    fabric, _ = connect(mesh, PUBLISHED, 8088)
    assert ends(frames(fabric, "ingress_sbox:eth0")[0]) == "192.168.99.1:50001 > 10.0.0.6:8088"
    assert len(mesh.balancer.netfilter.conntrack) == 0


VIRTUAL_HOPS = [
    ("client:eth0", "10.0.1.9:50001 > 10.0.1.5:80", 64),
    ("lb:eth0", "10.0.1.9:50001 > 10.0.1.5:80", 64),
    ("lb:eth0", "10.0.1.2:50001 > 10.0.1.6:80", 63),
    ("task6:eth0", "10.0.1.2:50001 > 10.0.1.6:80", 63),
    ("task6:eth0", "10.0.1.6:80 > 10.0.1.2:50001", 64),
    ("lb:eth0", "10.0.1.6:80 > 10.0.1.2:50001", 64),
    ("lb:eth0", "10.0.1.5:80 > 10.0.1.9:50001", 63),
    ("client:eth0", "10.0.1.5:80 > 10.0.1.9:50001", 63),
]


def test_a_virtual_address_is_balanced_on_the_network_that_all_are_on() -> None:
    mesh = virtual()
    listen(mesh)
    fabric, sock = connect(mesh, "10.0.1.5", 80)
    points = {point for point, _, _ in VIRTUAL_HOPS}
    crossed = [(s.point, ends(s.packet), s.packet.ip.ttl) for s in fabric.trace()
               if s.kind is Kind.SEEN and s.point in points and s.packet and s.packet.ip]
    assert sock.error is None and crossed[:8] == VIRTUAL_HOPS


def test_a_ping_to_a_virtual_address_is_answered_by_the_balancer_itself() -> None:
    mesh = virtual()
    fabric = Fabric()
    fabric.walk(PingSocket(mesh.client, 7).send(ip("10.0.1.5"), 0, b"", 0.0))
    fabric.env.run(until=1)
    assert [s.where for s in fabric.trace() if s.kind is Kind.DELIVER] == ["lb", "client"]


def test_a_task_may_be_given_its_own_connection_to_its_service() -> None:
    mesh = virtual()
    mesh.client = mesh.tasks[6]
    listen(mesh)
    fabric, sock = connect(mesh, "10.0.1.5", 80)
    assert given_to(mesh, list(fabric.trace())) == [6] and sock.error is None


def test_datagrams_of_one_flow_go_to_one_task_and_are_answered_as_the_virtual_address() -> None:
    mesh = virtual()
    server, sock, fabric = UdpSocket(mesh.tasks[6], 0, 53), UdpSocket(mesh.client, 0, 50001), Fabric()
    mesh.tasks[6].sockets.bind(server)
    sock.connect(ip("10.0.1.5"), 53)
    for _ in range(2):
        fabric.walk(sock.send(b"who", fabric.now))
        fabric.env.run(until=fabric.now + 0.1)
    payload, address, port, _ = server.inbox[1]
    fabric.walk(server.send(b"me", fabric.now, to=(address, port)))
    fabric.env.run(until=1)
    assert (payload, dotted(address), given_to(mesh, list(fabric.trace()))) == (b"who", "10.0.1.2", [6])
    assert [(data, dotted(source)) for data, source, _, _ in sock.inbox] == [(b"me", "10.0.1.5")]


def test_an_icmp_error_of_a_task_comes_from_the_virtual_address_and_quotes_what_the_client_sent() -> None:
    mesh = ingress()
    sock, fabric = UdpSocket(mesh.client, 0, 50001), Fabric()
    sock.connect(ip(PUBLISHED), 8088)
    fabric.walk(sock.send(b"anybody?", 0.0))
    fabric.env.run(until=1)
    assert sock.error is Outcome.REFUSED
    shown = {}
    for point in ("ingress_sbox:eth0", "ingress_sbox:eth1", "client:eth0"):
        error = next(p for p in frames(fabric, point) if isinstance(p.l4, Icmp))
        assert error.ip is not None and error.inner is not None
        shown[point] = dotted(error.ip.src), dotted(error.ip.dst), error.ip.ttl, ends(error.inner)
    assert shown == {
        "ingress_sbox:eth0": ("10.0.0.6", "10.0.0.2", 64, "10.0.0.2:50001 > 10.0.0.6:8088"),
        "ingress_sbox:eth1": ("172.18.0.2", "192.168.99.1", 63, "192.168.99.1:50001 > 172.18.0.2:8088"),
        "client:eth0": ("192.168.99.101", "192.168.99.1", 62, "192.168.99.1:50001 > 192.168.99.101:8088"),
    }


def test_an_icmp_error_of_the_client_about_an_answer_reaches_the_task_that_gave_it() -> None:
    mesh = virtual()
    server, fabric = UdpSocket(mesh.tasks[6], 0, 53), Fabric()
    mesh.tasks[6].sockets.bind(server)
    question = Packet(ip=IPv4(0, ip("10.0.1.5"), Proto.UDP), l4=Udp(50001, 53), payload=b"and gone")
    fabric.walk(mesh.client.ip.output(question, 0.0))
    fabric.env.run(until=0.1)
    _, address, port, _ = server.inbox[0]
    fabric.walk(server.send(b"too late", fabric.now, to=(address, port)))
    fabric.env.run(until=1)
    (error,) = [p for p in frames(fabric, "task6:eth0") if isinstance(p.l4, Icmp)]
    assert error.ip is not None and error.inner is not None
    assert (dotted(error.ip.src), dotted(error.ip.dst), ends(error.inner), error.ip.ttl) == (
        "10.0.1.2", "10.0.1.6", "10.0.1.6:53 > 10.0.1.2:50001", 63)


def test_a_datagram_that_is_too_large_for_the_overlay_is_told_so_by_the_address_that_it_was_sent_to() -> None:
    mesh = ingress()
    fabric = Fabric()
    large = Packet(ip=IPv4(0, ip(PUBLISHED), Proto.UDP, df=True), l4=Udp(50001, 8088), payload=bytes(1440))
    fabric.walk(mesh.client.ip.output(large, 0.0))
    fabric.env.run(until=1)
    error = frames(fabric, "client:eth0")[-1]
    assert isinstance(error.l4, Icmp) and error.ip is not None
    assert (error.l4.code, error.l4.mtu, dotted(error.ip.src)) == (Unreach.FRAG_NEEDED, 1450, PUBLISHED)
    first = fabric.trace().drops()[0]
    assert (first.where, first.reason) == ("ingress_sbox", DropReason.MTU)


def test_a_datagram_without_df_is_cut_for_the_overlay() -> None:
    mesh = ingress()
    fabric = Fabric()
    large = Packet(ip=IPv4(0, ip(PUBLISHED), Proto.UDP), l4=Udp(50001, 8088), payload=bytes(1440))
    fabric.walk(mesh.client.ip.output(large, 0.0))
    fabric.env.run(until=1)
    assert [p.size() for p in frames(fabric, "ingress_sbox:eth0")[:2]] == [1444, 44]


def test_a_ttl_that_runs_out_in_the_balancer_is_told_to_the_sender() -> None:
    mesh = virtual()
    fabric = Fabric()
    fabric.walk(mesh.client.ip.output(Packet(ip=IPv4(0, ip("10.0.1.5"), Proto.UDP, ttl=1), l4=Udp(50001, 53)), 0.0))
    fabric.env.run(until=1)
    error = frames(fabric, "client:eth0")[-1]
    assert isinstance(error.l4, Icmp) and error.l4.type == IcmpType.TIME_EXCEEDED


def test_a_service_whose_tasks_are_all_drained_refuses_connections() -> None:
    mesh = virtual()
    for number in mesh.tasks:
        mesh.balancer.ipvs.update_destination(257, ip(f"10.0.1.{number}"), 0)
    fabric, sock = connect(mesh, "10.0.1.5", 80)
    assert sock.error is Outcome.REFUSED
    assert [s.reason for s in fabric.trace().drops()] == [DropReason.NO_DESTINATION]
    error = frames(fabric, "client:eth0")[-1]
    assert isinstance(error.l4, Icmp) and error.l4.code == Unreach.PORT


def test_an_open_connection_survives_the_draining_of_its_task() -> None:
    mesh = virtual()
    listeners = listen(mesh)
    fabric, sock = connect(mesh, "10.0.1.5", 80)
    mesh.balancer.ipvs.update_destination(257, ip("10.0.1.6"), 0)
    fabric.walk(sock.send(b"still there?", fabric.now))
    fabric.env.run(until=1)
    assert list(listeners[6].inbox[0].inbox) == [b"still there?"]


def test_an_open_connection_of_a_task_that_was_taken_away_is_dropped_in_silence() -> None:
    mesh = virtual()
    listen(mesh)
    fabric, sock = connect(mesh, "10.0.1.5", 80)
    mesh.balancer.ipvs.remove_destination(257, ip("10.0.1.6"))
    fabric.walk(sock.send(b"still there?", fabric.now))
    fabric.env.run(until=0.15)
    assert sock.error is None and [s.reason for s in fabric.trace().drops()] == [DropReason.NO_DESTINATION]


def test_with_expire_nodest_conn_the_connection_of_a_task_that_was_taken_away_is_reset_by_the_balancer() -> None:
    mesh = virtual()
    mesh.balancer.sysctls["net.ipv4.vs.expire_nodest_conn"] = "1"
    listen(mesh)
    fabric, sock = connect(mesh, "10.0.1.5", 80)
    mesh.balancer.ipvs.remove_destination(257, ip("10.0.1.6"))
    assert len(mesh.balancer.ipvs.connections) == len(mesh.balancer.netfilter.conntrack) == 0
    fabric.walk(sock.send(b"still there?", fabric.now))
    fabric.env.run(until=0.15)
    assert sock.error is Outcome.RESET


def test_what_opens_no_connection_is_for_the_balancer_itself() -> None:
    mesh = virtual()
    listen(mesh)
    fabric, sock = connect(mesh, "10.0.1.5", 80)
    mesh.balancer.flush()
    fabric.walk(sock.send(b"who are you?", fabric.now))
    fabric.env.run(until=1)
    assert sock.error is Outcome.RESET


def test_each_task_is_drawn_as_the_first_in_one_of_the_ways_that_a_question_may_go() -> None:
    mesh, chosen = virtual(), []
    wanted: list[int] | None = []
    while wanted is not None:
        mesh.flush()
        mesh.balancer.draws = Draws(wanted)
        fabric, _ = connect(mesh, "10.0.1.5", 80)
        chosen += given_to(mesh, list(fabric.trace()))
        wanted = mesh.balancer.draws.next()
    assert chosen == [6, 7, 8]


def test_connections_of_one_question_go_round_all_tasks() -> None:
    mesh = virtual()
    listen(mesh)
    fabric = Fabric()
    for port in range(50001, 50007):
        fabric.walk(TcpSocket(mesh.client, 0, port).connect(ip("10.0.1.5"), 80, fabric.now))
        fabric.env.run(until=fabric.now + 0.1)
    assert given_to(mesh, list(fabric.trace())) == [6, 7, 8, 6, 7, 8]


def test_a_connection_from_the_balancer_itself_is_balanced_in_output() -> None:
    mesh = virtual()
    mesh.balancer.iptables("-t mangle -A OUTPUT -p tcp -d 10.0.1.77 -j MARK --set-mark 257")
    mesh.client = mesh.balancer
    listen(mesh)
    fabric, sock = connect(mesh, "10.0.1.77", 80)
    assert sock.error is None and sock.remote == (ip("10.0.1.77"), 80)
    assert {ends(p) for p in frames(fabric, "lb:eth0")} == {
        "10.0.1.2:50001 > 10.0.1.6:80", "10.0.1.6:80 > 10.0.1.2:50001"}
