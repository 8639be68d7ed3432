"""A measuring program in a network namespace, on one CPU: started, seen to be ready, ended.

It runs at the highest nice level, so that others on the machine interrupt it less. Each program of the chain that
starts it replaces itself by the next, so the pid is the program's own and `end` ends nobody else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from live import environment
from live.patience import patient
from sim.errors import LabError

NICE = -20
CHAIN = ("nsenter", "taskset", "nice")
LISTENING = {"tcp": "0A", "udp": "07"}
"""include/net/tcp_states.h, as /proc/net/tcp and /proc/net/udp write it: TCP_LISTEN; a UDP socket without a peer."""
LISTEN_LIMIT = 5.0
RIGHT = "run as root, with CAP_SYS_NICE"
AUTOGROUP = Path("/proc/self/autogroup")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")

Program = subprocess.Popen[str]


def missing(program: str) -> list[str]:
    """What this machine lacks of that which running `program` takes."""
    return [tool for tool in (program, *CHAIN) if shutil.which(tool) is None]


@contextmanager
def above_others() -> Iterator[None]:
    """Raises this session above the machine's other ones in the body, and so all that is started in it.

    A nice level counts within a session only where sessions are scheduled as groups (sched(7), "The autogroup
    feature"), as most distributions have it: a compiler in another terminal would take half of a CPU all the same.
    Without effect where there is no such feature, or no right to it.
    """
    before = ""
    with suppress(OSError, IndexError):  # who has no such group reads nothing
        before = AUTOGROUP.read_text().split()[-1]
        AUTOGROUP.write_text(str(NICE))
    try:
        yield
    finally:
        with suppress(OSError):
            if before:
                AUTOGROUP.write_text(before)


@contextmanager
def realtime(priority: int, *threads: int) -> Iterator[None]:
    """These threads are SCHED_FIFO in the body, and what they were after it; LabError without the right to it.

    However nice a program is, once a while the scheduler owes the others a slice, a millisecond and more; that never
    happens to one in real time. It takes the CPU whole: keep the body under a second, for after 0.95 s the kernel lets
    the others in (sched(7), sched_rt_runtime_us).
    """
    before: dict[int, tuple[int, os.sched_param]] = {}
    try:
        for thread in threads:
            with suppress(ProcessLookupError):
                before[thread] = os.sched_getscheduler(thread), os.sched_getparam(thread)
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
        yield
    except PermissionError as error:
        raise LabError(f"can't give a measuring program a real-time priority: {error.strerror}", mend=RIGHT) from None
    finally:
        for thread, (policy, parameters) in before.items():
            with suppress(OSError):
                os.sched_setscheduler(thread, policy, parameters)


def receiver_first(pid: int, cpu: int, priority: int) -> None:
    """Gives the thread of sockperf that receives the server's CPU and a real-time priority. The sender is the main
    thread."""
    try:
        for thread in (int(entry) for entry in os.listdir(f"/proc/{pid}/task")):
            if thread != pid:
                os.sched_setaffinity(thread, {cpu})
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError as error:
        raise LabError(f"can't give sockperf's receiver a real-time priority: {error.strerror}", mend=RIGHT) from None
    except OSError:
        return  # it has ended already, and will say why


def pin_proxies(engines: Collection[int], cpu: int) -> list[int]:
    """Moves docker-proxy processes of engines (dockerd's pids) to a CPU, at the programs' own nice level; their pids.
    A proxy that is started later is not among them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            name, _, rest = (entry / "stat").read_text().rpartition(") ")
            if not name.endswith("(docker-proxy") or int(rest.split()[1]) not in engines:
                continue
            for thread in (entry / "task").iterdir():  # Go has several; those to come inherit it
                os.sched_setaffinity(int(thread.name), {cpu})
                os.setpriority(os.PRIO_PROCESS, int(thread.name), NICE)
            found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue  # no process, or it has just ended
    return sorted(found)


def start(namespace: Path, cpu: int, command: Sequence[str], *, told: bool = False) -> Program:
    """Starts `command` in a namespace. Read both of its pipes, and `end` it. `told`: it reads what we write to it."""
    chain = ["nsenter", f"--net={namespace}", "nice", "-n", str(NICE), "taskset", "--cpu-list", str(cpu)]
    return subprocess.Popen([*chain, *command], stdin=subprocess.PIPE if told else subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment.minimal())


def end(process: Program) -> None:
    """Kills it if it still runs; either way nothing of it is left."""
    if process.poll() is None:
        process.kill()
    process.wait()
    pipes: tuple[IO[str] | None, ...] = (process.stdin, process.stdout, process.stderr)
    for pipe in pipes:
        if pipe:
            pipe.close()


def await_listening(process: Program, name: str, port: int, where: str, protocol: str = "tcp") -> None:
    """Returns once `process` listens on `port`; LabError with its own words when it ends instead, or does nothing."""
    deadline = time.monotonic() + patient(LISTEN_LIMIT)
    while not listens(process.pid, port, protocol):
        if process.poll() is not None:
            said, complained = process.communicate()
            raise LabError(f"{name} can't serve on port {port} in {where}: {last_words(complained or said)}")
        if time.monotonic() > deadline:
            raise LabError(f"{name} does not listen on port {port} in {where}")
        time.sleep(0.02)


def listens(pid: int, port: int, protocol: str = "tcp") -> bool:
    """Whether this very process listens on `port`: another's listener in the same namespace would answer as well."""
    rows: list[list[str]] = []
    try:
        for family in (protocol, f"{protocol}6"):
            table = Path(f"/proc/{pid}/net/{family}")
            if table.exists():
                rows += [line.split() for line in table.read_text().splitlines()[1:]]
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    held = {_target(descriptor) for descriptor in descriptors}
    return any(state == LISTENING[protocol] and int(local.split(":")[1], 16) == port and f"socket:[{inode}]" in held
               for _, local, _, state, _, _, _, _, _, inode, *_ in rows)


def _target(link: Path) -> str:
    """Empty for one that has been closed meanwhile."""
    try:
        return os.readlink(link)
    except OSError:
        return ""


def last_words(said: str) -> str:
    """The last line of what a program wrote that speaks of an error, else the last."""
    lines = [line.strip() for line in ESCAPE.sub("", said).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["nothing was said"])[-1]
