"""Sniffing at many interfaces of many namespaces at once: real packets, with the kernel's own times.

One scapy `L2listen` socket stands on each interface, opened by a thread that enters the interface's namespace.
Nothing reads them while a question runs: frames wait in the kernel, each with the time at which it passed the tap,
and `take` fetches them afterwards. So capturing costs the measured packets nothing but the tap itself, and no
thread competes with the probe for a CPU. A buffer that overflows in the meantime is no secret: the kernel counts
the frames it lost (`Frames.lost`).

What each socket sees, and what not, is said in `tap.py`.
Left out: IPv6 and other protocols (a filter in the kernel keeps them from the buffers), and anything sent by drivers
without passing a tap.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from live import netns
from live.frames import Frame, Frames
from live.tap import Point, Tap, open_all, receive

__all__ = ["Capture", "Point"]

Row = tuple[int, int, int, Tap, str, bytes, int, bool]
"""(kernel time in ns, `above`, order of arrival, tap, way, bytes, VLAN, unfinished): sorts as things happened."""


def _pool() -> ThreadPoolExecutor:
    """To open and close many sockets at once: each waits until no CPU delivers to it any more (synchronize_net in
    packet_do_bind and packet_release), ten milliseconds or so, and side by side they wait for the same moment."""
    return ThreadPoolExecutor(32, thread_name_prefix="taps")


class Capture:
    """Sockets on all `points`, open until `close`; for each question `mark()`, run the probe, `take()`.

    LabError when a point does not exist or root is missing.
    """

    def __init__(self, points: Iterable[Point]) -> None:
        self._taps: dict[int, Tap] = {}
        self._epoll = select.epoll()
        self._since = 0
        groups = [(path, list(group)) for path, group in
                  groupby(sorted(points, key=lambda p: p.netns), key=lambda p: p.netns)]
        try:
            with _pool() as pool:
                opening = [pool.submit(netns.call, path, open_all, group) for path, group in groups]
            errors = [error for each in opening if (error := each.exception())]
            for tap in (tap for each in opening if not each.exception() for tap in each.result()):
                self._taps[tap.sock.fileno()] = tap
                self._epoll.register(tap.sock, select.EPOLLIN)
            if errors:
                raise errors[0]
        except BaseException:
            self.close()
            raise
        # The first stamped socket makes the kernel patch its code to take times, in a work item of its own
        # (net_enable_timestamp): frames before that would bear the time at which we read them.
        time.sleep(0.02)
        self.mark()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes every socket; a second time does nothing."""
        with _pool() as pool:
            list(pool.map(lambda tap: tap.listener.close(), self._taps.values()))
        self._taps.clear()
        self._epoll.close()

    def mark(self) -> None:
        """Forgets everything until now: the question starts here, and its times count from here."""
        self._drain([])
        self._lost()
        self._since = time.time_ns()

    def take(self, settle: float = 0.05, limit: float = 2.0) -> Frames:
        """The frames since `mark`, by kernel time, once none has come for `settle` seconds, or after `limit`."""
        rows: list[Row] = []
        end = time.monotonic() + limit
        self._drain(rows)
        while (left := end - time.monotonic()) > 0 and self._epoll.poll(min(settle, left)):
            self._drain(rows)
        return Frames([self._frame(row) for row in sorted(rows) if row[0] >= self._since], self._lost())

    def _drain(self, rows: list[Row]) -> None:
        """Moves all that waits in the kernel to `rows`."""
        while ready := self._epoll.poll(0):
            for fd, _ in ready:
                tap = self._taps[fd]
                while frame := receive(tap.sock):
                    at, way, raw, vlan, unfinished = frame
                    rows.append((at, tap.above if way == "in" else 0, len(rows), tap, way, raw, vlan, unfinished))

    def _lost(self) -> int:
        """Frames lost since the last call."""
        return sum(tap.lost() for tap in self._taps.values())

    def _frame(self, row: Row) -> Frame:
        at, _, _, tap, way, raw, vlan, unfinished = row
        return Frame((at - self._since) / 1e9, tap.point.label, tap.point.device, way, raw, vlan,
                     tap.headless and way == "out", unfinished)
