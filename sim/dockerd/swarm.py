"""What the engines of a swarm agree on: its networks, their addresses, and who is where.

The first engine is the manager: it gives each network a subnet (from 10.0.0.0/8, a /24 each), a VNI (4096 and up)
and each endpoint an address, one after the other. The engines tell each other of their endpoints (libnetwork's
networkdb, by gossip): names for the DNS, MAC address and tunnel endpoint for the overlay driver. Here all that is
known at once; a real swarm needs a moment, and the live side waits for it.

A service gets a virtual address on each of its networks, and on `ingress` when it publishes ports there; each of its
tasks gets an address on all of these, and the engines hear of each task with all that they need to balance it
(`Binding`). Names are the service's and its aliases (the virtual address; with dnsrr all tasks'), and `tasks.NAME`.

Follows moby v20.10: daemon/cluster, libnetwork's agent.go and service_common.go, and swarmkit's
manager/allocator/cnmallocator.
Left out: managers beside the first, the control plane's own traffic.
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
DRAWN_PORTS = range(30000, 32768)
"""dynamicPortStart to dynamicPortEnd: published ports that nobody chose."""
IN_VAIN = ("attaching to network failed, make sure your network options are correct and check manager logs: context "
           "deadline exceeded")
"""What an engine says when the manager gives no address in time."""


class ManagersPool(Pool):
    """Engines ask the manager for an address, and hear nothing when it has none to give."""

    def request(self, preferred: str = "") -> IPv4Address:
        try:
            return super().request(preferred)
        except PlumbError as error:
            raise PlumbError(IN_VAIN, mend=error.mend or f"in {self.network}: {error.refusal}") from None


@dataclass(frozen=True, slots=True)
class Peer:
    """An endpoint as its engine tells the others of it: `tunnel` is that engine's address on the underlay."""

    address: IPv4Address
    mac: str
    tunnel: int


@dataclass(frozen=True, slots=True)
class Binding:
    """A task of a service on one network, as its engine tells the others. `vip` None: dnsrr. `ports`: those of the
    routing mesh, on the ingress network only."""

    service: str
    address: IPv4Address
    vip: IPv4Address | None
    ports: tuple[spec.ServicePort, ...] = ()


@dataclass(slots=True)
class SwarmService:
    """A service as the manager keeps it. `spec` has its published ports drawn; `vips`: network -> virtual address."""

    spec: spec.Service
    vips: dict[str, IPv4Address] = field(default_factory=dict)

    def names(self, network: str) -> list[str]:
        """What the DNS of a network calls it."""
        aliases = next((a.aliases for a in self.spec.attachments if a.network == network), ())
        return list(dict.fromkeys([self.spec.name, *aliases]))


@dataclass(slots=True)
class SwarmNetwork:
    """A network of the whole swarm. `names` is every engine's DNS; `listeners` hear of each new peer, `balancers` of
    each task of a service; `forgetting` hear of each endpoint that goes."""

    spec: spec.Network
    vni: int
    pool: Pool
    gateway: IPv4Address
    names: dict[str, list[str]] = field(default_factory=dict)
    peers: list[Peer] = field(default_factory=list)
    listeners: list[Callable[[Peer], None]] = field(default_factory=list)
    bindings: list[Binding] = field(default_factory=list)
    balancers: list[Callable[[Binding], None]] = field(default_factory=list)
    forgetting: list[Callable[[Peer], None]] = field(default_factory=list)

    def bind(self, binding: Binding) -> None:
        """`addServiceInfoToCluster`"""
        self.bindings.append(binding)
        for hear in self.balancers:
            hear(binding)

    def balance(self, hear: Callable[[Binding], None]) -> None:
        """As `listen`, for tasks of services."""
        for binding in self.bindings:
            hear(binding)
        self.balancers.append(hear)

    def withdraw(self, address: IPv4Address) -> None:
        """An endpoint is gone, and with it what was bound to it: the engine that had it takes back what it told
        (`deleteServiceInfoFromCluster`, `deleteDriverInfoFromCluster`). The address is not given again: the manager
        goes on behind the last one."""
        gone = [binding for binding in self.bindings if binding.address == address]
        self.bindings[:] = [binding for binding in self.bindings if binding.address != address]
        served = {binding.service for binding in self.bindings}
        forgotten = {str(address), *(str(b.vip) for b in gone if b.service not in served)}
        for name, known in list(self.names.items()):
            known[:] = [each for each in known if each not in forgotten]
            if not known:
                del self.names[name]
        for peer in [peer for peer in self.peers if peer.address == address]:
            self.peers.remove(peer)
            for hear in self.forgetting:
                hear(peer)

    def add_name(self, name: str, address: IPv4Address) -> None:
        """`addSvcRecords`; on ingress, which only routes, nobody has a name."""
        known = self.names.setdefault(name.lower(), [])
        if self.spec.name != INGRESS and str(address) not in known:
            known.append(str(address))

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
        self.ipam = Ipam(POOLS, list)
        self.networks: dict[str, SwarmNetwork] = {}
        self.services: dict[str, SwarmService] = {}
        self.reserved: dict[tuple[str, str], IPv4Address] = {}
        """(task, network) -> the address of a task that has no node."""
        self.pending: dict[str, str] = {}
        """Networks that the manager took and finds no addresses for, and why."""
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
        except PlumbError as error:
            self.pending[network.name] = f"the manager has no addresses for {network.name}: " + (
                error.mend or error.refusal)
            return
        self.networks[network.name] = SwarmNetwork(network, FIRST_VNI + len(self.networks), pool, gateway)

    def service_create(self, service: spec.Service) -> SwarmService:
        """`docker service create` on the manager: published ports, then virtual addresses, ingress first
        (`allocateService`). Raises PlumbError."""
        ports = tuple(port.model_copy(update={"published": self._port(port)}) for port in service.ports)
        made = self.services[service.name] = SwarmService(service.model_copy(update={"ports": ports}))
        if service.endpoint_mode == "vip":
            wanted = [INGRESS] if service.ingress_ports else []
            for name in dict.fromkeys([*wanted, *(a.network for a in service.attachments)]):
                if name in self.pending or name not in self.networks:
                    raise PlumbError(f"network {name} not found", where=f"service {service.name}",
                                     mend=self.pending.get(name, ""))
                made.vips[name] = self.networks[name].pool.request()
        return made

    def reserve(self, service: SwarmService, task: str) -> None:
        """A task that waits for a node has its addresses already (`allocateTask`)."""
        wanted = [INGRESS] if service.spec.ingress_ports else []
        for name in (*wanted, *(a.network for a in service.spec.attachments)):
            self.reserved[task, name] = self.networks[name].pool.request()

    def claim(self, task: str, network: str) -> str:
        """The address that was reserved for a task, free to be taken now; empty: there is none."""
        address = self.reserved.pop((task, network), None)
        if address is None:
            return ""
        self.networks[network].pool.release(address)
        return str(address)

    def _port(self, port: spec.ServicePort) -> int:
        """swarmkit's portAllocator: what is asked for, else the next one above those that were drawn."""
        if port.published or port.mode != "ingress":
            return port.published
        taken = {(p.published, p.protocol) for s in self.services.values() for p in s.spec.ingress_ports}
        return next(n for n in DRAWN_PORTS if (n, port.protocol) not in taken)

    def task_bind(self, service: SwarmService, network: str, address: IPv4Address) -> None:
        """A task of the service is up with this address on a network (`addServiceBinding`)."""
        shared, vip = self.networks[network], service.vips.get(network)
        for name in service.names(network):
            shared.add_name(f"tasks.{name}", address)
            shared.add_name(name, address if vip is None else vip)
        shared.bind(Binding(service.spec.name, address, vip, service.spec.ingress_ports if network == INGRESS else ()))
