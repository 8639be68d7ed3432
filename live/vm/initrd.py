"""The first file system of the guest: busybox, the modules that its disk needs, and a script that goes on to the disk.

Written as a cpio archive in the format `newc` (Documentation/driver-api/early-userspace/buffer-format.rst), by Python:
no tool of the machine is asked. Modules are loaded in the order that modules.dep gives.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

NEEDED = ("virtio_pci", "virtio_blk", "ext4")
APPLETS = ("sh", "mount", "insmod", "switch_root", "sleep")
INIT = """#!/bin/sh
mount -t devtmpfs dev /dev
mount -t proc proc /proc
while read module; do insmod "/modules/$module"; done < /modules/order
n=0
while [ ! -b /dev/vda ] && [ $n -lt 400 ]; do sleep 0.05; n=$((n + 1)); done
mount -t ext4 -o ro,noatime /dev/vda /new || exit 1
mount --move /dev /new/dev
mount --move /proc /new/proc
exec switch_root /new /usr/sbin/hopcast-init
"""
DIRECTORY, FILE, LINK = 0o040755, 0o100755, 0o120777


def load_order(modules: Path, wanted: Iterable[str]) -> list[Path]:
    """Files of `wanted` and of all that they depend on, below the folder `modules` (with its modules.dep), those first
    that others need. What is built into the kernel has no file and is left out."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        name, _, others = line.partition(":")
        needs[name] = others.split()
    by_name = {Path(path).name.partition(".")[0].replace("-", "_"): path for path in needs}
    order: dict[str, None] = {}
    for name in wanted:
        if path := by_name.get(name):
            # modules.dep names everything that is needed, the nearest first.
            order |= dict.fromkeys([*reversed(needs[path]), path])
    return [modules / path for path in order]


def build(root: Path, release: str) -> bytes:
    """The archive for the kernel `release` of the tree `root`."""
    modules = load_order(root / "usr/lib/modules" / release, NEEDED)
    archive = Archive()
    for folder in ("bin", "dev", "proc", "new", "modules"):
        archive.add(folder, DIRECTORY)
    archive.add("bin/busybox", FILE, (root / "usr/bin/busybox").read_bytes())
    for applet in APPLETS:
        archive.add(f"bin/{applet}", LINK, b"busybox")
    for module in modules:
        archive.add(f"modules/{module.name}", FILE, module.read_bytes())
    archive.add("modules/order", FILE, "".join(f"{module.name}\n" for module in modules).encode())
    archive.add("init", FILE, INIT.encode())
    return archive.close()


class Archive:
    """A cpio archive that grows. All files are root's, and as old as time itself."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._number = 0

    def add(self, name: str, mode: int, content: bytes = b"") -> None:
        self._number += 1
        path = name.encode() + b"\0"
        #  ino, mode, uid, gid, nlink, mtime, size, device (4), length of the name, check
        numbers = (self._number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        self._out.write(b"070701" + b"".join(b"%08x" % number for number in numbers))
        self._padded(path, 110)
        self._padded(content, 0)

    def _padded(self, data: bytes, before: int) -> None:
        self._out.write(data + bytes(-(before + len(data)) % 4))

    def close(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return self._out.getvalue()
