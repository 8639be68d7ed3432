"""What an engine says of its networks and services when it is asked: the lines of `Plumbing.inspected`.

    network alpha: overlay swarm 10.0.1.0/24 gateway 10.0.1.1 attachable
    network alpha: option com.docker.network.driver.overlay.vxlanid_list=4097
    network alpha: container red1 10.0.1.2/24 02:42:0a:00:01:02
    network alpha: peer 192.168.99.101
    service web: replicated 3
    service web: vip alpha 10.0.1.5/24
    service web: port tcp 8088 -> 80 ingress

A network's subnet is shown as it was asked for, and as it was given where nobody asked. A node tells of a swarm's
network what it has there: its own endpoints, and the engines that are on it. The manager knows all networks and
services of the swarm, also those of which it has nothing.

Follows moby v20.10: daemon/network.go (`GetNetworks`, `buildDetailedNetworkResources`, `buildIpamResources`),
api/server/router/network, daemon/cluster/convert. `live/inspect.py` says the same of real engines.
Left out: ids, times, labels, IPv6, the IPAM driver.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from sim.dockerd.daemon import Daemon
from sim.dockerd.drivers import PREDEFINED
from sim.dockerd.endpoint import Endpoint
from sim.dockerd.network import Network
from sim.dockerd.node import INGRESS_SANDBOX
from sim.dockerd.swarm import INGRESS, Swarm, SwarmNetwork, SwarmService

VNI_LIST = "com.docker.network.driver.overlay.vxlanid_list"
"""The option by which the manager tells each engine the VNI."""


def inspected(daemon: Daemon, engines: Collection[Daemon], replicas: Mapping[str, int] | None = None) -> list[str]:
    """Everything that `daemon` says. `engines`: all there are, for whom a swarm's network knows as its peers.
    `replicas`: service -> how many tasks were asked for; None where the node is no manager."""
    swarm = daemon.node.swarm if daemon.node else None
    lines = [line for network in daemon.networks.values() for line in _network(daemon, network, swarm, engines)]
    if swarm is not None and replicas is not None:
        for name, shared in swarm.networks.items():
            if name not in daemon.networks:
                lines += _head(name, _swarm_facts(shared), _swarm_options(shared))
        lines += [f"network {name}: swarm" for name in swarm.pending]
        for service in swarm.services.values():
            lines += _service(service, swarm, replicas[service.spec.name])
    return lines


# networks


def _network(daemon: Daemon, network: Network, swarm: Swarm | None, engines: Iterable[Daemon]) -> Iterator[str]:
    shared = swarm.networks.get(network.name) if swarm else None
    if shared is None:
        yield from _head(network.name, _local_facts(network), network.spec.options)
    else:
        yield from _head(network.name, _swarm_facts(shared), _swarm_options(shared))
        for engine in engines:
            if network.name in engine.networks:
                yield f"network {network.name}: peer {engine.host.address.partition('/')[0]}"
    for endpoint in daemon.endpoints:
        if endpoint.network is network:
            address = [endpoint.cidr, *filter(None, [endpoint.mac])] if endpoint.address is not None else []
            yield " ".join([f"network {network.name}: container {_shown(endpoint)}", *address])


def _head(name: str, facts: list[str], options: dict[str, str]) -> Iterator[str]:
    yield f"network {name}: {' '.join(facts)}"
    for key, value in options.items():
        yield f"network {name}: option {key}={value}"


def _local_facts(network: Network) -> list[str]:
    given = network.spec
    driver = PREDEFINED[network.name] if network.predefined else given.driver
    facts = [driver, network.scope]
    if given.subnet:
        facts.append(given.subnet)
        facts += ["gateway", given.gateway] if given.gateway else []
        facts += ["range", given.ip_range] if given.ip_range else []
        facts += ["aux", ",".join(sorted(given.aux_addresses))] if given.aux_addresses else []
    elif network.pool is not None:
        facts += [str(network.pool.network), "gateway", str(network.gateway)]
    return facts + _flags(internal=given.internal, attachable=given.attachable)


def _swarm_facts(shared: SwarmNetwork) -> list[str]:
    given = shared.spec
    facts = [given.driver, "swarm", str(shared.pool.network), "gateway", str(shared.gateway)]
    facts += ["range", given.ip_range] if given.ip_range else []
    return facts + _flags(internal=given.internal, attachable=given.attachable, ingress=given.name == INGRESS)


def _flags(**flags: bool) -> list[str]:
    return [name for name, there in flags.items() if there]


def _swarm_options(shared: SwarmNetwork) -> dict[str, str]:
    return {**shared.spec.options, VNI_LIST: str(shared.vni)}


def _shown(endpoint: Endpoint) -> str:
    """What `Containers` calls an endpoint: a container by its name, others by the endpoint's own."""
    if endpoint.network.way_out:
        return f"gateway_{'ingress-sbox' if endpoint.container == INGRESS_SANDBOX else endpoint.container}"
    if endpoint.container in ("lb", INGRESS_SANDBOX):
        return f"{endpoint.network.name}-endpoint"
    return endpoint.container


# services


def _service(service: SwarmService, swarm: Swarm, replicas: int) -> Iterator[str]:
    """`docker service inspect`: its mode, and its Endpoint as the manager allocated it."""
    given = service.spec
    yield f"service {given.name}: {given.mode}{f' {replicas}' if given.mode == 'replicated' else ''}"
    yield f"service {given.name}: endpoint {given.endpoint_mode}"
    for port in given.ports:
        yield f"service {given.name}: port {port.protocol} {port.published} -> {port.target} {port.mode}"
    for network, vip in service.vips.items():
        yield f"service {given.name}: vip {network} {vip}/{swarm.networks[network].pool.network.prefixlen}"
