"""The guest's files: Debian packages and Python wheels, unpacked into a folder by any user.

No maintainer script runs and no package is configured, so what they would have made and the guest needs is made here:
the merged /usr, the alternatives of iptables, /etc/passwd, the modules' index. Programs of the tree that are needed to
build it (depmod, mke2fs, Python) run from the tree itself, by its own loader: the machine need not have them, and
whatever the machine has, the result is the same.

Left out: documentation, translations, and packages that only installing would need (NOT_UNPACKED).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from live import environment
from sim.errors import LabError

NOT_UNPACKED = re.compile(
    r"(lib)?perl|libfile-|libtext-|libnumber-|initramfs-tools|udev_|usrmerge|debconf|(lib)?klibc")
LEFT_OUT = re.compile(
    r"usr/share/(doc|man|locale|info|lintian|bug|perl5?|bash-completion|zoneinfo)/.+|usr/lib/(udev|systemd)/.+"
    r"|boot/System.map.*|usr/lib/python3\.\d+/(test|idlelib|lib2to3|ensurepip|turtledemo|tkinter|pydoc_data)/.+"
    # Drivers of devices and protocols that a lab of namespaces can't have.
    r"|usr/lib/modules/[^/]+/kernel/(?!net/|crypto/|lib/|arch/x86/crypto/|drivers/(net|virtio|block|char|ptp|pps)/"
    r"|fs/(overlayfs|ext4|jbd2|fuse|mbcache)).+"
    r"|usr/lib/modules/[^/]+/kernel/drivers/net/(ethernet|wireless|phy|usb|wwan|can|hamradio|fddi|dsa|hyperv)/.+"
    r"|usr/lib/modules/[^/]+/kernel/net/(bluetooth|mac80211|wireless|nfc|can|ceph|rds|tipc|sunrpc|rxrpc|smc)/.+")
MERGED = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
"""Top folders that are links into /usr."""
MOUNT_POINTS = ("proc", "sys", "dev", "run", "tmp", "root", "opt", "mnt", "new")
SITE = "usr/local/lib/python3.11/dist-packages"
ALTERNATIVES = {f"usr/sbin/{family}{action}": "xtables-nft-multi"
                for family in ("iptables", "ip6tables") for action in ("", "-save", "-restore")}
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "group": "root:x:0:\ndocker:x:999:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1\tlocalhost\n", "hostname": "hopcast\n", "resolv.conf": "",
    "nsswitch.conf": "hosts: files dns\n",
}
APPLETS = ("ping", "traceroute", "vi", "less", "hostname", "ps", "top", "free", "nc", "find", "grep", "sed")
"""busybox stands for programs that no package here brings: to look around with."""
PARALLEL = 2
TOOL_LIMIT = 300.0


def unpack(packages: Iterable[Path], root: Path) -> None:
    """Every package's files into `root`. LabError for a package that can't be read."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in MOUNT_POINTS:
        (root / name).mkdir(exist_ok=True)
    for package in packages:
        if not NOT_UNPACKED.match(package.name):
            _unpack(package, root)


def _unpack(package: Path, root: Path) -> None:
    reading = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment.minimal())
    assert reading.stdout is not None and reading.stderr is not None
    with reading:
        try:
            with tarfile.open(fileobj=reading.stdout, mode="r|") as files:
                for member in files:
                    _place(files, member, root)
            reading.stdout.read()
        except (tarfile.TarError, OSError) as error:
            reading.kill()
            raise LabError(f"can't unpack {package.name}: {error}", mend="build the image again") from error
        said = reading.stderr.read().decode(errors="replace").strip()
    if reading.returncode != 0:
        raise LabError(f"can't unpack {package.name}: {said}", mend="build the image again")


def _place(files: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    member.name = merged(member.name)
    if not member.name or LEFT_OUT.fullmatch(member.name):
        return
    target = root / member.name
    if member.isdir():
        if not target.is_dir():
            target.mkdir(parents=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.exists():
        target.unlink()
    if member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        os.link(root / merged(member.linkname), target)
    elif member.isfile():
        content = files.extractfile(member)
        assert content is not None
        with target.open("wb") as out:
            shutil.copyfileobj(content, out, 1 << 20)
        target.chmod(0o755 if member.mode & 0o111 else 0o644)


def merged(name: str) -> str:
    """A path of a package, in the merged /usr.

    >>> merged("./lib/modules"), merged("./usr/bin/ip"), merged("./")
    ('usr/lib/modules', 'usr/bin/ip', '')
    """
    path = os.path.normpath(name).lstrip("/")
    if path == ".":
        return ""
    return f"usr/{path}" if path.partition("/")[0] in MERGED else path


def add_wheels(wheels: Iterable[Path], root: Path) -> None:
    """Python packages, where Debian's Python looks for those that are not Debian's."""
    site = root / SITE
    site.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(wheels):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)


def configure(root: Path, init: str) -> None:
    """What installing would have made, and the guest's first process."""
    for path, target in ALTERNATIVES.items():
        (root / path).unlink(missing_ok=True)
        (root / path).symlink_to(target)
    for name, content in ETC.items():
        (root / "etc" / name).write_text(content)
    if not (root / "usr/bin/sh").exists():
        (root / "usr/bin/sh").symlink_to("dash")
    for applet in APPLETS:
        if not (root / "usr/bin" / applet).exists():
            (root / "usr/bin" / applet).symlink_to("busybox")
    var_run = root / "var/run"
    if not var_run.is_symlink():
        shutil.rmtree(var_run, ignore_errors=True)
        var_run.symlink_to("/run")
    script = root / "usr/sbin/hopcast-init"
    script.write_text(init)
    script.chmod(0o755)
    run(root, "usr/bin/kmod", "depmod", "-b", str(root / "usr"), kernel_release(root))


def compile_python(root: Path, *folders: Path) -> None:
    """Bytecode for the guest's Python: compiling there would take ten times as long, at every start."""
    run(root, "usr/bin/python3.11", "python3.11", "-m", "compileall", "-q", f"-j{PARALLEL}", "--invalidation-mode",
        "unchecked-hash", "-s", str(root), "-p", "/", *map(str, folders or (root / "usr/lib/python3.11", root / SITE)))


def kernel_release(root: Path) -> str:
    """As `uname -r` will say. LabError when there is not exactly one kernel."""
    found = [path.name for path in (root / "usr/lib/modules").glob("*") if (path / "kernel").is_dir()]
    if len(found) != 1:
        raise LabError(f"the packages bring {len(found)} kernels, not one: {' '.join(sorted(found))}")
    return found[0]


def run(root: Path, program: str, *arguments: str) -> str:
    """Runs a program of the tree here, with the tree's libraries; `arguments` begin with its own name."""
    libraries = [root / "usr/lib/x86_64-linux-gnu", root / "usr/lib"]
    command = [str(root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", ":".join(map(str, libraries)),
               "--argv0", arguments[0], str(root / program), *arguments[1:]]
    variables = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "PYTHONHOME": str(root / "usr"),
                 "SOURCE_DATE_EPOCH": "0", "E2FSPROGS_FAKE_TIME": "1", "MKE2FS_CONFIG": str(root / "etc/mke2fs.conf")}
    return tool(command, variables, arguments[0])


def tool(command: Sequence[str], variables: dict[str, str] | None = None, name: str = "") -> str:
    """A program's output. LabError with its last words when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_LIMIT,
                              env=variables or environment.minimal(), stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"can't run {name or command[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"{name or command[0]} failed: {' '.join(said[-3:])}")
    return done.stdout


