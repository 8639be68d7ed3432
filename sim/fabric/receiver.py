"""The receiving half of a TCP connection: its window, and when it acknowledges (net/ipv4/tcp_input.c, tcp.c).

An acknowledgement leaves at once when more than a segment is new and the window's edge moves with it
(`__tcp_ack_snd_check`); else when the program has read (`tcp_cleanup_rbuf`), or 40 ms later. The buffer grows with what
the program reads in a round trip (`tcp_rcv_space_adjust`).
It knows neither clock nor price. Left out: the window scale's granularity, memory pressure, urgent data.
"""

from __future__ import annotations

DELAYED_ACK = 0.04
"""Seconds, TCP_DELACK_MIN."""
RMEM, RMEM_MOST = 131072, 6 << 20
"""Bytes: `net.ipv4.tcp_rmem`, the second and the last figure (Linux's own defaults)."""
SHARE = 0.5
"""Of the buffer that is window, the other part is for what memory costs (TCP_DEFAULT_SCALING_RATIO)."""
QUICK = 16
"""Segments that a young connection acknowledges one by one (TCP_MAX_QUICKACKS)."""


class Receiver:
    """`nxt`, `copied`, `acked`, `edge`: what comes next, what the program has read up to, what was acknowledged, and
    where the window ends that the sender knows."""

    def __init__(self, mss: int, *, rmem: int = RMEM, rmem_most: int = RMEM_MOST) -> None:
        self.mss = mss
        self.buffer, self.most = min(rmem, rmem_most), rmem_most
        self.nxt = self.copied = self.acked = 0
        self.edge = self._offered = min(int(self.buffer * SHARE), 65535)
        self._clamp = self.edge
        self.gaps: list[tuple[int, int]] = []
        """What came beyond a hole, as (from, to), in order."""
        self._quick = QUICK
        self._at_once = False
        self._space, self._space_from, self._space_since = min(self.edge, 10 * mss), 0, 0.0

    @property
    def queued(self) -> int:
        """Bytes that the program can read."""
        return self.nxt - self.copied

    @property
    def unacked(self) -> int:
        return self.nxt - self.acked

    def window(self) -> int:
        """`__tcp_select_window`: what a segment that leaves now would offer; nothing rather than a silly window."""
        space = int(self.buffer * SHARE) - self.queued - sum(high - low for low, high in self.gaps)
        if space < max(int(self.buffer * SHARE) >> 4, min(self.mss, int(self.buffer * SHARE))):
            return max(0, self.edge - self.nxt)
        return max(min(space, self._clamp), self.edge - self.nxt)

    def accept(self, seq: int, end: int) -> bool:
        """A packet arrives. Whether the acknowledgement of it leaves at once."""
        size = end - seq
        self._clamp = min(self._clamp + 2 * size, int(self.most * SHARE))
        if end <= self.nxt:
            return True
        if seq > self.nxt:
            self._keep(seq, end)
            return True
        filled = bool(self.gaps)
        self.nxt = end
        while self.gaps and self.gaps[0][0] <= self.nxt:
            self.nxt = max(self.nxt, self.gaps.pop(0)[1])
        if filled:
            return True
        if self._quick > 0:
            self._quick -= 1
            return True
        return self.unacked > self.mss and self._select() >= self._offered

    def _select(self) -> int:
        space = int(self.buffer * SHARE) - self.queued
        return min(max(space, 0), self._clamp)

    def _keep(self, seq: int, end: int) -> None:
        merged: list[tuple[int, int]] = []
        for low, high in self.gaps:
            if high < seq or low > end:
                merged.append((low, high))
            else:
                seq, end = min(seq, low), max(end, high)
        self.gaps = sorted([*merged, (seq, end)])

    def read(self, size: int, now: float, rtt: float) -> None:
        """The program has copied so many bytes. Once a round trip: if it reads faster than it did, the buffer grows."""
        self.copied += size
        if now - self._space_since < rtt or not rtt:
            return
        copied = self.copied - self._space_from
        if copied > self._space:
            wanted = 2 * copied + 16 * self.mss
            wanted += 2 * (wanted * (copied - self._space) // self._space)
            self.buffer = max(self.buffer, min(int(wanted / SHARE), self.most))
            self._space = copied
        self._space_from, self._space_since = self.copied, now

    def owes(self) -> bool:
        """Whether an acknowledgement leaves when the program has read: for more than a segment, or for a window that
        has become twice as wide."""
        if self.unacked > self.mss:
            return True
        known = self.edge - self.nxt
        return 2 * known <= self._clamp and self.window() >= max(2 * known, 1)

    def acknowledge(self) -> tuple[int, int, tuple[tuple[int, int], ...]]:
        """What an acknowledgement says that leaves now: next byte, end of the window, what came beyond a hole."""
        self._offered = self.window()
        self.acked, self.edge = self.nxt, max(self.edge, self.nxt + self._offered)
        return self.nxt, self.edge, tuple(self.gaps)
