"""The micro-VMs that are there: a folder each, with a record from which a later command can end it.

`RUN/record.json` names QEMU and its owner by pid and start time (pids are used again). The folder is QEMU's working
directory, with its sockets and the guest's console. QEMU ends with its owner, unless the lab was asked to stay
(PR_SET_PDEATHSIG, prctl(2)); a folder whose QEMU is gone is removed by whoever comes next.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from live import state
from live.vm import cache
from sim.errors import LabError

END_LIMIT = 10.0
RECORD = "record.json"


@dataclass(slots=True)
class Record:
    """One micro-VM. `kept`: it was asked to stay when its owner ends. `topology`: what is deployed in it, by name."""

    run: str
    owner: int
    owner_started: str
    kept: bool = False
    qemu: int = 0
    qemu_started: str = ""
    where: str = ""
    topology: str = ""
    hosts: tuple[str, ...] = field(default=())
    ready: bool = False

    @property
    def folder(self) -> Path:
        return root() / self.run

    @property
    def alive(self) -> bool:
        return bool(self.qemu) and state.started(self.qemu) == self.qemu_started

    @property
    def owner_alive(self) -> bool:
        return state.started(self.owner) == self.owner_started

    def save(self) -> None:
        """LabError when it can't be written."""
        state.write(self.folder / RECORD, asdict(self))

    def as_dict(self) -> dict[str, Any]:
        condition = "up" if self.ready and self.alive else "coming up" if self.owner_alive else "left over"
        return {"run": self.run, "state": condition, "kept": self.kept, "name": self.topology, "where": self.where,
                "hosts": list(self.hosts), "qemu": self.qemu}


def root() -> Path:
    return cache.folder() / "run"


def new(*, kept: bool) -> Record:
    """Claims a folder. LabError, and nothing left, where it can't be written."""
    record = Record(secrets.token_hex(3), os.getpid(), state.started(os.getpid()), kept)
    try:
        record.folder.mkdir(parents=True, mode=0o700)
        record.save()
    except OSError as error:
        raise LabError(f"can't make {record.folder}: {error.strerror}", mend=state.MEND) from error
    except LabError:
        shutil.rmtree(record.folder, ignore_errors=True)
        raise
    return record


def load(run: str) -> Record | None:
    """None when there is none, or it was not finished writing."""
    try:
        row = json.loads((root() / run / RECORD).read_text())
        return Record(**row | {"hosts": tuple(row["hosts"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def records() -> list[Record]:
    """Every one, oldest first."""
    folders = sorted((p for p in root().glob("*") if p.is_dir()), key=lambda p: p.stat().st_mtime)
    return [record for folder in folders if (record := load(folder.name))]


def end(record: Record) -> None:
    """Kills QEMU and removes the folder. LabError when it does not end."""
    deadline = time.monotonic() + END_LIMIT
    while record.alive:
        with suppress(ProcessLookupError):
            os.kill(record.qemu, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(record.qemu, os.WNOHANG)
        if time.monotonic() > deadline:
            raise LabError(f"QEMU of micro-VM {record.run} (pid {record.qemu}) does not end")
        time.sleep(0.02)
    shutil.rmtree(record.folder, ignore_errors=True)


def end_all(run: str = "", *, force: bool = False) -> list[str]:
    """Ends the micro-VM `run`, or all, and returns which ended; with `force` also those that another living command
    uses. Of which only the folder was left, those go in any case.
    """
    ended = sweep()
    for record in records():
        in_use = record.owner_alive and not record.kept and record.owner != os.getpid()
        if run in ("", record.run) and (force or not in_use):
            end(record)
            ended.append(record.run)
    return ended


def sweep() -> list[str]:
    """Removes what nobody uses any more: folders whose QEMU is gone or was not meant to outlive its owner."""
    gone = []
    for folder in root().glob("*"):
        record = load(folder.name)
        if record is None:
            if time.time() - folder.stat().st_mtime > 60:
                shutil.rmtree(folder, ignore_errors=True)
        elif not record.owner_alive and not (record.kept and record.alive):
            end(record)
            gone.append(record.run)
    return gone
