"""The topology, plumbed: `build(spec)` gives the simulated machines, cables and engines, and asks them questions.

This is where the halves meet: the engines of `sim/dockerd` plumb the kernel objects, the fabric runs the clock and the
programs (responders, docker-proxies, name servers, the probe). Each question finds the caches cold (neighbours, FDB,
conntrack), exactly as the live side flushes them before each of its own.

Beside hosts and clients a name server hangs on the wire (`Spec.nameserver`); it knows the Spec's `names` and no other,
and the hosts' resolv.conf points to it: the lab has the same one, so that "no such name" is somebody's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from sim.dial import dial as make_dial
from sim.dockerd.daemon import Daemon
from sim.dockerd.inspect import inspected
from sim.dockerd.process import BoundPort, ProxyProcess, ResolverProcess
from sim.dockerd.process import Process as DaemonProcess
from sim.dockerd.profile import profile_of
from sim.dockerd.swarm import Swarm
from sim.errors import SpecError
from sim.fabric import dns, proxy, responder
from sim.fabric.costs import CostModel
from sim.fabric.fabric import Fabric
from sim.fabric.fabric import Process as Program
from sim.fabric.probe import probe
from sim.kernel.bridge import Bridge
from sim.kernel.draws import Draws
from sim.kernel.netns import Netns
from sim.kernel.resolver import ResolverFiles
from sim.kernel.socket import Standby
from sim.kernel.sysctl import LATEST
from sim.packet import Proto, cidr, dotted, ip
from sim.plumbing import Plumbing
from sim.spec import ANYWHERE, Client, Container, Dial, Host, Question, Spec
from sim.trace import Answer, Trace
from sim.underlay import NAMESERVER, SWITCH, WIRE, iptables
from sim.underlay import plumb as plumb_underlay

LINGER = 0.3
"""Seconds that the clock runs on after the answer, for the packets that close the connection."""
LAST_WORDS = 8
"""How often these may go from machine to machine."""
Serving = Literal["answer", "echo", "echo once"]
"""What the responders do: answer as those of the questions do; return what they get; the same, and hang up."""
SERVERS: dict[tuple[str, Serving], Callable[..., Program]] = {
    ("tcp", "answer"): responder.tcp_responder,
    ("udp", "answer"): responder.udp_responder,
    ("tcp", "echo"): responder.tcp_echo,
    ("udp", "echo"): responder.udp_echo,
    ("tcp", "echo once"): responder.tcp_echo_once,
    ("udp", "echo once"): responder.udp_echo,
}
PROTOCOLS = {"tcp": Proto.TCP, "udp": Proto.UDP}
"""What programs speak here. A process that holds a port of SCTP hears nothing, for nobody sends any."""

Listening = tuple[Netns, Proto, int, int, Callable[[Fabric], Program]]
"""Where a program listens (protocol, address, port), and the program."""


@dataclass(slots=True)
class World:
    """Simulated machines. `spec` says where tasks run now. `namespaces` holds hosts, clients, containers, and the
    underlay's own (`wire`, `dns`)."""

    spec: Spec
    namespaces: dict[str, Netns] = field(default_factory=dict)
    daemons: dict[str, Daemon] = field(default_factory=dict)
    swarm: Swarm | None = None
    """None where the hosts are engines of their own."""
    linux: tuple[int, int] = LATEST
    sniffed: bool = False
    cutting: bool = False
    """Devices have no segmentation offload."""
    draws: Draws = field(default_factory=Draws)
    """What the question that runs draws, and drew; all namespaces draw from these."""
    _serving: Serving | None = None
    """For what the programs stand by; None where they don't, or others than those that should."""
    _fabric: Fabric | None = None
    """On which the programs are started."""

    def new_netns(self, label: str) -> Netns:
        netns = self.namespaces[label] = Netns(label, self.linux, self.draws)
        netns.tso = not self.cutting
        return netns

    def changed(self) -> None:
        """Somebody runs who did not, or the other way round."""
        self._serving = None

    # looking things up

    def daemon_of(self, container: str) -> Daemon:
        found = self.spec.container(container)
        assert found is not None
        return self.daemons[found.host]

    def address_of(self, container: str, network: str) -> str | None:
        return self.daemon_of(container).address_of(container, network)

    def published_port(self, container: str, port: int, protocol: str) -> int | None:
        """Of a container, or of a service of the swarm (its port of the routing mesh)."""
        service = self.swarm.services.get(container) if self.swarm else None
        if service is not None:
            return next((p.published for p in service.spec.ingress_ports
                         if (p.target, p.protocol) == (port, protocol)), None)
        return self.daemon_of(container).published_port(container, port, protocol)

    def vip_of(self, service: str, network: str) -> str | None:
        """The virtual address of a service on a network; None with dnsrr, or where it is not on it."""
        known = self.swarm.services.get(service) if self.swarm else None
        vip = known.vips.get(network) if known else None
        return None if vip is None else str(vip)

    def dial(self, question: Question, index: int) -> Dial:
        """What the question's probe does, with the addresses that the simulated engine gave."""
        return make_dial(question, self.spec, index, self.address_of, self.published_port, self.vip_of)

    def netns_of(self, label: str) -> Netns:
        """The namespace in which a container's, host's or client's processes run."""
        return self.namespaces[self.spec.netns_of(label)]

    def files_of(self, label: str) -> ResolverFiles:
        """The resolver files of a container's, host's or client's processes."""
        box = self.spec.container(label)
        return self.daemons[box.host].files_of(box.name) if box else self.namespaces[label].files

    @property
    def warnings(self) -> list[str]:
        return [w for daemon in self.daemons.values() for w in daemon.warnings]

    def plumbing(self) -> Plumbing:
        """Everything that stands in hosts, clients and containers, and what the engines say of it."""
        labels = dict.fromkeys(self.spec.netns_of(label) for label in self.spec.labels() if self.runs(label))
        labels |= dict.fromkeys(n.label for n in self.namespaces.values() if n.label not in (WIRE, NAMESERVER))
        engines, manager = list(self.daemons.values()), self.spec.hosts[0].name
        replicas = {service.name: len(self.spec.tasks(service.name)) for service in self.spec.services}
        said = {name: inspected(daemon, engines, replicas if name == manager else None)
                for name, daemon in self.daemons.items()}
        return Plumbing({label: self.namespaces[label].snapshot() for label in labels}, self.warnings, said)

    def start_engine(self, host: Host, lacking: frozenset[str] = frozenset()) -> Daemon:
        """dockerd on a host; in the place of the one before, if there was one."""
        self.changed()
        netns = self.namespaces[host.name]
        iptables(netns, host.firewall.before, f"host {host.name}")
        try:
            profile = profile_of(host.engine.version)
        except SpecError as error:
            raise SpecError(error.problem, where=f"host {host.name}", mend=error.mend) from None
        daemon = self.daemons[host.name] = Daemon(host, netns, profile, self.new_netns, lacking)
        return daemon

    def finish_firewall(self, host: Host) -> None:
        """What is told to a host's iptables once everything on it is deployed."""
        iptables(self.namespaces[host.name], host.firewall.after, f"host {host.name}")

    def run(self, container: Container) -> None:
        """A container that is no task of a service. PlumbError when its engine refuses."""
        self.changed()
        daemon = self.daemons[container.host]
        daemon.container_run(container)
        self.namespaces[container.name] = daemon.sandbox_of(container.name)

    def run_task(self, task: Container) -> None:
        """A task of a service, on its host. PlumbError when the engine refuses."""
        self.changed()
        assert self.swarm is not None
        daemon = self.daemons[task.host]
        daemon.task_run(task, self.swarm.services[task.task_of])
        self.namespaces[task.name] = daemon.sandbox_of(task.name)

    def runs(self, label: str) -> bool:
        """Does the machine or container run? Faults end containers (`sim/faults.py`)."""
        box = self.spec.container(label)
        return box is None or self.daemons[box.host].runs(box.name)

    def sniff(self, on: bool) -> None:
        """Somebody sniffs on every bridge (promiscuous), or nobody does."""
        self.sniffed = on
        for netns in self.namespaces.values():
            for device in netns.devices.values():
                if isinstance(device, Bridge):
                    device.promiscuous = on

    # asking

    def ask(
        self, dial: Dial, costs: CostModel | None = None, wanted: Sequence[int] = ()
    ) -> tuple[Answer, Trace]:
        """Run one question from cold caches: how it ended, and every step on the way. `wanted`: what is drawn on the
        way; `draws` has heard of it afterwards."""
        self.draws.begin(wanted)
        self._cut(bool(dial.body))
        fabric = self.fabric(costs)
        asker = fabric.spawn(probe(fabric, self.netns_of(dial.source), dial, self.files_of(dial.source)))
        answer: Answer = fabric.run(asker, LINGER + LAST_WORDS * self.spec.flight)
        return answer, fabric.trace()

    def _cut(self, cutting: bool) -> None:
        """Devices cut TCP's writes for who asks with a body, as the lab's then do: a write on the wire as a whole could
        not be told from its segments."""
        if cutting != self.cutting:
            self.cutting = cutting
            for netns in self.namespaces.values():
                netns.tso = not cutting

    def fabric(self, costs: CostModel | None = None, *, serving: Serving = "answer") -> Fabric:
        """A clock at 0, cold caches, and every program listening."""
        for netns in self.namespaces.values():
            if netns.touched:
                netns.flush()
        if self._serving != serving:
            self._stand_by(serving)
        self._fabric = Fabric(costs)
        return self._fabric

    def _stand_by(self, serving: Serving) -> None:
        for netns in self.namespaces.values():
            netns.sockets.stand_down()
        for netns, proto, address, port, program in self._programs(serving):
            netns.sockets.stand_by(Standby(proto, address, port, partial(self._start, program)))
        self._serving = serving

    def _start(self, program: Callable[[Fabric], Program]) -> None:
        assert self._fabric is not None
        self._fabric.start(program(self._fabric))

    def _programs(self, serving: Serving) -> list[Listening]:
        """Every program that listens: responders first, then what the engines run, then the underlay's name server."""
        programs: list[Listening] = []
        boxes: list[Container | Client] = [*self.spec.containers, *self.spec.clients]
        for box in filter(lambda each: self.runs(each.name), boxes):
            for listener in box.listens:
                netns, address = self.netns_of(box.name), ip(listener.address)
                programs.append((netns, PROTOCOLS[listener.protocol], address, listener.port, partial(
                    SERVERS[listener.protocol, serving], netns=netns, label=box.name, port=listener.port,
                    address=address)))
        for daemon in self.daemons.values():
            programs += [self._daemon_program(p) for p in daemon.processes
                         if not isinstance(p, ProxyProcess) or p.protocol in PROTOCOLS]
            programs += [self._held_port(port) for port in daemon.bound_ports if port.protocol in PROTOCOLS]
        programs.append(_name_server(self.namespaces[NAMESERVER], 0, dns.PORT, self._known_name))
        return programs

    def _known_name(self, name: str) -> dns.Reply:
        address = self.spec.names.get(name.lower())
        return dns.Reply((ip(address),)) if address else dns.Reply(rcode=dns.NXDOMAIN)

    def _held_port(self, held: BoundPort) -> Listening:
        netns, address, port = self.namespaces[held.netns_label], ip(held.host_ip), held.host_port
        return netns, PROTOCOLS[held.protocol], address, port, partial(
            proxy.held_port, netns=netns, protocol=held.protocol, address=address, port=port)

    def _daemon_program(self, process: DaemonProcess) -> Listening:
        netns = self.namespaces[process.netns_label]
        match process:
            case ProxyProcess():
                relay = proxy.tcp_proxy if process.protocol == "tcp" else proxy.udp_proxy
                address, port = ip(process.host_ip), process.host_port
                return netns, PROTOCOLS[process.protocol], address, port, partial(
                    relay, netns=netns, address=address, port=port,
                    backend=(ip(process.container_ip), process.container_port))
            case ResolverProcess():
                return _name_server(netns, ip("127.0.0.11"), process.udp_port, _lookup(process, self.draws))


def _name_server(netns: Netns, address: int, port: int, lookup: Callable[[str], dns.Reply]) -> Listening:
    return netns, Proto.UDP, address, port, partial(
        dns.name_server, netns=netns, address=address, port=port, lookup=lookup)


def _lookup(process: ResolverProcess, draws: Draws) -> Callable[[str], dns.Reply]:
    def lookup(name: str) -> dns.Reply:
        result = process.answer(name)
        found = list(map(ip, result.addresses))
        # The real one shuffles them (shuffleAddr): all that a stub resolver sees of that is which one comes first.
        first = draws.draw(len(found))
        return dns.Reply(
            tuple(found[first:] + found[:first]), dns.NXDOMAIN if result.nxdomain else dns.NOERROR,
            tuple(map(ip, result.upstream)))

    return lookup


def build(spec: Spec, lacking: frozenset[str] = frozenset(), linux: tuple[int, int] = LATEST) -> World:
    """Plumb a Spec. PlumbError when an engine would refuse, SpecError when the underlay can't be.

    `lacking`: features that the hosts' kernel has not, by the doctor's names: then the engines do what they do there.
    `linux`: the kernel's version, where versions differ (`sim/kernel/netns.py`).
    """
    world = World(spec, linux=linux)
    plumb_underlay(spec, world.new_netns)
    for host in spec.hosts:
        world.start_engine(host, lacking)
    if spec.in_swarm:
        _form_swarm(world)
    for network in spec.networks:
        for host_name in spec.hosts_of(network.name):
            world.daemons[host_name].network_create(network)
    for container in spec.containers:
        if not container.task_of:
            world.run(container)
    for service in spec.services:
        assert world.swarm is not None
        world.swarm.service_create(service)
        for task in spec.tasks(service.name):
            world.run_task(task)
    for host in spec.hosts:
        world.finish_firewall(host)
    _check_listeners(world)
    return world


def _check_listeners(world: World) -> None:
    """bind(2) of every program that listens on one address alone: EADDRNOTAVAIL."""
    boxes: list[Container | Client] = [*world.spec.containers, *world.spec.clients]
    for box in boxes:
        netns = world.netns_of(box.name)
        for listener in box.listens:
            if listener.address != ANYWHERE and not netns.is_local(ip(listener.address)):
                own = [dotted(address) for device in netns.devices.values() for address, _ in device.addresses]
                raise SpecError(f"listens on {listener}, and {netns.label} has no such address",
                                where=f"{type(box).__name__.lower()} {box.name}", mend=f"it has {', '.join(own)}")


def _form_swarm(world: World) -> None:
    """The first host makes a swarm, the others join it.

    The nodes of a swarm talk to each other several times a second, so to each other their ARP entries are never
    cold, nor the switch's; the lab has them permanent, and so has the model.
    """
    world.swarm = Swarm()
    switch = world.namespaces[WIRE].device(SWITCH)
    assert isinstance(switch, Bridge)
    for daemon in world.daemons.values():
        daemon.swarm_join(world.swarm)
    macs = {host.name: f"mac({host.name}:{host.nics[0]})" for host in world.spec.hosts}
    for host in world.spec.hosts:
        switch.fdb.add(macs[host.name], world.namespaces[WIRE].devices[host.name])
        for other in world.spec.hosts:
            if other is not host:
                world.namespaces[host.name].neighbours.add(
                    host.nics[0], cidr(other.address)[0], macs[other.name])
