"""Sockets: who gets a packet that was for this namespace, and what a process sees of it (net/ipv4/inet_hashtables.c).

Lookup order is the kernel's: a connected socket by its four-tuple, then a listener bound to the address, then one bound
to any address. Nobody there: TCP answers with a reset, UDP with ICMP port-unreachable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.errors import PlumbError
from sim.kernel import icmp
from sim.kernel.effects import Device, Effect, Effects, Wake
from sim.packet import Icmp, IcmpType, Packet, Proto, Tcp, TcpFlag, Udp, Unreach, dotted
from sim.trace import DropReason, Kind, Outcome, Step

if TYPE_CHECKING:
    from sim.kernel.netns import Netns

FlowKey = tuple[int, int, int, int, int]
"""(protocol, local address, local port, remote address, remote port)"""


class Socket:
    """What all sockets share. `inbox` holds what a read would return; `error` what errno would say."""

    proto: Proto

    def __init__(self, netns: Netns, address: int = 0, port: int = 0) -> None:
        self.netns = netns
        self.address, self.port = address, port
        self.remote: tuple[int, int] | None = None
        self.inbox: deque[Any] = deque()
        self.error: Outcome | None = None
        self.waiter: Any = None
        """Set by a process that waits; whoever makes the socket ready wakes it."""

    def wake(self) -> Iterator[Step | Effect]:
        """The sleeper, if any, becomes runnable (`sk_data_ready`)."""
        if self.waiter is not None:
            waiter, self.waiter = self.waiter, None
            yield Step(Kind.WAKEUP, self.netns.label)
            yield Wake(waiter)

    def receive(self, packet: Packet, now: float) -> Effects:
        raise NotImplementedError

    def icmp_error(self, outcome: Outcome, fatal: bool, now: float, *, mtu: int = 0) -> Effects:
        """An ICMP error quotes a packet of this socket's. `mtu`: of the next hop, where that was too small."""
        if fatal:
            self.error = outcome
            yield from self.wake()

    def key(self) -> FlowKey:
        assert self.remote is not None
        return self.proto, self.address, self.port, *self.remote


@dataclass(frozen=True, slots=True)
class Standby:
    """A program that will listen on (protocol, address, port); `start` makes it do so."""

    proto: Proto
    address: int
    port: int
    start: Callable[[], None]


class SocketTable:
    """All sockets of one namespace."""

    def __init__(self, netns: Netns) -> None:
        self.netns = netns
        self.listeners: dict[tuple[int, int], list[Socket]] = {}
        self.flows: dict[FlowKey, Socket] = {}
        self.pings: dict[int, Socket] = {}
        self.tunnels: dict[int, Device] = {}
        """UDP port -> who takes its datagrams inside the kernel (`udp_encap`); these outlive every process."""
        self._next_port = 0
        self._standbys: dict[tuple[int, int], list[Standby]] = {}
        self._started: set[tuple[int, int]] = set()

    def in_use(self, proto: int, address: int, port: int) -> bool:
        """Would a bind to (address, port) fail with EADDRINUSE?"""
        held: Iterable[Socket | Standby] = self.listeners.get((proto, port), ())
        if (proto, port) not in self._started:
            held = [*held, *self._standbys.get((proto, port), ())]
        return any(not address or not each.address or each.address == address for each in held)

    def bind(self, sock: Socket) -> None:
        """Listen on the socket's address and port; PlumbError as bind(2) refuses."""
        self.netns.touched = True
        self._check_free(sock)
        self.listeners.setdefault((sock.proto, sock.port), []).append(sock)

    def _check_free(self, wanted: Socket | Standby) -> None:
        if self.in_use(wanted.proto, wanted.address, wanted.port):
            where = f"{dotted(wanted.address)}:{wanted.port}"
            raise PlumbError(f"listen {wanted.proto.name.lower()} {where}: bind: address already in use",
                             where=self.netns.label)

    def stand_by(self, program: Standby) -> None:
        """A program listens, as far as anybody can tell: it is started when something comes for its port, and after a
        `flush` anew. A question meets few of the programs that a large topology runs. PlumbError as bind(2) refuses."""
        self._check_free(program)
        self._standbys.setdefault((program.proto, program.port), []).append(program)

    def listening(self) -> list[tuple[int, int, int]]:
        """(protocol, port, address) of all who listen, as `ss -ln` shows them; those that stand by as well."""
        waiting: list[Socket | Standby] = [each for known in self.listeners.values() for each in known]
        waiting += [each for known in self._standbys.values() for each in known]
        return sorted({(each.proto, each.port, each.address) for each in waiting})

    def stand_down(self) -> None:
        """No program is waiting any more."""
        self._standbys.clear()
        self._started.clear()

    def _start(self, proto: int, port: int) -> None:
        """Those that stand by for a port."""
        if (proto, port) in self._standbys and (proto, port) not in self._started:
            self._started.add((proto, port))
            for program in self._standbys[proto, port]:
                program.start()

    def ping(self, sock: Socket) -> None:
        """A raw socket hears the echo replies that carry its identifier."""
        self.netns.touched = True
        self.pings[sock.port] = sock

    def connect(self, sock: Socket) -> None:
        """Note a connected socket; its port is drawn from the ephemeral range when it has none."""
        self.netns.touched = True
        if not sock.port:
            sock.port = self.ephemeral(sock)
        self.flows[sock.key()] = sock

    def ephemeral(self, sock: Socket) -> int:
        """A free local port. The kernel draws at random; the model counts, and comparisons rename both sides' ports."""
        assert sock.remote is not None
        ports = self.netns.sysctls.ports
        for _ in ports:
            port = self._next_port if self._next_port in ports else ports.start
            self._next_port = port + 1
            if (sock.proto, sock.address, port, *sock.remote) not in self.flows and not self.in_use(
                    sock.proto, sock.address, port):
                return port
        raise PlumbError("connect: cannot assign requested address", where=self.netns.label)

    def forget(self, sock: Socket) -> None:
        if sock.remote is not None:
            self.flows.pop(sock.key(), None)
        elif sock in self.listeners.get((sock.proto, sock.port), ()):
            self.listeners[sock.proto, sock.port].remove(sock)

    def flush(self) -> None:
        """Drop every socket: the processes that hold them are started anew for each question. Tunnels stay."""
        self.listeners.clear()
        self._started.clear()
        self.flows.clear()
        self.pings.clear()
        self._next_port = 0

    # demultiplexing

    def deliver(self, packet: Packet, now: float) -> Effects:
        """To the socket that the packet is for, or the answer for nobody."""
        header, l4 = packet.ip, packet.l4
        assert header is not None
        match l4:
            case Icmp():
                yield from self._icmp(packet, l4, now)
            case Udp() if l4.dport in self.tunnels:
                yield from self.tunnels[l4.dport].receive(packet, None, now)
            case Udp():
                sock = self._find(Proto.UDP, header.dst, l4.dport, header.src, l4.sport)
                if sock is not None:
                    yield from self._give(sock, packet, now)
                else:
                    yield from self._nobody(packet, Proto.UDP, l4.dport)
                    yield from self.netns.ip.error(packet, IcmpType.DEST_UNREACH, Unreach.PORT, now)
            case Tcp():
                sock = self._find(Proto.TCP, header.dst, l4.dport, header.src, l4.sport)
                if sock is not None:
                    yield from self._give(sock, packet, now)
                else:
                    yield from self._nobody(packet, Proto.TCP, l4.dport)
                    if not l4.flags & TcpFlag.RST and not self.netns.is_broadcast(header.dst):
                        yield from self.netns.ip.output(icmp.reset_of(packet, self.netns.ip.ttl), now)

    def _give(self, sock: Socket, packet: Packet, now: float) -> Effects:
        yield Step(Kind.DELIVER, self.netns.label, "", packet.snapshot(), f"to the socket on port {sock.port}")
        yield from sock.receive(packet, now)

    def _nobody(self, packet: Packet, proto: Proto, port: int) -> Effects:
        elsewhere = " and ".join(dotted(sock.address) for sock in self.listeners.get((proto, port), ()))
        why = f"port {port} is listened on at {elsewhere} only" if elsewhere else f"nobody listens on port {port}"
        yield Step(Kind.DROP, self.netns.label, "", packet.snapshot(), why, reason=DropReason.NO_SOCKET)

    def _find(self, proto: Proto, local: int, port: int, remote: int, remote_port: int) -> Socket | None:
        flow = self.flows.get((proto, local, port, remote, remote_port))
        if flow is not None:
            return flow
        self._start(proto, port)
        bound = self.listeners.get((proto, port), ())
        return next((s for s in bound if s.address == local), None) or next((s for s in bound if not s.address), None)

    def _icmp(self, packet: Packet, message: Icmp, now: float) -> Effects:
        if message.type == IcmpType.ECHO_REQUEST:
            assert packet.ip is not None
            ignored = "all" if not self.netns.is_broadcast(packet.ip.dst) else "broadcasts"
            if self.netns.sysctls.number(f"net.ipv4.icmp_echo_ignore_{ignored}"):
                yield Step(Kind.DROP, self.netns.label, "", packet.snapshot(),
                           f"net.ipv4.icmp_echo_ignore_{ignored} is 1", reason=DropReason.ECHO_IGNORED)
            else:
                yield from self.netns.ip.echo_reply(packet, now)
        elif message.type == IcmpType.ECHO_REPLY:
            sock = self.pings.get(message.ident)
            if sock is not None:
                yield from self._give(sock, packet, now)
        elif packet.inner is not None:
            sock = self._sender_of(packet.inner)
            if sock is None:
                yield Step(Kind.DROP, self.netns.label, "", packet.snapshot(), "quotes no socket's packet",
                           reason=DropReason.ICMP_IGNORED)
                return
            yield Step(Kind.DELIVER, self.netns.label, "", packet.snapshot(), f"to the socket on port {sock.port}")
            outcome, fatal = icmp.ERRNO.get(message.code, (Outcome.HOST_UNREACHABLE, False))
            if message.type == IcmpType.TIME_EXCEEDED:
                outcome, fatal = Outcome.HOST_UNREACHABLE, False
            yield from sock.icmp_error(outcome, fatal, now, mtu=message.mtu)

    def _sender_of(self, quoted: Packet) -> Socket | None:
        """Whose packet does an ICMP error quote?"""
        assert quoted.ip is not None
        match quoted.l4:
            case Icmp(ident=ident):
                return self.pings.get(ident)
            case Udp(sport=sport, dport=dport):
                return self._find(Proto.UDP, quoted.ip.src, sport, quoted.ip.dst, dport)
            case Tcp(sport=sport, dport=dport):
                return self.flows.get((Proto.TCP, quoted.ip.src, sport, quoted.ip.dst, dport))
        return None
