"""When TCP sends a write again that was cut into segments: its one timer, the tail loss probe, and RACK.

Who answers nothing at all is probed once with the last segment, two round trips and two jiffies after the write, or at
the time of the time-out where one segment is out (tcp_schedule_loss_probe). Where later segments were acknowledged
(SACK), all that is missing before them goes out again two jiffies later (tcp_rack_reo_timeout). After that, the first
segment alone is sent on each time-out, with twice the wait each time (tcp_retransmit_timer), and nothing new leaves
(the window is one segment).
Sources: net/ipv4/tcp_output.c, tcp_recovery.c, tcp_timer.c. Left out: reordering, and what follows when a part of a
write was acknowledged, but for what a smaller path MTU makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sim.kernel.effects import CoarseTimer, Effects
from sim.kernel.tcp_states import Segment, State
from sim.packet import TcpFlag

if TYPE_CHECKING:
    from sim.kernel.tcp import TcpSocket

MIN_WAIT = 0.008
"""TCP_TIMEOUT_MIN: two jiffies, seconds."""
RETRIES = 6
"""After so many the model gives up on what is no SYN."""


class Recovery:
    """One socket's."""

    def __init__(self, sock: TcpSocket) -> None:
        self.sock = sock
        self.armed = 0
        """Which of the timers that were set is the last; the others find nothing to do."""
        self.timeouts = 0
        """In a row."""
        self.early_done = False
        """Probed, or sent again by RACK: once is enough until something is acknowledged."""

    @property
    def blocked(self) -> bool:
        """After a time-out nothing new leaves before something is acknowledged."""
        return self.timeouts > 0 and bool(self.sock.unacked)

    def sent(self, rtt: float) -> Effects:
        """A write has left."""
        out = len(self.sock.unacked)
        if not self.early_done:
            timeout = self._timeout()
            yield self._set(min(timeout, 2 * rtt + MIN_WAIT) if out > 1 else timeout, self._probe)
        else:
            yield self._set(self._timeout(), self._time_out)

    def acknowledged(self) -> Effects:
        """Something new was."""
        self.timeouts, self.early_done = 0, False
        if self.sock.unacked:
            yield self._set(self._timeout(), self._time_out)

    def selectively(self) -> Effects:
        """What the peer has behind a hole was told."""
        if not self.early_done:
            yield self._set(MIN_WAIT, self._missing)

    def again(self) -> Effects:
        """Something was sent again for another reason."""
        self.early_done = True
        yield self._set(self._timeout(), self._time_out)

    def _timeout(self) -> float:
        return self.sock.first_timeout() * 2.0 ** self.timeouts

    def _set(self, wait: float, action: Callable[[float], Effects]) -> CoarseTimer:
        self.armed += 1
        mine = self.armed

        def due(now: float) -> Effects:
            if mine == self.armed and self.sock.unacked and self.sock.state is not State.CLOSED:
                yield from action(now)

        return CoarseTimer(wait, due)

    def _probe(self, now: float) -> Effects:
        yield from self._send([self.sock.unacked[-1]], now)
        yield from self.again()

    def _missing(self, now: float) -> Effects:
        last = max((n for n, segment in enumerate(self.sock.unacked) if segment.sacked), default=0)
        missing = [segment for n, segment in enumerate(self.sock.unacked) if n < last and not segment.sacked]
        if len(missing) > 1:
            missing[-1].flags |= TcpFlag.PSH
        yield from self._send(missing, now)
        yield from self.again()

    def _time_out(self, now: float) -> Effects:
        first = self.sock.unacked[0]
        if self.timeouts >= RETRIES:
            yield from self.sock.give_up()
            return
        self.timeouts += 1
        yield from self._send([first], now)
        yield from self.again()

    def _send(self, segments: list[Segment], now: float) -> Effects:
        for segment in segments:
            yield from self.sock.put_out(segment, now)
