"""Super-packets of segmentation offload: cut into segments where a device or a token bucket needs that, put together
again where one can (net/core/gso.c, gro.c; `tbf_segment`, net/sched/sch_tbf.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sim.kernel.tbf import TokenBucket

from .flight import Span

TOGETHER = 20e-6
"""Seconds: what a cable lets go within is one interrupt."""


def cut(packet: Span, mss: int) -> list[Span]:
    """The segments of a super-packet."""
    start, end = packet
    return [(at, min(at + mss, end)) for at in range(start, end, mss)]


def wire_bytes(packet: Span, mss: int, header: int) -> int:
    """Bytes that a cable's queue counts for a packet: headers once for each segment in it (`qdisc_pkt_len_init`)."""
    size = packet[1] - packet[0]
    return size + header * -(-size // mss)


def departures(bucket: TokenBucket, now: float, packets: Sequence[Span], mss: int, header: int
               ) -> tuple[list[tuple[float, list[Span]]], int]:
    """When packets that come now leave, those together that leave within one interrupt; how many segments are
    dropped."""
    left: list[tuple[float, list[Span]]] = []
    first, dropped = 0.0, 0
    for packet in packets:
        gone = bucket.offer(now, wire_bytes(packet, mss, header))
        if gone is None:
            dropped += -(-(packet[1] - packet[0]) // mss)
        elif left and gone <= first + TOGETHER:
            left[-1] = gone, [*left[-1][1], packet]
        else:
            first = gone
            left.append((gone, [packet]))
    return left, dropped


def merge(packets: Sequence[Span]) -> list[Span]:
    """GRO: what follows without a hole is one packet."""
    if all(one[1] == other[0] for one, other in pairwise(packets)):
        return [(packets[0][0], packets[-1][1])]
    return list(packets)
