import pytest

from sim.errors import PlumbError
from sim.fabric.fabric import Fabric
from sim.fabric.responder import tcp_responder
from sim.kernel.datagram import UdpSocket
from sim.kernel.socket import Standby
from sim.kernel.sysctl import EPHEMERAL
from sim.kernel.tcp import TcpSocket
from sim.packet import Proto, ip
from sim.trace import Outcome
from tests.sim.kernel.machines import pair


def listener(netns, address, port):
    sock = TcpSocket(netns, ip(address) if address else 0, port)
    sock.listen()
    return sock


def test_second_listener_on_the_same_address_and_port_is_refused():
    a, _ = pair()
    listener(a, "127.0.0.1", 80)
    listener(a, "10.0.0.1", 80)
    with pytest.raises(PlumbError, match="address already in use"):
        listener(a, "", 80)


def test_tcp_and_udp_ports_are_independent():
    a, _ = pair()
    listener(a, "", 53)
    a.sockets.bind(UdpSocket(a, 0, 53))


def test_listener_on_127_0_0_1_is_not_reached_from_outside():
    a, b = pair()
    listener(b, "127.0.0.1", 80)
    fabric, sock = Fabric(), TcpSocket(a)
    fabric.walk(sock.connect(ip("10.0.0.2"), 80, 0.0))
    fabric.env.run(until=0.5)
    assert sock.error is Outcome.REFUSED


def test_listener_on_the_exact_address_comes_before_the_one_on_any():
    _a, b = pair()
    listener(b, "10.0.0.2", 80)
    with pytest.raises(PlumbError):
        listener(b, "", 80)


def test_connected_udp_socket_takes_datagrams_of_its_peer_only():
    a, b = pair()
    sock = UdpSocket(b, 0, 7000)
    sock.connect(ip("10.0.0.1"), 1111)
    fabric = Fabric()
    fabric.walk(UdpSocket(a, 0, 1111).send(b"peer", 0.0, (ip("10.0.0.2"), 7000)))
    fabric.walk(UdpSocket(a, 0, 2222).send(b"stranger", 0.0, (ip("10.0.0.2"), 7000)))
    fabric.env.run(until=1)
    assert [m[0] for m in sock.inbox] == [b"peer"]


def test_udp_to_a_closed_port_is_refused_by_port_unreachable():
    a, _ = pair()
    sock = UdpSocket(a)
    sock.connect(ip("10.0.0.2"), 9)
    fabric = Fabric()
    fabric.walk(sock.send(b"x", 0.0))
    fabric.env.run(until=1)
    assert sock.error is Outcome.REFUSED


def test_local_ports_are_drawn_from_the_ephemeral_range_without_repeats():
    a, _ = pair()
    socks = [UdpSocket(a) for _ in range(50)]
    for sock in socks:
        sock.connect(ip("10.0.0.2"), 80)
    assert len({s.port for s in socks}) == 50 and all(s.port in EPHEMERAL for s in socks)


def test_udp_without_a_route_is_network_unreachable():
    a, _ = pair()
    sock = UdpSocket(a)
    assert not sock.connect(ip("8.8.8.8"), 53) and sock.error is Outcome.NET_UNREACHABLE


def standing_by(netns, fabric, address="", port=80):
    """A program that waits to be started, and how often it was."""
    started = []

    def start():
        started.append(fabric.now)
        fabric.start(tcp_responder(fabric, netns, "b", port))

    netns.sockets.stand_by(Standby(Proto.TCP, ip(address) if address else 0, port, start))
    return started


def test_a_program_that_stands_by_is_started_by_what_comes_for_its_port_and_only_once():
    (a, b), fabric = pair(), Fabric()
    started = standing_by(b, fabric)
    socks = [TcpSocket(a), TcpSocket(a)]
    for port, sock in zip((81, 80), socks, strict=True):
        fabric.walk(sock.connect(ip("10.0.0.2"), port, fabric.now))
        fabric.env.run(until=fabric.now + 0.5)
    assert socks[0].error is Outcome.REFUSED and socks[1].error is None
    fabric.walk(TcpSocket(a).connect(ip("10.0.0.2"), 80, fabric.now))
    fabric.env.run(until=fabric.now + 0.5)
    assert len(started) == 1


def test_the_port_of_a_program_that_stands_by_is_taken():
    a, _ = pair()
    standing_by(a, Fabric())
    with pytest.raises(PlumbError, match=r"listen tcp 127\.0\.0\.1:80: bind: address already in use"):
        listener(a, "127.0.0.1", 80)
    with pytest.raises(PlumbError, match=r"listen tcp 0\.0\.0\.0:80: bind: address already in use"):
        standing_by(a, Fabric())


def test_no_connection_is_given_the_port_of_a_program_that_stands_by():
    a, _ = pair()
    standing_by(a, Fabric(), port=EPHEMERAL.start)
    sock = TcpSocket(a)
    sock.remote = (ip("10.0.0.2"), 80)
    assert a.sockets.ephemeral(sock) == EPHEMERAL.start + 1


def test_after_a_flush_a_program_that_was_started_stands_by_again():
    a, _ = pair()
    standing_by(a, Fabric())
    a.flush()
    with pytest.raises(PlumbError, match="address already in use"):
        listener(a, "", 80)
    a.sockets.stand_down()
    listener(a, "", 80)


def test_who_stands_by_listens_like_who_runs():
    a, _ = pair()
    listener(a, "127.0.0.1", 80)
    a.sockets.stand_by(Standby(Proto.UDP, 0, 53, lambda: None))
    assert a.sockets.listening() == [(Proto.TCP, 80, ip("127.0.0.1")), (Proto.UDP, 53, 0)]
