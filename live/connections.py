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
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from live import connect, pinned, where
from live.patience import patient
from live.sockperf_output import PERCENTILES, Latency
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


def requests(client: Path, address: str, port: int, *, seconds: float, cpu: int) -> Latency:
    """One request after the other from namespace `client`, each on a connection of its own, for `seconds` or MOST of
    them. Times are whole cycles. LabError when nobody answers."""
    where.refuse_times("latency")
    process = _start(client, cpu, "ask", address, str(port), str(seconds), str(MOST),
                     ",".join(str(p) for p in PERCENTILES))
    limit = seconds + patient(GRACE)
    try:
        with pinned.above_others():
            said, complained = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise LabError(f"no time from {address}:{port} within {limit:.0f} s: nobody answers there") from None
    finally:
        pinned.end(process)
    if process.returncode:
        raise LabError(f"no time from {address}:{port}: {pinned.last_words(complained)}")
    found = json.loads(said)
    return Latency(found["observations"], found["mean"], {float(p): t for p, t in found["percentiles"].items()})


def _start(namespace: Path, cpu: int, *arguments: str) -> pinned.Program:
    if missing := [*pinned.missing("setpriv")]:
        raise LabError(f"latency needs {', '.join(missing)}", mend="apt-get install util-linux")
    return pinned.start(namespace, cpu, ["setpriv", "--pdeathsig", "KILL", sys.executable, "-I", "-S", str(SCRIPT),
                                         *arguments])
