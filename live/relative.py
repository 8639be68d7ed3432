"""TCP numbers counted from the start of their connection, as `sim.packet.Tcp` has them; ESP's from that of the trace.

The kernel draws an initial sequence number (ISN) for each direction of each connection, so two runs never show the
same numbers. Here each is replaced by its distance from the ISN of its direction: the SYN is 0, the first byte of
data 1.

NAT keeps the numbers and changes the addresses; a proxy makes a second connection. Hence an ISN is learned for each
direction (source, destination) at each capture point, from the SYN or SYN-ACK seen there. Where a point saw only
part of the dialogue, what another point learned for the same addresses stands in, and failing that the first number
counts as 1.

ESP counts the packets of a security association, from 1 up since it was made: here from the first one of a trace.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.packet import Packet, Tcp, TcpFlag
from sim.trace import Trace

Direction = tuple[int, int, int, int]
"""(source address, source port, destination address, destination port)."""


class Relative:
    """The initial sequence numbers learned so far. Feed it packets in time order."""

    def __init__(self) -> None:
        self._at_point: dict[tuple[str, Direction], int] = {}
        self._anywhere: dict[Direction, int] = {}
        self._associations: dict[tuple[int, str], int] = {}

    def rewrite(self, point: str, packet: Packet) -> None:
        """Makes the numbers of `packet`, seen at `point`, relative in place; and those of the packets inside it."""
        for layer in _layers(packet):
            if layer.esp and layer.ip:
                first = self._associations.setdefault((layer.ip.dst, layer.esp.spi), layer.esp.seq)
                layer.esp.seq -= first - 1
            if isinstance(tcp := layer.l4, Tcp) and layer.ip:
                forth = (layer.ip.src, tcp.sport, layer.ip.dst, tcp.dport)
                back = (layer.ip.dst, tcp.dport, layer.ip.src, tcp.sport)
                if tcp.flags & TcpFlag.SYN:
                    self._learn(point, forth, tcp.seq)
                if tcp.flags & TcpFlag.ACK:
                    tcp.ack = self._distance(point, back, tcp.ack)
                # A reset that answers a segment without ACK has no number of its own: the kernel sends 0.
                if tcp.seq or not tcp.flags & TcpFlag.RST:
                    tcp.seq = self._distance(point, forth, tcp.seq)

    def _learn(self, point: str, direction: Direction, number: int) -> None:
        self._at_point[point, direction] = number
        self._anywhere[direction] = number

    def _distance(self, point: str, direction: Direction, number: int) -> int:
        isn = self._at_point.get((point, direction), self._anywhere.get(direction))
        if isn is None:
            isn = number - 1 & 0xFFFFFFFF
            self._learn(point, direction, isn)
        return number - isn & 0xFFFFFFFF


def relative(trace: Trace) -> Trace:
    """`trace` with every TCP number relative to its connection's start. Changes the packets in place."""
    numbers = Relative()
    for step in trace:
        if step.packet:
            numbers.rewrite(step.point, step.packet)
    return trace


def _layers(packet: Packet | None) -> Iterator[Packet]:
    while packet:
        yield packet
        packet = packet.inner
