"""The topology and the questions, in Docker's own words: frozen and validated. Every reader starts here.

`sim/compose.py` builds a Spec from a Compose file, `sim/build.py` from Python; both end in the same objects.
Names of namespaces (labels) are unique over the Spec: each host, each external client, each container.

Labels and device names, the same in prediction and capture (random kernel names are mapped to them on the live side):

=====================  ==============================================================================
`docker0`              the default bridge
`br(NETWORK)`          a user-defined bridge whose name dockerd draws from the network's id
the given name         a bridge named by `com.docker.network.bridge.name`
`veth(CONTAINER@NET)`  the host's end of a container's veth; `bridge` is the default network's name
`eth0`, `eth1`         in a container: by its networks' names, internal ones last; `eth0` of a machine: its uplink;
                       of a host, that is the first of its `nics`; `eth1` of a router: on the net beyond it
`dm(NETWORK)`          the dummy parent of a macvlan network that was given none; `di(NETWORK)` of an ipvlan network
`eth0.10`              a sub-interface that a macvlan or ipvlan network has for its parent: VLAN 10 of eth0
`lo`                   loopback
`br0`, `vxlan0`        in the namespace `ov(NETWORK)@HOST` of an overlay network, one on each engine that uses it;
                       there also `veth(CONTAINER@NETWORK)`; swarm's own sandboxes are `ingress_sbox@HOST` and
                       `lb(NETWORK)@HOST`
`mac(LABEL:DEVICE)`    the MAC address of an interface where the engine or kernel draws it at random
`spi(FROM>TO#N)`       the SPI of a security association between two addresses, under the swarm's Nth key
=====================  ==============================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from ipaddress import IPv4Interface
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sim import checks
from sim.checks.spec import check_spec
from sim.errors import SpecError
from sim.machines import FAR, Firewall, Forward, Router
from sim.model import Model
from sim.objects import (
    ANYWHERE,
    DEFAULT_NETWORK,
    UPLINK,
    Attachment,
    Client,
    Container,
    Engine,
    Fault,
    Host,
    Link,
    Listener,
    Move,
    Network,
    PublishedPort,
    Service,
    ServicePort,
    Underlay,
)

__all__ = [
    "ANYWHERE", "DEFAULT_NETWORK", "FAR", "UPLINK", "Attachment", "Client", "Container", "Dial", "Engine", "Fault",
    "Firewall", "Forward", "Host", "Link", "Listener", "Model", "Move", "Network", "Probe", "PublishedPort",
    "Question", "Router", "Service", "ServicePort", "Spec", "Underlay",
]

Probe = Literal["ping", "tcp", "udp"]


class Question(Model):
    """Can `source` reach `target`? Both are labels; `target` may also be an IPv4 address or a name to resolve.

    `by` says what is dialled:
    "name": `target` as text, resolved in the source's namespace as libc would (hosts file, then resolv.conf);
    "ip": an address. Of a container: its address on the first network (in the source's order, then its own) that both
    are on, else its first address; of one in host mode, its host's. Of a host or a client: its uplink's address.
    `target` may be the address itself.
    `published`: dial the container's host's address, at the host port that is published for `port`.
    Of a swarm service: by "name" its name or `tasks.NAME`; by "ip" its virtual address on the first network (in the
    source's order, then its own) that both are on; `published` a port of the routing mesh at the first host's address,
    one in mode host at that of its first task, or `at` another host.
    `timeout` in seconds: how long the probe waits; both sides use it.
    """

    source: str
    target: str
    probe: Probe = "ping"
    port: int = Field(default=0, ge=0, le=65535)
    by: Literal["ip", "name"] = "ip"
    published: bool = False
    at: str = ""
    """Host.name: at which node a port of a swarm service is asked (empty: see above)."""
    size: int = Field(default=56, ge=0, le=65507)
    """Bytes of a ping's payload; the datagram is 28 larger."""
    df: bool = False
    """Forbid fragments, as `ping -M do`. Else a ping that is larger than the MTU goes out in parts."""
    body: int = Field(default=0, ge=0, le=65535)
    """Bytes of a tcp probe's request, which is padded to that; 0: as short as it is. It must go out at once:
    five segments, as a new connection does."""
    timeout: float = Field(default=1.5, gt=0, le=60)
    comment: str = ""
    group: str = ""
    """Heading under which tables show it (the article's section)."""
    during: str = ""
    """Fault.name: asked while it lasts."""
    after: str = ""
    """Fault.name: asked once it is mended."""

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        how = " by name" if self.by == "name" else ""
        size = f" of {self.size} bytes" if self.size != 56 else f" with {self.body} bytes" if self.body else ""
        at = f" at {self.at}" if self.at else ""
        when = f", during {self.during}" if self.during else f", after {self.after}" if self.after else ""
        return (f"{self.source} -> {self.target}{port} {self.probe}{size}{', DF' if self.df else ''}{how}"
                f"{f' (published{at})' if self.published else ''}{when}")


class Dial(Model):
    """What a question's probe does, fully determined: who sends what to where. Both sides run exactly this.

    `name` is set when the source must resolve it first, else `address` is set.
    `source_port` is the probe's own local port (and its ICMP id): below the ephemeral range, unique per question.
    """

    source: str
    probe: Probe
    name: str = ""
    address: str = ""
    port: int = 0
    source_port: int = 20000
    size: int = 56
    df: bool = False
    body: int = 0
    timeout: float = 1.5
    pause: float = 0.02
    """Seconds between the handshake of a tcp question and its request: long enough for a docker-proxy that finds nobody
    behind it to hang up, so that it is no race whether it does so before or after the request."""
    resolve_timeout: float = 2.5
    """Seconds after which a name that is still being resolved counts as unanswered; libc itself would go on for 10.
    Less than the three after which ARP gives up, so that it is no race whether an engine that can't reach its upstream
    server hears so in time."""


class Spec(Model):
    """A topology: validated, complete, in deployment order (networks, then containers, as listed)."""

    name: str = "hopcast"
    hosts: tuple[Host, ...] = (Host(),)
    clients: tuple[Client, ...] = (Client(),)
    underlay: Underlay = Underlay()
    names: dict[str, Annotated[str, AfterValidator(checks.check_address)]] = Field(default_factory=dict)
    """What the underlay's name server knows, in small letters without a dot at the end: name -> IPv4 address."""
    networks: tuple[Network, ...] = ()
    containers: tuple[Container, ...] = ()
    swarm: bool = False
    """The hosts form a swarm although no service and no network asks for one."""
    services: tuple[Service, ...] = ()
    """Deployed after the containers, one after the other, each task after the one before."""
    idle: tuple[str, ...] = ()
    """Services of the file that are scaled to no container: nobody, and a question may ask for them by name."""
    faults: tuple[Fault, ...] = ()
    """One after the other, each mended before the next."""
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    """What the file said that can't change a packet's fate here, said once to the user."""
    file: str = ""
    places: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    """Where in the file things are said, with line and key, by what errors call them: `container web`, `network front`.
    No part of the topology: it is not passed on."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_spec(self)
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, whose look-ups are its own: pydantic would copy the index of the objects before the update."""
        copied = super().model_copy(update=update, deep=deep)
        for name, kept in vars(type(self)).items():
            if isinstance(kept, cached_property):
                vars(copied).pop(name, None)
        return copied

    @cached_property
    def _containers(self) -> dict[str, Container]:
        """By name, and the first of each service by the service's; a name comes before a service."""
        services = {c.service: c for c in reversed(self.containers) if c.service}
        return services | {c.name: c for c in reversed(self.containers)}

    @cached_property
    def _namespaces(self) -> dict[str, str]:
        """Container name -> the label of the namespace it runs in. A long chain of shared ones is followed once."""
        found: dict[str, str] = {}
        for box in self.containers:
            chain, owner = [], box
            while owner.name not in found and owner.mode.startswith("container:"):
                chain.append(owner.name)
                other = owner.mode.removeprefix("container:")
                if (following := self._containers.get(other)) is None:
                    found[owner.name] = other
                    break
                owner = following
            end = found.setdefault(owner.name, owner.host if owner.mode == "host" else owner.name)
            found.update(dict.fromkeys(chain, end))
        return found

    @cached_property
    def _networks(self) -> dict[str, Network]:
        """By the engine's name, and by the file's where that is nobody's name."""
        keys = {n.key: n for n in reversed(self.networks)}
        return keys | {n.name: n for n in reversed(self.networks)}

    @cached_property
    def _tasks(self) -> dict[str, tuple[Container, ...]]:
        found: dict[str, list[Container]] = {}
        for box in self.containers:
            found.setdefault(box.task_of, []).append(box)
        return {service: tuple(boxes) for service, boxes in found.items()}

    @cached_property
    def namesakes(self) -> Counter[str]:
        """Service name -> how many containers are of it."""
        return Counter(box.service for box in self.containers)

    @cached_property
    def labels_and_services(self) -> dict[str, None]:
        """Whom a question may name as its source: labels, hosts first, then services."""
        return dict.fromkeys([*self.labels(), *(c.service for c in self.containers if c.service)])

    def container(self, label: str) -> Container | None:
        """By container name, else by service name (the first of that service)."""
        return self._containers.get(label)

    def swarm_service(self, name: str) -> Service | None:
        """By the engine's name, or the file's."""
        return next((s for s in self.services if name in (s.name, s.key)), None)

    def tasks(self, service: str) -> tuple[Container, ...]:
        """The tasks of a service (by the engine's name), in the order in which they start."""
        return self._tasks.get(service, ())

    def with_tasks_on(self, hosts: Mapping[str, str]) -> Self:
        """The same with these tasks (Container.name) on other hosts, as after a node was drained."""
        moved = (c.model_copy(update={"host": hosts.get(c.name, c.host)}) for c in self.containers)
        return self.model_copy(update={"containers": tuple(moved)})

    def network(self, name: str) -> Network | None:
        return self._networks.get(name)

    def host(self, name: str) -> Host | None:
        return next((h for h in self.hosts if h.name == name), None)

    @property
    def in_swarm(self) -> bool:
        """The hosts form a swarm: the first is its manager, the others are workers in the Spec's order."""
        return self.swarm or bool(self.services) or any(network.scope == "swarm" for network in self.networks)

    def hosts_of(self, network: str) -> tuple[str, ...]:
        """On which engines a network is made. One of a swarm: on the manager. Else, as each engine has its own, on
        those with a container on it; on all of them when nobody is on it."""
        known = self.network(network)
        if known is not None and known.scope == "swarm":
            return (self.hosts[0].name,)
        users = {c.host for c in self.containers if any(a.network == network for a in c.attachments)}
        return tuple(h.name for h in self.hosts if h.name in users or not users)

    def client(self, name: str) -> Client | None:
        return next((c for c in self.clients if c.name == name), None)

    def nameserver(self) -> str:
        """Address (CIDR) of the underlay's name server, the machine `dns`, which knows `names` and no other:
        .53 of the first host's subnet; where that is outside the subnet or taken, the last address that nobody has.
        SpecError when the subnet is full."""
        subnet = IPv4Interface(self.hosts[0].address).network
        addresses = [*(h.address for h in self.hosts), *(c.address for c in self.clients)]
        taken = {a.partition("/")[0] for a in addresses}
        wished = subnet.network_address + 53
        free = [wished, *(subnet.broadcast_address - n for n in range(1, len(taken) + 2))]
        usable = (a for a in free if subnet.network_address < a < subnet.broadcast_address and str(a) not in taken)
        if (found := next(usable, None)) is None:
            raise SpecError(f"{subnet} has no free address for a name server", where=f"host {self.hosts[0].name}",
                            mend="use a larger subnet")
        return f"{found}/{subnet.prefixlen}"

    def nics_of(self, label: str) -> tuple[str, ...]:
        """A machine's interfaces on the wire, its uplink first."""
        host = self.host(label)
        return host.nics if host else (UPLINK,)

    def uplink(self, label: str) -> str:
        """The interface that has a machine's address."""
        return self.nics_of(label)[0]

    def link_of(self, label: str) -> Underlay:
        """What the cable of a host or a client (or of the underlay's name server) is like: its `link`, and the underlay
        where that leaves something open.
        """
        machine = self.host(label) or self.client(label)
        router = self.router_of(label)
        usual = self.far_link(router) if router is not None else self.underlay
        return usual.model_copy(update=machine.link.model_dump(exclude_none=True) if machine else {})

    @staticmethod
    def far_link(router: Router) -> Underlay:
        """The cables of the net beyond a router."""
        return Underlay(mtu=router.mtu, delay=router.delay, rate=router.rate, loss=router.loss)

    def router_of(self, label: str) -> Router | None:
        """The router behind which a client stands; None on the wire."""
        client = self.client(label)
        found = self.client(client.behind) if client and client.behind else None
        return found.router if found else None

    def routes_of(self, label: str) -> tuple[str, ...]:
        """A machine's routes but those to its own nets, `SUBNET via ADDRESS`; any other label is the name server's. Who
        stands behind a router has its default route there, unless it says another, or the router does NAT."""
        machine = self.host(label) or self.client(label)
        if machine is None:
            plain = [client for client in self.clients if client.router and not client.router.nat and not client.behind]
            return tuple(f"{checks.subnet_of(client.router.address)} via {self.uplink_address(client.name)}"
                         for client in plain if client.router)
        router = self.router_of(label)
        if router is None or router.nat or any(route.startswith("default ") for route in machine.routes):
            return machine.routes
        return (*machine.routes, f"default via {router.host_ip}")

    @property
    def outsiders(self) -> list[Client]:
        """Clients on the wire, those that are no routers first."""
        return sorted((client for client in self.clients if not client.behind), key=lambda client: client.forwards)

    @property
    def machines(self) -> tuple[Host | Client, ...]:
        """Hosts, then clients."""
        return *self.hosts, *self.clients

    @property
    def cables(self) -> tuple[Underlay, ...]:
        """Of each host, then of each client, then of each router on its far side."""
        far = (self.far_link(client.router) for client in self.clients if client.router)
        return (*(self.link_of(machine.name) for machine in self.machines), *far)

    @property
    def flight(self) -> float:
        """Seconds that a frame may be on its way between two machines: the two longest delays."""
        return sum(sorted(cable.delay for cable in self.cables)[-2:])

    @property
    def lossy(self) -> bool:
        """Is it drawn whether a frame arrives?"""
        return any(0 < cable.loss < 1 for cable in self.cables)

    def labels(self) -> list[str]:
        """Every namespace's label, hosts first."""
        return [*(h.name for h in self.hosts), *(c.name for c in self.clients), *(c.name for c in self.containers)]

    def netns_of(self, label: str) -> str:
        """The label of the namespace in which `label`'s processes run: the host's for mode host, the other
        container's for mode container:X, else its own."""
        box = self.container(label)
        return label if box is None else self._namespaces[box.name]

    def owner(self, box: Container) -> Container:
        """Whose namespace it lives in; itself where that is its own, or the host's."""
        return self.container(self.netns_of(box.name)) or box

    def publishes(self, label: str) -> bool:
        """Do a container's `ports` have an effect? Docker publishes on the network that has the default route: the
        first by name that is not internal, or docker_gwbridge where all of these are overlays."""
        box = self.container(label)
        if box is None or box.mode != "networks":
            return box is not None and box.mode == "bridge"
        open_ones = [n for n in map(self.network, self.networks_of(label)) if n is not None and not n.internal]
        leading = [n for n in open_ones if n.scope == "local"]
        first = min(leading, key=lambda n: n.name, default=None)
        return bool(open_ones) if first is None else first.driver in checks.PUBLISHING_DRIVERS

    def networks_of(self, label: str) -> tuple[str, ...]:
        """Names of the networks on which a container's namespace is, in the order of attachment; "bridge" is docker0's.
        None for machines, mode host and mode none."""
        owner = self.container(self.netns_of(label))
        if owner is None:
            return ()
        return (DEFAULT_NETWORK,) if owner.mode == "bridge" else tuple(a.network for a in owner.attachments)

    def uplink_address(self, label: str) -> str:
        """The address of a host or a client, without the prefix length; empty for other labels."""
        machine = self.host(label) or self.client(label)
        return machine.address.partition("/")[0] if machine else ""

    def address_towards(self, label: str, asker: str) -> str:
        """The address by which a machine is dialled from `asker`: of a router, for those behind it, that of its far
        side; else its uplink's. Empty for other labels."""
        client, seen = self.client(label), self.client(self.netns_of(asker))
        if client and client.router and seen and seen.behind == label:
            return client.router.host_ip
        return self.uplink_address(label)
