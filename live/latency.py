"""Round-trip latency of a TCP request and its answer: sockperf's ping-pong between two network namespaces.

One connection, one request on the way at a time: a warm path, so no handshake, no ARP, and conntrack's entry is
established. Both processes block in the kernel and are pinned to one CPU: the time is then the path's own work and one
context switch each way, while on two CPUs a round trip would be two idle CPUs' wake-ups, several times the path. They
run at the highest nice level, so that others on the machine interrupt them less; the median does not see the rest.

Measure without sniffers: a packet socket costs more than the hop that it watches.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from live import where
from sim.errors import LabError

PORT = 11111
"""sockperf's own default."""
MESSAGE_BYTES = 14
"""sockperf's smallest message: its header."""
LISTEN_LIMIT = 5.0
GRACE = 10.0
"""Seconds beyond the measured ones that a run may take: warm-up, connection, statistics."""
PERCENTILES = (25.0, 50.0, 75.0, 90.0, 99.0)
TCP_LISTEN = "0A"
"""include/net/tcp_states.h, as /proc/net/tcp writes it."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One run. Times are round trips in seconds."""

    requests: int
    mean: float
    percentiles: dict[float, float]

    @property
    def p50(self) -> float:
        return self.percentiles[50.0]


def missing_tools() -> list[str]:
    """The programs that a measurement needs and this machine lacks."""
    return [tool for tool in ("sockperf", "nsenter", "taskset", "nice") if shutil.which(tool) is None]


def first_cpu() -> int:
    """The CPU on which both ends run unless told otherwise: the lowest that this process may use."""
    return min(os.sched_getaffinity(0))


def ping_pong(client: Path, server: Path, address: str, port: int = PORT, *, listen: int = 0, seconds: int = 1,
              cpu: int | None = None) -> Latency:
    """Send requests from namespace `client` to `address`:`port`, answered in namespace `server`.

    `listen` is the port on which the server listens, where a published one is dialled. LabError when sockperf is
    missing, nobody answers, or a time limit passes. Both processes have ended when this returns or raises.
    """
    where.refuse_times("latency")
    if missing := missing_tools():
        raise LabError(f"latency needs {', '.join(missing)}", mend="apt-get install sockperf util-linux")
    cpu = first_cpu() if cpu is None else cpu
    with answering(server, listen or port, cpu):
        limit = seconds + GRACE
        asking = _start(client, cpu, "ping-pong", "--tcp", "-i", address, "-p", str(port), "-m", str(MESSAGE_BYTES),
                        "-t", str(seconds), "--mps=max", "--full-rtt")
        try:
            said, _ = asking.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise LabError(f"no latency from {address}:{port} within {limit:.0f} s: nobody answers there") from None
        finally:
            _end(asking)
    return parse(said)


@contextlib.contextmanager
def answering(namespace: Path, port: int, cpu: int) -> Iterator[None]:
    """A sockperf server on every address of `namespace`; listening when the body starts, gone when it ends."""
    serving = _start(namespace, cpu, "server", "--tcp", "-i", "0.0.0.0", "-p", str(port))
    try:
        deadline = time.monotonic() + LISTEN_LIMIT
        while not _listens(serving.pid, port):
            if serving.poll() is not None:
                said, _ = serving.communicate()
                raise LabError(f"sockperf can't serve on port {port} in {namespace.name}: {_last_words(said)}")
            if time.monotonic() > deadline:
                raise LabError(f"sockperf does not listen on port {port} in {namespace.name}")
            time.sleep(0.02)
        yield
    finally:
        _end(serving)


def parse(said: str) -> Latency:
    """Read sockperf's statistics (microseconds, `--full-rtt`). LabError with what it said instead, if it has none."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", said)
    percentiles = {float(p): float(value) * 1e-6 for p, value in re.findall(r"percentile ([\d.]+) = +([\d.]+)", text)}
    mean = re.search(r"avg-rtt=([\d.]+)", text)
    requests = re.search(r"Total (\d+) observations", text)
    if not (mean and requests and set(PERCENTILES) <= set(percentiles)):
        raise LabError(f"sockperf measured nothing: {_last_words(text)}")
    return Latency(int(requests[1]), float(mean[1]) * 1e-6, {p: percentiles[p] for p in PERCENTILES})


def _start(namespace: Path, cpu: int, *arguments: str) -> subprocess.Popen[str]:
    """sockperf in a namespace. Each program of the chain replaces itself by the next: the pid is sockperf's."""
    chain = ["nsenter", f"--net={namespace}", "nice", "-n", "-20", "taskset", "--cpu-list", str(cpu)]
    return subprocess.Popen([*chain, "sockperf", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    pipe: IO[str] | None = process.stdout
    if pipe:
        pipe.close()


def _listens(pid: int, port: int) -> bool:
    """Whether this very process listens on `port`: another's listener in the same namespace would answer as well."""
    try:
        rows = [row.split() for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        held = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return False
    return any(state == TCP_LISTEN and int(local.split(":")[1], 16) == port and f"socket:[{inode}]" in held
               for _, local, _, state, _, _, _, _, _, inode, *_ in rows)


def _last_words(said: str) -> str:
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", said).splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was said"
