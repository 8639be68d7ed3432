"""What a diagnosis may rest on: the world as it stands now, by address, network, port and listener.

A fault changes the world, so facts are gathered anew for each phase (`sim/phases.py`). Everything is looked up once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from sim.dockerd.endpoint import by_priority
from sim.dockerd.network import Network
from sim.dockerd.sandbox import Sandbox
from sim.errors import PlumbError
from sim.kernel.netns import Netns
from sim.packet import Proto, dotted, ip
from sim.spec import DEFAULT_NETWORK, Container, Fault, Spec
from sim.underlay import WIRE
from sim.world import World

MANY = 3
"""Names that a line lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Published:
    """`port` of the host leads to `inside` of a container (or of a swarm service, on every node's `0.0.0.0`)."""

    protocol: str
    address: str
    port: int
    box: str
    inside: int

    def __str__(self) -> str:
        where = "" if self.address == "0.0.0.0" else f"{self.address}:"
        udp = "" if self.protocol == "tcp" else f"/{self.protocol}"
        return f"{where}{self.port} -> {self.inside}{udp}"


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that waits for others: `address` 0.0.0.0 is any."""

    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        where = "" if self.address == "0.0.0.0" else f"{self.address}:"
        return f"{where}{self.port}" + ("" if self.protocol == "tcp" else f"/{self.protocol}")


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who has a name, and on which network; `network` empty: none of its networks has names. `box` empty: a service
    of the swarm."""

    owner: str
    network: str
    box: str = ""


class Facts:
    """The facts of a world at one moment."""

    def __init__(self, world: World, fault: Fault | None = None) -> None:
        self.world, self.fault = world, fault
        self.since = f" since {fault.kind} {fault.host} (fault {fault.name})" if fault is not None else ""
        """What went wrong last, and may have been mended."""

    @property
    def spec(self) -> Spec:
        return self.world.spec

    # addresses

    @cached_property
    def _owners(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for netns in dict.fromkeys(self.world.namespaces.values()):  # those in a host's network are there twice
            for device in netns.devices.values():
                for address, _ in device.addresses if device.name != "lo" else ():
                    found.setdefault(address, []).append(netns.label)
        return found

    def owners(self, address: str | int) -> list[str]:
        """Labels of the namespaces that have an address; several where two have the same one."""
        number = ip(address) if isinstance(address, str) and address else address or 0
        assert isinstance(number, int)
        return self._owners.get(number, [])

    def addresses(self) -> Iterable[tuple[int, list[str]]]:
        """Every address with the labels of those who have it."""
        return self._owners.items()

    def service_at(self, address: str) -> str:
        """The swarm service whose virtual address this is; or empty."""
        services = self.world.swarm.services if self.world.swarm else {}
        return next((name for name, service in services.items() if address in map(str, service.vips.values())), "")

    def host_of(self, label: str) -> str:
        """The host on which a container runs; the host itself; empty for other machines."""
        box = self.spec.container(label)
        return box.host if box is not None else label if self.spec.host(label) else ""

    # networks

    @cached_property
    def _subnets(self) -> list[tuple[str, IPv4Network, Network]]:
        found = {(host if network.scope == "local" else "", network.name): network
                 for host, daemon in self.world.daemons.items() for network in daemon.networks.values()}
        return [(host, network.pool.network, network) for (host, _), network in found.items()
                if network.pool is not None]

    def subnets(self) -> Iterator[tuple[str, IPv4Network, Network]]:
        """(host, subnet, network) of everything that the engines made; the host is empty for a network of the swarm."""
        yield from self._subnets

    def network_of(self, address: str | int, host: str = "") -> tuple[str, IPv4Network, Network] | None:
        """The Docker network whose subnet has the address, with its host and subnet: one on `host`, where that is
        said."""
        number = IPv4Address(address) if address else None
        for found in self._subnets if number else ():
            if number in found[1] and host in ("", found[0] or host):
                return found
        return None

    def networks(self, label: str) -> tuple[str, ...]:
        """Names of the networks on which a container (or whose namespace it shares) is now."""
        owner = self.spec.container(self.spec.netns_of(label))
        if owner is None:
            return ()
        sandbox = self._sandboxes.get(owner.name)
        if sandbox is None:
            return self.spec.networks_of(label)
        return tuple(e.network.name for e in sandbox.endpoints if e.address is not None and not e.network.way_out)

    @cached_property
    def _sandboxes(self) -> dict[str, Sandbox]:
        return {each.container: each for daemon in self.world.daemons.values() for each in daemon.containers}

    @cached_property
    def _bridges(self) -> dict[tuple[str, str], Network]:
        gateways = {(host, int(network.gateway)): network for host, daemon in self.world.daemons.items()
                    for network in daemon.networks.values() if network.gateway is not None}
        return {(host, device.name): gateways[host, address] for host in self.world.daemons
                for device in self.world.namespaces[host].devices.values() for address, _ in device.addresses
                if (host, address) in gateways}

    def network_at(self, label: str, device: str) -> Network | None:
        """The network that a container's interface (`eth0`, …) is on, or that a host's bridge is made for."""
        owner = self.spec.container(label)
        if owner is None:
            return self._bridges.get((label, device))
        sandbox = self._sandboxes.get(owner.name)
        number = device.removeprefix("eth")
        if sandbox is None or number == device or not number.isdecimal():
            return None
        endpoints, index = by_priority(sandbox.endpoints), int(number)
        return endpoints[index].network if index < len(endpoints) else None

    # ports

    @cached_property
    def _published(self) -> dict[str, list[Published]]:
        found: dict[str, list[Published]] = {}
        for host, daemon in self.world.daemons.items():
            listed = found.setdefault(host, [])
            for box, mappings in daemon.ports.mappings.items():
                listed += [Published(m.protocol, m.host_ip, m.host_port, box, m.container_port) for m in mappings]
            for name, service in self.world.swarm.services.items() if self.world.swarm and daemon.node else ():
                listed += [Published(p.protocol, "0.0.0.0", p.published, name, p.target)
                           for p in service.spec.ingress_ports]
        return found

    def published(self, host: str) -> list[Published]:
        """What a host's engine publishes, as `docker ps` shows it."""
        return self._published.get(host, [])

    def published_by(self, label: str) -> list[Published]:
        """What is published of a container, or of the one whose namespace it shares."""
        return [each for box in dict.fromkeys((self.spec.netns_of(label), label))
                for each in self._published_by.get((self.host_of(label), box), ())]

    @cached_property
    def _published_by(self) -> dict[tuple[str, str], list[Published]]:
        found: dict[tuple[str, str], list[Published]] = {}
        for host, listed in self._published.items():
            for each in listed:
                found.setdefault((host, each.box), []).append(each)
        return found

    def declares(self, host: str, port: int, protocol: str) -> Container | None:
        """Whose `ports` in the file say that this port of a host is published."""
        return self._declared.get((host, port, protocol))

    @cached_property
    def _declared(self) -> dict[tuple[str, int, str], Container]:
        return {(box.host, port.host_port, port.protocol): box
                for box in reversed(self.spec.containers) for port in box.ports}

    # names

    def called(self, name: str) -> list[Bearer]:
        """All who are called so, anywhere in the file, in its order."""
        return self._bearers.get(name.lower(), [])

    @cached_property
    def _bearers(self) -> dict[str, list[Bearer]]:
        found: dict[str, list[Bearer]] = {}
        for names, bearer in self._namings():
            for name in dict.fromkeys(each.lower() for each in names if each):
                found.setdefault(name, []).append(bearer)
        return found

    def _namings(self) -> Iterator[tuple[Iterable[str], Bearer]]:
        for service in self.spec.services:
            for attachment in service.attachments:
                names = [service.name, service.key, *attachment.aliases]
                bearer = Bearer(f"service {service.name}", attachment.network)
                yield [*names, *(f"tasks.{one}" for one in names)], bearer
        for box in self.spec.containers:
            own = (box.name, box.service, box.hostname)
            if box.task_of:
                continue
            if not box.attachments:
                yield own, Bearer(box.name, "", box.name)
            for place in box.attachments:
                yield (*own, *place.aliases), Bearer(box.name, place.network, box.name)

    def listening(self, label: str) -> list[Listening]:
        """Who waits for connections in a namespace, docker-proxies and the embedded DNS apart: of the processes that
        were started for the question."""
        netns = self.world.namespaces.get(label)
        engines = set(netns.daemon_listeners) if netns else set()
        engines |= {("udp", "127.0.0.11", p.udp_port) for d in self.world.daemons.values()
                    for p in d.processes if hasattr(p, "udp_port")}
        found = [Listening(Proto(proto).name.lower(), dotted(address), port)
                 for proto, port, address in (netns.sockets.listening() if netns else ())]
        return [each for each in found if (each.protocol, each.address, each.port) not in engines]

    # rules

    def operators_rules(self, host: str) -> frozenset[str]:
        """The rules of a host that the file gives it, as iptables-save prints them."""
        if host not in self._operators:
            machine = self.spec.host(host)
            lines = (*machine.firewall.before, *machine.firewall.after) if machine is not None else ()
            self._operators[host] = saved(lines)
        return self._operators[host]

    @cached_property
    def _operators(self) -> dict[str, frozenset[str]]:
        return {}

    # trouble

    def trouble(self, host: str) -> str:
        """What is wrong with a machine as a whole: its cable, its engine, its place in the swarm; or empty."""
        if cable := self.cable_trouble(host):
            return cable
        daemon = self.world.daemons.get(host)
        if daemon is not None and not daemon.alive:
            return f"the engine of {host} is down"
        if daemon is not None and self.world.swarm is not None and daemon.node is None:
            return f"{host} has left the swarm"
        return ""

    def cable_trouble(self, machine: str) -> str:
        """Why nothing passes a machine's cable; or empty."""
        wire = self.world.namespaces[WIRE]
        if machine in wire.devices and not wire.devices[machine].up:
            return f"the cable of {machine} is cut"
        if (self.spec.host(machine) or self.spec.client(machine)) and self.spec.link_of(machine).loss >= 1:
            return f"the cable of {machine} loses every frame"
        return ""

    # words

    def network_name(self, name: str) -> str:
        return "the default bridge" if name == DEFAULT_NETWORK else name

    def where_is(self, label: str) -> str:
        """`on front and back`, `on the default bridge`, `in the network of host`, `on no network`."""
        box = self.spec.container(label)
        if box is not None and box.mode == "host":
            return f"in the network of its host {box.host} (network_mode: host)"
        if names := self.networks(label):
            return f"on {listed([self.network_name(name) for name in names])}"
        mode = self.spec.container(self.spec.netns_of(label))
        return "on no network (network_mode: none)" if mode and mode.mode == "none" else f"on no network{self.since}"

    def apart(self, one: str, other: str) -> str:
        """Why two containers can't meet: they share no network; or empty, if they do."""
        mine, theirs = self.networks(one), self.networks(other)
        common = [name for name in mine if name in theirs]
        hosts = self.host_of(one), self.host_of(other)
        if not common:
            return f"they share no network: {one} is {self.where_is(one)}, {other} is {self.where_is(other)}"
        if hosts[0] != hosts[1] and all(self.world.daemons[hosts[0]].networks[name].scope == "local"
                                        for name in common if name in self.world.daemons[hosts[0]].networks):
            return (f"they share no network: each engine has a {self.network_name(common[0])} of its own, and {one} is "
                    f"on {hosts[0]}, {other} on {hosts[1]}")
        return ""

    def device_sysctl(self, label: str, key: str) -> str:
        """`net.ipv4.conf.eth0.KEY is 1`, for the first device of a namespace for which it is not 0; or empty."""
        netns = self.world.namespaces.get(label)
        return next((f"net.ipv4.conf.{name}.{key} is {number}" for name in (netns.devices if netns else ())
                     if name != "lo" and (number := netns.sysctls.of_device(name, key))), "") if netns else ""

    def netns(self, label: str) -> Netns | None:
        return self.world.namespaces.get(label)

    def uplink_subnet(self, machine: str) -> IPv4Network | None:
        """Of the wire, as a machine's address has it."""
        found = self.spec.host(machine) or self.spec.client(machine)
        return IPv4Network(found.address, strict=False) if found else None


def saved(lines: Iterable[str]) -> frozenset[str]:
    """What iptables-save prints of command lines by themselves, chains of others left out."""
    scratch = Netns("scratch")
    for line in lines:
        table = re.search(r"(?:-t|--table)[ =](\w+)", line)
        chain = re.search(r"(?:^| )(?:-A|-I|--append|--insert) (\S+)( \d+)?", line)
        if chain is None:
            continue
        with suppress(PlumbError):  # a chain that is there already
            scratch.iptables(f"-t {table[1] if table else 'filter'} -N {chain[1]}")
        with suppress(PlumbError):  # what only makes sense beside the engine's own rules
            scratch.iptables(line.replace(chain[0], f" -A {chain[1]}").strip())
    return frozenset(rule for table in scratch.netfilter.save().values() for rule in table)


def listed(names: Iterable[object], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c and 4 more`."""
    texts: Sequence[str] = list(dict.fromkeys(map(str, names)))
    if len(texts) > MANY + 1:
        texts = [*texts[:MANY], f"{len(texts) - MANY} more"]
        last = "and"
    return f"{', '.join(texts[:-1])} {last} {texts[-1]}" if len(texts) > 1 else "".join(texts)

