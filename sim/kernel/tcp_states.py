"""TCP's states, who may go where (RFC 9293), and a segment that waits for its acknowledgement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sim.packet import Packet, TcpFlag


class State(StrEnum):
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECV = "SYN-RECV"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT1 = "FIN-WAIT-1"
    FIN_WAIT2 = "FIN-WAIT-2"
    CLOSING = "CLOSING"
    CLOSE_WAIT = "CLOSE-WAIT"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"
    CLOSED = "CLOSED"


S = State
ON_CLOSE = {S.SYN_RECV: S.FIN_WAIT1, S.ESTABLISHED: S.FIN_WAIT1, S.CLOSE_WAIT: S.LAST_ACK}
"""Own close: the next state, when a FIN must be sent."""
ON_FIN = {S.SYN_RECV: S.CLOSE_WAIT, S.ESTABLISHED: S.CLOSE_WAIT, S.FIN_WAIT1: S.CLOSING, S.FIN_WAIT2: S.TIME_WAIT}
"""The peer's FIN arrives."""
ON_FIN_ACKED = {S.FIN_WAIT1: S.FIN_WAIT2, S.CLOSING: S.TIME_WAIT, S.LAST_ACK: S.CLOSED}
"""The own FIN is acknowledged."""
RESET_BY_ABORT = (S.ESTABLISHED, S.CLOSE_WAIT, S.FIN_WAIT1, S.FIN_WAIT2, S.SYN_RECV)
"""A connection that is thrown away in one of these tells its peer (`tcp_need_reset`)."""


@dataclass(slots=True)
class Segment:
    """Sent and not yet acknowledged."""

    seq: int
    flags: TcpFlag
    payload: bytes
    tries: int = 0
    sent: float = 0.0
    packet: Packet | None = None
    """As it was last sent."""
    follows: bool = False
    """Sent with the one before by one write: a time-out is the first one's."""
    sacked: bool = False
    """The peer has it, behind a hole."""

    @property
    def end(self) -> int:
        return self.seq + len(self.payload) + bool(self.flags & TcpFlag.SYN) + bool(self.flags & TcpFlag.FIN)
