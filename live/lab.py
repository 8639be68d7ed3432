"""The lab: the machines of a Spec as network namespaces on one wire, each host with a real Docker Engine.

    with Lab.up(spec) as lab:
        lab.engine("host").containers.list()

Every host and client is a namespace `hc-RUN-LABEL` whose uplink `eth0` is a veth into a bridge in the namespace `wire`.
Beyond each router there is another bridge in `wire`, with its `eth1` and whoever stands behind it: that is all there is
of a world outside. A further machine, `@dns`, has the address `spec.nameserver()`; it knows the Spec's `names` and says
"no such name" to all others, so that failed lookups are answers and not timeouts. IPv6 is off.

Several labs live side by side: names, folders and control groups carry a run id. The lab ends with the `with` block,
with an exception, Ctrl-C, SIGTERM or SIGHUP, at the latest when the interpreter exits; after `kill -9` with
`cleanup.down_all()`.
Each machine's cable has the MTU, rate, delay and loss that the Spec says (`Spec.link_of`). Left out: IPv6.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import secrets
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import docker

from live import (
    cgroup,
    cleanup,
    daemon,
    endings,
    engine,
    environment,
    features,
    firewall,
    limits,
    nameserver,
    netns,
    shaping,
    state,
    swarm,
)
from live.patience import patient
from sim.errors import LabError, SpecError
from sim.spec import FAR, Spec, Underlay

WIRE, DNS = "@wire", "@dns"
"""Labels of the lab's own machines; none of a Spec's can be called so."""
SWITCH = "wire"
"""Labels of the lab's own namespaces."""
NAMESERVER_LIMIT = 20.0

Progress = Callable[[str], None]


class Lab:
    """A lab that is up. Made by `Lab.up` or `Lab.attach`."""

    def __init__(self, spec: Spec, record: state.Record, *, keep: bool) -> None:
        self.spec, self.record, self.keep = spec, record, keep
        self.daemons: dict[str, daemon.Dockerd] = {}
        self._engines: dict[str, docker.DockerClient] = {}
        self._handlers: dict[signal.Signals, object] = {}
        self._nameserver: subprocess.Popen[bytes] | None = None
        self._closed = False

    @classmethod
    def up(cls, spec: Spec, *, keep: bool = False, progress: Progress | None = None) -> Lab:
        """Brings up the machines and engines of `spec`. With `keep` the lab stays after the `with` block (unless that
        raises) and after this process, until `hopcast lab down`. LabError, and nothing left, when it can't be done."""
        _check(spec)
        run = secrets.token_hex(3)
        lab = cls(spec, state.new_record(run, kept=keep, spec=spec.model_dump(mode="json")), keep=keep)
        try:
            lab._handlers = endings.as_exceptions()
            atexit.register(lab._at_exit)
            lab._build(progress or (lambda _: None))
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def attach(cls, run: str) -> Lab:
        """A lab that another command brought up with `keep`. LabError when there is none, or it has died."""
        record = state.load(run)
        if record is None or not record.ready:
            raise LabError(f"no lab {run} is up", mend="hopcast lab status shows those that are")
        lab = cls(Spec.model_validate(record.spec), record, keep=True)
        for label, pid in record.engines.items():
            lab.daemons[label] = daemon.Dockerd(label, record.folder / record.folders[label], pid)
            lab._engines[label] = lab.daemons[label].wait_ready(limit=5.0)
        return lab

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.keep and kind is None:
            self.leave()
        else:
            self.down()

    @property
    def run(self) -> str:
        return self.record.run

    def netns_path(self, label: str) -> Path:
        """The named namespace of a host, client, `dns` or `wire`. KeyError for anything else."""
        return netns.path_of(self.record.namespaces[label])

    def etc(self, label: str) -> Path:
        """The folder with the machine's resolv.conf and hosts."""
        return self.daemons[label].etc if label in self.daemons else self.record.folder / self.record.folders[label]

    def engine(self, host: str) -> docker.DockerClient:
        """The Docker SDK's client of a host's engine."""
        return self._engines[host]

    @property
    def dockerds(self) -> set[int]:
        """The pids of all engines."""
        return {dockerd.pid for dockerd in self.daemons.values()}

    def sandboxes(self, host: str) -> Path:
        """Where a host's engine keeps its network namespaces: seen through its own mounts."""
        dockerd = self.daemons[host]
        return Path(f"/proc/{dockerd.pid}/root{dockerd.folder}/private/exec/netns")

    def frames_lost(self) -> int:
        """How many frames the shaped cables have lost so far, by chance or because a queue was full. Those of a cable
        that loses all do not count: chance has no part in it.
        """
        wire, total = self.netns_path(WIRE), 0
        for index, label in enumerate(label for label in self.record.namespaces if label != WIRE):
            client = self.spec.client(label)
            cables = [(nic, _port(index, number), self.spec.link_of(label))
                      for number, nic in enumerate(self.spec.nics_of(label))]
            if client and client.router:
                cables.append((FAR, f"far-{index}", self.spec.far_link(client.router)))
            for device, port, cable in cables:
                if shaping.shaped(cable) and cable.loss < 1:
                    total += shaping.lost(self.netns_path(label), device) + shaping.lost(wire, port)
        return total

    def port(self, label: str) -> str:
        """The switch's end of a machine's cable, in the namespace `@wire`."""
        return f"to-{[name for name in self.record.namespaces if name != WIRE].index(label)}"

    def kill_engine(self, host: str) -> None:
        """SIGKILL for a host's engine (see `daemon.kill`)."""
        daemon.kill(self.daemons[host], self.run)
        self._note_pid(host)

    def start_engine_again(self, host: str) -> None:
        """Returns when it answers. LabError when it does not."""
        machine = self.spec.host(host)
        assert machine is not None
        daemon.start_again(self.daemons[host], machine, self.run)
        self._note_pid(host)
        self._engines[host].close()
        self._engines[host] = self.daemons[host].wait_ready()

    def _note_pid(self, host: str) -> None:
        self.record.engines[host] = self.daemons[host].pid
        self.record.save()

    def own_labels(self) -> tuple[str, ...]:
        """Namespaces that the lab has besides the Spec's."""
        return WIRE, DNS

    def leave(self) -> None:
        """Lets go of the lab without ending it."""
        self._release()

    def down(self) -> None:
        """Ends the lab and removes all of it. A second Ctrl-C can't interrupt that. LabError if something stays."""
        if self._closed:
            return
        with _undisturbed():
            self._release()
            cleanup.down(self.run, force=True)
            for child in (self._nameserver, *(d.process for d in self.daemons.values())):
                if child is not None:
                    child.wait(timeout=5)

    def _release(self) -> None:
        self._closed = True
        for client in self._engines.values():
            with suppress(Exception):
                client.close()
        atexit.unregister(self._at_exit)
        endings.as_before(self._handlers)

    def _at_exit(self) -> None:
        if os.getpid() == self.record.owner and not self.keep:
            self.down()

    def _build(self, progress: Progress) -> None:
        spec, record = self.spec, self.record
        machines = {m.name: m.address for m in spec.hosts} | {m.name: m.address for m in spec.clients}
        machines[DNS] = spec.nameserver()
        record.namespaces = {label: f"{cleanup.PREFIX}{record.run}-{label}" for label in [*machines, WIRE]}
        record.folders = {label: f"m{index}" for index, label in enumerate(machines)}
        record.save()
        progress(f"lab {record.run}: {len(spec.hosts)} host(s), {len(spec.clients)} client(s) on one wire")
        self._build_wire(machines)
        answering = machines[DNS].partition("/")[0]
        for host in spec.hosts:
            progress(f"starting Docker Engine on {host.name}")
            firewall.tell(self.netns_path(host.name), host.firewall.before, f"host {host.name}")
            self.daemons[host.name] = daemon.start(
                host, run=record.run, namespace=self.netns_path(host.name),
                folder=record.folder / record.folders[host.name], nameserver=answering)
            record.engines[host.name] = self.daemons[host.name].pid
            record.save()
        self._start_nameserver(answering)
        for client in spec.clients:
            _write_etc(record.folder / record.folders[client.name], answering)
        _write_etc(record.folder / record.folders[DNS], answering)
        for label, dockerd in self.daemons.items():
            self._engines[label] = dockerd.wait_ready()
            progress(f"Docker Engine {dockerd.version} on {label} is ready")
        if spec.in_swarm:
            progress("forming a swarm")
            hosts = {host.name: swarm.Acquaintance(
                self.netns_path(host.name), spec.uplink_address(host.name), host.nics[0]) for host in spec.hosts}
            swarm.acquaint(hosts, self.netns_path(WIRE), {name: f"to-{index}" for index, name in enumerate(hosts)})
            swarm.form(self, spec)
        record.ready = True
        record.save()

    def _build_wire(self, machines: dict[str, str]) -> None:
        for name in self.record.namespaces.values():
            netns.create(name)
        wire, spec = self.netns_path(WIRE), self.spec
        numbers = {label: index for index, label in enumerate(machines)}
        switches = {"": SWITCH} | {each.name: f"{SWITCH}-{numbers[each.name]}" for each in spec.clients if each.router}
        for switch in switches.values():
            netns.bridge(wire, switch)
        behind = {client.name: client.behind for client in spec.clients}
        for label, address in machines.items():
            here, client, number = self.netns_path(label), spec.client(label), numbers[label]
            switch = switches[behind.get(label, "")]
            # A bridge floods its newest port first (new_nbp in net/bridge/br_if.c): so a machine's uplink hears, and
            # answers, before its other interfaces, as in the model's switch.
            for index, nic in reversed(list(enumerate(spec.nics_of(label)))):
                _join(here, nic, "" if index else address, wire, _port(number, index), switch, spec.link_of(label))
            if client and client.router:
                far = spec.far_link(client.router)
                _join(here, FAR, client.router.address, wire, f"far-{number}", switches[label], far)
            netns.routes(here, spec.routes_of(label))
            if client and client.forwards:
                netns.call(here, netns.set_sysctl, "net.ipv4.ip_forward", "1")
            if client and client.everywhere:
                netns.everywhere(here, spec.uplink(label))
            firewall.tell(here, client.rules if client else (), f"client {label}")

    def _start_nameserver(self, address: str) -> None:
        group = cgroup.create(self.run, "nameserver")
        script = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"'  # never outside the group
        command = [engine.which("nsenter"), f"--net={self.netns_path(DNS)}", "sh", "-c", script, "nameserver",
                   str(group), sys.executable, "-I", str(Path(nameserver.__file__)), address,
                   json.dumps(self.spec.names)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=environment.minimal(), start_new_session=True)
        assert process.stdout is not None and process.stderr is not None
        self._nameserver = process
        if not select.select([process.stdout], [], [], patient(NAMESERVER_LIMIT))[0] or not process.stdout.readline():
            process.kill()
            raise LabError(f"the lab's name server did not start: {process.stderr.read().decode(errors='replace')}")
        process.stdout.close()
        process.stderr.close()


def _join(here: Path, device: str, address: str, wire: Path, port: str, switch: str, cable: Underlay) -> None:
    """A cable from a machine's device to a switch of the wire, and its address, if it has one."""
    netns.veth(here, device, wire, port, mtu=cable.mtu)
    shaping.shape(here, device, cable)
    shaping.shape(wire, port, cable)
    if address:
        netns.address(here, device, address)
    netns.enslave(wire, switch, [port])


def _port(machine: int, nic: int) -> str:
    """The switch's end of a machine's cable, by their numbers."""
    return f"to-{machine}" if nic == 0 else f"to-{machine}-{nic}"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Nobody interrupts or terminates the block (Python runs handlers in the main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *endings.ENDING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check(spec: Spec) -> None:
    if os.geteuid() != 0:
        raise LabError("a lab needs root", mend="run it as root; predictions work without")
    limits.check(spec)
    machines = [*(h.name for h in spec.hosts), *(c.name for c in spec.clients)]
    for label in machines:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", label):
            raise SpecError(f"{label!r} can't name a machine", mend="use up to 60 letters, digits and _.-")
    for host in spec.hosts:
        engine.required(host.engine.version)
    cables = {label: spec.link_of(label) for label in machines}
    cables |= {f"{each.name}:{FAR}": spec.far_link(each.router) for each in spec.clients if each.router}
    emulated = [label for label, cable in cables.items() if shaping.needs_netem(cable)]
    if emulated and (why := features.lacks("netem")):
        raise LabError(f"can't be measured here: kernel lacks netem ({why}), which {emulated[0]}'s delay or loss needs",
                       mend="leave delay and loss out of x-hopcast's underlay and links")


def _write_etc(folder: Path, answering: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resolv.conf").write_text(f"nameserver {answering}\n")
    (folder / "hosts").write_text("127.0.0.1\tlocalhost\n")
