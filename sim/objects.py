"""The objects of a topology in Docker's own words: hosts, networks, containers, swarm services, and what may go wrong.

`sim/spec.py` puts them together, and is where everybody imports them from.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sim import checks
from sim.checks.nics import check_nics
from sim.checks.swarm import check_service
from sim.checks.sysctls import canonical
from sim.machines import Firewall, Router, RuleLine, internet_rules
from sim.model import Address, Cidr, Label, Mac, Model

DEFAULT_NETWORK = "bridge"
"""Docker's name for the network of docker0."""
UPLINK = "eth0"
"""What a machine's interface is called unless it says otherwise."""
ANYWHERE = "0.0.0.0"
"""Where one listens who does not choose among the addresses of a namespace."""


class Port(Model):
    """A port of a transport that Docker publishes. SCTP's plumbing is predicted; no probe speaks it."""

    protocol: Literal["tcp", "udp", "sctp"] = "tcp"

    @property
    def can_be_asked(self) -> bool:
        """Is it of a protocol that a probe speaks?"""
        return self.protocol != "sctp"


class PublishedPort(Port):
    """`-p [host_ip:]host_port:container_port/protocol`. host_port 0: the engine picks one (32768 and up)."""

    container_port: int = Field(ge=1, le=65535)
    host_port: int = Field(default=0, ge=0, le=65535)
    host_ip: Annotated[str, AfterValidator(checks.check_address)] = "0.0.0.0"


class Network(Model):
    """A Docker network. `name` is the engine's name (project prefix included), `key` the Compose file's."""

    name: Annotated[str, AfterValidator(lambda text: checks.check_name(text, "network"))]
    key: str = ""
    driver: str = "bridge"
    subnet: Cidr = ""
    """CIDR; empty: dockerd takes the next of its default pools."""
    gateway: Address = ""
    ip_range: Cidr = ""
    aux_addresses: tuple[Address, ...] = ()
    internal: bool = False
    attachable: bool = False
    options: dict[str, str] = Field(default_factory=dict)
    """driver_opts, as given to the engine: `com.docker.network.bridge.name` and so on."""

    @property
    def scope(self) -> Literal["local", "swarm"]:
        """`docker network ls`: one of each engine's own, or one of the whole swarm."""
        return "swarm" if self.driver in checks.SWARM_DRIVERS else "local"

    @model_validator(mode="after")
    def _check(self) -> Self:
        checks.check_network(self)
        return self


class Attachment(Model):
    """A container on a user-defined network. `aliases` are the extra DNS names there."""

    network: str
    """Network.name"""
    aliases: tuple[str, ...] = ()
    service_name: bool = True
    """Its service's name is one of them. Not with Compose's `network_mode: NETWORK`, which passes no aliases."""
    ipv4_address: Address = ""
    mac_address: Mac = ""


class Listener(Port):
    """A port on which the container's process listens: on every address of its namespace, or on `address` alone.
    One of SCTP is exposed only."""

    port: int = Field(ge=1, le=65535)
    address: Annotated[str, AfterValidator(checks.check_address)] = ANYWHERE

    def __str__(self) -> str:
        """`80/tcp`, `127.0.0.1:53/udp`"""
        return f"{'' if self.address == ANYWHERE else f'{self.address}:'}{self.port}/{self.protocol}"

    def clashes(self, other: Listener) -> bool:
        """Does bind(2) refuse the second of two in one namespace? An address of one's own is not enough beside
        somebody who listens on all of them."""
        one, two = self.address, other.address
        return (self.port, self.protocol) == (other.port, other.protocol) and (one == two or ANYWHERE in (one, two))


class Container(Model):
    """One container. `mode` is Docker's network mode.

    mode `networks`: attached to `attachments` in that order; `bridge`: docker0; `host`; `none`;
    `container:LABEL`: shares that container's namespace.
    """

    name: Label
    service: str = ""
    hostname: str = ""
    domainname: str = ""
    image: str = "hopcast/responder"
    host: str = "host"
    mode: Annotated[str, AfterValidator(checks.check_mode)] = "networks"
    attachments: tuple[Attachment, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    expose: tuple[Listener, ...] = ()
    listens: tuple[Listener, ...] = ()
    """What the process inside listens on: x-hopcast's `listens`, else expose plus the targets of ports."""
    dns: tuple[Address, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    """`name:address`, as in docker run --add-host."""
    links: tuple[str, ...] = ()
    """`CONTAINER:ALIAS`, as in docker run --link: on docker0 a line of the hosts file each, and a way through
    icc=false; on other networks a name that the embedded DNS knows for this container alone."""
    sysctls: Annotated[dict[str, str], AfterValidator(canonical)] = Field(default_factory=dict)
    mac_address: Mac = ""
    restart: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    """`docker run --restart`: does it start again after an engine that was killed has ended it? The engine starts such
    containers all at once, and they get their addresses in any order; the lab and the model do it in the Spec's."""
    task_of: str = ""
    """Service.name, where the container is a task of a swarm service. Such a container is called `SERVICE.SLOT`, of a
    global service `SERVICE.HOST`; its `ports` are those that it publishes in mode host."""
    rivals: tuple[str, ...] = ()
    """Hosts that the swarm's scheduler could as well have put this task on: it draws, `host` is the Spec's choice."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        checks.check_container(self)
        return self


class Engine(Model):
    """Daemon options, by dockerd's flags. `version`: which generation is predicted (a key of the engine profiles)."""

    version: str = Field(default="20.10", pattern=r"^[0-9]+(\.[0-9]+)*$")
    userland_proxy: bool = True
    iptables: bool = True
    ip_forward: bool = True
    ip_masq: bool = True
    icc: bool = True
    bip: Cidr = ""
    mtu: int = Field(default=1500, ge=68, le=65535)
    default_address_pools: tuple[tuple[Cidr, int], ...] = ()
    """(base CIDR, size) pairs; empty: Docker's own list."""


class Link(Model):
    """The cable between a machine and the switch, where it differs from the underlay's. None: as the underlay says.

    `delay` in seconds, one way; `rate` in bit/s (0: no limit); `loss`: share of the frames that are lost, 0-1.
    """

    mtu: int | None = Field(default=None, ge=68, le=65535)
    delay: float | None = Field(default=None, ge=0, le=10)
    rate: float | None = Field(default=None, ge=0, le=1e15)
    loss: float | None = Field(default=None, ge=0, le=1)


Route = Annotated[str, AfterValidator(checks.check_route)]
"""`SUBNET via ADDRESS`, or `default via ADDRESS`."""


class Host(Model):
    """A machine with an engine. `nics`: its interfaces, all on the wire; the first is its uplink and has `address`
    (CIDR), the others have none and are there for networks whose parent they are. `labels` are those of the swarm's
    node, `arch` its architecture as `docker info` says it."""

    name: Label = "host"
    address: Cidr = "192.168.99.101/24"
    engine: Engine = Engine()
    link: Link = Link()
    labels: dict[str, str] = Field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    firewall: Firewall = Firewall()
    nics: Annotated[tuple[str, ...], AfterValidator(check_nics)] = (UPLINK,)
    arch: str = Field(default="x86_64", pattern=r"^[a-z0-9_]+$")


class Client(Model):
    """A machine without an engine, on the wire or `behind` a router. `router`: it is one itself. `forward`: it passes
    on what others send by way of it, as a router always does. `everywhere`: the internet, one machine that has every
    address of it.
    """

    name: Label = "client"
    address: Cidr = "192.168.99.200/24"
    routes: tuple[Route, ...] = ()
    listens: tuple[Listener, ...] = ()
    link: Link = Link()
    firewall: tuple[RuleLine, ...] = ()
    behind: str = ""
    """Client.name of the router on whose far side it stands; empty: on the wire."""
    router: Router | None = None
    forward: bool = False
    everywhere: bool = False

    @property
    def forwards(self) -> bool:
        """Does it pass on what others send by way of it?"""
        return self.forward or self.router is not None

    @property
    def rules(self) -> tuple[str, ...]:
        """All that its iptables is told, in this order."""
        own = self.router.rules(self.address) if self.router else internet_rules() if self.everywhere else []
        return (*own, *self.firewall)


class Underlay(Model):
    """The one wire that all machines hang on. `subnet` empty: each machine's address says for itself.

    The other fields are those of each machine's cable to the switch, unless its `link` says otherwise (see there).
    """

    subnet: Cidr = ""
    mtu: int = Field(default=1500, ge=68, le=65535)
    delay: float = Field(default=0, ge=0, le=10)
    rate: float = Field(default=0, ge=0, le=1e15)
    loss: float = Field(default=0, ge=0, le=1)


class ServicePort(Port):
    """A port of a service. `published` 0: swarm takes the next of 30000-32767 (in mode host: the engine's choice).

    mode `ingress`: every node of the swarm answers on it (routing mesh); `host`: the nodes that run a task.
    """

    target: int = Field(ge=1, le=65535)
    published: int = Field(default=0, ge=0, le=65535)
    mode: Literal["ingress", "host"] = "ingress"


class Service(Model):
    """A service of a swarm, as `docker stack deploy` makes it. Its tasks are Containers of the Spec (`task_of`), which
    say where they run (`sim/placement.py`), on which networks they are and where they listen.

    `name` is the engine's name (stack prefix included), `key` the stack file's.
    """

    name: Label
    key: str = ""
    mode: Literal["replicated", "global"] = "replicated"
    endpoint_mode: Literal["vip", "dnsrr"] = "vip"
    constraints: tuple[str, ...] = ()
    """`node.hostname == h2`, `node.role != manager`, `node.labels.disk == ssd`"""
    attachments: tuple[Attachment, ...] = ()
    """Networks of the whole swarm, in the file's order."""
    ports: tuple[ServicePort, ...] = ()

    @property
    def ingress_ports(self) -> tuple[ServicePort, ...]:
        """Those of the routing mesh."""
        return tuple(port for port in self.ports if port.mode == "ingress")

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_service(self)
        return self


class Move(Model):
    """What becomes of a task when its node is drained: it runs on `host`; where that is empty it ends, and comes back
    when the node is active again."""

    task: str
    """Container.name"""
    host: str = ""
    rivals: tuple[str, ...] = ()
    """As Container.rivals."""


class Fault(Model):
    """Something that goes wrong on a host, and is mended again. Questions are asked before, during and after it.

    `link down`: the cable of its uplink is cut, then joined. `engine killed`: dockerd is killed with SIGKILL, then
    started again. `node left`: the host leaves the swarm, then joins again. `node drained`: its tasks move to other
    nodes (`docker node update --availability drain`), then it is active again.
    """

    name: Annotated[str, AfterValidator(lambda text: checks.check_name(text, "fault"))]
    kind: Literal["link down", "engine killed", "node left", "node drained"]
    host: str
    moves: tuple[Move, ...] = ()
    """Of a node that is drained: where the swarm's scheduler puts each of its tasks (`sim/placement.py`)."""
