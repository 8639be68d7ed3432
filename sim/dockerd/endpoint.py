"""A container's place on a network: address, MAC address, the names of its veth, and which endpoint comes first.

Follows libnetwork of moby v20.10: endpoint.go, `endpoint.Less` in sandbox.go, netutils.GenerateMACFromIP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from sim import spec
from sim.dockerd.ipam import NoAvailableAddress
from sim.dockerd.network import Network
from sim.dockerd.portmap import exposed_order
from sim.dockerd.profile import EngineProfile
from sim.errors import PlumbError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`address` and `gateway` are None where the driver gives none (host, none)."""

    container: str
    network: Network
    address: IPv4Address | None
    mac: str
    gateway: IPv4Address | None
    exposed: tuple[tuple[int, str], ...] = ()
    """(port, protocol), published or not: what a link opens."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Names that this container alone uses there -> the container."""

    @property
    def cidr(self) -> str:
        assert self.network.pool is not None
        return f"{self.address}/{self.network.pool.network.prefixlen}"

    @property
    def host_device(self) -> str:
        """The canonical name (sim/spec.py) of the veth that dockerd names at random."""
        return f"veth({self.container}@{self.network.name})"


def mac_of(address: IPv4Address) -> str:
    """02:42 and the address: locally administered, and the same whenever the address is.

    >>> mac_of(IPv4Address("172.17.0.2"))
    '02:42:ac:11:00:02'
    """
    return "02:42:" + address.packed.hex(":")


def create_endpoint(
    box: spec.Container, network: Network, attachment: spec.Attachment, profile: EngineProfile, *,
    first: bool, named: bool,
) -> Endpoint:
    """`CreateEndpoint`: address and MAC address, and the names by which the network's DNS will know it (`named`).

    The container's own MAC address is for the network that it was created on (`first`). Raises PlumbError.
    """
    if network.pool is None:
        return Endpoint(box.name, network, None, "", None)
    try:
        address = network.pool.request(attachment.ipv4_address)
    except NoAvailableAddress:
        raise PlumbError(
            f"no available IPv4 addresses on this network's address pools: {network.name} (…)") from None
    except PlumbError:
        if attachment.ipv4_address and IPv4Address(attachment.ipv4_address) not in network.pool.network:
            raise PlumbError(f"Invalid address {attachment.ipv4_address}: It does not belong to any of this network's "
                             "subnets") from None
        raise
    drawn = mac_of(address) if profile.mac_from_address else f"mac({box.name}@{network.name})"
    # an engine that has no such option of an endpoint is told the first one's as the container's own, as by Compose
    given = attachment.mac_address if profile.endpoint_mac_address or (first and not box.mac_address) else ""
    mac = network.driver.mac_address(box.name, network, given or (box.mac_address if first else ""), drawn)
    if named and not network.predefined:
        service = box.service if attachment.service_name else ""
        for name in dict.fromkeys(filter(None, (box.name, *attachment.aliases, service, box.hostname))):
            network.add_name(name, str(address))
    links = {alias: name for name, _, alias in (link.partition(":") for link in box.links)}
    return Endpoint(box.name, network, address, mac, network.driver.gateway(network),
                    exposed_order(box.ports, box.expose), {} if network.predefined else links)


def by_priority(endpoints: list[Endpoint]) -> list[Endpoint]:
    """The order of a sandbox's endpoints: the engine's own way out comes last, before it internal ones; with a
    gateway before without, then by network name.

    eth0, eth1, … are given in this order; the default route leads to the first one's gateway, and ports are published
    there. The order in which the networks were attached plays no part before the container starts.
    """
    return sorted(endpoints, key=lambda e: (e.network.way_out, e.network.internal, e.gateway is None, e.network.name))


def gateway_endpoint(endpoints: list[Endpoint]) -> Endpoint | None:
    """`getGatewayEndpoint`: the first that has a gateway. One on an internal network has, where there is no other."""
    return next((e for e in by_priority(endpoints) if e.gateway is not None), None)
