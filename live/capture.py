"""Sniffing at many interfaces of many namespaces at once: real packets as a `sim.trace.Trace`.

One scapy `L2listen` socket stands on each interface, opened by a thread that enters the interface's namespace.
Nothing reads them while a question runs: frames wait in the kernel, each with the time at which it passed the tap,
and `take` fetches them afterwards. So capturing costs the measured packets nothing but the tap itself, and no
thread competes with the probe for a CPU. A buffer that overflows in the meantime is no secret: the kernel counts
the frames it lost (`Trace.lost`).

What each socket sees, and what not, is said in `tap.py`.
Left out: IPv6 and other protocols (a filter in the kernel keeps them from the buffers), and anything sent by drivers
without passing a tap.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from live import netns
from live.codec import decode
from live.relative import relative
from live.tap import Point, Tap, open_all, receive
from sim.packet import BROADCAST, ZERO_MAC, Packet, Vlan
from sim.trace import Kind, Step, Trace

__all__ = ["Capture", "Point"]

Frame = tuple[int, int, int, Tap, str, bytes, int]
"""(kernel time in ns, `above`, order of arrival, tap, way, bytes, VLAN): sorts as things happened."""


def _pool() -> ThreadPoolExecutor:
    """To open and close many sockets at once: each waits until no CPU delivers to it any more (synchronize_net in
    packet_do_bind and packet_release), ten milliseconds or so, and side by side they wait for the same moment."""
    return ThreadPoolExecutor(32, thread_name_prefix="taps")


class Capture:
    """Sockets on all `points`, open until `close`; for each question `mark()`, run the probe, `take()`.

    `mac_symbol` maps a real MAC address to the name that predictions have for it (or to itself); broadcast and zero are
    never asked about. `spi_symbol` does the same for SPIs. LabError when a point does not exist or root is missing.
    """

    def __init__(
        self, points: Iterable[Point], *, mac_symbol: Callable[[str], str] = str,
        spi_symbol: Callable[[str], str] = str,
    ) -> None:
        self._mac_symbol, self._spi_symbol = mac_symbol, spi_symbol
        self._taps: dict[int, Tap] = {}
        self._epoll = select.epoll()
        self._since = 0
        self._decoded: dict[bytes, Packet | None] = {}
        """A frame is seen at many points, and decoded once."""
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
        self._decoded.clear()
        self._since = time.time_ns()

    def take(self, settle: float = 0.05, limit: float = 2.0) -> Trace:
        """The SEEN steps since `mark`, by kernel time, once no frame has come for `settle` seconds, or after `limit`.

        TCP numbers are relative; `Step.at` is in seconds since the mark.
        """
        frames: list[Frame] = []
        end = time.monotonic() + limit
        self._drain(frames)
        while (left := end - time.monotonic()) > 0 and self._epoll.poll(min(settle, left)):
            self._drain(frames)
        steps = [step for frame in sorted(frames) if frame[0] >= self._since and (step := self._step(frame))]
        return relative(Trace(steps, self._lost()))

    def _drain(self, frames: list[Frame]) -> None:
        """Moves all that waits in the kernel to `frames`."""
        while ready := self._epoll.poll(0):
            for fd, _ in ready:
                tap = self._taps[fd]
                while frame := receive(tap.sock):
                    at, way, raw, vlan = frame
                    frames.append((at, tap.above if way == "in" else 0, len(frames), tap, way, raw, vlan))

    def _lost(self) -> int:
        """Frames lost since the last call."""
        return sum(tap.lost() for tap in self._taps.values())

    def _step(self, frame: Frame) -> Step | None:
        at, _, _, tap, way, raw, vlan = frame
        if raw not in self._decoded:
            self._decoded[raw] = decode(raw)
        known = self._decoded[raw]
        if known is None:
            return None
        packet = known.snapshot()
        if vlan:
            packet.vlan = Vlan(vlan)
        if tap.headless and way == "out":
            packet.eth = None
        self._name_macs(packet)
        if packet.esp:
            packet.esp.spi = self._spi_symbol(packet.esp.spi)
        return Step(Kind.SEEN, tap.point.label, tap.point.device, packet, way=way, at=(at - self._since) / 1e9)

    def _name_macs(self, packet: Packet) -> None:
        if packet.eth:
            packet.eth.src, packet.eth.dst = self._name(packet.eth.src), self._name(packet.eth.dst)
        if packet.arp:
            packet.arp.sender_mac = self._name(packet.arp.sender_mac)
            packet.arp.target_mac = self._name(packet.arp.target_mac)
        if packet.inner:
            self._name_macs(packet.inner)

    def _name(self, mac: str) -> str:
        return mac if mac in (BROADCAST, ZERO_MAC) else self._mac_symbol(mac)
