"""This project for the guest: its Python files as an archive, which the guest gets as its second disk.

Apart from the image, so that a change here costs a second and not a new image; but a snapshot of a guest belongs to
the archive that the guest was started with (`digest`). Where this Python is of the guest's version, bytecode goes along
(PEP 552, unchecked): an emulated guest would take seconds to compile, at every start.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from live.vm import cache
from live.vm.image import PYTHON, Image

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = ("sim", "live", "experiments")
GUEST = "/opt"
"""Where the guest unpacks it."""
KEPT = 2
UNCHECKED_HASH = (1).to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Project:
    disk: Path
    digest: str


def files() -> list[Path]:
    """The project's Python files, sorted, as paths below ROOT."""
    return sorted(path.relative_to(ROOT) for part in PARTS for path in (ROOT / part).rglob("*.py"))


def digest() -> str:
    """Of the code as it is now."""
    return cache.digest(part for path in files() for part in (str(path), (ROOT / path).read_bytes()))


def ready(image: Image) -> Project:
    """The archive of the code as it is now, made if need be."""
    name = digest()
    disk = image.folder / f"project-{name}.tar"
    with cache.locked("project"):
        if not disk.exists():
            part = disk.with_suffix(".part")
            part.write_bytes(archive())
            part.replace(disk)
            cache.keep_newest(image.folder.glob("project-*.tar"), KEPT)
        cache.used(disk)
    return Project(disk, name)


def archive() -> bytes:
    """The same bytes for the same code."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in files():
            source = (ROOT / path).read_bytes()
            _add(tar, path, source)
            if f"{sys.version_info[0]}.{sys.version_info[1]}" == PYTHON:
                cached = path.parent / "__pycache__" / f"{path.stem}.cpython-{PYTHON.replace('.', '')}.pyc"
                _add(tar, cached, bytecode(source, f"{GUEST}/{path}"))
    return out.getvalue()


def bytecode(source: bytes, path: str) -> bytes:
    """What a .pyc holds that is used without a look at its source."""
    code = compile(source, path, "exec", dont_inherit=True)
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source) + marshal.dumps(code)


def _add(tar: tarfile.TarFile, path: Path, content: bytes) -> None:
    entry = tarfile.TarInfo(str(path))
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))
