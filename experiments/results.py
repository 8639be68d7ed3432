"""Where results lie and how they are written: whole or not at all, and the same bytes for the same content.

A folder of `results/` is a reference run. Only a command writes there (`hopcast demo`, `make bench`); tests never do.
JSON has sorted keys, so two runs can be compared with `diff`.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from experiments.printable import valid_json
from sim.errors import HopcastError, SpecError
from sim.reading import read_text

RESULTS = Path(__file__).resolve().parent.parent / "results"
"""The checkout's own folder; `folder` falls back to ./results where Hopcast is installed elsewhere."""
MAX_BYTES = 100_000_000
"""Of a result that is read again."""


class ResultsError(HopcastError):
    """A result could not be written: names the file and says why."""


def folder(name: str) -> Path:
    """`results/NAME` of the checkout, or of the current folder where the code is installed read-only."""
    root = RESULTS if RESULTS.is_dir() and os.access(RESULTS, os.W_OK) else Path.cwd() / "results"
    return root / name


def to_json(data: Any) -> str:
    """Sorted keys, one space of indent, a newline at the end. TypeError for what is no JSON."""
    return valid_json(json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def write(path: Path, content: str | bytes) -> Path:
    """Write a file by writing another and renaming it: a reader sees the old one or the new one. ResultsError."""
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ResultsError(f"can't write {path}: {error.strerror or error}") from error
    return path


def write_json(path: Path, data: Any) -> Path:
    """`write` of `to_json`."""
    return write(path, to_json(data))


def check(folder: Path) -> None:
    """Makes sure that results can be written to a folder, before hours are spent on them. ResultsError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ResultsError(f"can't write to {folder}: {getattr(error, 'strerror', None) or error}") from error


def read_json(path: Path) -> Any:
    """A result that was written before. ResultsError where there is none, or it is not JSON."""
    try:
        return json.loads(read_text(path, limit=MAX_BYTES))
    except FileNotFoundError:
        raise ResultsError(f"can't read {path}: there is no such file") from None
    except SpecError as error:
        raise ResultsError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path} is not JSON: {error}") from error
