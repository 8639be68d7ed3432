"""Writes that are larger than a segment: how TCP cuts them, and cuts them again for a path with a smaller MTU.

One write is one buffer (skb), which the device, or the kernel in its place, cuts at the MSS on its way out: all its
segments leave at once, and of several the last has PSH (__tcp_transmit_skb, tcp_gso_segment). So what is sent anew
after a smaller path MTU was told is a run of what the peer has not, from one write, cut anew as a whole
(tcp_simple_retransmit, __tcp_retransmit_skb).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sim.errors import SpecError
from sim.kernel.tcp_states import Segment
from sim.packet import TcpFlag

AT_ONCE = 5
"""Segments that leave as one: half of TCP_INIT_CWND (tcp_cwnd_test). More would go in several buffers, one after the
other."""


def cut(seq: int, flags: TcpFlag, payload: bytes, mss: int, *, follows: bool = False) -> list[Segment]:
    """The segments of one write from `seq` on."""
    if len(payload) <= mss:
        return [Segment(seq, flags, payload, follows=follows)]
    starts = range(0, len(payload), mss)
    return [Segment(seq + start, flags | TcpFlag.PSH if start == starts[-1] else flags & ~TcpFlag.PSH,
                    payload[start:start + mss], follows=follows or start > 0) for start in starts]


def check_length(payload: bytes, mss: int) -> None:
    """SpecError for a write that does not leave at once."""
    if mss < 1 or len(payload) > AT_ONCE * mss:
        raise SpecError(f"{len(payload)} bytes are more than {AT_ONCE} segments of {mss}, all that a new connection "
                        "sends at once; what follows is not modelled", mend="ask with a smaller size")


def cut_anew(unacked: Iterable[Segment], mss: int) -> Iterator[tuple[Segment, bool]]:
    """What is not acknowledged, in order, and whether it must be sent again: runs that the peer has not are cut anew
    where a segment of them is too large."""
    run: list[Segment] = []
    for segment in [*unacked, None]:
        if run and (segment is None or not segment.follows or segment.sacked):
            yield from _anew(run, mss)
            run = []
        if segment is None:
            continue
        if segment.sacked or not segment.payload:
            yield segment, False
        else:
            run.append(segment)


def _anew(run: list[Segment], mss: int) -> Iterator[tuple[Segment, bool]]:
    if all(len(segment.payload) <= mss for segment in run):
        yield from ((segment, False) for segment in run)
        return
    whole = b"".join(segment.payload for segment in run)
    yield from ((segment, True) for segment in cut(run[0].seq, run[-1].flags, whole, mss, follows=run[0].follows))
