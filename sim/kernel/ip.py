"""IPv4: input, forwarding, output, and the errors that they send (net/ipv4/ip_input.c, ip_forward.c, ip_output.c).

Routing decides once per packet, and again after a DNAT in OUTPUT; netfilter's five hooks are where the kernel has them.
A datagram larger than the next MTU is cut into fragments (`fragment.py`), or with DF set ends in FRAG_NEEDED.
Left out: options, multicast, route exceptions (the path MTU that FRAG_NEEDED teaches).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from sim.kernel import icmp
from sim.kernel.connection import attach
from sim.kernel.device import NetDevice
from sim.kernel.effects import Effect, Effects
from sim.kernel.fragment import Reassembly, fragments, is_fragment
from sim.kernel.netfilter import Hook, Ruling
from sim.kernel.routing import RouteEntry
from sim.kernel.sysctl import CONF, IP_FORWARD
from sim.packet import BROADCAST, Ethernet, Icmp, IcmpType, IPv4, Packet, Proto, Tcp, TcpFlag, Unreach, dotted
from sim.trace import DropReason, Kind, Outcome, Step

if TYPE_CHECKING:
    from sim.kernel.netns import Netns

LOCALHOST = 0x7F000001


class IpStack:
    """One namespace's IPv4."""

    def __init__(self, netns: Netns) -> None:
        self.netns = netns
        self.reassembly = Reassembly()

    @property
    def ttl(self) -> int:
        """That of what starts here (`ip_select_ttl`)."""
        return self.netns.sysctls.ttl

    def step(
        self, kind: Kind, packet: Packet, detail: str = "", reason: DropReason | None = None, count: int = 1
    ) -> Step:
        return Step(kind, self.netns.label, "", packet.snapshot(), detail, reason=reason, count=count)

    # input

    def receive(self, packet: Packet, device: NetDevice, now: float) -> Effects:
        """`ip_rcv`, up to the routing decision and what follows from it."""
        header = packet.ip
        assert header is not None
        if packet.pkt_type == "otherhost":
            yield device.drop(DropReason.NOT_FOR_US, packet)
            return
        already = packet.nf_bridge is not None and packet.nf_bridge.prerouted
        packet.nf_bridge, packet.largest = None, 0
        if is_fragment(packet) and (self.netns.netfilter.tracks or self.netns.is_local(header.dst)):
            whole = yield from self.defragment(packet)
            if whole is None:
                return
            packet = whole
            packet.largest = self.reassembly.largest
            header = packet.ip
            assert header is not None
        if not already:
            ruling = yield from self.netns.netfilter.hook(Hook.PREROUTING, packet, indev=device.name, now=now)
            if not ruling.accepted:
                yield from self.refused(ruling, packet, now)
                return
        behind = device.ipvlans.behind(packet) if device.ipvlans else None
        if behind is not None:  # the routing decision is the ipvlan device's, the hook is still here
            yield self.step(Kind.ROUTE, packet, f"{dotted(header.dst)} is {behind.netns.label}'s")
            ruling = yield from self.netns.netfilter.hook(Hook.INPUT, packet, indev=device.name, now=now)
            if not ruling.accepted:
                yield from self.refused(ruling, packet, now)
                return
            packet.ct = None
            yield from behind.netns.sockets.deliver(packet, now)
            return
        if self._martian(header, device):
            yield self.step(Kind.DROP, packet, f"{dotted(header.src)} > {dotted(header.dst)} on {device.name}",
                            DropReason.MARTIAN)
            return
        if self.netns.is_local(header.dst) or self.netns.is_broadcast(header.dst):
            yield self.step(Kind.ROUTE, packet, f"{dotted(header.dst)} is local")
            ruling = yield from self.netns.netfilter.hook(Hook.INPUT, packet, indev=device.name, now=now)
            if not ruling.accepted:
                yield from self.refused(ruling, packet, now)
                return
            if packet.esp is not None:
                yield from self._decrypted(packet, device, now)
                return
            yield from self.netns.sockets.deliver(packet, now)
        else:
            yield from self._forward(packet, device, now)

    def _decrypted(self, packet: Packet, device: NetDevice, now: float) -> Effects:
        """What IPsec takes out of a packet passes the hooks once more, already routed (`xfrm4_transport_finish`)."""
        plain = yield from self.netns.xfrm.input(packet)
        if plain is None:
            return
        for hook in (Hook.PREROUTING, Hook.INPUT):
            ruling = yield from self.netns.netfilter.hook(hook, plain, indev=device.name, now=now)
            if not ruling.accepted:
                yield from self.refused(ruling, plain, now)
                return
        yield from self.netns.sockets.deliver(plain, now)

    def defragment(self, packet: Packet) -> Generator[Step | Effect, None, Packet | None]:
        """`ip_defrag`: the whole datagram, or None while parts are missing."""
        self.netns.touched = True
        whole = self.reassembly.add(packet)
        if whole is None:
            yield self.step(Kind.FRAGMENT, packet, "waits for the rest")
        else:
            yield self.step(Kind.FRAGMENT, whole, f"put together: {whole.size()} bytes")
        return whole

    def _martian(self, header: IPv4, device: NetDevice) -> bool:
        """A source that can't come from there, or loopback addresses off the loopback."""
        if device.name == "lo":
            return False
        loopback = header.src >> 24 == 127 or header.dst >> 24 == 127
        if loopback and not self.netns.sysctls.of_device(device.name, "route_localnet"):
            return True
        return not self.valid_source(header.src, device)

    def valid_source(self, source: int, device: NetDevice) -> bool:
        """`fib_validate_source`: may a packet with this source come in by this device? One with an own address may
        where `accept_local` is set; with `rp_filter` 1 (strict) the way back must lead out of the device, with 2
        (loose) there must be one."""
        conf = self.netns.sysctls
        strict_or_loose = conf.of_device(device.name, "rp_filter")
        if self.netns.is_local(source):
            return conf.of_device(device.name, "accept_local") != 0 and (strict_or_loose != 1 or device.has(source))
        if not strict_or_loose:
            return True
        route = self.netns.routes.lookup(source) if device.addresses else None
        return route is not None and (strict_or_loose != 1 or route.dev == device.name)

    def _forward(self, packet: Packet, device: NetDevice, now: float) -> Effects:
        header = packet.ip
        assert header is not None
        if not self.netns.sysctls.forwards(device.name):
            off = IP_FORWARD if not self.netns.sysctls.number(IP_FORWARD) else f"{CONF}{device.name}.forwarding"
            yield self.step(Kind.DROP, packet, f"{off} is 0", DropReason.FORWARDING_OFF)
            return
        route = self.netns.routes.lookup(header.dst)
        if route is None:
            yield self.step(Kind.DROP, packet, f"no route to {dotted(header.dst)}", DropReason.NO_ROUTE)
            yield from self.error(packet, IcmpType.DEST_UNREACH, Unreach.NET, now)
            return
        yield self.step(Kind.ROUTE, packet, str(route))
        if header.ttl <= 1:
            yield self.step(Kind.DROP, packet, "TTL 1 on arrival", DropReason.TTL)
            yield from self.error(packet, IcmpType.TIME_EXCEEDED, 0, now)
            return
        out = self.netns.device(route.dev)
        if packet.size() > out.mtu and header.df:
            yield self.step(Kind.DROP, packet, f"{packet.size()} bytes, MTU of {out.name} is {out.mtu}", DropReason.MTU)
            yield from self.error(packet, IcmpType.DEST_UNREACH, Unreach.FRAG_NEEDED, now, mtu=out.mtu)
            return
        header.ttl -= 1
        ruling = yield from self.netns.netfilter.hook(
            Hook.FORWARD, packet, indev=device.name, outdev=out.name, now=now)
        if not ruling.accepted:
            yield from self.refused(ruling, packet, now)
            return
        yield from self._finish(packet, route, now)

    # output

    def output(
        self, packet: Packet, now: float, *, oif: str = ""
    ) -> Generator[Step | Effect, None, Outcome | None]:
        """Send a packet that starts here (`ip_local_out`); routing picks `ip.src` when it is 0. `oif`: it may leave by
        this device only.

        Returns what the sender's system call would say: None, or why the packet never left.
        """
        header = packet.ip
        assert header is not None
        route = self.route(header.dst, oif)
        if route is None:
            yield self.step(Kind.DROP, packet, f"no route to {dotted(header.dst)}", DropReason.NO_ROUTE)
            return Outcome.NET_UNREACHABLE
        if not header.src:
            header.src = route.src or self.netns.source_for(route.via or header.dst, route.dev)
        yield self.step(Kind.ROUTE, packet, str(route))
        return (yield from self.local_out(packet, route, now, oif=oif))

    def local_out(
        self, packet: Packet, route: RouteEntry, now: float, *, oif: str = ""
    ) -> Generator[Step | Effect, None, Outcome | None]:
        """OUTPUT and what comes after it, for a packet that has its route (NF_INET_LOCAL_OUT, then `dst_output`)."""
        self.netns.touched = True
        header = packet.ip
        assert header is not None
        before = header.dst, packet.mark
        ruling = yield from self.netns.netfilter.hook(Hook.OUTPUT, packet, outdev=route.dev, now=now)
        if not ruling.accepted:
            yield from self.refused(ruling, packet, now)
            return None if ruling.taken else Outcome.PROHIBITED
        if (header.dst, packet.mark) != before:  # ip_route_me_harder
            rerouted = self.route(header.dst, oif)
            if rerouted is None:
                yield self.step(Kind.DROP, packet, f"no route to {dotted(header.dst)} after DNAT", DropReason.NO_ROUTE)
                return Outcome.NET_UNREACHABLE
            route = rerouted
            yield self.step(Kind.ROUTE, packet, f"again, after OUTPUT: {route}")
        leaving = yield from self.netns.xfrm.output(packet, route.dev, now)
        if leaving is not None:
            yield from self._finish(leaving, route, now)
        return None

    def destination(self, address: int) -> int:
        """Where connect(2) leads: 0.0.0.0 is this host, so its loopback address (`ip_route_output_key_hash_rcu`)."""
        return address or LOCALHOST

    def route(self, dst: int, oif: str = "") -> RouteEntry | None:
        """The route of a packet that starts here: own addresses go by lo, then the main table. With `oif` only the
        addresses and routes of that device count, and what has none is taken to be on its link
        (`ip_route_output_key_hash_rcu`)."""
        if oif:
            if any(address == dst for address, _ in self.netns.device(oif).addresses):
                return RouteEntry(dst, 0xFFFFFFFF, "lo", src=dst)
            return self.netns.routes.lookup(dst, oif) or RouteEntry(dst, 0xFFFFFFFF, oif)
        if self.netns.is_local(dst):
            # `ip route show table local`: an own address prefers itself, all of 127/8 prefers 127.0.0.1
            return RouteEntry(dst, 0xFFFFFFFF, "lo", src=LOCALHOST if dst >> 24 == 127 else dst)
        return self.netns.routes.lookup(dst)

    def _finish(self, packet: Packet, route: RouteEntry, now: float) -> Effects:
        """POSTROUTING, then the neighbour, then the device (`ip_output`)."""
        header, device = packet.ip, self.netns.device(route.dev)
        assert header is not None
        ruling = yield from self.netns.netfilter.hook(Hook.POSTROUTING, packet, outdev=route.dev, now=now)
        if not ruling.accepted:
            return
        # what came in parts leaves in parts that are no larger (frag_max_size)
        mtu = min(device.mtu, packet.largest or device.mtu)
        pieces = fragments(packet, mtu)
        if len(pieces) > 1:
            yield self.step(Kind.FRAGMENT, packet, f"{packet.size()} bytes cut for {device.name}, MTU {mtu}",
                            count=len(pieces))
        for piece in pieces:
            yield from self._transmit(piece, route, device, now)

    def _transmit(self, packet: Packet, route: RouteEntry, device: NetDevice, now: float) -> Effects:
        """The link-layer header, and out (`ip_finish_output2`)."""
        header = packet.ip
        assert header is not None
        if device.name == "lo" or not device.arp:  # arp_constructor: the device's own address
            packet.eth = Ethernet(device.mac, device.mac)
            yield from device.xmit(packet, now)
            return
        if self.netns.is_broadcast(header.dst):
            packet.eth = Ethernet(device.mac, BROADCAST)
            yield from device.xmit(packet, now)
            return

        def send(mac: str, later: float) -> Effects:
            packet.eth = Ethernet(device.mac, mac)
            yield from device.xmit(packet, later)

        yield from self.netns.neighbours.resolve(device, route.via or header.dst, packet, send, now)

    # errors

    def error(self, packet: Packet, kind: int, code: int, now: float, *, mtu: int = 0) -> Effects:
        """Send an ICMP error about `packet` to its source (`icmp_send`), where RFC 1122 allows one."""
        message = icmp.error_about(packet, kind, code, ttl=self.ttl, mtu=mtu)
        if message is None or packet.ip is None or self.netns.is_broadcast(packet.ip.dst):
            return
        assert message.ip is not None
        if self.netns.is_local(packet.ip.dst):
            message.ip.src = packet.ip.dst
        attach(message, packet)  # icmp_glue_bits
        yield self.step(Kind.ICMP_ERROR, message)
        yield from self.output(message, now)

    def unreachable_neighbour(self, packet: Packet, now: float) -> Effects:
        """The next hop did not answer ARP (`ipv4_link_failure`)."""
        yield from self.error(packet, IcmpType.DEST_UNREACH, Unreach.HOST, now)

    def refused(self, ruling: Ruling, packet: Packet, now: float) -> Effects:
        """What follows when a hook did not let a packet on: who took it goes on with it, a REJECT rule is obeyed."""
        if ruling.taken is not None:
            yield from ruling.taken(now)
        else:
            yield from self.reject(ruling.reject, packet, now)

    def reject(self, how: str, packet: Packet, now: float) -> Effects:
        """What a REJECT rule asked for: an ICMP error by name, or a TCP reset; nothing for a plain drop."""
        if not how:
            return
        if how == "tcp-reset":
            if isinstance(packet.l4, Tcp) and not packet.l4.flags & TcpFlag.RST:
                reset = icmp.reset_of(packet, self.ttl)
                reset.csum = "partial"  # nf_send_reset leaves it to the device, a socket's own reset is complete
                attach(reset, packet)
                yield from self.output(reset, now)
            return
        yield from self.error(packet, IcmpType.DEST_UNREACH, icmp.REJECT_CODES[how], now)

    def echo_reply(self, request: Packet, now: float) -> Effects:
        """The kernel's own answer to a ping (`icmp_echo`)."""
        assert request.ip is not None and isinstance(request.l4, Icmp)
        source = 0 if self.netns.is_broadcast(request.ip.dst) else request.ip.dst
        reply = Packet(
            ip=IPv4(source, request.ip.src, Proto.ICMP, self.ttl, tos=request.ip.tos),
            l4=Icmp(IcmpType.ECHO_REPLY, 0, request.l4.ident, request.l4.seq), payload=request.payload,
        )
        yield self.step(Kind.DELIVER, request, "answered by the kernel")
        yield from self.output(reply, now)
