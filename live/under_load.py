"""Answers under load: sockperf's messages at a rate, each answered.

One thread sends and one receives. The sender polls the clock until start + n/rate and makes up for what it is late.
--sender-affinity and --receiver-affinity are useless: sockperf 3.7 applies both to the calling thread, and the sender
ends up on the receiver's CPU. So the threads are pinned from here.

The server polls on the receiver's CPU. The receiver is a real-time thread there: it takes its answer as soon as it is
woken, and not when the scheduler finds that the server has had its share. While it counts the others are, too, one step
below: a millisecond for somebody else, ten times a second, hides in a ping-pong, where it is one round trip in ten
thousand; under load a hundred messages wait for it each time, and are the 99th percentile.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from live import pinned, where
from live.sockperf import COOL_DOWN, MESSAGE_BYTES, WARM_UP, Held, Mode, Server, held
from live.sockperf_output import Load, parse_load
from sim.errors import LabError

SECONDS = 0.5
"""Measured by default: many timer ticks."""
BEFORE = 0.05
"""Seconds before the measured ones in which nobody disturbs a load any more: a queue that somebody caused is empty."""
FIRST = 2
"""Real-time priority of who receives; the sender and the server are one below, and we one above."""
MOST = 2_000_000
"""Messages a second that can be asked for. sockperf sets memory aside for each; no path of a kernel carries as many."""


@dataclass(frozen=True, slots=True)
class Loading:
    """A client that is ready and held. `measure` lets it go, once."""

    client: Held
    rate: int
    seconds: float
    begin: Callable[[int], None]
    """Called with its pid when it is at work."""

    def measure(self, server: Server) -> Load:
        """What sockperf found, while `server` works. LabError when nobody answered."""
        self.client.await_awake()
        with pinned.above_others(), server.awake():
            self.client.go()
            if self.client.runs:
                self.begin(self.client.process.pid)
                with self.undisturbed(server, WARM_UP - BEFORE):
                    time.sleep(BEFORE + self.seconds + COOL_DOWN)
                    self.client.signal(signal.SIGINT)
            said = self.client.said()
        with self.client.named():
            return parse_load(said, self.rate)

    @contextlib.contextmanager
    def undisturbed(self, server: Server, wait: float = 0.0) -> Iterator[None]:
        """Sender and server in real time after `wait` seconds. The receiver is so anyway; and we, from now on, as both
        CPUs are taken and we must be on time."""
        with pinned.realtime(FIRST + 1, threading.get_native_id()):
            time.sleep(wait)
            with pinned.realtime(FIRST - 1, self.client.process.pid, server.pid):
                yield


@contextlib.contextmanager
def loading(client: Path, address: str, port: int, *, rate: int, protocol: str = "udp", size: int = MESSAGE_BYTES,
            seconds: float = SECONDS, burst: int = 1) -> Iterator[Loading]:
    """A client, held, that will send `rate` messages a second, `burst` at a time, and have each of them answered.

    Its sender is alone on the first CPU, its receiver on the second with the server, which must be one of
    `Mode.spinning`. LabError for a rate that sockperf can't be asked for.
    """
    where.refuse_times("load")
    mode = Mode.spinning(protocol)
    if not 1 <= rate <= MOST:
        raise LabError(f"a load of {rate} messages a second: it must be 1 to {MOST}")

    def begin(pid: int) -> None:
        pinned.receiver_first(pid, mode.server_cpu, FIRST)

    with held(client, mode, "under-load", address, port, size, WARM_UP + seconds + COOL_DOWN, f"--mps={rate}",
              f"--burst={burst}", "--reply-every=1", *(["--tcp"] if protocol == "tcp" else [])) as ready:
        yield Loading(ready, rate, seconds, begin)
