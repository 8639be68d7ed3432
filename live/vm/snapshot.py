"""A guest as a file: saved once, restored in seconds.

All that a guest writes lies in its memory, so the state that QEMU saves (docs/devel/migration.rst, to a file) is whole.
A snapshot belongs to everything that made it: the image, the project's code, QEMU, its command line, and what was
deployed; its name is the digest of all that, and it lies in the image's folder. So nothing has to be told when one is
out of date: it is not found any more, and goes when newer ones come, or with its image.
"""

from __future__ import annotations

import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

from live.vm import cache, image, project, qemu
from live.vm.guest import Guest
from live.vm.image import Image, Say
from live.vm.project import Project
from sim.errors import LabError

KEPT = 4
"""Snapshots that stay: half a gigabyte or so each, those used last."""
ROOM = 2 << 30
"""Bytes that must be free after one is written; else none is kept."""


@dataclass(frozen=True, slots=True)
class Model:
    """All that a guest is started with."""

    image: Image
    project: Project
    accelerator: str
    size: tuple[int, int]
    """Memory in MiB, and CPUs."""

    @property
    def where(self) -> str:
        return qemu.where(self.accelerator)

    def snapshot(self, *content: str) -> Path:
        """Where the snapshot of a guest lies in which `content` was set up (nothing: as booted)."""
        parts = [self.image.digest, self.project.digest, qemu.version(), qemu.parameters(self.accelerator),
                 *qemu.machine(self.accelerator, *self.size), _processor() if self.accelerator == "kvm" else ""]
        return self.image.folder / "snapshots" / f"{cache.digest([*parts, *content])}.state"


def model(say: Say) -> Model:
    """The guest for this machine and this code; its image is built if need be. LabError."""
    qemu.binary()
    built = image.ready(say)
    accelerator = qemu.accelerator(built)
    return Model(built, project.ready(built), accelerator, (qemu.memory(), qemu.cpus()))


def start(of: Model, state: Path | None = None, *, keep: bool = False) -> Guest:
    """A guest, booted or restored from a snapshot. LabError."""
    guest = Guest.start(of.image, of.project, of.accelerator, keep=keep, incoming=state, size=of.size)
    if state is not None:
        cache.used(state)
    return guest


def booted(of: Model, say: Say, *, keep: bool = False) -> Guest:
    """A guest with nothing in it, from a snapshot if there is one; else it is booted, and one is saved."""
    state = of.snapshot()
    if state.exists():
        say(f"restoring a booted {of.where}")
        try:
            return start(of, state, keep=keep)
        except LabError:
            state.unlink(missing_ok=True)  # of no use: the boot that follows makes another
    say(f"booting a {of.where}")
    guest = start(of, keep=keep)
    try:
        save(guest, state)
    except BaseException:
        guest.end()
        raise
    return guest


def save(guest: Guest, state: Path) -> bool:
    """Writes a snapshot of a running guest, which then runs on; False where there is no room, or QEMU can't."""
    state.parent.mkdir(exist_ok=True)
    cache.forget_parts(state.parent)
    if free(state.parent) < ROOM:
        return False
    handle, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=state.parent)
    try:
        with guest.monitor() as monitor:
            try:
                monitor.save(handle)
            finally:
                monitor.call("cont")
        os.replace(part, state)
    except LabError:
        Path(part).unlink(missing_ok=True)
        return False
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    cache.keep_newest(state.parent.glob("*.state"), KEPT)
    return True


def free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _processor() -> str:
    """What a guest with this machine's own CPU depends on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    kept = {line for line in lines if line.startswith(("model name", "flags", "stepping", "microcode"))}
    return "\n".join([platform.release(), *sorted(kept)])
