"""TCP as connection tracking sees it: one literal table, beside tcp_conntracks[] in
net/netfilter/nf_conntrack_proto_tcp.c.

The tracker stands between the two ends and follows their states from the flags alone. Left out: window tracking
(tcp_in_window), so a segment is never INVALID for its sequence number, and the shorter time-out after many
retransmissions.
"""

from __future__ import annotations

from enum import IntEnum

from sim.packet import TcpFlag


class TcpState(IntEnum):
    """enum tcp_conntrack. IGNORE and INVALID are no states: they say what to do with the segment."""

    NONE = 0
    SYN_SENT = 1
    SYN_RECV = 2
    ESTABLISHED = 3
    FIN_WAIT = 4
    CLOSE_WAIT = 5
    LAST_ACK = 6
    TIME_WAIT = 7
    CLOSE = 8
    SYN_SENT2 = 9
    """A SYN from the other side too: simultaneous open."""
    IGNORE = 10
    """Let it pass, keep the state: our entry may be out of sync."""
    INVALID = 11


class Segment(IntEnum):
    """enum tcp_bit_set: which flag of a segment decides."""

    SYN = 0
    SYNACK = 1
    FIN = 2
    ACK = 3
    RST = 4
    NONE = 5


NO, SS, SR, ES, FW, CW, LA, TW, CL, S2, IG, IV = TcpState

# TRANSITIONS[direction][segment][old state] -> new state
TRANSITIONS: tuple[dict[Segment, tuple[TcpState, ...]], dict[Segment, tuple[TcpState, ...]]] = (
    {  # ORIGINAL      NO  SS  SR  ES  FW  CW  LA  TW  CL  S2
        Segment.SYN:    (SS, SS, IG, IG, IG, IG, IG, SS, SS, S2),
        Segment.SYNACK: (IV, IV, SR, IV, IV, IV, IV, IV, IV, SR),
        Segment.FIN:    (IV, IV, FW, FW, LA, LA, LA, TW, CL, IV),
        Segment.ACK:    (ES, IV, ES, ES, CW, CW, TW, TW, CL, IV),
        Segment.RST:    (IV, CL, CL, CL, CL, CL, CL, CL, CL, CL),
        Segment.NONE:   (IV, IV, IV, IV, IV, IV, IV, IV, IV, IV),
    },
    {  # REPLY         NO  SS  SR  ES  FW  CW  LA  TW  CL  S2
        Segment.SYN:    (IV, S2, IV, IV, IV, IV, IV, SS, IV, S2),
        Segment.SYNACK: (IV, SR, IG, IG, IG, IG, IG, IG, IG, SR),
        Segment.FIN:    (IV, IV, FW, FW, LA, LA, LA, TW, CL, IV),
        Segment.ACK:    (IV, IG, SR, ES, CW, CW, TW, TW, CL, IG),
        Segment.RST:    (IV, CL, CL, CL, CL, CL, CL, CL, CL, CL),
        Segment.NONE:   (IV, IV, IV, IV, IV, IV, IV, IV, IV, IV),
    },
)

# Seconds, tcp_timeouts[].
TIMEOUTS: dict[TcpState, float] = {
    TcpState.SYN_SENT: 120,
    TcpState.SYN_RECV: 60,
    TcpState.ESTABLISHED: 5 * 86400,
    TcpState.FIN_WAIT: 120,
    TcpState.CLOSE_WAIT: 60,
    TcpState.LAST_ACK: 30,
    TcpState.TIME_WAIT: 120,
    TcpState.CLOSE: 10,
    TcpState.SYN_SENT2: 120,
}
UNACKNOWLEDGED_TIMEOUT = 300.0
"""An ESTABLISHED that was picked up in the middle and never answered (TCP_CONNTRACK_UNACK)."""

_SYN, _ACK, _FIN, _RST, _PSH = (int(f) for f in (TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.RST, TcpFlag.PSH))
# tcp_valid_flags[]: any other combination (PSH aside) is INVALID before the table is asked.
VALID_FLAGS = frozenset({_SYN, _SYN | _ACK, _RST, _RST | _ACK, _FIN | _ACK, _ACK})


def segment_of(flags: int) -> Segment | None:
    """Which row of the table a segment is (get_conntrack_index); None when the flags make no sense together
    (tcp_error)."""
    if flags & ~_PSH not in VALID_FLAGS:
        return None
    if flags & _RST:
        return Segment.RST
    if flags & _SYN:
        return Segment.SYNACK if flags & _ACK else Segment.SYN
    if flags & _FIN:
        return Segment.FIN
    return Segment.ACK if flags & _ACK else Segment.NONE
