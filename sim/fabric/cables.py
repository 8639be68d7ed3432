"""Cables with a rate between two turns: a packet leaves one machine when the token buckets on its way let it."""

from __future__ import annotations

from collections.abc import Sequence

from sim.kernel.tbf import TokenBucket
from sim.trace import Kind

from .turns import Turn

ETHERNET, VXLAN = 14, 50
"""Bytes of headers around an IP packet, and more around one in a tunnel. ESP's are not counted."""


def cables(turn: Turn) -> list[TokenBucket]:
    """The rate-limited cables that a turn's packet crosses, idle."""
    return [TokenBucket(rate) for rate in turn.rates]


def cross(buckets: Sequence[TokenBucket], now: float, size: int) -> float | None:
    """When a packet that comes now has left the last of these cables; None: one of them dropped it."""
    at: float | None = now
    for bucket in buckets:
        if at is None:
            return None
        at = bucket.offer(at, size)
    return at


def wire_bytes(turn: Turn) -> int:
    """Bytes of a turn's packet as a cable's queue counts them, a VXLAN tunnel included."""
    return turn.size + ETHERNET + (VXLAN if turn.counts.get(Kind.ENCAP) else 0)
