"""Round trips and latency under load: sockperf (3.7), its client in one network namespace and its server in another.

Two modes. **Blocking**: both ends sleep in the kernel and share one CPU; the time is the path's own work and a context
switch each way. **Spinning**: each end polls on a CPU of its own, so that nobody is ever woken. (Two ends that sleep on
two CPUs would mostly show two idle CPUs waking up, several times the path.) Measure without sniffers: a packet socket
costs more than the hop that it watches.

What sockperf does, and so what is measured:
- Both ends call recvfrom() and sendto() only: no epoll, while there is one socket. A TCP server then serves one
  connection at a time, the others in the order in which they connected.
- A client sleeps two seconds between connecting and its first message. `asking` and `loading` hold it there (SIGSTOP)
  until `measure`, so many can wait side by side and only the first pays for that sleep.
- It leaves out the first 0.4 s and the last 0.05 s, and its -t takes whole seconds, so a SIGINT ends it earlier.
- Under load one thread sends and one receives. The sender polls the clock until start + n/rate and makes up for what
  it is late. --sender-affinity and --receiver-affinity are useless: 3.7 applies both to the calling thread, and the
  sender ends up on the receiver's CPU. So the threads are pinned from here.
- Under load the server polls on the receiver's CPU. The receiver is a real-time thread there: it takes its answer as
  soon as it is woken, and not when the scheduler finds that the server has had its share. While it counts the others
  are, too, one step below: a millisecond for somebody else, ten times a second, hides in a ping-pong, where it is one
  round trip in ten thousand; under load a hundred messages wait for it each time, and are the 99th percentile.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from live import pinned, where
from live.patience import patient
from live.sockperf_output import Latency, Load, parse, parse_load, reason
from sim.errors import LabError

PORT = 11111
"""sockperf's own default."""
MESSAGE_BYTES = 14
"""sockperf's smallest message: its header."""
SECONDS = 0.5
"""Measured by default: a fifth of a second has ten thousand round trips, and half a second many timer ticks."""
WARM_UP, COOL_DOWN = 0.4, 0.05
"""Seconds that sockperf runs and leaves out: TEST_START_WARMUP_MSEC, TEST_END_COOLDOWN_MSEC."""
BEFORE = 0.05
"""Seconds before the measured ones in which nobody disturbs a load any more: a queue that somebody caused is empty."""
PAUSE = 2.0
"""Seconds that a client sleeps before its first message: client.cpp, initBeforeLoop."""
GRACE = 10.0
"""Seconds that a run may take beyond what it should: statistics, a busy machine."""
READY_LIMIT = 5.0
BEGUN = 200e-6
"""Seconds of CPU by which a client is seen to be at work: a few messages."""
FIRST = 2
"""Real-time priority of who receives under load; the sender and the server are one below, and we one above."""
MOST = 2_000_000
"""Messages a second that can be asked for. sockperf sets memory aside for each; no path of a kernel carries as many."""

Result = TypeVar("Result")


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
    at rest (`rests`; then `measure(server=…)` wakes it), as they would take the CPU from each other.
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


class Client(Generic[Result]):
    """A sockperf client that is ready and held. `measure` lets it go, once."""

    def __init__(self, process: pinned.Program, target: str, seconds: float, read: Callable[[str], Result],
                 begin: Callable[[int], None] = lambda pid: None, realtime: bool = False) -> None:
        self.process, self.target, self.seconds, self.realtime = process, target, seconds, realtime
        self._read, self._begin = read, begin
        self._asleep_until = _await_asleep(process, target) + PAUSE
        os.kill(process.pid, signal.SIGSTOP)

    def measure(self, server: Server | None = None) -> Result:
        """What sockperf found. LabError when nobody answered. `server`, where it rests, works as long as this takes."""
        time.sleep(max(0.0, self._asleep_until - time.monotonic()))
        with pinned.above_others(), server.awake() if server else contextlib.nullcontext():
            pid, before = self.process.pid, _cpu_time(self.process.pid)
            os.kill(pid, signal.SIGCONT)
            limit = time.monotonic() + patient(1.0)
            while _cpu_time(pid) - before < BEGUN and self.process.poll() is None and time.monotonic() < limit:
                time.sleep(0.002)
            if self.process.poll() is None:
                self._begin(pid)
                with self._undisturbed(server, WARM_UP - BEFORE):
                    time.sleep(BEFORE + self.seconds + COOL_DOWN)
                    with contextlib.suppress(ProcessLookupError):
                        self.process.send_signal(signal.SIGINT)
            try:
                said, complained = self.process.communicate(timeout=patient(GRACE))
            except subprocess.TimeoutExpired:
                raise LabError(f"sockperf did not end its run to {self.target}") from None
        try:
            return self._read(said + complained)
        except LabError as error:
            raise LabError(f"no time from {self.target}: {error}") from None

    @contextlib.contextmanager
    def _undisturbed(self, server: Server | None, wait: float = 0.0) -> Iterator[None]:
        """After `wait` seconds, where `realtime` is asked for: sender and server. The receiver is so anyway; and we,
        from now on, as both CPUs are taken and we must be on time."""
        with contextlib.ExitStack() as stack:
            if self.realtime:
                stack.enter_context(pinned.realtime(FIRST + 1, threading.get_native_id()))
            time.sleep(wait)
            if self.realtime:
                stack.enter_context(pinned.realtime(FIRST - 1, self.process.pid, *([server.pid] if server else [])))
            yield


@contextlib.contextmanager
def asking(client: Path, address: str, port: int, mode: Mode, *, size: int = MESSAGE_BYTES,
           seconds: float = SECONDS) -> Iterator[Client[Latency]]:
    """A client in namespace `client`, connected and held, that will send one request after the other, each when the
    one before is answered. Gone when the body ends. LabError when nobody listens there (TCP)."""
    where.refuse_times("latency")
    with _client(client, mode, "ping-pong", address, port, size, seconds, "--mps=max", *mode.arguments()) as process:
        yield Client(process, f"{address}:{port}", seconds, parse)


def ping_pong(client: Path, address: str, port: int, mode: Mode, *, size: int = MESSAGE_BYTES,
              seconds: float = SECONDS) -> Latency:
    """One run of `asking`. `seconds` are those measured; it takes three more."""
    with asking(client, address, port, mode, size=size, seconds=seconds) as ready:
        return ready.measure()


@contextlib.contextmanager
def loading(client: Path, address: str, port: int, *, rate: int, protocol: str = "udp", size: int = MESSAGE_BYTES,
            seconds: float = SECONDS, burst: int = 1) -> Iterator[Client[Load]]:
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

    with _client(client, mode, "under-load", address, port, size, seconds, f"--mps={rate}", f"--burst={burst}",
                 "--reply-every=1", *(["--tcp"] if protocol == "tcp" else [])) as process:
        yield Client(process, f"{address}:{port}", seconds, lambda said: parse_load(said, rate), begin, realtime=True)


def under_load(client: Path, address: str, port: int, *, rate: int, protocol: str = "udp", size: int = MESSAGE_BYTES,
               seconds: float = SECONDS, burst: int = 1) -> Load:
    """One run of `loading`. `seconds` are those measured; it takes three more."""
    with loading(client, address, port, rate=rate, protocol=protocol, size=size, seconds=seconds,
                 burst=burst) as ready:
        return ready.measure()


@contextlib.contextmanager
def _client(client: Path, mode: Mode, what: str, address: str, port: int, size: int, seconds: float,
            *more: str) -> Iterator[pinned.Program]:
    _check_tools()
    if size < MESSAGE_BYTES:
        raise LabError(f"a message of {size} bytes: sockperf's smallest has {MESSAGE_BYTES}")
    whole = math.ceil(WARM_UP + seconds + COOL_DOWN)
    process = _start(client, mode.client_cpu, what, "-i", address, "-p", str(port), "-m", str(size), "-t", str(whole),
                     "--full-rtt", *more)
    try:
        yield process
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
