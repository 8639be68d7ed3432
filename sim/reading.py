"""Files that a person names: read whole, and only if that can end.

A device, a named pipe or a socket may never end, or wait for somebody; a file of gigabytes is no input of ours. So the
kind and the size are looked at before a byte is read, and what grows meanwhile is read no further.
"""

from __future__ import annotations

import codecs
import os
import stat
import sys
from pathlib import Path

from sim.errors import SpecError

MAX_BYTES = 4_000_000
"""A Compose file of ten thousand services has a fourth of it."""
KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
STDIN = Path("-")


def read_text(path: Path, *, mend: str = "", limit: int = MAX_BYTES, utf16: bool = False) -> str:
    """The text of a regular file in UTF-8, or of stdin (`-`), without a byte order mark. FileNotFoundError, SpecError.

    `mend`: what to do where it is no such file. `utf16`: or in UTF-16, if it begins with that mark.
    """
    where = "stdin" if path == STDIN else str(path)
    try:
        data = sys.stdin.buffer.read(limit + 1) if path == STDIN else _bytes(path, limit, mend)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError(f"can't be read: {said}", where=where, mend=mend) from None
    if len(data) > limit:
        raise _too_large(where, limit)
    marked = utf16 and data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    try:
        return data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError("not a text file in UTF-8", where=f"{where}:{line}", mend=mend or "save it so") from None


def _bytes(path: Path, limit: int, mend: str) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise SpecError(f"is {kind}: only files are read", where=str(path), mend=mend)
    if found.st_size > limit:
        raise _too_large(str(path), limit)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # it might be a pipe by now
        return file.read(limit + 1)


def _too_large(where: str, limit: int) -> SpecError:
    return SpecError(f"is larger than {limit // 1_000_000} MB", where=where, mend="take out what it does not need")
