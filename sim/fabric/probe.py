"""The asker: runs one Dial on simulated sockets, as `live/probe.py` does on real ones, and says how it ended."""

from __future__ import annotations

from typing import Any

from sim.fabric.casting import check_unicast
from sim.fabric.dns import resolve
from sim.fabric.fabric import Fabric, Process
from sim.fabric.responder import REQUEST
from sim.kernel.datagram import PingSocket, UdpSocket
from sim.kernel.netns import Netns
from sim.kernel.resolver import ResolverFiles
from sim.kernel.tcp import TcpSocket
from sim.kernel.tcp_states import State
from sim.packet import dotted, ip
from sim.spec import Dial
from sim.trace import Answer, Kind, Outcome


def probe(fabric: Fabric, netns: Netns, dial: Dial, files: ResolverFiles | None = None) -> Process:
    """The process of a question; its value is the Answer. `files`: the asker's own, where it has others than its
    namespace."""
    if dial.name:
        resolving = fabric.spawn(resolve(fabric, netns, dial.name, files or netns.files))
        yield resolving | fabric.env.timeout(dial.resolve_timeout)
        found: Any = resolving.value if resolving.triggered else Outcome.NAME_UNANSWERED
        if isinstance(found, Outcome):
            return Answer(found, detail=f"{dial.name} does not resolve in {dial.source}")
        address = int(found)
    else:
        address = ip(dial.address)
    check_unicast(netns, address)
    ask = {"ping": _ping, "tcp": _tcp, "udp": _udp}[dial.probe]
    return (yield from ask(fabric, netns, dial, address))


def _left(fabric: Fabric, deadline: float) -> float:
    return max(0.0, deadline - fabric.now)


def _no_route(netns: Netns, address: int) -> Answer:
    """connect(2) failed with ENETUNREACH: there is no packet that a step could tell of."""
    return Answer(Outcome.NET_UNREACHABLE, dotted(address), detail=f"{netns.label}: no route to {dotted(address)}")


def _ping(fabric: Fabric, netns: Netns, dial: Dial, address: int) -> Process:
    sock = PingSocket(netns, dial.source_port)
    start = fabric.now
    yield fabric.call(sock.send(address, 1, bytes(dial.size), start, strict=dial.df))
    if not sock.inbox and not sock.error:
        yield fabric.ready(sock, _left(fabric, start + dial.timeout))
    if sock.inbox:
        return Answer(Outcome.REACHED, dotted(address), rtt=fabric.now - start)
    return Answer(sock.error or Outcome.TIMEOUT, dotted(address))


def _tcp(fabric: Fabric, netns: Netns, dial: Dial, address: int) -> Process:
    sock = TcpSocket(netns, 0, dial.source_port)
    start = fabric.now
    deadline = start + dial.timeout
    yield fabric.call(sock.connect(address, dial.port, start))
    while sock.state is State.SYN_SENT and not sock.error and _left(fabric, deadline):
        yield fabric.ready(sock, _left(fabric, deadline))
    if sock.remote is None:
        return _no_route(netns, address)
    if sock.state is not State.ESTABLISHED:
        failed = sock.error or Outcome.TIMEOUT
        yield fabric.call(sock.close(fabric.now))
        return Answer(failed, dotted(address))
    connected = fabric.now - start
    yield fabric.ready(sock, dial.pause)
    if sock.error or sock.eof:
        yield fabric.call(sock.close(fabric.now))
        return Answer(Outcome.RESET, dotted(address))
    asked = fabric.now
    yield fabric.call(sock.send(bytes(max(0, dial.body - len(REQUEST))) + REQUEST, asked))
    while not sock.inbox and not sock.error and not sock.eof and _left(fabric, deadline):
        yield fabric.ready(sock, _left(fabric, deadline))
    text = b"".join(sock.inbox).decode()
    sock.inbox.clear()
    yield fabric.note(Kind.RECEIVE, netns.label)
    rtt = connected + fabric.now - asked
    # What is still on its way of a body is given up, or it would go out again in the midst of other questions.
    yield fabric.call(sock.close(fabric.now, abort=bool(dial.body) and not text))
    if not text:
        hung_up = Outcome.RESET if sock.error or sock.eof else Outcome.TIMEOUT
        return Answer(hung_up, dotted(address))
    served_by, _, seen_as = text.strip().rpartition(" ")
    return Answer(Outcome.REACHED, dotted(address), served_by, seen_as, rtt)


def _udp(fabric: Fabric, netns: Netns, dial: Dial, address: int) -> Process:
    sock = UdpSocket(netns, 0, dial.source_port, recverr=True)
    start = fabric.now
    if not sock.connect(address, dial.port):
        return _no_route(netns, address)
    yield fabric.call(sock.send(REQUEST, start))
    if not sock.inbox and not sock.error:
        yield fabric.ready(sock, _left(fabric, start + dial.timeout))
    if not sock.inbox:
        return Answer(sock.error or Outcome.TIMEOUT, dotted(address))
    served_by, _, seen_as = sock.inbox.popleft()[0].decode().strip().rpartition(" ")
    return Answer(Outcome.REACHED, dotted(address), served_by, seen_as, fabric.now - start)
