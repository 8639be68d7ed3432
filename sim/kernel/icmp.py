"""ICMP errors as values: which packets may have one, what it quotes, and which errno a socket gets (net/ipv4/icmp.c).
"""

from __future__ import annotations

from sim.kernel.fragment import cut
from sim.packet import Icmp, IcmpType, IPv4, Packet, Proto, Tcp, TcpFlag, Unreach
from sim.trace import Outcome

REJECT_CODES = {
    "icmp-net-unreachable": Unreach.NET,
    "icmp-host-unreachable": Unreach.HOST,
    "icmp-proto-unreachable": Unreach.PROTOCOL,
    "icmp-port-unreachable": Unreach.PORT,
    "icmp-net-prohibited": Unreach.NET_PROHIBITED,
    "icmp-host-prohibited": Unreach.HOST_PROHIBITED,
    "icmp-admin-prohibited": Unreach.ADMIN_PROHIBITED,
}
"""`--reject-with` to the code of destination-unreachable."""

ERRNO: dict[int, tuple[Outcome, bool]] = {
    Unreach.NET: (Outcome.NET_UNREACHABLE, False),
    Unreach.HOST: (Outcome.HOST_UNREACHABLE, False),
    Unreach.PROTOCOL: (Outcome.REFUSED, True),
    Unreach.PORT: (Outcome.REFUSED, True),
    Unreach.FRAG_NEEDED: (Outcome.TOO_LARGE, True),
    Unreach.NET_PROHIBITED: (Outcome.PROHIBITED, True),
    Unreach.HOST_PROHIBITED: (Outcome.PROHIBITED, True),
    Unreach.ADMIN_PROHIBITED: (Outcome.PROHIBITED, True),
}
"""Code of destination-unreachable to (what a reader of the error queue learns, whether the error is fatal without
IP_RECVERR): `icmp_err_convert` in net/ipv4/icmp.c."""

QUOTE = 576 - 20 - 8
"""Bytes of a datagram that an error quotes at most: then it has 576 itself, which every path takes (`icmp_send`)."""
CONTROL_TOS = 0xC0
"""IPTOS_PREC_INTERNETCONTROL: the precedence of every ICMP error."""


def error_about(packet: Packet, kind: int, code: int, *, ttl: int = 64, mtu: int = 0) -> Packet | None:
    """The error message about `packet`; None where none may be sent: about an error, a broadcast, a later fragment."""
    header = packet.ip
    if header is None or header.offset or packet.pkt_type == "broadcast":
        return None
    if isinstance(packet.l4, Icmp) and packet.l4.type not in (IcmpType.ECHO_REQUEST, IcmpType.ECHO_REPLY):
        return None
    quoted = packet.snapshot()
    quoted.eth = None
    if quoted.size() > QUOTE:
        cut(quoted, QUOTE)
        quoted.csum = "valid"  # nobody can tell from a part
    return Packet(
        ip=IPv4(0, header.src, Proto.ICMP, ttl, tos=header.tos & 0x1E | CONTROL_TOS),
        l4=Icmp(kind, code, mtu=mtu), inner=quoted,
    )


def reset_of(packet: Packet, ttl: int = 64) -> Packet:
    """The TCP reset that answers `packet`, for which there is no socket (`tcp_v4_send_reset`)."""
    assert packet.ip is not None and isinstance(packet.l4, Tcp)
    tcp = packet.l4
    if tcp.flags & TcpFlag.ACK:
        reset = Tcp(tcp.dport, tcp.sport, TcpFlag.RST, seq=tcp.ack)
    else:
        length = len(packet.payload) + bool(tcp.flags & TcpFlag.SYN) + bool(tcp.flags & TcpFlag.FIN)
        reset = Tcp(tcp.dport, tcp.sport, TcpFlag.RST | TcpFlag.ACK, ack=tcp.seq + length)
    return Packet(ip=IPv4(packet.ip.dst, packet.ip.src, Proto.TCP, ttl, df=True), l4=reset)
