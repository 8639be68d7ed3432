"""What a lab leaves written while it lives: one JSON record a run, from which a later command can end it.

`/run/hopcast/RUN/record.json` names the owner (pid and start time, since pids are used again), the namespaces and the
engines. It is written before the first namespace is made and names all that will be, so a `kill -9` at any moment
leaves nothing unrecorded. Its folder also has each host's docker.sock and log. `live/cleanup.py` ends it all.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sim.errors import LabError

STATE = Path("/run/hopcast")
MEND = "a lab needs a folder that it can write to, with a few megabytes left"


@dataclass(slots=True)
class Record:
    """One run. `owner` is the process that brought it up; `kept`: it was asked to stay when that process ends."""

    run: str
    owner: int
    owner_started: str
    kept: bool = False
    namespaces: dict[str, str] = field(default_factory=dict)
    """label -> netns name"""
    folders: dict[str, str] = field(default_factory=dict)
    """label -> the machine's folder, by its name in `folder` (short: a Unix socket's path has 107 bytes)"""
    engines: dict[str, int] = field(default_factory=dict)
    """host label -> pid of its dockerd"""
    ready: bool = False
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return STATE / self.run

    @property
    def owner_alive(self) -> bool:
        return started(self.owner) == self.owner_started

    @property
    def orphan(self) -> bool:
        """Its owner is gone and did not mean it to stay."""
        return not self.owner_alive and not self.kept

    def save(self) -> None:
        """LabError when it can't be written; the one of before stays then."""
        write(self.folder / "record.json", asdict(self))

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            STATE.rmdir()


def new_record(run: str, *, kept: bool, spec: dict[str, Any]) -> Record:
    """Claims the run's folder. LabError when it exists or can't be made."""
    record = Record(run, os.getpid(), started(os.getpid()), kept, spec=spec)
    try:
        record.folder.mkdir(parents=True, mode=0o700)
    except FileExistsError as error:
        raise LabError(f"lab {run} exists already", mend=f"hopcast lab down {run}") from error
    except OSError as error:
        record.remove()
        raise LabError(f"can't make {record.folder}: {error.strerror}", mend=MEND) from error
    try:
        record.save()
    except BaseException:
        record.remove()
        raise
    return record


def write(file: Path, row: dict[str, Any]) -> None:
    """JSON in place of what `file` had before: a reader finds the one or the other. LabError where that can't be done,
    and nothing is left of the attempt."""
    part = file.with_suffix(".part")
    try:
        part.write_text(json.dumps(row, indent=1))
        part.replace(file)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise LabError(f"can't write {file}: {error.strerror}", mend=MEND) from error


def load(run: str) -> Record | None:
    """The record of a run; None when there is none or it was not finished writing."""
    try:
        return Record(**json.loads((STATE / run / "record.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def records() -> list[Record]:
    """Every run that is recorded, oldest first."""
    if not STATE.is_dir():
        return []
    folders = sorted((p for p in STATE.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    return [record for folder in folders if (record := load(folder.name))]


def started(pid: int) -> str:
    """When a process started, in clock ticks since boot (field 22 of proc(5)'s stat); empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]
