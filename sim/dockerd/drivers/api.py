"""What a network driver is (libnetwork's driverapi): makes networks, joins endpoints to them, publishes their ports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from sim import spec
from sim.dockerd.endpoint import Endpoint
from sim.dockerd.firewall.api import Firewall
from sim.dockerd.network import Network
from sim.dockerd.portmap import PortMapper
from sim.dockerd.swarm import Peer
from sim.kernel.netns import Netns


@dataclass(frozen=True, slots=True)
class Engine:
    """What drivers share of their engine."""

    options: spec.Engine
    netns: Netns
    """The host's namespace."""
    firewall: Firewall
    ports: PortMapper


class Driver:
    """A driver that does nothing; each driver overrides what it does."""

    gives_addresses = True
    """False: its networks have no subnet, its endpoints no address."""
    single = ""
    """Set where the engine makes the one network of this driver itself: the refusal for another one."""
    shares_host = False
    """Its containers live in the host's own namespace."""
    forwards = True
    """Its containers need the host to forward packets: the engine warns where it does not."""
    needs_way_out = False
    """Its networks lead nowhere else: a container there gets an interface on the engine's own bridge as well."""
    ports_discarded = ""
    """The engine's warning for published ports that have no effect."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def create_network(self, network: Network) -> None:
        """Make what stands on the host for a network. Raises PlumbError."""

    def gateway(self, network: Network) -> IPv4Address | None:
        """Where the default route of an endpoint on this network may lead (`SetGateway`)."""
        return network.gateway

    def mac_address(self, container: str, network: Network, asked: str, drawn: str) -> str:
        """An endpoint's MAC address: the one that was asked for, if any, else what the engine draws. Empty where the
        engine knows none. Raises PlumbError."""
        return asked or drawn

    def join(self, endpoint: Endpoint, sandbox: Netns, device: str) -> None:
        """Give a sandbox its interface on the network."""

    def hear_of(self, network: Network, peers: list[Peer]) -> None:
        """Which endpoints of other engines there are, as far as this engine hears."""

    def delete_network(self, network: Network) -> list[str]:
        """What stands on the host for a network goes; the labels of its namespaces."""
        return []

    def leave_swarm(self) -> list[str]:
        """What is there for networks of the swarm goes; the labels of its namespaces."""
        return []

    def link(self, endpoint: Endpoint, children: Iterable[Endpoint]) -> None:
        """`--link` on the default network: the endpoint may ask what its children expose."""

    def publish(self, endpoint: Endpoint, box: spec.Container) -> None:
        """`ProgramExternalConnectivity`: the container's published ports lead to this endpoint. Raises PlumbError."""
