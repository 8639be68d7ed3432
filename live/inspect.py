"""What real engines say of their networks and services: `docker network inspect` for each of `docker network ls`, and
`docker service inspect` where there are services, in the lines of `sim.plumbing.Plumbing.inspected`.

Ids give way to names: a container is called by its label, and its end of docker_gwbridge `gateway_LABEL`.
Left out: ids, times, labels, IPv6, the IPAM driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docker.errors import APIError, DockerException

from live.deployment import Deployment
from live.names import Names
from sim.errors import LabError

GATEWAY = "gateway_"
"""libnetwork's name for an endpoint by which a sandbox gets out (default_gateway.go), before an id."""
FLAGS = {"Internal": "internal", "Attachable": "attachable", "Ingress": "ingress"}


def inspect(deployment: Deployment, known: Names) -> dict[str, list[str]]:
    """Host -> what its engine says. LabError when it does not answer."""
    return {host.name: list(_said(deployment, known, host.name)) for host in deployment.spec.hosts}


def _said(deployment: Deployment, known: Names, host: str) -> Iterator[str]:
    labels = {ident: label for label, ident in deployment.containers.items()}
    try:
        api = deployment.machines.engine(host).api
        networks = {network["Id"]: api.inspect_network(network["Id"]) for network in api.networks()}
        services = _services(api) if deployment.spec.services else []
    except DockerException as error:
        raise LabError(f"the engine of {host} does not say what networks it has: {error}",
                       mend="see the lab's dockerd.log") from error
    for network in networks.values():
        yield from _network(network, labels, known)
    for service in services:
        yield from _service(service, {ident: network["Name"] for ident, network in networks.items()})


def _network(network: Mapping[str, Any], labels: Mapping[str, str], known: Names) -> Iterator[str]:
    name = f"network {network['Name']}:"
    facts = [network["Driver"], network["Scope"]]
    for pool in network["IPAM"]["Config"] or ():
        aux = sorted((pool.get("AuxiliaryAddresses") or {}).values())
        facts += [pool["Subnet"], *_named("gateway", pool.get("Gateway")), *_named("range", pool.get("IPRange")),
                  *_named("aux", ",".join(aux))]
    yield " ".join([name, *filter(None, facts), *(word for key, word in FLAGS.items() if network.get(key))])
    for key, value in (network["Options"] or {}).items():
        yield f"{name} option {key}={value}"
    for ident, endpoint in (network["Containers"] or {}).items():
        shown, label = endpoint["Name"], labels.get(ident)
        if label is not None:
            shown = f"{GATEWAY}{label}" if shown.startswith(GATEWAY) else label
        mac = endpoint["MacAddress"]
        yield " ".join(filter(None, [name, "container", shown, endpoint["IPv4Address"], known.mac(mac) if mac else ""]))
    for peer in network.get("Peers") or ():
        yield f"{name} peer {peer['IP']}"


def _named(what: str, value: str | None) -> list[str]:
    return [what, value] if value else []


def _services(api: Any) -> list[dict[str, Any]]:
    """All services. Only a manager knows them: other nodes refuse (503), and have nothing to say."""
    try:
        return [api.inspect_service(service["ID"]) for service in api.services()]
    except APIError as error:
        if error.status_code == 503:
            return []
        raise


def _service(service: Mapping[str, Any], networks: Mapping[str, str]) -> Iterator[str]:
    spec, endpoint = service["Spec"], service["Endpoint"]
    name = f"service {spec['Name']}:"
    replicated = spec["Mode"].get("Replicated")
    yield f"{name} replicated {replicated['Replicas']}" if replicated else f"{name} {next(iter(spec['Mode'])).lower()}"
    yield f"{name} endpoint {spec.get('EndpointSpec', {}).get('Mode', 'vip')}"
    for port in endpoint.get("Ports") or ():
        yield (f"{name} port {port['Protocol']} {port.get('PublishedPort', 0)} -> {port['TargetPort']} "
               f"{port['PublishMode']}")
    for address in endpoint.get("VirtualIPs") or ():
        yield f"{name} vip {networks[address['NetworkID']]} {address['Addr']}"
