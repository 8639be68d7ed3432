"""sockperf (3.7), its client in one network namespace and its server in another: what its two kinds of run share.

Round trips, one after the other, are in `live/ping_pong.py`; answers under load in `live/under_load.py`.

Two modes. **Blocking**: both ends sleep in the kernel and share one CPU; the time is the path's own work and a context
switch each way. **Spinning**: each end polls on a CPU of its own, so that nobody is ever woken. (Two ends that sleep on
two CPUs would mostly show two idle CPUs waking up, several times the path.) Measure without sniffers: a packet socket
costs more than the hop that it watches.

What sockperf does, and so what is measured:
- Both ends call recvfrom() and sendto() only: no epoll, while there is one socket. A TCP server then serves one
  connection at a time, the others in the order in which they connected.
- A client sleeps two seconds between connecting and its first message. `held` stops it there (SIGSTOP), so many can
  wait side by side and only the first pays for that sleep.
- It leaves out the first 0.4 s and the last 0.05 s, and its -t takes whole seconds, so a SIGINT ends it earlier.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from live import pinned
from live.patience import patient
from live.sockperf_output import reason
from sim.errors import LabError

MESSAGE_BYTES = 14
"""sockperf's smallest message: its header."""
WARM_UP, COOL_DOWN = 0.4, 0.05
"""Seconds that sockperf runs and leaves out: TEST_START_WARMUP_MSEC, TEST_END_COOLDOWN_MSEC."""
PAUSE = 2.0
"""Seconds that a client sleeps before its first message: client.cpp, initBeforeLoop."""
GRACE = 10.0
"""Seconds that a run may take beyond what it should: statistics, a busy machine."""
READY_LIMIT = 5.0
BEGUN = 200e-6
"""Seconds of CPU by which a client is seen to be at work: a few messages."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How both ends wait, and where."""

    protocol: str
    """tcp or udp."""
    spin: bool
    client_cpu: int
    server_cpu: int

    @classmethod
    def blocking(cls, protocol: str = "tcp") -> Mode:
        """Both on the first CPU."""
        first = cpus()[0]
        return cls(protocol, False, first, first)

    @classmethod
    def spinning(cls, protocol: str = "tcp") -> Mode:
        """Client and server on the first two CPUs; LabError on a machine that has one."""
        if len(cpus()) < 2:
            raise LabError("polling on both ends takes two CPUs, and this process may use one",
                           mend="measure in blocking mode, or on a machine with more CPUs")
        first, second = cpus()[:2]
        return cls(protocol, True, first, second)

    def arguments(self) -> list[str]:
        return [*(["--tcp"] if self.protocol == "tcp" else []), *(["--nonblocked"] if self.spin else [])]


@dataclass(frozen=True, slots=True)
class Server:
    """A sockperf server that listens. One that polls takes its CPU from everybody else while it is not at rest."""

    pid: int
    rests: bool
    """It stands still except while something is measured against it; messages wait in its socket."""

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Working in the body, and at rest after it if it is one that rests."""
        if not self.rests:
            yield
            return
        os.kill(self.pid, signal.SIGCONT)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGSTOP)


def missing_tools() -> list[str]:
    """The programs that a measurement needs and this machine lacks."""
    return [*pinned.missing("sockperf"), *(["setpriv"] if shutil.which("setpriv") is None else [])]


def cpus() -> Sequence[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def answering(namespace: Path, port: int, mode: Mode, *, rests: bool = False) -> Iterator[Server]:
    """A sockperf server on every address of `namespace`; listening when the body starts, gone when it ends.

    It serves any number of runs. Servers that block may stand side by side; of those that poll, all but one must be
    at rest (`rests`; then who is measured against it wakes it), as they would take the CPU from each other.
    """
    _check_tools()
    process = _start(namespace, mode.server_cpu, "server", "-i", "0.0.0.0", "-p", str(port), *mode.arguments())
    try:
        pinned.await_listening(process, "sockperf", port, namespace.name, mode.protocol)
        if rests:
            os.kill(process.pid, signal.SIGSTOP)
        yield Server(process.pid, rests)
    finally:
        pinned.end(process)


@dataclass(frozen=True, slots=True)
class Held:
    """A client that is connected and stopped in the sleep before its first message, which ends at `asleep_until`
    (time.monotonic)."""

    process: pinned.Program
    target: str
    asleep_until: float

    def await_awake(self) -> None:
        """Returns when its sleep is over."""
        time.sleep(max(0.0, self.asleep_until - time.monotonic()))

    def go(self) -> None:
        """Lets it go, once its sleep is over, and returns when it is at work."""
        before = _cpu_time(self.process.pid)
        os.kill(self.process.pid, signal.SIGCONT)
        limit = time.monotonic() + patient(1.0)
        while _cpu_time(self.process.pid) - before < BEGUN and self.runs and time.monotonic() < limit:
            time.sleep(0.002)

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def said(self) -> str:
        """What it says at its end. LabError when that does not come."""
        try:
            said, complained = self.process.communicate(timeout=patient(GRACE))
        except subprocess.TimeoutExpired:
            raise LabError(f"sockperf did not end its run to {self.target}") from None
        return said + complained

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """A LabError of the body, which reads what was said, names who was asked."""
        try:
            yield
        except LabError as error:
            raise LabError(f"no time from {self.target}: {error}") from None


@contextlib.contextmanager
def held(client: Path, mode: Mode, what: str, address: str, port: int, size: int, lasting: float,
         *more: str) -> Iterator[Held]:
    """A client in namespace `client`, connected and held, that will do `what` for up to `lasting` seconds. Gone when
    the body ends. LabError when nobody listens there (TCP)."""
    _check_tools()
    if size < MESSAGE_BYTES:
        raise LabError(f"a message of {size} bytes: sockperf's smallest has {MESSAGE_BYTES}")
    target = f"{address}:{port}"
    process = _start(client, mode.client_cpu, what, "-i", address, "-p", str(port), "-m", str(size),
                     "-t", str(math.ceil(lasting)), "--full-rtt", *more)
    try:
        asleep_until = _await_asleep(process, target) + PAUSE
        os.kill(process.pid, signal.SIGSTOP)
        yield Held(process, target, asleep_until)
    finally:
        pinned.end(process)


def _start(namespace: Path, cpu: int, *arguments: str) -> pinned.Program:
    """sockperf, which the kernel ends with the thread that started it: one that polls must not outlive us."""
    return pinned.start(namespace, cpu, ["setpriv", "--pdeathsig", "KILL", "sockperf", *arguments])


def _check_tools() -> None:
    if missing := missing_tools():
        raise LabError(f"latency needs {', '.join(missing)}", mend="apt-get install sockperf util-linux")


def _await_asleep(process: pinned.Program, target: str) -> float:
    """Returns once the client has its socket and sleeps: when it was first seen to. LabError when it ends instead."""
    deadline = time.monotonic() + patient(READY_LIMIT)
    before, since = -1.0, 0.0
    while True:
        now, used = time.monotonic(), _cpu_time(process.pid)
        if process.poll() is not None:
            said, complained = process.communicate()
            raise LabError(f"no time from {target}: {reason(said + complained)}")
        if not _sleeps_with_socket(process.pid) or used != before:
            before, since = used, now
        elif now - since > 0.03:
            return since
        if now > deadline:
            raise LabError(f"sockperf did not get ready to ask {target} within {patient(READY_LIMIT):.0f} s")
        time.sleep(0.01)


def _sleeps_with_socket(pid: int) -> bool:
    """proc(5), stat: the state follows the name. Its first sleep, when it has no socket yet, calibrates its clock."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
        return name.endswith("(sockperf") and rest[0] == "S" and any(
            os.readlink(fd).startswith("socket:") for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _cpu_time(pid: int) -> float:
    """Seconds of CPU that a process has used, to the nanosecond: clock_getcpuclockid(3), which Python has for threads
    only. What it used is over with the process: then 0."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0
