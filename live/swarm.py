"""The lab's hosts as a swarm: the first is its manager, the others join one after the other; and how to tell that
all know all.

Gossip takes a moment to carry an endpoint to the other engines. `settle` waits until each engine has programmed every
remote endpoint, balances to every task and answers to every name, so that what is measured afterwards is the swarm and
not its start.

Nodes talk to each other several times a second, so their ARP entries for each other can't be made cold: `acquaint`
makes them permanent, and the switch's entries for the hosts static. The model does the same.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import docker
from docker.errors import DockerException, NotFound
from pyroute2 import IPRoute

from live import balance, links, netns
from live.deployment import INGRESS, INGRESS_SANDBOX, Deployment, Machines
from live.patience import until
from sim.errors import LabError
from sim.spec import Spec

VXLAN = "vxlan0"
LIMIT = 30.0
"""Seconds that a step of the swarm may take."""
RESOLVER = ("127.0.0.11", 53)
RECURSION_DESIRED, TRUNCATED = 0x0100, 0x0200
NUD_NOARP, NUD_PERMANENT, NTF_MASTER = 0x40, 0x80, 0x04
IP_FORWARD = "net.ipv4.ip_forward"
GWBRIDGE, INGRESS_GATEWAY = "docker_gwbridge", "gateway_ingress-sbox"
"""The engine's own way out, and the name of its endpoint there for the ingress sandbox."""


def form(machines: Machines, spec: Spec) -> None:
    """`docker swarm init` and `docker swarm join`, host after host. A node's address on the ingress network is given as
    the manager hears of it, once it has that network: so addresses come in the Spec's order. The network itself takes
    each node some moments more (`await_places`). LabError when an engine refuses."""
    manager = spec.hosts[0]
    contact = spec.uplink_address(manager.name)
    with _engine_says(manager.name):
        leader = machines.engine(manager.name)
        leader.swarm.init(advertise_addr=contact)
        until(lambda: _has_subnet(leader), "the swarm's manager gives its ingress network no subnet", LIMIT)
    for host in spec.hosts[1:]:
        _join(machines, spec, host.name)


def await_places(machines: Machines, spec: Spec) -> None:
    """Until each host has its place on the ingress network, and with it docker_gwbridge: what is made on a host after
    that comes behind. Tasks too: a node takes them when its ingress network is asked for, not when it is there
    (moby's daemon/cluster/executor/container/executor.go: Configure leaves what SetupIngress returns unread), so a task
    could have the address on docker_gwbridge that is the ingress sandbox's."""
    for host in spec.hosts:
        await_ingress(machines, host.name)


def join(machines: Machines, spec: Spec, host: str) -> None:
    """`docker swarm join` of a worker; returns when it has its place on the ingress network."""
    _join(machines, spec, host)
    await_ingress(machines, host)


def _join(machines: Machines, spec: Spec, host: str) -> None:
    manager = spec.hosts[0].name
    with _engine_says(manager):
        leader = machines.engine(manager)
        leader.swarm.reload()
        token = leader.swarm.attrs["JoinTokens"]["Worker"]
    with _engine_says(host):
        machines.engine(host).swarm.join(remote_addrs=[f"{spec.uplink_address(manager)}:2377"], join_token=token,
                                         advertise_addr=spec.uplink_address(host))


def await_ingress(machines: Machines, host: str) -> None:
    until(lambda: _has_ingress(machines.engine(host)), f"the swarm's ingress network does not reach {host}", LIMIT)


def _has_subnet(manager: docker.DockerClient) -> bool:
    """Has the ingress network been allocated? The manager's own place there comes with it."""
    with suppress(NotFound):
        return bool(manager.api.inspect_network(INGRESS)["IPAM"].get("Config"))
    return False


def _has_ingress(client: docker.DockerClient) -> bool:
    """Has the node its ingress sandbox, the last thing of which is the way out? docker_gwbridge is made for it, and
    takes the next free subnet of the engine."""
    try:
        members = client.api.inspect_network(GWBRIDGE)["Containers"] or {}
    except NotFound:
        return False
    return INGRESS_GATEWAY in {member["Name"] for member in members.values()}


class Acquaintance(NamedTuple):
    """A host of a swarm: its namespace, its address and the interface that has it."""

    netns: Path
    address: str
    uplink: str


def acquaint(hosts: dict[str, Acquaintance], wire: Path, ports: dict[str, str]) -> None:
    """Permanent ARP entries of `hosts` (by label) for each other, static ones at the switch's `ports`."""
    macs = {label: next(link.mac for link in links.read(host.netns)[0] if link.name == host.uplink)
            for label, host in hosts.items()}

    def neighbours(uplink: str, others: dict[str, str]) -> None:
        with IPRoute() as route:
            for address, mac in others.items():
                route.neigh("replace", dst=address, lladdr=mac, ifindex=netns.index_of(route, uplink),
                            state=NUD_PERMANENT)

    def forwarding() -> None:
        with IPRoute() as route:
            for label, port in ports.items():
                route.neigh("replace", family=socket.AF_BRIDGE, lladdr=macs[label], ifindex=netns.index_of(route, port),
                            state=NUD_NOARP, flags=NTF_MASTER)

    for label, host in hosts.items():
        others = {other.address: macs[name] for name, other in hosts.items() if name != label}
        netns.call(host.netns, neighbours, host.uplink, others)
    netns.call(wire, forwarding)


def settle(deployment: Deployment, limit: float = LIMIT) -> None:
    """Returns once all engines know all endpoints, names and tasks. LabError when they still don't after `limit`
    seconds."""
    _let_forward(deployment)
    for network in (INGRESS, *(network.name for network in deployment.spec.networks if network.scope == "swarm")):
        there = _members(deployment, network)
        hosts = [h.name for h in deployment.spec.hosts if network == INGRESS or h.name in there.values()]
        namespaces = deployment.engine_namespaces()
        engines = {deployment.spec.uplink_address(host) for host in hosts}
        for host in hosts:
            until(lambda: _peers(deployment, host, network) >= engines,  # noqa: B023 (called at once)
                  f"{host} does not hear of all engines on {network}", limit)
            remote = [name for name, where in there.items() if where != host]
            expected = len(remote) + len(hosts) - 1  # each engine's load balancer is an endpoint too
            inside = namespaces[f"ov({network})@{host}"]
            until(lambda: len(links.permanent(inside)[1]) >= expected,  # noqa: B023 (called at once)
                  f"{host} does not hear of all endpoints on {network}", limit)
            balancer = namespaces[f"{INGRESS_SANDBOX if network == INGRESS else f'lb({network})'}@{host}"]
            tasks = _balanced(deployment, network)
            until(lambda: (found := balance.read(balancer)) is None or {d.address for d in found} >= tasks,  # noqa: B023
                  f"{host} does not balance all tasks on {network}", limit)
            if network != INGRESS:  # where nobody has a name
                path = deployment.netns_path(next(name for name, where in there.items() if where == host))
                for name, addresses in _names(deployment, network).items():
                    until(lambda: netns.call(path, _knows, name, network, addresses),  # noqa: B023
                          f"the DNS of {host} does not know {name} on {network}", limit)


def _let_forward(deployment: Deployment) -> None:
    """Gives swarm's own namespaces what they would have inherited from a machine of their own: whether they forward.

    A new namespace has the settings of the machine's first one, in which dockerd turns forwarding on. Here that is the
    lab's machine, which the lab leaves alone, so nothing that is balanced would find its way back.
    """
    for label, path in deployment.engine_namespaces().items():
        forwards = netns.call(deployment.machines.netns_path(label.rpartition("@")[2]), netns.get_sysctl, IP_FORWARD)
        netns.call(path, netns.set_sysctl, IP_FORWARD, forwards)


def _peers(deployment: Deployment, host: str, network: str) -> set[str]:
    """The engines that are on a network, as one of them knows it: their addresses."""
    said = deployment.machines.engine(host).api.inspect_network(deployment.network_ids[host, network])
    return {peer["IP"] for peer in said.get("Peers") or ()}


def _members(deployment: Deployment, network: str) -> dict[str, str]:
    """Who is on a network of the swarm, and on which host. On ingress: tasks of services with ports there. Faults take
    containers off their networks."""
    spec = deployment.spec
    meshed = {service.name for service in spec.services if service.ingress_ports}
    return {box.name: box.host for box in spec.containers
            if (box.task_of in meshed if network == INGRESS else any(a.network == network for a in box.attachments))
            and box.name not in deployment.ended and deployment.address_of(box.name, network)}


def _balanced(deployment: Deployment, network: str) -> set[str]:
    """Addresses of the tasks that are behind virtual addresses of a network."""
    behind = {service.name for service in deployment.spec.services if service.endpoint_mode == "vip"}
    return {str(deployment.address_of(box.name, network)) for box in deployment.spec.containers
            if box.task_of in behind and box.name in _members(deployment, network)}


def _names(deployment: Deployment, network: str) -> dict[str, set[str]]:
    """What the DNS of a network must know: containers, tasks by the names that the engine gave their containers, and
    services that have tasks."""
    spec = deployment.spec
    known: dict[str, set[str]] = {}
    there = {label: str(deployment.address_of(label, network)) for label in _members(deployment, network)}
    for label, address in there.items():
        known[str(deployment.inspect(label)["Name"]).removeprefix("/")] = {address}
    for service in spec.services:
        tasks = {there[box.name] for box in spec.tasks(service.name) if box.name in there}
        if tasks and any(a.network == network for a in service.attachments):
            vip = deployment.vip_of(service.name, network)
            known |= {f"tasks.{service.name}": tasks, service.name: {vip} if vip else tasks}
    return known


def _knows(name: str, network: str, addresses: set[str]) -> bool:
    """Does the embedded DNS of the calling thread's namespace have these addresses for `name` on `network`? It takes
    the text behind the last dot for a network, so one that has a dot in its own name can't be asked for."""
    if "." in network:
        return bool(resolve(name))
    found = resolve(f"{name}.{network}")
    return found is None or found == addresses


def resolve(name: str) -> set[str] | None:
    """What the embedded DNS of the calling thread's namespace has for a name; None where that is more than an answer
    holds (RFC 1035: TC)."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question = labels + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.settimeout(1.0)
        sock.sendto(struct.pack(">6H", 1, RECURSION_DESIRED, 1, 0, 0, 0) + question, RESOLVER)
        answer = sock.recv(4096)
        _, flags, _, count, *_ = struct.unpack_from(">6H", answer)
        if flags & TRUNCATED:
            return None
        # The engine repeats the name in each answer, either whole or as a pointer to the question.
        return {socket.inet_ntoa(record[-4:]) for record in _records(answer, 12 + len(question), count)}
    return set()


def _records(answer: bytes, at: int, count: int) -> Iterator[bytes]:
    for _ in range(count):
        while answer[at] and answer[at] < 0xC0:
            at += answer[at] + 1
        at += 2 if answer[at] else 1
        length = struct.unpack_from(">H", answer, at + 8)[0]
        yield answer[at:at + 10 + length]
        at += 10 + length


@contextmanager
def _engine_says(host: str) -> Iterator[None]:
    try:
        yield
    except DockerException as error:
        raise LabError(f"the swarm of {host}: {error}", mend="see the lab's dockerd.log") from error
