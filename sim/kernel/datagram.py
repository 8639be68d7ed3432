"""UDP and raw ICMP sockets: a datagram in, a datagram out (net/ipv4/udp.c, raw.c)."""

from __future__ import annotations

from sim.kernel.effects import Effects
from sim.kernel.netns import Netns
from sim.kernel.socket import Socket
from sim.packet import Icmp, IcmpType, IPv4, Packet, Proto, Udp
from sim.trace import DropReason, Kind, Outcome, Step

HEADERS = 20 + 8
"""IPv4, and UDP or ICMP."""


class DatagramSocket(Socket):
    """What both kinds share: a datagram that can't leave is an error of the socket."""

    def emit(self, packet: Packet, now: float) -> Effects:
        yield Step(Kind.SEND, self.netns.label, "", packet.snapshot())
        refused = yield from self.netns.ip.output(packet, now)
        if refused is not None:
            self.error = refused
            yield from self.wake()

    def mtu(self, destination: int) -> int:
        """Of the device by which a datagram would leave; 0 without a route."""
        route = self.netns.ip.route(destination)
        return self.netns.device(route.dev).mtu if route else 0

    def fits(self, destination: int, payload: int) -> bool:
        """Whether it leaves in one piece; only then it carries DF (`__ip_make_skb`, with IP_PMTUDISC_WANT)."""
        mtu = self.mtu(destination)
        return not mtu or HEADERS + payload <= mtu


class UdpSocket(DatagramSocket):
    """With `remote` set (connected) it takes datagrams from there only; else from anybody.

    `recverr`: IP_RECVERR, with which errors that the kernel holds for passing are reported too.
    """

    proto = Proto.UDP

    def __init__(self, netns: Netns, address: int = 0, port: int = 0, *, recverr: bool = False) -> None:
        super().__init__(netns, address, port)
        self.recverr = recverr

    def connect(self, address: int, port: int) -> bool:
        """connect(2): fixes the peer and, by routing, the own address. False: no route (ENETUNREACH)."""
        address = self.netns.ip.destination(address)
        route = self.netns.ip.route(address)
        if route is None:
            self.error = Outcome.NET_UNREACHABLE
            return False
        if not self.address:
            self.address = route.src or self.netns.source_for(route.via or address, route.dev)
        self.remote = (address, port)
        self.netns.sockets.connect(self)
        return True

    def send(self, payload: bytes, now: float, to: tuple[int, int] | None = None, source: int = 0) -> Effects:
        """sendto(2). An unconnected socket names the peer, and may name the source (IP_PKTINFO)."""
        peer = to or self.remote
        assert peer is not None
        packet = Packet(
            ip=IPv4(source or self.address, peer[0], Proto.UDP, self.netns.ip.ttl, df=self.fits(peer[0], len(payload))),
            l4=Udp(self.port, peer[1]), payload=payload, csum="partial",
        )
        yield from self.emit(packet, now)

    def receive(self, packet: Packet, now: float) -> Effects:
        """The inbox holds (payload, source address, source port, destination address)."""
        assert packet.ip is not None and isinstance(packet.l4, Udp)
        self.inbox.append((packet.payload, packet.ip.src, packet.l4.sport, packet.ip.dst))
        yield from self.wake()

    def icmp_error(self, outcome: Outcome, fatal: bool, now: float, *, mtu: int = 0) -> Effects:
        if self.remote is not None:  # an unconnected UDP socket never hears of errors (__udp4_lib_err)
            yield from super().icmp_error(outcome, fatal or self.recverr, now)


class PingSocket(DatagramSocket):
    """A raw ICMP socket that sends echo requests with one identifier, as ping(8) does. It sets IP_RECVERR."""

    proto = Proto.ICMP

    def __init__(self, netns: Netns, ident: int) -> None:
        super().__init__(netns, 0, ident)
        netns.sockets.ping(self)

    def send(self, destination: int, seq: int, payload: bytes, now: float, *, strict: bool = False) -> Effects:
        """DF is set on what fits the MTU, and a larger message is cut (IP_PMTUDISC_WANT); `strict`: it is refused,
        EMSGSIZE (IP_PMTUDISC_DO, as `ping -M do`)."""
        destination = self.netns.ip.destination(destination)
        fits = self.fits(destination, len(payload))
        packet = Packet(
            ip=IPv4(0, destination, Proto.ICMP, self.netns.ip.ttl, df=fits),
            l4=Icmp(IcmpType.ECHO_REQUEST, 0, self.port, seq), payload=payload,
        )
        if strict and not fits:
            yield Step(Kind.SEND, self.netns.label, "", packet.snapshot())
            yield Step(Kind.DROP, self.netns.label, "", packet.snapshot(),
                       f"{packet.size()} bytes, the MTU is {self.mtu(destination)}", reason=DropReason.MTU)
            self.error = Outcome.TOO_LARGE
            yield from self.wake()
            return
        yield from self.emit(packet, now)

    def receive(self, packet: Packet, now: float) -> Effects:
        assert packet.ip is not None
        self.inbox.append(packet.ip.src)
        yield from self.wake()

    def icmp_error(self, outcome: Outcome, fatal: bool, now: float, *, mtu: int = 0) -> Effects:
        yield from super().icmp_error(outcome, True, now)
