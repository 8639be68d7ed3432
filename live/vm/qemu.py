"""QEMU's command line for the guest, and which accelerator works on this machine.

Two disks, both read-only, two serial lines (console, agent), a random number generator, and nothing else: no network,
for the topology's machines are namespaces inside the guest. All that the guest writes lies in its memory, so that a
snapshot of the memory is one of everything.

KVM counts as working when a kernel boots with it: /dev/kvm may exist and not be allowed, or lead into a hypervisor that
stalls. That is tried once a boot of this machine. Else QEMU emulates (TCG), with a thread for each CPU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from live import environment
from live.vm.image import Image
from live.vm.project import Project
from sim.errors import LabError

BINARY = "qemu-system-x86_64"
GET = "apt-get install --no-install-recommends qemu-system-x86"
KVM_DEVICE = Path("/dev/kvm")
MEMORY = 3072
"""MiB; of which the guest of three engines touches about one."""
LEAST_MEMORY = 1536
CPUS = 4
EMULATED_CPU = "max,la57=off,smap=off,smep=off,pku=off,avx=off,avx2=off,xsave=off,xsaveopt=off,erms=off,fsrm=off"
"""Without what makes an emulated page table or a change of processes slower and helps nobody here."""
PARAMETERS = (
    "console=ttyS0", "quiet", "panic=-1", "mitigations=off", "init_on_alloc=0", "audit=0", "lsm=", "nokaslr",
    "tsc=reliable", "clocksource=tsc", "no_timer_check", "nowatchdog", "random.trust_cpu=on",
    "rcupdate.rcu_expedited=1", "cryptomgr.notests", "norandmaps", "cgroup_disable=memory",
)
"""panic=-1 with -no-reboot: a guest that dies ends QEMU."""
PATIENCE = {"tcg": 5.0, "kvm": 1.0}
"""How much longer a guest's time limits and pauses are (`live/patience.py`)."""
CONSOLE, AGENT, MONITOR = "console.log", "agent.sock", "monitor.sock"
"""In QEMU's own folder, which is its working directory: a Unix socket's path has 107 bytes."""
TRIAL_LIMIT = 6.0
BANNER = "Linux version"


def binary() -> str:
    """Where QEMU is. LabError when it is missing."""
    if found := shutil.which(BINARY):
        return found
    raise LabError(f"no QEMU ({BINARY}) on this machine", mend=GET)


@cache
def version() -> str:
    """As QEMU says it; empty when it doesn't."""
    try:
        said = subprocess.run([binary(), "--version"], capture_output=True, text=True, timeout=20, check=True,
                              env=environment.minimal()).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.partition("version ")[2].splitlines()[0] if "version " in said else ""


def memory() -> int:
    """MiB for the guest: MEMORY, less where the machine has no more to spare. LabError where that is too little."""
    available = MEMORY
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) >> 10
    if available < LEAST_MEMORY:
        raise LabError(f"the micro-VM needs {LEAST_MEMORY} MiB of memory, and {available} are available")
    return MEMORY if available > MEMORY + 512 else LEAST_MEMORY


def cpus() -> int:
    return max(1, min(CPUS, len(os.sched_getaffinity(0))))


def quoted(path: Path) -> str:
    """A path inside an option: QEMU takes a comma for the next key, and two for one."""
    return str(path).replace(",", ",,")


def where(accelerator: str) -> str:
    """Where something was measured, in words."""
    return f"micro-VM ({accelerator.upper()})"


def machine(accelerator: str, megabytes: int, processors: int) -> list[str]:
    """What a snapshot depends on besides its contents."""
    accel = {"kvm": ["-accel", "kvm", "-cpu", "host"],
             "tcg": ["-accel", "tcg,thread=multi", "-cpu", EMULATED_CPU]}[accelerator]
    return ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc", *accel,
            "-smp", str(processors), "-m", str(megabytes)]


def parameters(accelerator: str) -> str:
    """The kernel's, and the variables that the guest's first process exports."""
    return " ".join([*PARAMETERS, f"HOPCAST_PATIENCE={PATIENCE[accelerator]:g}",
                     f"HOPCAST_WHERE={where(accelerator).replace(' ', '_')}"])


def command(image: Image, project: Project, accelerator: str, megabytes: int, processors: int, *,
            incoming: int | None = None) -> list[str]:
    """The whole line. `incoming`: a file descriptor from which the guest's state comes, in place of booting."""
    line = [
        binary(), *machine(accelerator, megabytes, processors),
        "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", parameters(accelerator),
        *_disk("root", image.disk), *_disk("project", project.disk),
        "-device", "virtio-rng-pci",
        "-chardev", f"file,id=console,path={CONSOLE}", "-serial", "chardev:console",
        # Sockets are opened in this order: who sees the agent's finds the monitor's as well.
        "-chardev", f"socket,id=monitor,path={MONITOR},server=on,wait=off", "-mon", "chardev=monitor,mode=control",
        "-chardev", f"socket,id=agent,path={AGENT},server=on,wait=off", "-serial", "chardev:agent",
    ]
    return line if incoming is None else [*line, "-incoming", f"fd:{incoming}"]


def _disk(name: str, path: Path) -> Sequence[str]:
    return ("-drive", f"file={quoted(path)},format=raw,if=none,id={name},readonly=on,cache=unsafe,file.locking=off",
            "-device", f"virtio-blk-pci,drive={name}")


def accelerator(image: Image) -> str:
    """`kvm` where a kernel boots with it, else `tcg`. Tried once a boot of this machine, then remembered."""
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    kept = image.folder / "accelerator"
    known = f"{boot} {version()} {os.geteuid()} "
    if kept.exists() and (said := kept.read_text()).startswith(known):
        return said.removeprefix(known)
    found = "kvm" if kernel_starts(image, "kvm") else "tcg"
    kept.write_text(f"{known}{found}")
    return found


def kernel_starts(image: Image, accelerator: str, limit: float = TRIAL_LIMIT) -> bool:
    """Does the kernel say its first words within `limit` seconds?"""
    line = [binary(), *machine(accelerator, 512, 1), "-kernel", str(image.kernel), "-append",
            "console=ttyS0 panic=-1 earlyprintk=serial", "-serial", "stdio"]
    try:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=environment.minimal())
    except OSError:
        return False
    assert process.stdout is not None
    # Without a root file system the kernel panics and QEMU ends, soon after its first words.
    try:
        said, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
    return BANNER.encode() in said
