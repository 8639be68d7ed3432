"""Whether this machine has enough left for a lab: open files, tasks, inotify instances, memory, room for its records.

What runs out in the middle shows as something else: an engine that does not start, a sniffer that can't be opened, a
container whose shim dies. So it is counted before anything is made. The amounts were measured on labs of one and three
engines with fourteen containers (384 files at 161 interfaces, 244 tasks, 304 MiB) and have a margin.
"""

from __future__ import annotations

import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

from live import state
from sim.errors import LabError
from sim.spec import Spec

MIB = 1 << 20
SPARE = 64
"""Open files and tasks that have nothing to do with the topology's size."""
FILES = 16
"""A place on a network: its devices, and a sniffer's sockets at each."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What is counted: how much is left (None: no limit), how much a lab needs, and how to get more."""

    name: str
    left: int | None
    need: int
    unit: str
    get: str

    @property
    def enough(self) -> bool:
        return self.left is None or self.left >= self.need

    def __str__(self) -> str:
        left = "no limit" if self.left is None else f"{self.left} {self.unit} left"
        return f"{left}, a lab needs {self.need}"


def limits(spec: Spec | None = None) -> list[Limit]:
    """Of a lab for `spec`, or for the smallest one."""
    spec = spec or Spec()
    hosts, boxes = len(spec.hosts), len(spec.containers)
    ports = sum(len(box.ports) for box in spec.containers)
    ends = sum(max(1, len(box.attachments)) for box in spec.containers) + sum(map(len, map(spec.hosts_of, (
        network.name for network in spec.networks)))) + 2 * hosts + len(spec.clients)
    return [
        Limit("open files", _files(), SPARE + FILES * ends + 2 * len(spec.labels()), "files",
              "raise it: ulimit -Hn 65536"),
        Limit("tasks", _tasks(), SPARE + 40 * hosts + 14 * boxes + 10 * ports, "processes and threads",
              "end something, or raise kernel.pid_max and kernel.threads-max"),
        Limit("inotify instances", _inotify(), 1 + hosts, "instances", "raise fs.inotify.max_user_instances"),
        Limit("memory", _memory(), 100 * hosts + 12 * boxes, "MiB", "end something, or ask for fewer containers"),
        Limit(f"room in {state.STATE.parent}", _room(state.STATE.parent), 4 + hosts, "MiB", "remove something there"),
    ]


def check(spec: Spec) -> None:
    """LabError that names what is short. A soft limit of open files that is too low is raised, within the hard one."""
    found = limits(spec)
    for limit in found:
        if not limit.enough:
            raise LabError(f"not enough {limit.name} for this lab: {limit}", mend=limit.get)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < found[0].need + _open_here():
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _files() -> int | None:
    """What the hard limit leaves to this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard - _open_here()


def _open_here() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _tasks() -> int | None:
    """proc(5): loadavg's fourth field counts all of them. A control group may allow this process fewer."""
    exist = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    most = [int(Path("/proc/sys/kernel", name).read_text()) for name in ("pid_max", "threads-max")]
    return min(most) - exist


def _inotify() -> int | None:
    """Instances that root may still open; those of others' processes can be counted by root only."""
    try:
        most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    except OSError:
        return None
    return most - sum(_opened(process) for process in Path("/proc").glob("[0-9]*"))


def _opened(process: Path) -> int:
    """A process's inotify instances, where it is root's."""
    try:
        if process.stat().st_uid:
            return 0
        return sum(str(fd.readlink()) == "anon_inode:inotify" for fd in (process / "fd").iterdir())
    except OSError:
        return 0


def _memory() -> int | None:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return None


def _room(folder: Path) -> int | None:
    """MiB that can be written there."""
    return shutil.disk_usage(folder).free // MIB if folder.is_dir() else None
