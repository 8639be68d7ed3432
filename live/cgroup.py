"""The lab's control group: the kernel's own list of every process that the lab's engines started.

dockerd starts in `/hopcast/RUN/HOST/engine` and puts its containers under `/hopcast/RUN/HOST` (`--cgroup-parent`), so
whatever it leaves behind, however it ended (containerd, shims, docker-proxy, the containers' processes), stands in that
subtree: nothing has to be found by its name. Ending a run is: SIGKILL all of it, then remove the directories.

Works on version 1 (one hierarchy a controller; `pids` or another common one tracks) and on version 2; see cgroups(7).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from live.patience import patient
from sim.errors import LabError

ROOT = "hopcast"
TRACKING = ("pids", "freezer", "memory", "cpu", "cpuacct", "devices")
"""Version 1 controllers of which the first that is mounted tracks: runc puts each container in all of them."""


def hierarchies() -> dict[str, Path]:
    """Mounted hierarchies: controller (or `unified` for version 2) -> mount point."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = Path(left.split()[4].encode().decode("unicode_escape"))
        kind, _, options = right.split()[:3]
        if kind == "cgroup2":
            found.setdefault("unified", point)
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option.removeprefix("name="), point)
    return {name: point for name, point in found.items() if point.is_dir() and name not in ("rw", "ro", "xattr")}


def _tracking() -> Path:
    mounted = hierarchies()
    for name in (*TRACKING, "unified"):
        if name in mounted:
            return mounted[name]
    raise LabError("no cgroup hierarchy is mounted", mend="mount one at /sys/fs/cgroup; dockerd needs it as well")


def create(run: str, *path: str) -> Path:
    """Makes the tracking directory `/hopcast/RUN/PATH`. A process joins by writing its pid to cgroup.procs there."""
    made = _tracking().joinpath(ROOT, run, *path)
    try:
        made.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"can't make the control group {made}: {error.strerror}", mend="run as root") from error
    return made


def processes(run: str, *path: str) -> list[int]:
    """Every process in the run's subtree, or that of `path` in it, by pid."""
    pids: list[int] = []
    with suppress(LabError):
        for file in _tracking().joinpath(ROOT, run, *path).rglob("cgroup.procs"):
            with suppress(OSError):
                pids += map(int, file.read_text().split())
    return pids


def kill(run: str, *, limit: float = 10.0) -> None:
    """SIGKILL to every process of the run, again until none is left. LabError after `limit` seconds."""
    deadline = time.monotonic() + patient(limit)
    while left := processes(run):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):  # older kernels list a child of ours until it is reaped
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            raise LabError(f"processes of lab {run} don't end: {left}")
        time.sleep(0.01)


def remove(run: str, *, limit: float = 5.0) -> None:
    """Removes the run's directories from every hierarchy; waits up to `limit` seconds for the kernel to let go.

    Who joins only now, forked by an owner just before that was killed, is killed as well.
    """
    deadline = time.monotonic() + patient(limit)
    for mount in set(hierarchies().values()):
        top = mount / ROOT / run
        while top.is_dir():
            kill(run, limit=limit)
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    os.rmdir(folder)
            if time.monotonic() > deadline:
                raise LabError(f"can't remove the control group {top}")
            if top.is_dir():
                time.sleep(0.02)
        with suppress(OSError):
            top.parent.rmdir()


def runs() -> set[str]:
    """Runs that left a directory in any hierarchy."""
    return {p.name for mount in set(hierarchies().values()) for p in (mount / ROOT).glob("*") if p.is_dir()}
