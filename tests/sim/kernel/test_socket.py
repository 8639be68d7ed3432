import pytest

from sim.errors import PlumbError
from sim.fabric.fabric import Fabric
from sim.kernel.datagram import UdpSocket
from sim.kernel.socket import EPHEMERAL
from sim.kernel.tcp import TcpSocket
from sim.packet import ip
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
