"""The sending half of a TCP connection that has much to send (net/ipv4/tcp_output.c, tcp_input.c, tcp_rate.c).

It knows neither clock nor price: `written` takes bytes of the program, `take` says what leaves next and else what holds
it up, `on_ack` what an acknowledgement changes. What leaves together is a super-packet of segmentation offload: TCP
makes one whatever the device can do.
Left out: the persist timer, tail loss probes, undo of a recovery that was none, urgent data.
"""

from __future__ import annotations

import math

from .chrono import CONGESTION, PACING, PROGRAM, RECEIVER
from .congestion import Progress, Reno
from .flight import Flight, Piece, Span

GSO_MOST = 65535 - 320
"""Bytes of payload in a super-packet: GSO_LEGACY_MAX_SIZE less MAX_TCP_HEADER."""
WIN_DIVISOR = 3
"""`net.ipv4.tcp_tso_win_divisor`."""
RTT_LOG = 9
"""`net.ipv4.tcp_tso_rtt_log`: below 2^9 µs of RTT a super-packet may be whole, whatever the pacing rate."""
WMEM_MOST = 4 << 20
"""`net.ipv4.tcp_wmem`, the last figure."""
MIN_RTO = 0.2
WINDOW = 65535
"""What a receiver offers at the beginning, at most."""


class Sender:
    """`una`, `nxt`, `written_to`: sequence numbers as in Linux; `edge`: where the receiver's window ends."""

    def __init__(self, congestion: Reno, *, window: int = WINDOW, wmem: int = WMEM_MOST) -> None:
        self.congestion, self.mss, self.wmem = congestion, congestion.mss, wmem
        self.flight = Flight(self.mss)
        self.most = max(GSO_MOST // self.mss, 1)
        """Segments in a super-packet."""
        self.una = self.nxt = self.written_to = 0
        self.edge = self.widest = window
        self.srtt = self.rttvar = 0.0
        self.least_rtt = math.inf
        self.retransmits = 0
        self.held = PROGRAM
        """Why the last `take` gave nothing."""
        self.next_send = 0.0
        """When pacing lets the next one go."""
        self._delivered, self._delivered_at, self._first_sent = 0, 0.0, 0.0
        self._idle_until = self._round_ends = self._order = 0
        self._backoff = 1
        self._small = 0
        """Where the last segment ended that was not full (`snd_sml`)."""
        self._limited = False
        self._recovers_at: int | None = None
        self._recovery = (0, 0, 1.0)
        """Segments delivered and sent in it, and the window before it."""

    # the program's side

    @property
    def sndbuf(self) -> int:
        """`tcp_sndbuf_expand`: room for some windows of segments as memory counts them."""
        memory = (1 << (self.mss + 640 - 1).bit_length()) + 256
        return int(min(self.congestion.expand * max(self.congestion.cwnd, 10.0) * memory, self.wmem))

    @property
    def queued(self) -> int:
        return self.written_to - self.una

    @property
    def room(self) -> int:
        return self.sndbuf - self.queued

    @property
    def writable(self) -> bool:
        """`sk_stream_is_writeable`: poll(2) says so when a third is free."""
        return self.room > 0 and self.room >= self.queued >> 1

    @property
    def goal(self) -> int:
        """Bytes that a segment buffer takes (`tcp_xmit_size_goal`), no more than half of the widest window."""
        return max(min(self.most * self.mss, self.widest // 2) // self.mss, 1) * self.mss

    @property
    def filling(self) -> int:
        """Bytes that the last, unsent segment buffer has room for."""
        return self.goal - (self.written_to - self.nxt) % self.goal

    def written(self, size: int) -> None:
        self.written_to += size

    # what leaves

    def take(self, now: float) -> Piece | None:
        """What leaves next; None: `held` says why nothing does."""
        if self.congestion.pacing_rate and self.next_send > now:
            self.held = PACING
            return None
        started = not self.flight.segments
        quota = math.floor(self.congestion.cwnd - self.flight.segments + 1e-9)
        goal = min(self._autosize(), self.goal)
        piece = self._again(quota, goal) if self.flight.lost else None
        if piece is None:
            piece = self._new(max(quota, int(started)), goal, now)
        if piece is None:
            return None
        if started:
            self._first_sent = self._delivered_at = now
        self._order += 1
        piece.order, piece.sent, piece.first_sent = self._order, now, self._first_sent
        piece.delivered, piece.delivered_at = self._delivered, self._delivered_at
        piece.idle = self._idle_until > self._delivered
        if self._recovers_at is not None:
            got, sent, before = self._recovery
            self._recovery = got, sent + self.flight.count(piece.size), before
        if self.congestion.pacing_rate:
            wait = piece.size / self.congestion.pacing_rate
            self.next_send = now + wait - min(wait / 2, now - self.next_send)
        return piece

    def _autosize(self) -> int:
        """`tcp_tso_autosize`: what the pacing rate sends in a millisecond, and more on a short way."""
        size = (self.congestion.pacing_rate or self._plain_rate()) / 1024
        if self.least_rtt < math.inf:
            size += GSO_MOST >> min(int(self.least_rtt * 1e6) >> RTT_LOG, 31)
        return max(int(min(size, GSO_MOST)) // self.mss, self.congestion.min_tso, 1) * self.mss

    def _plain_rate(self) -> float:
        """`tcp_update_pacing_rate`: a rate that nobody enforces, but that sizes super-packets."""
        if not self.srtt:
            return GSO_MOST * 1024.0
        ratio = 2.0 if self.congestion.cwnd < self.congestion.ssthresh / 2 else 1.2
        return ratio * max(self.congestion.cwnd, self.flight.segments) * self.mss / self.srtt

    def _again(self, quota: int, goal: int) -> Piece | None:
        if quota <= 0 and self.flight.segments:
            self.held = CONGESTION
            return None
        piece = self.flight.again(min(max(quota, 1) * self.mss, goal))
        if piece is not None:
            self.retransmits += self.flight.count(piece.size)
        return piece

    def _new(self, quota: int, goal: int, now: float) -> Piece | None:
        waiting, window = self.written_to - self.nxt, self.edge - self.nxt
        if self._small > self.una and waiting < goal:
            waiting -= waiting % self.mss  # Nagle's rule as Minshall changed it: one small segment on its way is enough
        if waiting <= 0:
            self.held = PROGRAM
            self._idle_until = self._delivered + self.flight.segments * self.mss or 1
            return None
        if quota <= 0:
            self.held, self._limited = CONGESTION, True
            return None
        if window < min(self.mss, waiting):
            self.held = RECEIVER
            return None
        limit = min(quota * self.mss, window)
        if self._defers(limit, min(goal, waiting), now):
            self.held = CONGESTION if quota * self.mss <= window else RECEIVER
            self._limited |= self.held == CONGESTION
            return None
        size = min(limit, goal, waiting)
        if self.mss < size < waiting:
            size -= size % self.mss
        piece = Piece(self.nxt, self.nxt + size)
        if size % self.mss:
            self._small = piece.end
        self.nxt = piece.end
        self.flight.add(piece)
        return piece

    def _defers(self, limit: int, wanted: int, now: float) -> bool:
        """`tcp_tso_should_defer`: wait for room for a whole one, if an acknowledgement is due soon."""
        if not self.flight or self._recovers_at is not None or limit >= min(wanted, self.most * self.mss):
            return False
        chunk = min(self.edge - self.una, self.congestion.cwnd * self.mss) / WIN_DIVISOR
        return limit < chunk and now - self.flight.pieces[0].sent < self.srtt

    # what comes back

    def on_ack(self, now: float, ack: int, edge: int, sacks: tuple[Span, ...] = ()) -> None:
        """All before `ack` arrived, and what `sacks` cover; the receiver takes bytes before `edge`."""
        self.edge, self.widest = max(self.edge, edge), max(self.widest, edge - ack)
        before = self.flight.segments
        newest, fresh = self.flight.acknowledge(ack, sacks)
        self.una = max(self.una, ack)
        if newest is None:
            return
        self._backoff = 1
        rtt = 0.0 if newest.again else now - newest.sent
        if rtt:
            self._sample(rtt)
        self._delivered += fresh
        self._delivered_at = now
        span = max(newest.sent - newest.first_sent, now - newest.delivered_at)
        self._first_sent = newest.sent
        rate = (self._delivered - newest.delivered) / span if span >= self.least_rtt else 0.0
        began = newest.delivered >= self._round_ends
        if began:
            self._round_ends = self._delivered
        holes = bool(sacks) or self._recovers_at is not None or bool(self.flight.lost)
        if holes and self.flight.find_lost(newest) and self._recovers_at is None:
            self._recovers_at, self._recovery = self.nxt, (0, 0, self.congestion.cwnd)
            self.congestion.on_loss(now)
        limited = self._limited or (self.congestion.slow_start and self.congestion.cwnd < 2 * before)
        self._limited = False
        self._react(Progress(now, fresh / self.mss, rtt, limited, self.flight.segments, rate, self._delivered,
                             newest.delivered, newest.idle, began))

    def _react(self, progress: Progress) -> None:
        if self._recovers_at is not None and self.una >= self._recovers_at:
            self._recovers_at = None
            self.congestion.after_recovery()
        if self._recovers_at is None:
            self.congestion.on_ack(progress)
            return
        got, sent, before = self._recovery
        self._recovery = got + math.ceil(progress.acked), sent, before
        self.congestion.in_recovery(progress, got + progress.acked, sent, before)

    def on_timeout(self, now: float) -> None:
        """The retransmission timer."""
        self.flight.lose_all()
        self._recovers_at = None
        self.congestion.on_timeout(now)
        self._backoff *= 2

    @property
    def rto(self) -> float:
        """Seconds (`tcp_rtt_estimator`); twice as many after each time-out in a row."""
        return (self.srtt + max(4 * self.rttvar, MIN_RTO) if self.srtt else 1.0) * self._backoff

    def _sample(self, rtt: float) -> None:
        self.least_rtt = min(self.least_rtt, rtt)
        if not self.srtt:
            self.srtt, self.rttvar = rtt, rtt / 2
            return
        self.rttvar += (abs(rtt - self.srtt) - self.rttvar) / 4
        self.srtt += (rtt - self.srtt) / 8
