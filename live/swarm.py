"""The lab's hosts as a swarm: the first is its manager, the others join one after the other; and how to tell that
all know all.

Gossip takes a moment to carry an endpoint to the other engines. `settle` waits until each engine has programmed every
remote endpoint and answers to every remote name, so that what is measured afterwards is the swarm and not its start.

Nodes talk to each other several times a second, so their ARP entries for each other can't be made cold: `acquaint`
makes them permanent, and the switch's entries for the hosts static. The model does the same.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
from docker.errors import DockerException, NotFound
from pyroute2 import IPRoute

from live import links, netns
from live.deployment import Deployment, Machines
from live.patience import patient
from sim.errors import LabError
from sim.spec import Spec

UPLINK, VXLAN = "eth0", "vxlan0"
LIMIT = 30.0
"""Seconds that a step of the swarm may take."""
RESOLVER = ("127.0.0.11", 53)
NUD_NOARP, NUD_PERMANENT, NTF_MASTER = 0x40, 0x80, 0x04
GWBRIDGE, INGRESS_GATEWAY = "docker_gwbridge", "gateway_ingress-sbox"
"""The engine's own way out, and the name of its endpoint there for the ingress sandbox."""


def form(machines: Machines, spec: Spec) -> None:
    """`docker swarm init` and `docker swarm join`, each host after the one before has its place on the ingress
    network: so addresses come in the Spec's order. LabError when an engine refuses."""
    manager = spec.hosts[0]
    contact = spec.uplink_address(manager.name)
    with _engine_says(manager.name):
        leader = machines.engine(manager.name)
        leader.swarm.init(advertise_addr=contact)
        leader.swarm.reload()
        token = leader.swarm.attrs["JoinTokens"]["Worker"]
    for host in spec.hosts:
        if host is not manager:
            with _engine_says(host.name):
                machines.engine(host.name).swarm.join(
                    remote_addrs=[f"{contact}:2377"], join_token=token, advertise_addr=spec.uplink_address(host.name))
        _wait(lambda: _has_ingress(machines.engine(host.name)),  # noqa: B023 (called at once)
              f"the swarm's ingress network does not reach {host.name}")


def _has_ingress(client: docker.DockerClient) -> bool:
    """Has the node its ingress sandbox, the last thing of which is the way out? docker_gwbridge is made for it, and
    takes the next free subnet of the engine."""
    try:
        members = client.api.inspect_network(GWBRIDGE)["Containers"] or {}
    except NotFound:
        return False
    return INGRESS_GATEWAY in {member["Name"] for member in members.values()}


def acquaint(hosts: dict[str, tuple[Path, str]], wire: Path, ports: dict[str, str]) -> None:
    """Permanent ARP entries of `hosts` (label -> namespace, address) for each other, static ones at the switch's
    `ports`.
    """
    macs = {label: next(link.mac for link in links.read(path)[0] if link.name == UPLINK)
            for label, (path, _) in hosts.items()}

    def neighbours(others: dict[str, str]) -> None:
        with IPRoute() as route:
            for address, mac in others.items():
                route.neigh("replace", dst=address, lladdr=mac, ifindex=netns.index_of(route, UPLINK),
                            state=NUD_PERMANENT)

    def forwarding() -> None:
        with IPRoute() as route:
            for label, port in ports.items():
                route.neigh("replace", family=socket.AF_BRIDGE, lladdr=macs[label], ifindex=netns.index_of(route, port),
                            state=NUD_NOARP, flags=NTF_MASTER)

    for label, (path, _) in hosts.items():
        netns.call(path, neighbours, {address: macs[other] for other, (_, address) in hosts.items() if other != label})
    netns.call(wire, forwarding)


def settle(deployment: Deployment) -> None:
    """Returns once all engines know all endpoints. LabError when they still don't after LIMIT seconds."""
    spec = deployment.spec
    for network in spec.networks:
        if network.scope != "swarm":
            continue
        boxes = {c.name: c.host for c in spec.containers if any(a.network == network.name for a in c.attachments)}
        for host in sorted(set(boxes.values())):
            remote = [name for name, where in boxes.items() if where != host]
            expected = len(remote) + len(set(boxes.values()) - {host})  # each engine's load balancer is an endpoint too
            inside = deployment.engine_namespaces()[f"ov({network.name})@{host}"]
            _wait(lambda: len(links.permanent(inside)[1]) >= expected,  # noqa: B023 (called at once)
                  f"{host} does not hear of all endpoints on {network.name}")
            asker = next(name for name, where in boxes.items() if where == host)
            path = deployment.netns_path(asker)
            for name in remote:
                _wait(lambda: netns.call(path, _known, name),  # noqa: B023 (called at once)
                      f"the DNS of {host} does not know {name} on {network.name}")


def _known(name: str) -> bool:
    """Does the embedded DNS of the calling thread's namespace have an address for `name`?"""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.settimeout(1.0)
        sock.sendto(query, RESOLVER)
        return bool(struct.unpack_from(">H", sock.recv(512), 6)[0])
    return False


def _wait(done: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + patient(LIMIT)
    while not done():
        if time.monotonic() > deadline:
            raise LabError(otherwise, mend="see the lab's dockerd.log")
        time.sleep(0.05)


@contextmanager
def _engine_says(host: str) -> Iterator[None]:
    try:
        yield
    except DockerException as error:
        raise LabError(f"the swarm of {host}: {error}", mend="see the lab's dockerd.log") from error
