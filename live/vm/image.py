"""The guest's image: kernel, first file system and disk, built by any user from Debian's packages and Python wheels.

What goes in is the plan: PACKAGES of Debian (`live/vm/apt.py`), the Python packages that measuring imports, in the
versions that run here, and the files of this package that build it. The plan's digest names the image's folder; the
digest of what came out is in its manifest, and every snapshot of a guest belongs to that one: another image, other
snapshots. The project's own code is no part of it (`live/vm/project.py`), so a change there rebuilds nothing here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from live.vm import apt, cache, initrd, tree
from sim.errors import LabError

PACKAGES = ("linux-image-cloud-amd64", "docker.io", "iptables", "iproute2", "conntrack", "ipvsadm", "tcpdump",
            "busybox-static", "python3", "tini", "kmod", "util-linux", "mount", "dash", "e2fsprogs", "ca-certificates")
PYTHON_PACKAGES = ("docker", "pydantic", "pyroute2", "scapy")
"""What `experiments/measure.py` imports, and the files below it."""
PYTHON = "3.11"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_5_x86_64",
             "manylinux1_x86_64")
SPARE = 1.1
"""How much larger the disk is than the files on it; it is never written to."""
KEPT = 2
"""Images that stay in the cache: this one, and that of another checkout."""
KERNEL, INITRD, DISK, MANIFEST = "vmlinuz", "initrd", "root.img", "manifest.json"

INIT = r"""#!/bin/sh
# The guest's first process: mounts what a Linux system has, takes the project from the second disk, becomes the agent.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8
mount -t sysfs sys /sys
for folder in run tmp root opt; do mount -t tmpfs -o mode=755 "$folder" "/$folder"; done
mount -t tmpfs -o mode=755 var /var
mkdir -p /var/lib /var/log /var/tmp /run/netns /run/lock /dev/pts /dev/shm
ln -s /run /var/run
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
ln -sfn /proc/self/fd /dev/fd
mount -t cgroup2 cgroup /sys/fs/cgroup
echo hopcast > /proc/sys/kernel/hostname
# "No route" is answered five times, then once a second; a sysctl of the whole kernel, so only a guest can lift it.
echo 0 > /proc/sys/net/ipv4/route/error_cost
# A page fault maps sixteen pages at once. An emulated CPU takes long for one, and dockerd starts itself often.
mount -t debugfs debug /sys/kernel/debug && echo 1048576 > /sys/kernel/debug/fault_around_bytes
ip link set lo up
busybox tar -x -f /dev/vdb -C /opt
cd /opt
export PYTHONPATH=/opt PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
# dockerd starts itself for each small thing that it does in a namespace, and collects garbage while it starts.
export GOGC=800
for word in $(cat /proc/cmdline); do case $word in HOPCAST_*=*) export "$word";; esac; done
# While Python starts on one CPU, the other reads and translates what comes last there, and what engines are made of.
{ python3 -c 'import scapy.arch.linux, pyroute2, docker'
for program in dockerd containerd runc docker-proxy; do "$program" --version; done; } >/dev/null 2>&1 </dev/null &
exec tini -s -- python3 -m experiments.guest /dev/ttyS1
"""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """`digest`: of what was built. `debs`: the packages' files, which name their versions."""

    digest: str
    kernel: str
    engine: str
    debs: tuple[str, ...] = field(default=())
    wheels: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Image:
    folder: Path
    manifest: Manifest

    @property
    def kernel(self) -> Path:
        return self.folder / KERNEL

    @property
    def initrd(self) -> Path:
        return self.folder / INITRD

    @property
    def disk(self) -> Path:
        return self.folder / DISK

    @property
    def digest(self) -> str:
        return self.manifest.digest

    def as_dict(self) -> dict[str, Any]:
        size = sum(path.stat().st_blocks * 512 for path in (self.kernel, self.initrd, self.disk))
        return {"folder": str(self.folder), "bytes": size, **asdict(self.manifest)}


def pins() -> list[str]:
    """The Python packages for the guest, in the versions that run here."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in PYTHON_PACKAGES]


def plan() -> str:
    """The digest of all that decides what is built, short of what Debian has at the moment."""
    here = Path(__file__).parent
    sources = [(here / f"{name}.py").read_bytes() for name in ("image", "tree", "initrd", "apt")]
    return cache.digest([apt.RELEASE, apt.ARCHITECTURE, *PACKAGES, *pins(), *sources])


def folder_of(digest: str) -> Path:
    return cache.folder() / f"image-{digest}"


def present() -> Image | None:
    """The image of this plan, if it has been built."""
    folder = folder_of(plan())
    try:
        row = json.loads((folder / MANIFEST).read_text())
        found = Image(folder, Manifest(row["digest"], row["kernel"], row["engine"], tuple(row["debs"]),
                                       tuple(row["wheels"])))
    except (OSError, ValueError, KeyError):
        return None
    return found if all(path.exists() for path in (found.kernel, found.initrd, found.disk)) else None


def ready(say: Say, *, fresh: bool = False) -> Image:
    """The image, built if need be (a minute or two); `fresh` builds it again, with what Debian has now. LabError."""
    with cache.locked("image"):
        cache.forget_parts(cache.folder())
        found = None if fresh else present()
        if found is None:
            _build(folder_of(plan()), say)
            found = present()
            assert found is not None
            cache.keep_newest(cache.folder().glob("image-*"), KEPT)
        cache.used(found.folder)
        return found


def _build(folder: Path, say: Say) -> None:
    if platform.machine() != "x86_64":
        raise LabError(f"the micro-VM's image is built on x86_64 only, and this is {platform.machine()}")
    with cache.made(folder) as part:
        work = part / "work"
        root = work / "root"
        root.mkdir(parents=True)
        debs = apt.fetch(PACKAGES, work / "apt", say)
        say("downloading Python packages")
        wheels = _wheels(work / "wheels")
        say("unpacking them")
        tree.unpack(debs, root)
        tree.add_wheels(wheels, root)
        tree.configure(root, INIT)
        tree.compile_python(root)
        say("writing the disk")
        release = tree.kernel_release(root)
        shutil.copyfile(root / "boot" / f"vmlinuz-{release}", part / KERNEL)
        shutil.rmtree(root / "boot")
        (part / INITRD).write_bytes(initrd.build(root, release))
        _disk(root, part / DISK)
        content = [_sha256(part / name) for name in (KERNEL, INITRD, DISK)]
        engine = next((deb.name.split("_")[1] for deb in debs if deb.name.startswith("docker.io_")), "")
        manifest = Manifest(cache.digest(content), release, engine, tuple(deb.name for deb in debs),
                            tuple(wheel.name for wheel in wheels))
        shutil.rmtree(work)
        (part / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1))


def _wheels(folder: Path) -> list[Path]:
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(folder),
               "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp",
               *(part for name in PLATFORMS for part in ("--platform", name)), *pins()]
    tree.tool(command, name="pip download")
    return sorted(folder.glob("*.whl"))


def _disk(root: Path, disk: Path) -> None:
    """The tree as a file system, without journal: it is mounted read-only."""
    used = sum(max(path.lstat().st_size, 1024) + 512 for path in root.rglob("*"))
    with disk.open("wb") as file:
        file.truncate(int(used * SPARE) // 4096 * 4096 + (64 << 20))
    identity = "68c0ca57-0000-4000-8000-000000000001"
    tree.run(root, "usr/sbin/mke2fs", "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum,^resize_inode",
             "-m", "0", "-I", "256", "-U", identity, "-E", f"hash_seed={identity},root_owner=0:0,lazy_itable_init=1",
             "-L", "hopcast", "-d", str(root), str(disk))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
