"""A Spec onto real engines, through the Docker SDK, as `docker compose up` does it.

Networks first, on every host that has a container on them, then containers, all in the Spec's order, then the services
of a swarm with their tasks (`live/services.py`). A container is
created on its first network, connected to the others in order, then started; its process sleeps (`live/image.py`). The
body of each request is written here and not by the SDK's helpers, which refuse some of what the engine itself answers
(ports in mode host).

As in Compose, a service's name is an alias of its containers on user-defined networks, and a port without an address
is bound where the network's `host_binding_ipv4` says, else everywhere: `0.0.0.0` counts as no address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from docker.types import IPAMConfig, IPAMPool

from live import firewall, image, services, swarm
from live.deployment import Deployment, Machines
from live.refusals import engine_answers
from sim.spec import DEFAULT_NETWORK, Attachment, Container, Network, Spec

ANYWHERE = "0.0.0.0"

Progress = Callable[[str], None]


def deploy(machines: Machines, spec: Spec, progress: Progress | None = None) -> Deployment:
    """Creates and starts everything in `spec`. PlumbError in dockerd's words when an engine refuses; what was made
    until then stays for the lab's end. `progress` hears of each object before it is made."""
    say = progress or (lambda _: None)
    for host in spec.hosts:
        with engine_answers(f"host {host.name}"):
            image.ensure(machines.engine(host.name), [c.image for c in spec.containers if c.host == host.name])
    if spec.in_swarm:
        swarm.await_places(machines, spec)
    for network in spec.networks:
        for name in spec.hosts_of(network.name):
            say(f"network {network.name}")
            create_network(machines.engine(name), network)
    containers: dict[str, str] = {}
    warnings: list[str] = []
    for box in spec.containers:
        if not box.task_of:
            say(f"container {box.name}")
            containers[box.name], said = run_container(machines.engine(box.host), box)
            warnings += said
    containers |= services.deploy(machines, spec, say)
    deployment = Deployment(spec, machines, containers, tuple(warnings))
    if spec.in_swarm:
        say("waiting until all engines know all endpoints")
        swarm.settle(deployment)
    for host in spec.hosts:
        firewall.tell(machines.netns_path(host.name), host.firewall.after, f"host {host.name}")
    return deployment


def create_network(client: Any, network: Network) -> str:
    """`docker network create`; the network's id."""
    ipam = None
    if network.subnet or network.gateway or network.ip_range or network.aux_addresses:
        auxiliary = {f"aux{index}": address for index, address in enumerate(network.aux_addresses)}
        ipam = IPAMConfig(pool_configs=[IPAMPool(
            subnet=network.subnet or None, iprange=network.ip_range or None, gateway=network.gateway or None,
            aux_addresses=auxiliary or None)])
    with engine_answers(f"network {network.name}"):
        made = client.api.create_network(
            network.name, driver=network.driver, options=dict(network.options), ipam=ipam, check_duplicate=True,
            internal=network.internal, attachable=network.attachable or None)
    return str(made["Id"])


def run_container(client: Any, box: Container) -> tuple[str, list[str]]:
    """`docker create`, `docker network connect` for each further network, `docker start`: the id, and the warnings."""
    with engine_answers(f"container {box.name}"):
        made = client.api.create_container_from_config(body(box), box.name)
        for attachment in box.attachments[1:]:
            client.api.connect_container_to_network(
                made["Id"], attachment.network, aliases=_aliases(attachment, box) or None,
                ipv4_address=attachment.ipv4_address or None, mac_address=attachment.mac_address or None,
                links=[tuple(link.split(":", 1)) for link in box.links] or None)
        client.api.start(made["Id"])
    return str(made["Id"]), list(made.get("Warnings") or [])


def body(box: Container) -> dict[str, Any]:
    """The request that creates a container (Engine API: ContainerCreate)."""
    mode = box.attachments[0].network if box.mode == "networks" else box.mode
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in box.ports:
        bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append({
            "HostIp": "" if port.host_ip == ANYWHERE else port.host_ip, "HostPort": str(port.host_port or "")})
    exposed: dict[str, dict[str, str]] = {key: {} for key in bindings}
    exposed |= {f"{listener.port}/{listener.protocol}": {} for listener in box.expose}
    request: dict[str, Any] = {
        "Image": image.local_name(box.image), "Entrypoint": list(image.SLEEP), "StopSignal": "SIGKILL",
        "Hostname": box.hostname, "Domainname": box.domainname, "ExposedPorts": exposed, "MacAddress": box.mac_address,
        "HostConfig": {
            "NetworkMode": mode, "PortBindings": bindings, "Dns": list(box.dns), "DnsSearch": list(box.dns_search),
            "DnsOptions": list(box.dns_opt), "ExtraHosts": list(box.extra_hosts), "Sysctls": dict(box.sysctls),
            "Links": list(box.links),
            "LogConfig": {"Type": "none"},
        },
    }
    if box.attachments:
        first = box.attachments[0]
        address = {"IPv4Address": first.ipv4_address} if first.ipv4_address else None
        request["NetworkingConfig"] = {"EndpointsConfig": {mode: {
            "Aliases": _aliases(first, box) or None, "IPAMConfig": address, "MacAddress": first.mac_address,
            "Links": list(box.links)}}}
        request["MacAddress"] = box.mac_address or first.mac_address
    return request


def _aliases(attachment: Attachment, box: Container) -> list[str]:
    named = box.service and attachment.service_name and attachment.network != DEFAULT_NETWORK
    service = [box.service] if named else []
    return list(dict.fromkeys([*attachment.aliases, *service]))
