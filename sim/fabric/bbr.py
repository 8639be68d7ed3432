"""BBR, version 1: a model of the path instead of losses (net/ipv4/tcp_bbr.c, tcp_rate.c).

The widest rate at which segments were delivered lately and the shortest round trip say what fits on the path. The
sender paces itself at that rate, a little above it now and then to see whether there is more. Its window is twice what
fits, and room for the super-packets of both ends.
Left out: PROBE_RTT (200 ms each ten seconds on a flow that is never idle), and the long-term rate of a policed path.
"""

from __future__ import annotations

from collections import deque

from .congestion import INITIAL, Progress, Reno

HIGH_GAIN = 2.885
DRAIN_GAIN = 1 / 2.885
CYCLE = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""PROBE_BW: the pacing gains of its phases, each about a round trip."""
WINDOW_GAIN = 2.0
ROUNDS = 10
"""The widest rate of so many round trips counts."""
MARGIN = 0.99
"""It paces a little below its estimate."""
FULL_GROWTH, FULL_ROUNDS = 1.25, 3
"""The pipe is full when the rate has not grown by so much in so many rounds."""
EXTRA_ROUNDS = 5
FEWEST = 4.0
GSO_MOST = 0x7F


class Bbr(Reno):
    """STARTUP, DRAIN, PROBE_BW. A loss changes nothing but the window during its recovery."""

    name = "bbr"
    expand = 3

    def __init__(self, mss: int) -> None:
        super().__init__(mss)
        self.mode = "startup"
        self.pacing_gain = HIGH_GAIN
        self._window_gain = HIGH_GAIN
        self._rates: deque[tuple[int, float]] = deque()
        self._round = 0
        self._least_rtt = float("inf")
        self._full_rate, self._full_count, self._full = 0.0, 0, False
        self._phase, self._phase_began = 2, 0.0
        self._before = INITIAL
        self._epoch: tuple[float, float] = (0.0, 0.0)
        self._extra: deque[tuple[int, float]] = deque()

    @property
    def slow_start(self) -> bool:
        return self.mode == "startup"

    @property
    def rate(self) -> float:
        """The widest lately, bytes/s."""
        return self._rates[0][1] if self._rates else 0.0

    def on_ack(self, progress: Progress) -> None:
        self._learn(progress)
        fits = self.rate * self._least_rtt / self.mss if self._rates else INITIAL
        self._turn(progress, fits)
        rate = self.pacing_gain * self.rate * MARGIN
        if not self.pacing_rate and progress.rtt:
            self.pacing_rate = HIGH_GAIN * INITIAL * self.mss / progress.rtt
        if rate and (self._full or rate > self.pacing_rate):
            self.pacing_rate = rate
        if progress.acked:
            target = self._target(fits) + (self._extra[0][1] if self._extra and self._full else 0.0)
            if self._full:
                self.cwnd = min(self.cwnd + progress.acked, target)
            elif self.cwnd < target or progress.delivered < INITIAL * self.mss:
                self.cwnd += progress.acked
            self.cwnd = max(self.cwnd, FEWEST)

    def in_recovery(self, progress: Progress, delivered: float, sent: float, before: float) -> None:
        """Packet conservation for the first round trip, then as ever."""
        if delivered < before:
            self._learn(progress)
            self.cwnd = max(self.cwnd, progress.flight + progress.acked)
        else:
            self.on_ack(progress)

    def on_loss(self, now: float) -> None:
        self._before = max(self.cwnd, FEWEST)

    def after_recovery(self) -> None:
        self.cwnd = max(self.cwnd, self._before)

    def on_timeout(self, now: float) -> None:
        self.on_loss(now)
        self.cwnd = 1.0

    def _learn(self, progress: Progress) -> None:
        self._round += progress.round_began
        if progress.rtt:
            self._least_rtt = min(self._least_rtt, progress.rtt)
        if progress.rate and (not progress.idle or progress.rate >= self.rate):
            _keep(self._rates, self._round, progress.rate, ROUNDS)
        began, acked = self._epoch
        expected = self.rate * (progress.now - began) / self.mss
        if acked <= expected:
            began, acked, expected = progress.now, 0.0, 0.0
        self._epoch = began, acked + progress.acked
        extra = min(acked + progress.acked - expected, self.cwnd, self.rate * 0.1 / self.mss)
        _keep(self._extra, self._round, max(extra, 0.0), EXTRA_ROUNDS)
        if not self._full and progress.round_began and not progress.idle:
            if self.rate >= self._full_rate * FULL_GROWTH:
                self._full_rate, self._full_count = self.rate, 0
            else:
                self._full_count += 1
                self._full = self._full_count >= FULL_ROUNDS

    def _turn(self, progress: Progress, fits: float) -> None:
        if self.mode == "startup" and self._full:
            self.mode, self.pacing_gain = "drain", DRAIN_GAIN
        if self.mode == "drain" and progress.flight <= self._budget(fits):
            self.mode, self._phase, self._phase_began = "probe", 2, progress.now
            self.pacing_gain, self._window_gain = CYCLE[self._phase], WINDOW_GAIN
        elif self.mode == "probe":
            over = progress.now - self._phase_began > self._least_rtt
            if self.pacing_gain > 1:
                over = over and progress.flight >= self._budget(fits * self.pacing_gain)
            elif self.pacing_gain < 1:
                over = over or progress.flight <= self._budget(fits)
            if over:
                self._phase, self._phase_began = (self._phase + 1) % len(CYCLE), progress.now
                self.pacing_gain = CYCLE[self._phase]

    def _budget(self, segments: float) -> float:
        """Room for whole super-packets at both ends, and for the probing itself."""
        goal = min(max((self.pacing_rate / 1024) // self.mss, self.min_tso), GSO_MOST, 65215 // self.mss or 1)
        return segments + 3 * goal + 2 * (self.mode == "probe" and self._phase == 0)

    def _target(self, fits: float) -> float:
        return self._budget(fits * self._window_gain)


def _keep(best: deque[tuple[int, float]], number: int, value: float, rounds: int) -> None:
    """Add to a windowed maximum; the greatest of the last `rounds` is first."""
    while best and best[-1][1] <= value:
        best.pop()
    best.append((number, value))
    while best[0][0] < number - rounds:
        best.popleft()
