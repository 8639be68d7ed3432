"""The server that listens in containers, hosts and clients: the dialogue that `live/responder.py` has on real sockets.

TCP: reads the request, answers with its name and the address that it sees, waits for the end of the stream, closes.
UDP: answers any datagram so. `address` 0: on every address of the namespace.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.fabric.fabric import Fabric, Process
from sim.kernel.datagram import UdpSocket
from sim.kernel.netns import Netns
from sim.kernel.tcp import TcpSocket
from sim.packet import dotted
from sim.trace import Kind

REQUEST = b"hopcast?\n"
THINKING = 50e-6
"""Seconds between a request and its answer: a program's own time, long beside the kernel's to carry a packet on."""


def answer(label: str, peer: int) -> bytes:
    return f"{label} {dotted(peer)}\n".encode()


def tcp_responder(fabric: Fabric, netns: Netns, label: str, port: int, address: int = 0) -> Process:
    """Answer a request on each connection to `port`, for ever."""
    yield from _tcp(fabric, netns, port, address, lambda connection: _serve(fabric, connection, label))


def _serve(fabric: Fabric, connection: TcpSocket, label: str) -> Process:
    assert connection.remote is not None
    got = b""
    while not got.endswith(REQUEST):
        while connection.inbox:
            got += connection.inbox.popleft()
        if not got.endswith(REQUEST):
            if connection.eof or connection.error:
                break
            yield fabric.ready(connection)
    else:
        yield fabric.note(Kind.RECEIVE, connection.netns.label)
        yield fabric.env.timeout(THINKING)
        yield fabric.call(connection.send(answer(label, connection.remote[0]), fabric.now))
    while not connection.eof and not connection.error:
        yield fabric.ready(connection)
    yield fabric.call(connection.close(fabric.now))


def tcp_echo(fabric: Fabric, netns: Netns, label: str, port: int, address: int = 0) -> Process:
    """Return what comes on each connection; the answer acknowledges, as a ping-pong server's does when it is warm."""
    yield from _tcp(fabric, netns, port, address, lambda connection: _echo(fabric, connection))


def _tcp(fabric: Fabric, netns: Netns, port: int, address: int, serve: Callable[[TcpSocket], Process]) -> Process:
    """Listen on `port`; every connection is served by a process of its own."""
    listener = TcpSocket(netns, address, port)
    listener.listen()
    while True:
        while not listener.inbox:
            yield fabric.ready(listener)
        fabric.spawn(serve(listener.inbox.popleft()))


def tcp_echo_once(fabric: Fabric, netns: Netns, label: str, port: int, address: int = 0) -> Process:
    """Return the first thing that comes on each connection, and close."""
    yield from _tcp(fabric, netns, port, address, lambda connection: _echo_once(fabric, connection))


def _echo_once(fabric: Fabric, connection: TcpSocket) -> Process:
    while not connection.inbox and not connection.eof and not connection.error:
        yield fabric.ready(connection)
    if connection.inbox:
        data = connection.inbox.popleft()
        yield fabric.note(Kind.RECEIVE, connection.netns.label)
        yield fabric.call(connection.send(data, fabric.now))
    yield fabric.call(connection.close(fabric.now))


def _echo(fabric: Fabric, connection: TcpSocket) -> Process:
    connection.quickack = False
    while not connection.eof and not connection.error:
        while connection.inbox:
            data = connection.inbox.popleft()
            yield fabric.note(Kind.RECEIVE, connection.netns.label)
            yield fabric.call(connection.send(data, fabric.now))
        yield fabric.ready(connection)
    yield fabric.call(connection.close(fabric.now))


def udp_echo(fabric: Fabric, netns: Netns, label: str, port: int, address: int = 0) -> Process:
    """Return every datagram."""
    yield from _udp(fabric, netns, port, address, lambda payload, _peer: payload, 0.0)


def udp_responder(fabric: Fabric, netns: Netns, label: str, port: int, address: int = 0) -> Process:
    """Answer every datagram to `port` for ever."""
    yield from _udp(fabric, netns, port, address, lambda _payload, peer: answer(label, peer), THINKING)


def _udp(
    fabric: Fabric, netns: Netns, port: int, address: int, reply: Callable[[bytes, int], bytes], thinking: float
) -> Process:
    sock = UdpSocket(netns, address, port)
    netns.sockets.bind(sock)
    while True:
        while not sock.inbox:
            yield fabric.ready(sock)
        payload, peer, peer_port, asked = sock.inbox.popleft()
        yield fabric.note(Kind.RECEIVE, netns.label)
        yield fabric.env.timeout(thinking)
        source = asked if netns.everywhere else 0  # IP_PKTINFO, where one machine has the addresses of many
        yield fabric.call(sock.send(reply(payload, peer), fabric.now, (peer, peer_port), source))
