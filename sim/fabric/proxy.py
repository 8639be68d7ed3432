"""docker-proxy: a process in the host's namespace that listens on the published port and copies to the container
(libnetwork's cmd/proxy, one process a port). It serves whom the DNAT rules leave out: 127.0.0.1, and the container's
own bridge.
"""

from __future__ import annotations

from sim.fabric.fabric import Fabric, Process
from sim.kernel.datagram import UdpSocket
from sim.kernel.netns import Netns
from sim.kernel.tcp import TcpSocket
from sim.kernel.tcp_states import State
from sim.packet import dotted
from sim.trace import Kind


def held_port(fabric: Fabric, netns: Netns, protocol: str, address: int, port: int) -> Process:
    """A port that dockerd itself holds with docker-proxy switched off (libnetwork's portmapper/proxy.go, dummyProxy):
    the kernel makes connections, and nobody ever takes one."""
    if protocol == "tcp":
        TcpSocket(netns, address, port).listen()
    else:
        netns.sockets.bind(UdpSocket(netns, address, port))
    yield fabric.env.event()


def tcp_proxy(fabric: Fabric, netns: Netns, address: int, port: int, backend: tuple[int, int]) -> Process:
    """`docker-proxy -proto tcp -host-ip ADDRESS -host-port PORT -container-ip … -container-port …`."""
    listener = TcpSocket(netns, address, port)
    listener.listen()
    while True:
        while not listener.inbox:
            yield fabric.ready(listener)
        fabric.spawn(_relay(fabric, listener.inbox.popleft(), backend))


def _relay(fabric: Fabric, client: TcpSocket, backend: tuple[int, int]) -> Process:
    server = TcpSocket(client.netns)
    yield fabric.note(Kind.PROXY, client.netns.label, f"docker-proxy dials {dotted(backend[0])}:{backend[1]}")
    yield fabric.call(server.connect(*backend, fabric.now))
    while server.state is State.SYN_SENT and not server.error:
        yield fabric.ready(server)
    if server.error:
        yield fabric.call(client.close(fabric.now))
        return
    fabric.spawn(_copy(fabric, client, server))
    yield from _copy(fabric, server, client)


def _copy(fabric: Fabric, source: TcpSocket, sink: TcpSocket) -> Process:
    """One direction, until the end of the stream, which is passed on (CloseWrite)."""
    while True:
        while source.inbox:
            data = b"".join(source.inbox)  # all that waits, as one write (splice, which Go's io.Copy comes down to)
            source.inbox.clear()
            yield fabric.note(Kind.PROXY, source.netns.label, f"docker-proxy copies {len(data)} bytes")
            yield fabric.call(sink.send(data, fabric.now))
        if source.eof or source.error:
            yield fabric.call(sink.shutdown(fabric.now))
            return
        yield fabric.ready(source)


def udp_proxy(fabric: Fabric, netns: Netns, address: int, port: int, backend: tuple[int, int]) -> Process:
    """`docker-proxy -proto udp …`: one connected socket a client, answers go back from the listening one."""
    front = UdpSocket(netns, address, port)
    netns.sockets.bind(front)
    backs: dict[tuple[int, int], UdpSocket] = {}
    while True:
        while not front.inbox:
            yield fabric.ready(front)
        payload, peer, peer_port, _ = front.inbox.popleft()
        client = peer, peer_port
        yield fabric.note(Kind.PROXY, netns.label, f"docker-proxy copies {len(payload)} bytes")
        if client not in backs:
            back = UdpSocket(netns)
            if not back.connect(*backend):
                continue
            backs[client] = back
            fabric.spawn(_answers(fabric, back, front, client))
        yield fabric.call(backs[client].send(payload, fabric.now))


def _answers(fabric: Fabric, back: UdpSocket, front: UdpSocket, client: tuple[int, int]) -> Process:
    while True:
        while not back.inbox:
            if back.error:
                return
            yield fabric.ready(back)
        payload = back.inbox.popleft()[0]
        yield fabric.note(Kind.PROXY, front.netns.label, f"docker-proxy copies {len(payload)} bytes")
        yield fabric.call(front.send(payload, fabric.now, client))
