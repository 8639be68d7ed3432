"""Where the micro-VM's image and snapshots lie: a folder of the user's own, `$XDG_CACHE_HOME/hopcast/vm`.

Everything here can be made again, so it may be deleted at any time. A folder is made under another name and renamed
when it is complete: whoever finds it finds all of it. Makers wait for each other (flock on a file beside it).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sim.errors import LabError

DIGEST_LENGTH = 16
PART_LIMIT = 3600.0


def folder() -> Path:
    """The cache, made if it is not there. LabError where it can't be written."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(base) if base.startswith("/") else Path.home() / ".cache"
        found = home / "hopcast" / "vm"
        found.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise LabError(f"no cache folder for the micro-VM: {error}",
                       mend="set XDG_CACHE_HOME to a folder that you can write to") from error
    if not os.access(found, os.W_OK):
        raise LabError(f"the cache {found} can't be written", mend="set XDG_CACHE_HOME to a folder of your own")
    return found


def digest(parts: Iterable[str | bytes]) -> str:
    """A short name for a content; the parts can't run into each other."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big"))
        whole.update(data)
    return whole.hexdigest()[:DIGEST_LENGTH]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One maker at a time of what is called `name` in the cache; the lock ends with its process."""
    with (folder() / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def made(target: Path) -> Iterator[Path]:
    """A folder to fill: it becomes `target` when the block ends well, and goes when it doesn't."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        part.chmod(0o755)
        yield part
        shutil.rmtree(target, ignore_errors=True)
        part.replace(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def forget_parts(where: Path) -> None:
    """Removes what a killed maker left half made: nobody has touched it for PART_LIMIT seconds."""
    for part in where.glob(".*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > PART_LIMIT:
                _remove(part)


def used(path: Path) -> None:
    """Remembers that something of the cache was used now: what was not used for longest goes first."""
    with suppress(OSError):
        os.utime(path)


def keep_newest(paths: Iterable[Path], count: int) -> list[Path]:
    """Removes all but the `count` files or folders that were used last; returns those that went."""
    there = [(path.stat().st_mtime, path) for path in paths if path.exists()]
    old = [path for _, path in sorted(there, reverse=True)[count:]]
    for path in old:
        _remove(path)
    return old


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
