"""What the engines of a swarm agree on: its networks, their addresses, and who is where.

The first engine is the manager: it gives each network a subnet (from 10.0.0.0/8, a /24 each), a VNI (4096 and up)
and each endpoint an address, one after the other. The engines tell each other of their endpoints (libnetwork's
networkdb, by gossip): names for the DNS, MAC address and tunnel endpoint for the overlay driver. Here all that is
known at once; a real swarm needs a moment, and the live side waits for it.

Follows moby v20.10: daemon/cluster, libnetwork's agent.go, and swarmkit's manager/allocator/cnmallocator.
Left out: managers beside the first, leaving, the control plane's own traffic, encryption.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from sim import spec
from sim.dockerd.ipam import Ipam, Pool
from sim.errors import PlumbError

FIRST_VNI = 4096
POOLS = (("10.0.0.0/16", 24),)
"""The first 256 of swarm's default address pool, 10.0.0.0/8 in subnets of /24."""
INGRESS = "ingress"
IN_VAIN = ("attaching to network failed, make sure your network options are correct and check manager logs: context "
           "deadline exceeded")
"""What an engine says when the manager gives no address in time."""


class ManagersPool(Pool):
    """Engines ask the manager for an address, and hear nothing when it has none to give."""

    def request(self, preferred: str = "") -> IPv4Address:
        try:
            return super().request(preferred)
        except PlumbError:
            raise PlumbError(IN_VAIN) from None


@dataclass(frozen=True, slots=True)
class Peer:
    """An endpoint as its engine tells the others of it: `tunnel` is that engine's address on the underlay."""

    address: IPv4Address
    mac: str
    tunnel: int


@dataclass(slots=True)
class SwarmNetwork:
    """A network of the whole swarm. `names` is every engine's DNS; `listeners` hear of each new peer."""

    spec: spec.Network
    vni: int
    pool: Pool
    gateway: IPv4Address
    names: dict[str, list[str]] = field(default_factory=dict)
    peers: list[Peer] = field(default_factory=list)
    listeners: list[Callable[[Peer], None]] = field(default_factory=list)

    def tell(self, peer: Peer) -> None:
        self.peers.append(peer)
        for hear in self.listeners:
            hear(peer)

    def listen(self, hear: Callable[[Peer], None]) -> None:
        """An engine joins: it hears of the peers that there are, and then of each new one."""
        for peer in self.peers:
            hear(peer)
        self.listeners.append(hear)


class Swarm:
    """Made with its first network, `ingress`, as `docker swarm init` does."""

    def __init__(self) -> None:
        self.ipam = Ipam(POOLS, lambda _: False)
        self.networks: dict[str, SwarmNetwork] = {}
        self.pending: set[str] = set()
        """Networks that the manager took and finds no addresses for."""
        self.network_create(spec.Network.model_construct(name=INGRESS, driver="overlay"))

    def network_create(self, network: spec.Network) -> None:
        """`docker network create` on the manager. Raises PlumbError.

        The manager takes a network before it finds addresses for it: where it can't, nobody is told, and whoever wants
        to join waits in vain.
        """
        if network.name in self.networks or network.name in self.pending:
            raise PlumbError(f"network with name {network.name} already exists")
        try:
            found = self.ipam.request_pool(network.subnet, network.ip_range)
            pool = ManagersPool(found.network, found.ip_range)
            gateway = pool.request(network.gateway)
            for address in network.aux_addresses:
                pool.request(address)
        except PlumbError:
            self.pending.add(network.name)
            return
        self.networks[network.name] = SwarmNetwork(network, FIRST_VNI + len(self.networks), pool, gateway)
