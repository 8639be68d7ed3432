"""How much a TCP sender may have on its way: Reno and CUBIC (net/ipv4/tcp_cong.c, tcp_cubic.c; RFC 5681, RFC 9438).

An algorithm sets `cwnd` in segments, and `pacing_rate` in bytes/s where it wants segments to be spread over time (0:
bursts are all right, which is so for both of these; `bbr.py` has one that paces). The window grows only while it is
what limits the sender (RFC 7661).
Left out: HyStart's ACK trains (its delay rule is here), undo after a spurious loss.
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL = 10.0
"""TCP_INIT_CWND, segments."""
SMALLEST = 2.0
"""Segments: no loss halves below this."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one ACK says. `acked`: segments newly delivered; `rtt` in seconds, 0 where it can't be told; `limited`: the
    window was what held the sender up; `flight`: segments still on their way; `rate` in bytes/s, `delivered` in bytes
    since the start, `before` when the segment that was just delivered left (tcp_rate.c)."""

    now: float
    acked: float
    rtt: float
    limited: bool
    flight: float
    rate: float = 0.0
    delivered: int = 0
    before: int = 0
    idle: bool = False
    """The program had nothing to send when that segment left: the rate is the program's, not the path's."""
    round_began: bool = False


class Reno:
    """One segment more each round trip, half of it after a loss."""

    name = "reno"
    beta = 0.5
    expand = 2
    """How many windows the send buffer should hold."""
    min_tso = 2

    def __init__(self, mss: int) -> None:
        self.mss = mss
        self.cwnd = INITIAL
        self.ssthresh = float("inf")
        self.pacing_rate = 0.0

    @property
    def slow_start(self) -> bool:
        return self.cwnd < self.ssthresh

    def on_ack(self, progress: Progress) -> None:
        """Outside recovery."""
        if not progress.limited:
            return
        acked = progress.acked
        if self.slow_start:
            grown = min(self.cwnd + acked, max(self.cwnd, self.ssthresh))
            acked -= grown - self.cwnd
            self.cwnd = grown
        if acked > 0:
            self.avoid(progress, acked)

    def avoid(self, progress: Progress, acked: float) -> None:
        """Congestion avoidance."""
        self.cwnd += acked / self.cwnd

    def on_loss(self, now: float) -> None:
        """Recovery begins; the window comes down to `ssthresh` while it lasts (proportional rate reduction)."""
        self.ssthresh = max(self.cwnd * self.beta, SMALLEST)

    def in_recovery(self, progress: Progress, delivered: float, sent: float, before: float) -> None:
        """RFC 6937: `delivered` and `sent` segments since recovery began, `before` the window at that time."""
        if progress.flight > self.ssthresh:
            allowed = delivered * self.ssthresh / before - sent
        else:
            allowed = min(self.ssthresh - progress.flight, max(delivered - sent, progress.acked) + 1)
        self.cwnd = progress.flight + max(allowed, 0.0)

    def after_recovery(self) -> None:
        self.cwnd = self.ssthresh

    def on_timeout(self, now: float) -> None:
        self.on_loss(now)
        self.cwnd = 1.0


class Cubic(Reno):
    """The window as a cubic function of the time since the last loss; never slower than Reno would be."""

    name = "cubic"
    beta = 717 / 1024
    scale = 0.4
    """C: segments/s^3."""
    low_window = 16.0
    """HyStart waits for this window."""
    delay_least, delay_most = 0.004, 0.016
    """HyStart: seconds by which a round's least RTT must exceed the path's, at least an eighth of that."""
    samples = 8

    def __init__(self, mss: int) -> None:
        super().__init__(mss)
        self._most = 0.0
        self._epoch: float | None = None
        self._origin = self._reach = self._friendly = 0.0
        self._least_rtt = self._round_rtt = float("inf")
        self._round_samples = 0

    def on_ack(self, progress: Progress) -> None:
        if progress.rtt:
            self._least_rtt = min(self._least_rtt, progress.rtt)
            self._hystart(progress)
        super().on_ack(progress)

    def _hystart(self, progress: Progress) -> None:
        if progress.round_began:
            self._round_rtt, self._round_samples = float("inf"), 0
        if not self.slow_start or self.cwnd < self.low_window:
            return
        if self._round_samples < self.samples:
            self._round_samples += 1
            self._round_rtt = min(self._round_rtt, progress.rtt)
        elif self._round_rtt > self._least_rtt + min(max(self._least_rtt / 8, self.delay_least), self.delay_most):
            self.ssthresh = self.cwnd

    def avoid(self, progress: Progress, acked: float) -> None:
        if self._epoch is None:
            self._epoch, self._friendly = progress.now, self.cwnd
            self._origin = max(self._most, self.cwnd)
            self._reach = ((self._origin - self.cwnd) / self.scale) ** (1 / 3)
        ahead = progress.now - self._epoch + min(self._least_rtt, 1.0)
        target = self._origin + self.scale * (ahead - self._reach) ** 3
        growth = (target - self.cwnd) / self.cwnd if target > self.cwnd else 0.01 / self.cwnd
        self._friendly += 3 * (1 - self.beta) / (1 + self.beta) * acked / self.cwnd
        if self._friendly > self.cwnd:
            growth = max(growth, (self._friendly - self.cwnd) / self.cwnd)
        self.cwnd += acked * min(growth, 0.5)

    def on_loss(self, now: float) -> None:
        self._epoch = None
        # fast convergence: who lost before it was back at its last maximum makes room for others
        self._most = self.cwnd * (1 + self.beta) / 2 if self.cwnd < self._most else self.cwnd
        super().on_loss(now)
