"""How long a request takes that makes a connection of its own: connect, send, read the answer to its end, close.

A probe of our own, as sockperf keeps its connection. Both ends are Python, which costs the same tens of microseconds
on every path, so what differs from path to path is the path's. Both sleep in the kernel, on one CPU, as in sockperf's
blocking mode (`live/sockperf.py`).

The responder closes first and the client, having read the end of the stream, resets (SO_LINGER 0) instead of closing:
so no end is left in TIME_WAIT, no port is used up for a minute (tcp_tw_reuse is a machine's choice), and conntrack
forgets the connection after 10 s instead of 120 s. A cycle is nine packets: SYN, SYN+ACK, ACK, request, its
ACK, answer, its ACK, FIN, RST. A run is bounded (MOST) for conntrack's sake: its table is one for all scenarios of a
namespace.
"""

from __future__ import annotations

import contextlib
import json
import select
import sys
from collections.abc import Iterator
from pathlib import Path

from live import connect, pinned, where
from live.patience import patient
from live.sockperf_output import PERCENTILES, Latency
from live.turns import in_turn
from sim.errors import LabError

SCRIPT = Path(connect.__file__)
MOST = 8000
"""Requests in a run: with a table of 65536 entries (nf_conntrack_max of a small machine) room for several in 10 s."""
GRACE = 5.0


@contextlib.contextmanager
def accepting(namespace: Path, port: int, cpu: int) -> Iterator[None]:
    """A responder on every address of `namespace`, listening when the body starts, gone when it ends. It serves one
    connection after the other, for any number of runs."""
    process = _start(namespace, cpu, "answer", str(port))
    try:
        pinned.await_listening(process, "the responder", port, namespace.name)
        yield
    finally:
        pinned.end(process)


class Asking:
    """A client that is ready, measured in turns (`live/turns.py`)."""

    def __init__(self, process: pinned.Program, target: str) -> None:
        self.process, self.target = process, target
        self.counted = 0.0

    def turn(self, seconds: float) -> None:
        """As `turns.Client`; requests that warm up come before what counts."""
        limit = seconds + patient(GRACE)
        to, said = self.process.stdin, self.process.stdout
        assert to and said, "pinned.start was told to open both"
        with contextlib.suppress(BrokenPipeError):
            print(seconds, file=to, flush=True)
        if not select.select([said], [], [], limit)[0]:
            raise LabError(f"no time from {self.target} within {limit:.0f} s: nobody answers there")
        if not said.readline():
            self.result()
        self.counted += seconds

    def result(self) -> Latency:
        """As `turns.Client`."""
        said, complained = self.process.communicate(timeout=patient(GRACE))
        if self.process.returncode:
            raise LabError(f"no time from {self.target}: {pinned.last_words(complained)}")
        return Latency.of(json.loads(said))


@contextlib.contextmanager
def asking(client: Path, address: str, port: int, cpu: int) -> Iterator[Asking]:
    """A client in namespace `client` that will send one request after the other, each on a connection of its own, MOST
    of them. Times are whole cycles. Gone when the body ends."""
    where.refuse_times("latency")
    process = _start(client, cpu, "ask", address, str(port), str(MOST), ",".join(str(p) for p in PERCENTILES),
                     told=True)
    try:
        yield Asking(process, f"{address}:{port}")
    finally:
        pinned.end(process)


def requests(client: Path, address: str, port: int, *, seconds: float, cpu: int) -> Latency:
    """One client alone. LabError when nobody answers."""
    with asking(client, address, port, cpu) as ready:
        return in_turn([ready], seconds)[0]


def _start(namespace: Path, cpu: int, *arguments: str, told: bool = False) -> pinned.Program:
    if missing := [*pinned.missing("setpriv")]:
        raise LabError(f"latency needs {', '.join(missing)}", mend="apt-get install util-linux")
    return pinned.start(namespace, cpu, ["setpriv", "--pdeathsig", "KILL", sys.executable, "-I", "-S", str(SCRIPT),
                                         *arguments], told=told)
