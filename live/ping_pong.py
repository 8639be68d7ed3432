"""Round trips: sockperf's requests, one after the other, each when the one before is answered.

A client is measured in turns (`live/turns.py`): between them it is stopped, and who answers by polling is so, too. The
round trip that is under way when a client is stopped lasts until its next turn, and is left out: sockperf writes down
every one (--full-log), so the figures are of those that ran through.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from live import where
from live.sockperf import COOL_DOWN, MESSAGE_BYTES, WARM_UP, Held, Mode, Server, held
from live.sockperf_output import Latency, parse_log
from live.turns import in_turn
from sim.errors import LabError

SECONDS = 0.5
"""Measured by default: a fifth of a second has ten thousand round trips, and half a second many timer ticks."""
LASTING = 5.0
"""Seconds that a run may last by default, from its first message, the others' turns included."""
RATE = 300_000
"""Most messages a second, `--mps`. sockperf sets memory aside for as many (24 MB for a run of five seconds); no round
trip through two sockets takes less than 3 µs."""


class Asking:
    """A sockperf client that is ready and held, and the server that answers it."""

    def __init__(self, client: Held, server: Server, log: Path) -> None:
        self.client, self.server, self._log = client, server, log
        self._first = self._stopped = self.counted = 0.0
        self._pauses: list[float] = []

    def turn(self, seconds: float) -> None:
        """As `turns.Client`; it counts from when sockperf does."""
        self.client.await_awake()
        with self.server.awake():
            if not self._first:
                self.client.go()
                self._first = time.monotonic()
            else:
                self._pauses.append(time.monotonic() - self._stopped)
                self.client.signal(signal.SIGCONT)
            began = max(time.monotonic(), self._first + WARM_UP)
            time.sleep(seconds)
            self.client.signal(signal.SIGSTOP)
        self._stopped = time.monotonic()
        self.counted += max(0.0, self._stopped - began)
        if not self.client.runs:
            self.result()
            raise LabError(f"the run to {self.client.target} ended before its time")

    def result(self) -> Latency:
        """As `turns.Client`."""
        time.sleep(max(0.0, self._stopped + COOL_DOWN - time.monotonic()))
        with self.server.awake():
            self.client.signal(signal.SIGINT)
            self.client.signal(signal.SIGCONT)
            said = self.client.said()
        with self.client.named():
            return parse_log(said, self._log, self._pauses)


@contextlib.contextmanager
def asking(client: Path, address: str, port: int, mode: Mode, server: Server, *, size: int = MESSAGE_BYTES,
           lasting: float = LASTING) -> Iterator[Asking]:
    """A client in namespace `client`, connected and held, whose run may last so many seconds. Gone when the body ends.
    LabError when nobody listens there (TCP)."""
    where.refuse_times("latency")
    with tempfile.TemporaryDirectory(prefix="hopcast-") as folder:
        log = Path(folder, "log.csv")
        with held(client, mode, "ping-pong", address, port, size, lasting, f"--mps={RATE}", f"--full-log={log}",
                  *mode.arguments()) as ready:
            yield Asking(ready, server, log)


def ping_pong(client: Path, address: str, port: int, mode: Mode, server: Server, *, size: int = MESSAGE_BYTES,
              seconds: float = SECONDS) -> Latency:
    """One client alone. `seconds` are those measured; it takes three more."""
    with asking(client, address, port, mode, server, size=size, lasting=WARM_UP + seconds + LASTING) as ready:
        return in_turn([ready], seconds)[0]
