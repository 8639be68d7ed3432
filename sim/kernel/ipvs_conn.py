"""IPVS's table of connections: which client's flow to a virtual address went to which destination
(net/netfilter/ipvs/ip_vs_conn.c).

Left out: states and timeouts (a question is over before), templates of persistent services, synchronisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sim.packet import Packet, Proto, Tcp, Udp, dotted


class Endpoint(NamedTuple):
    address: int
    port: int

    def __str__(self) -> str:
        return f"{dotted(self.address)}:{self.port}"


class Flow(NamedTuple):
    """The key of a connection, in either direction."""

    proto: int
    src: Endpoint
    dst: Endpoint

    def inverse(self) -> Flow:
        return Flow(self.proto, self.dst, self.src)


def flow_of(packet: Packet | None) -> Flow | None:
    """What the headers of a packet say; None where it is neither TCP nor UDP, or a later fragment."""
    if packet is None or packet.ip is None or not isinstance(packet.l4, Tcp | Udp):
        return None
    header, l4 = packet.ip, packet.l4
    return Flow(header.proto, Endpoint(header.src, l4.sport), Endpoint(header.dst, l4.dport))


@dataclass(frozen=True, slots=True)
class Connection:
    """struct ip_vs_conn: a line of `ipvsadm -Lc`. `tracked`: conntrack keeps it too (IP_VS_CONN_F_NFCT)."""

    proto: int
    client: Endpoint
    virtual: Endpoint
    destination: Endpoint
    fwmark: int
    tracked: bool

    def __str__(self) -> str:
        return f"{Proto(self.proto).name} {self.client} {self.virtual} {self.destination}"


class ConnectionTable:
    """The connections of one namespace, found by the flow of their requests and by that of the answers."""

    def __init__(self) -> None:
        self._requests: dict[Flow, Connection] = {}
        self._replies: dict[Flow, Connection] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, connection: Connection) -> None:
        self._requests[self._request_flow(connection)] = connection
        self._replies[self._reply_flow(connection)] = connection

    def request(self, flow: Flow) -> Connection | None:
        """Whose request this is (`ip_vs_conn_in_get`)."""
        return self._requests.get(flow)

    def reply(self, flow: Flow) -> Connection | None:
        """Whose answer this is (`ip_vs_conn_out_get`)."""
        return self._replies.get(flow)

    def to(self, fwmark: int, address: int) -> list[Connection]:
        """Those of a service that went to one of its destinations."""
        return [c for c in self._requests.values() if (c.fwmark, c.destination.address) == (fwmark, address)]

    def expire(self, connection: Connection) -> None:
        """`ip_vs_conn_expire`"""
        self._requests.pop(self._request_flow(connection), None)
        self._replies.pop(self._reply_flow(connection), None)

    def flush(self) -> None:
        self._requests.clear()
        self._replies.clear()

    @staticmethod
    def _request_flow(connection: Connection) -> Flow:
        return Flow(connection.proto, connection.client, connection.virtual)

    @staticmethod
    def _reply_flow(connection: Connection) -> Flow:
        return Flow(connection.proto, connection.destination, connection.client)
