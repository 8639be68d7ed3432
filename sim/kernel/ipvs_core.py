"""What IPVS does with a packet: its functions at netfilter's hooks, and the transmitter for NAT
(net/netfilter/ipvs/ip_vs_core.c, ip_vs_xmit.c, ip_vs_nfct.c, ip_vs_proto_tcp.c, ip_vs_proto_udp.c of Linux 6.1).

A request reaches INPUT, because the virtual address is one of this namespace; there IPVS takes it, finds or schedules
its connection, rewrites the destination and sends it as if it started here: through OUTPUT and POSTROUTING, without the
rest of INPUT. An answer is seen in FORWARD, once conntrack has undone in PREROUTING what the nat table did to the
request, and gets the virtual address as its source. ICMP errors about either are rewritten inside and out.

Conntrack knows of it: `update_conntrack` writes the destination into a new connection's reply tuple, as NAT would, but
sets no NAT bit, so the nat table still sees a first packet in POSTROUTING (`-m ipvs --ipvs -j SNAT`).

Left out: rerouting of answers (routes here depend on nothing but the destination), reassembly in a namespace without
conntrack, the reuse of a connection in TIME_WAIT, scheduling by ICMP errors, active FTP.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

from sim.kernel import icmp
from sim.kernel.connection import ORIGINAL, UNTRACKED, Status, Tracked
from sim.kernel.effects import Effects
from sim.kernel.hooks import ACCEPTED, DROPPED, Handler, Hook, HookState, Ruling, Verdict
from sim.kernel.ipvs_conn import Connection, Endpoint, flow_of
from sim.packet import Icmp, IcmpType, Packet, Proto, Tcp, TcpFlag, Udp, Unreach, dotted
from sim.trace import DropReason, Kind, Step

if TYPE_CHECKING:
    from sim.kernel.ipvs import Ipvs

ERRORS = frozenset({IcmpType.DEST_UNREACH, 4, IcmpType.TIME_EXCEEDED})
"""The ICMP errors that it follows; 4 is source quench."""

Walk = Generator[Step, None, Ruling]


def handlers(ipvs: Ipvs) -> dict[str, Handler]:
    """What it registers, by the names of `hooks.REGISTERED`."""
    return {"ipvs-reply": partial(out_hook, ipvs), "ipvs-request": partial(in_hook, ipvs),
            "ipvs-icmp": partial(forward_icmp, ipvs)}


# answers

def out_hook(ipvs: Ipvs, packet: Packet, state: HookState) -> Walk:
    """`ip_vs_out_hook`: an answer of a destination becomes one of the virtual address."""
    if packet.ipvs:
        return ACCEPTED
    error = is_error(packet)
    flow = flow_of(packet.inner) if error else flow_of(packet)
    if flow is None:
        return ACCEPTED
    connection = ipvs.connections.reply(flow.inverse() if error else flow)  # what an error quotes went the other way
    if connection is None:
        return ACCEPTED
    assert packet.ip is not None
    if error:
        _rewrite_quoted(packet, destination=connection.virtual)
    elif isinstance(packet.l4, Tcp | Udp):
        packet.l4.sport = connection.virtual.port
    packet.ip.src = connection.virtual.address
    yield _rewritten(ipvs, packet, connection, f"answers as {connection.virtual}", outin=False)
    return ACCEPTED


# requests

def in_hook(ipvs: Ipvs, packet: Packet, state: HookState) -> Walk:
    """`ip_vs_in_hook`: a packet of a connection that it knows, or one that starts a connection to a service."""
    if packet.ipvs or (packet.pkt_type != "host" and state.hook is not Hook.OUTPUT):
        return ACCEPTED
    if is_error(packet):
        return (yield from _request_error(ipvs, packet, state))
    flow = flow_of(packet)
    if flow is None:
        return ACCEPTED
    connection, scheduler = ipvs.connections.request(flow), ""
    if connection is None:
        service = ipvs.services.get(packet.mark)
        local = state.hook is Hook.OUTPUT or state.indev == "lo"
        answers = local and ipvs.connections.request(flow.inverse()) is not None  # of a destination in this namespace
        if service is None or answers or not _starts(packet):
            return ACCEPTED
        connection, scheduler = ipvs.schedule(service, flow), service.scheduler
        if connection is None:  # ip_vs_leave
            yield _drop(ipvs, packet, DropReason.NO_DESTINATION,
                        f"fwmark {service.fwmark} has no destination with a weight")
            return Ruling(Verdict.DROP, "icmp-port-unreachable")
    if not ipvs.available(connection):
        yield _drop(ipvs, packet, DropReason.NO_DESTINATION,
                    f"{dotted(connection.destination.address)} was taken from fwmark {connection.fwmark}")
        return DROPPED
    if scheduler:
        yield Step(Kind.IPVS_NEW, ipvs.netns.label,
                   detail=f"fwmark {connection.fwmark}: {scheduler} chooses {connection.destination}")
    return (yield from _transmit(ipvs, packet, connection, state, f"to {connection.destination}"))


def forward_icmp(ipvs: Ipvs, packet: Packet, state: HookState) -> Walk:
    """`ip_vs_forward_icmp`: errors about answers, on their way to somebody else."""
    return (yield from _request_error(ipvs, packet, state)) if is_error(packet) else ACCEPTED


def _request_error(ipvs: Ipvs, packet: Packet, state: HookState) -> Walk:
    """`ip_vs_in_icmp`: an error of the client's side about an answer goes where the answer came from."""
    flow = flow_of(packet.inner)
    connection = ipvs.connections.request(flow.inverse()) if flow else None
    if connection is None:
        return ACCEPTED
    return (yield from _transmit(ipvs, packet, connection, state, f"error goes on to {connection.destination}"))


def _starts(packet: Packet) -> bool:
    """`tcp_conn_schedule`, `udp_conn_schedule`: only a SYN opens a TCP connection."""
    tcp = packet.l4
    return not isinstance(tcp, Tcp) or bool(tcp.flags & TcpFlag.SYN and not tcp.flags & TcpFlag.RST)


# the transmitter

def _transmit(ipvs: Ipvs, packet: Packet, connection: Connection, state: HookState, detail: str) -> Walk:
    """`ip_vs_nat_xmit`, `ip_vs_icmp_xmit`: to a destination in this namespace the packet goes on as it went, to any
    other it is taken out of the hook and sent."""
    if not ipvs.netns.is_local(connection.destination.address):
        return Ruling(Verdict.STOLEN, taken=partial(_send, ipvs, packet, connection, detail))
    if state.hook is Hook.FORWARD:
        yield _drop(ipvs, packet, DropReason.MARTIAN, f"forwarded, but {connection.destination} is here")
        return DROPPED
    yield _to_destination(ipvs, packet, connection, detail)
    return ACCEPTED


def _send(ipvs: Ipvs, packet: Packet, connection: Connection, detail: str, now: float) -> Effects:
    """`__ip_vs_get_out_rt`, then `ip_vs_nat_send_or_cont`. Errors quote the packet as it came, but for its TTL."""
    stack, header = ipvs.netns.ip, packet.ip
    assert header is not None
    destination = connection.destination.address
    route = stack.route(destination)
    if route is None:
        yield _drop(ipvs, packet, DropReason.NO_ROUTE, f"no route to {dotted(destination)}")
        yield from stack.error(packet, IcmpType.DEST_UNREACH, Unreach.HOST, now)
        return
    yield stack.step(Kind.ROUTE, packet, str(route))
    if header.src >> 24 == 127:
        yield _drop(ipvs, packet, DropReason.MARTIAN, f"{dotted(header.src)} can't leave by {route.dev}")
        return
    if header.ttl <= 1:
        yield _drop(ipvs, packet, DropReason.TTL, "TTL 1 on arrival")
        yield from stack.error(packet, IcmpType.TIME_EXCEEDED, 0, now)
        return
    header.ttl -= 1
    mtu = ipvs.netns.device(route.dev).mtu
    if header.df and packet.size() > mtu and not is_error(packet):
        yield _drop(ipvs, packet, DropReason.MTU, f"{packet.size()} bytes, MTU of {route.dev} is {mtu}")
        yield from stack.error(packet, IcmpType.DEST_UNREACH, Unreach.FRAG_NEEDED, now, mtu=mtu)
        return
    yield _to_destination(ipvs, packet, connection, detail)
    yield from stack.local_out(packet, route, now)


def _to_destination(ipvs: Ipvs, packet: Packet, connection: Connection, detail: str) -> Step:
    assert packet.ip is not None
    if is_error(packet):
        _rewrite_quoted(packet, source=connection.destination)
    elif isinstance(packet.l4, Tcp | Udp):
        packet.l4.dport = connection.destination.port
    packet.ip.dst = connection.destination.address
    return _rewritten(ipvs, packet, connection, detail, outin=True)


# what both directions share

def is_error(packet: Packet) -> bool:
    return isinstance(packet.l4, Icmp) and packet.l4.type in ERRORS


def _rewrite_quoted(packet: Packet, *, source: Endpoint | None = None, destination: Endpoint | None = None) -> None:
    """`ip_vs_nat_icmp`: what the error quotes, without the transport checksum, which then is wrong. Of a quote that was
    cut nobody can tell."""
    assert packet.inner is not None
    quoted = packet.inner.snapshot()
    assert quoted.ip is not None and isinstance(quoted.l4, Tcp | Udp)
    before = flow_of(quoted)
    if source is not None:
        quoted.ip.src, quoted.l4.sport = source
    if destination is not None:
        quoted.ip.dst, quoted.l4.dport = destination
    if flow_of(quoted) != before and quoted.size() < icmp.QUOTE:
        quoted.csum = "bad"
    packet.inner = quoted


def _rewritten(ipvs: Ipvs, packet: Packet, connection: Connection, detail: str, *, outin: bool) -> Step:
    """The packet has its new headers: mark it as done, and tell conntrack."""
    packet.ipvs = True
    if connection.tracked:
        update_conntrack(packet, connection, outin)
    elif packet.ct is not None:
        packet.ct = UNTRACKED  # ip_vs_notrack
    return Step(Kind.IPVS, ipvs.netns.label, packet=packet.snapshot(), detail=detail)


def update_conntrack(packet: Packet, connection: Connection, outin: bool) -> None:
    """`ip_vs_update_conntrack`: a connection that is not in the table yet will be answered by the destination
    (`outin`), or for the virtual address."""
    tracked: Tracked | None = packet.ct
    if tracked is None or tracked.entry is None or tracked.ctinfo.direction != ORIGINAL:
        return
    entry = tracked.entry
    if entry.status & (Status.CONFIRMED | Status.DYING):
        return
    ports = entry.reply.proto != Proto.ICMP
    reply = entry.reply
    if outin:
        address, port = connection.destination
        entry.reply = reply._replace(src=address, sport=port if ports else reply.sport)
    else:
        address, port = connection.virtual
        entry.reply = reply._replace(dst=address, dport=port if ports else reply.dport)


def _drop(ipvs: Ipvs, packet: Packet, reason: DropReason, detail: str) -> Step:
    return Step(Kind.DROP, ipvs.netns.label, packet=packet.snapshot(), detail=f"IPVS: {detail}", reason=reason)
