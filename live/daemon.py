"""One dockerd of the lab: in its host's network namespace, with a mount namespace of its own.

It finds a machine of its own: an empty /run (so it sees neither the machine's containerd, firewalld, systemd, D-Bus
nor xtables lock, and starts its own containerd), its own /etc (resolv.conf names the lab's name server, /etc/hosts
knows localhost only, no daemon.json, no key.json left behind), its label as hostname, and its data on a tmpfs that ends
with its mount namespace. Only its socket and its log are visible outside, in the run's state folder.

Not all that an engine writes goes where its options say: a swarm's load balancers have files in /var/lib/docker,
containerd makes /opt/containerd. So what it writes to any other folder goes to that tmpfs too (overlayfs), and the rest
of the machine's root file system is read-only to it.

`ip netns exec` would remount /sys and hide the cgroup mounts, so nsenter(1) and unshare(1) start it; both exec, so the
child's pid is dockerd's. What stays shared: the kernel, its modules, and the key quota that dockerd raises
(/proc/sys/kernel/keys/root_maxkeys).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import docker
from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.errors import DockerException

from live import cgroup, engine, environment
from live.patience import patient, until
from sim.errors import LabError
from sim.spec import Engine, Host

READY_LIMIT = 60.0
API_TIMEOUT = 60
"""Seconds that one call of the engine's API may take."""
LOG_LINES = 6
GONE_LIMIT = 10.0
DYING = ("dockerd", "containerd", "docker-proxy")
"""What ends with an engine: it asks for that for its children (PR_SET_PDEATHSIG), but not for the containers' shims."""

PREPARE = r"""
set -eu
folder=$1; cgroup=$2; hostname=$3; nameserver=$4; shift 4
mount() { command mount -n "$@"; }  # else it would make /run/mount
echo $$ > "$cgroup/cgroup.procs"
echo "$hostname" > /proc/sys/kernel/hostname
mount -t tmpfs -o mode=755 hopcast "$folder/private"
cd "$folder/private"
mkdir run data exec
for top in etc var opt root home srv tmp mnt media; do
    [ -d "/$top" ] && [ ! -L "/$top" ] || continue
    mkdir -p "own/$top" "work/$top"
    layers="lowerdir=/$top,upperdir=$PWD/own/$top,workdir=$PWD/work/$top"
    mount -t overlay -o "$layers" overlay "/$top" 2>/dev/null || {
        [ "$top" != etc ] || cp -a /etc/. own/etc/
        mount --bind "own/$top" "/$top"
    }
done
chmod 1777 /tmp
rm -rf /etc/docker /etc/resolv.conf /etc/hosts
printf 'nameserver %s\n' "$nameserver" > /etc/resolv.conf
printf '127.0.0.1\tlocalhost\n' > /etc/hosts
printf '%s\n' "$hostname" > /etc/hostname
echo '{}' > daemon.json
inner=run${folder#/run}
mkdir -p "$inner"
mount --bind "$folder" "$inner"
mount --bind "$folder/private" "$inner/private"
mount --rbind run /run
mount -o remount,bind,ro / 2>/dev/null || :  # where / is no mount point it can't be
exec "$@"
"""
"""$1 state folder (under /run), $2 control group, $3 hostname, $4 name server; then dockerd and its flags."""
_wait = partial(until, limit=GONE_LIMIT, poll=0.01)


@dataclass(slots=True)
class Dockerd:
    """A running engine. `process` is None when another command started it."""

    label: str
    folder: Path
    pid: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    version: str = ""
    """As the engine says it, once it is ready."""

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    @property
    def etc(self) -> Path:
        """Its private /etc, seen from outside."""
        return Path(f"/proc/{self.pid}/root/etc")

    def last_words(self) -> str:
        """The end of its log, errors first if there are any."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        serious = [line for line in lines if "level=error" in line or "level=fatal" in line or "failed" in line]
        return "\n".join((serious or lines)[-LOG_LINES:])

    def wait_ready(self, limit: float = READY_LIMIT) -> docker.DockerClient:
        """A client of the engine once it answers. LabError with its last words when it ends or `limit` seconds pass."""
        limit = patient(limit)
        deadline = time.monotonic() + limit
        while True:
            if self.process is not None and self.process.poll() is not None:
                raise LabError(f"dockerd of {self.label} ended (exit {self.process.returncode}); its last words:\n"
                               f"{self.last_words()}")
            if (self.folder / "docker.sock").exists():
                try:
                    client, self.version = _connect(self.url, round(patient(API_TIMEOUT)))
                    return client
                except (DockerException, OSError):
                    pass
            if time.monotonic() > deadline:
                raise LabError(f"dockerd of {self.label} is not ready after {limit:.0f} s; its last words:\n"
                               f"{self.last_words()}")
            time.sleep(0.02)


def _connect(url: str, timeout: int) -> tuple[docker.DockerClient, str]:
    """A client of the engine at `url`, and the engine's version. A ping bears all that is needed in its headers (Engine
    API: SystemPing); for `docker version` an engine would start runc and docker-init to ask them for theirs.
    DockerException, OSError where none answers."""
    first = docker.APIClient(base_url=url, version=MINIMUM_DOCKER_API_VERSION, timeout=timeout)
    first.trust_env = False
    with first:
        answer = first.get(f"{first.base_url}/_ping", timeout=timeout)
    answer.raise_for_status()
    client = docker.DockerClient(base_url=url, version=answer.headers["Api-Version"], timeout=timeout)
    client.api.trust_env = False  # no proxy leads to a socket: not to be looked up for each request
    return client, answer.headers["Server"].partition("/")[2].partition(" ")[0]


def flags(options: Engine) -> list[str]:
    """Daemon options as dockerd's flags; what equals dockerd's own default is left to it.

    >>> flags(Engine(icc=False, bip="10.9.0.1/24"))
    ['--icc=false', '--bip=10.9.0.1/24']
    """
    switches = {"userland-proxy": options.userland_proxy, "iptables": options.iptables, "icc": options.icc,
                "ip-forward": options.ip_forward, "ip-masq": options.ip_masq}
    line = [f"--{name}=false" for name, on in switches.items() if not on]
    if options.bip:
        line.append(f"--bip={options.bip}")
    if options.mtu != 1500:
        line.append(f"--mtu={options.mtu}")
    line += [f"--default-address-pool=base={base},size={size}" for base, size in options.default_address_pools]
    return line


def start(host: Host, *, run: str, namespace: Path, folder: Path, nameserver: str) -> Dockerd:
    """Starts the host's engine and returns at once (see `wait_ready`). LabError when there is no such engine."""
    binary = engine.required(host.engine.version)
    (folder / "private").mkdir(parents=True, exist_ok=True)
    group = cgroup.create(run, host.name, "engine")
    command = [
        _tool("nsenter"), f"--net={namespace}", _tool("unshare"), "--mount", "--uts", "--propagation", "private",
        "sh", "-c", PREPARE, "dockerd", str(folder), str(group), host.name, nameserver,
        *_dockerd(binary.path, host, run, folder),
    ]
    process = _run(command, folder)
    return Dockerd(host.name, folder, process.pid, process)


def kill(dockerd: Dockerd, run: str) -> None:
    """SIGKILL; returns when what dies with it is gone: its containerd, its docker-proxies. Containers live on.

    Its mount namespace has its data and may live in nobody else, so a process that sleeps takes its place there: until
    `start_again`, that one is `dockerd.pid`. LabError when something does not end.
    """
    group, old = cgroup.create(run, dockerd.label, "engine"), dockerd.process
    keeper = _run([*_inside(dockerd.pid, group), "sleep", "infinity"], dockerd.folder)
    _wait(lambda: comm(keeper.pid) == "sleep", f"nobody enters the namespaces of {dockerd.label}'s engine")
    os.kill(dockerd.pid, signal.SIGKILL)
    if old is not None:
        old.wait(patient(GONE_LIMIT))
    dockerd.pid, dockerd.process = keeper.pid, keeper
    _wait(lambda: not [pid for pid in cgroup.processes(run, dockerd.label) if comm(pid) in DYING],
          f"the killed engine of {dockerd.label} leaves processes behind")
    # Until somebody reaps them they still have their pids, and the next engine would take them for alive.
    for file in ("dockerd.pid", "exec/containerd/containerd.pid"):
        Path(f"/proc/{keeper.pid}/root{dockerd.folder}/private/{file}").unlink(missing_ok=True)


def start_again(dockerd: Dockerd, host: Host, run: str) -> None:
    """A new engine with the data and in the namespaces of the one that was killed (see `wait_ready`)."""
    keeper, group = dockerd.process, cgroup.create(run, host.name, "engine")
    line = _dockerd(engine.required(host.engine.version).path, host, run, dockerd.folder)
    process = _run([*_inside(dockerd.pid, group), *line], dockerd.folder)
    _wait(lambda: comm(process.pid) == "dockerd", f"dockerd of {host.name} does not start")
    os.kill(dockerd.pid, signal.SIGKILL)
    if keeper is not None:
        keeper.wait(patient(GONE_LIMIT))
    dockerd.pid, dockerd.process = process.pid, process


def _dockerd(binary: str, host: Host, run: str, folder: Path) -> list[str]:
    """The engine's command line."""
    return [
        binary, "--config-file", f"{folder}/private/daemon.json", "--host", f"unix://{folder}/docker.sock",
        "--data-root", f"{folder}/private/data", "--exec-root", f"{folder}/private/exec",
        "--pidfile", f"{folder}/private/dockerd.pid",
        "--cgroup-parent", f"/{cgroup.ROOT}/{run}/{host.name}/containers", "--exec-opt", "native.cgroupdriver=cgroupfs",
        *flags(host.engine),
    ]


def _inside(pid: int, group: Path) -> list[str]:
    """What starts a command in the namespaces of a process, and in a control group."""
    script = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"'  # never outside the group
    return [_tool("nsenter"), f"--target={pid}", "--mount", "--uts", "--net", "sh", "-c", script, "inside", str(group)]


def _run(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Its output goes to the end of the engine's log."""
    with (folder / "dockerd.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                env=environment.minimal("GOGC", HOME="/root"), start_new_session=True)


def comm(pid: int) -> str:
    """What a process runs; empty when it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    name, _, rest = status.partition("(")[2].rpartition(")")
    return "" if rest.split()[0] == "Z" else name


def _tool(name: str) -> str:
    path = engine.which(name)
    if not path:
        raise LabError(f"no {name} on this machine", mend="apt-get install util-linux")
    return path
