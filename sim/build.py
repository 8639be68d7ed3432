"""A topology in Python, for notebooks: the Spec that a Compose file would give, one call an object.

    >>> spec = (topology("demo")
    ...     .network("front")
    ...     .container("web", networks=["front"], ports=["8080:80"])
    ...     .container("c1", mode="bridge")
    ...     .client("client")
    ...     .ask("client -> web:80")
    ...     .spec())
    >>> str(spec.questions[0])
    'client -> web:80 tcp (published)'

Names are the engine's, no project stands before them, and a container is on docker0 when nothing else is said, as with
`docker run`. Each call gives a new topology: one that is kept can be continued in two ways. Errors are SpecErrors.

    >>> spec = (topology("demo")
    ...     .host("h1").host("h2", link={"mtu": 1400}, labels={"disk": "ssd"})
    ...     .network("ov", driver="overlay")
    ...     .service("web", networks=["ov"], replicas=2, ports=["8080:80"])
    ...     .fault("cut", "link down", "h2")
    ...     .ask("client -> web:80 at h2 around cut")
    ...     .spec())
    >>> [f"{task.name} on {task.host}" for task in spec.tasks("web")]
    ['web.1 on h1', 'web.2 on h2']
    >>> str(spec.questions[1])
    'client -> web:80 tcp (published at h2), during cut'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sim.compose.document import Item
from sim.compose.ports import (
    HostPortRanges,
    on_host,
    read_exposed,
    read_listeners,
    read_ports,
    read_service_ports,
)
from sim.compose.underlay import default_address
from sim.errors import SpecError
from sim.placement import Scheduler
from sim.questions import parse_lines
from sim.questions.default import default_questions
from sim.spec import (
    UPLINK,
    Attachment,
    Client,
    Container,
    Engine,
    Fault,
    Firewall,
    Host,
    Link,
    Listener,
    Network,
    Question,
    Router,
    Service,
    Spec,
    Underlay,
)

Networks = Sequence[str] | Mapping[str, Mapping[str, Any]]
"""Names, or name -> {aliases, ipv4_address, mac_address}."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service of the swarm before the scheduler has placed its tasks."""

    service: Service
    task: Container
    replicas: int
    max_replicas_per_node: int


@dataclass(frozen=True, slots=True)
class Topology:
    """What has been declared so far. `spec()` checks it as a whole."""

    name: str
    hosts: tuple[Host, ...] = ()
    clients: tuple[Client, ...] = ()
    wire: Underlay = field(default_factory=Underlay)
    networks: tuple[Network, ...] = ()
    containers: tuple[Container, ...] = ()
    services: tuple[Wanted, ...] = ()
    faults: tuple[Fault, ...] = ()
    asked: tuple[tuple[str, dict[str, Any]], ...] = ()

    def host(
        self,
        name: str = "host",
        *,
        address: str = "",
        link: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        routes: Iterable[str] = (),
        firewall: Iterable[str] = (),
        nics: Iterable[str] = (UPLINK,),
        arch: str = "x86_64",
        **engine: Any,
    ) -> Topology:
        """A machine with an engine; `engine` are the fields of `sim.spec.Engine`, such as `icc=False`. `link`: those of
        `sim.spec.Link`, where its cable differs from the underlay's; `labels`: the swarm node's. `routes`: "default via
        192.168.99.1"; `firewall`: command lines of iptables, those of the engine's chains told when all is deployed.
        `nics`: its interfaces on the wire, the uplink first."""
        machine = Host(
            name=name,
            address=address or default_address(self.wire, 101 + len(self.hosts)),
            engine=Engine(**engine),
            link=Link(**(link or {})),
            labels=dict(labels or {}),
            routes=tuple(routes),
            firewall=Firewall.of(firewall),
            nics=tuple(nics),
            arch=arch,
        )
        return replace(self, hosts=(*self.hosts, machine))

    def underlay(self, **fields: Any) -> Topology:
        """The wire of the machines that are declared from here on: subnet, mtu, delay (seconds), rate (bit/s), loss
        (0-1)."""
        return replace(self, wire=Underlay(**fields))

    def client(
        self,
        name: str = "client",
        *,
        address: str = "",
        routes: Iterable[str] = (),
        listens: Iterable[int | str] = (),
        link: Mapping[str, Any] | None = None,
        router: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Topology:
        """A machine without an engine. `routes`: "172.16.0.0/12 via 192.168.99.101"; `link` as a host's. `router`: the
        fields of `sim.spec.Router`; `fields`: the others of `sim.spec.Client`, as `behind` and `firewall`."""
        address = address or default_address(self.wire, 200 + len(self.clients))
        machine = Client(
            name=name,
            address=address,
            routes=tuple(routes),
            listens=read_listeners(_list("listens", listens)),
            link=Link(**(link or {})),
            router=Router(**router) if router else None,
            **fields,
        )
        return replace(self, clients=(*self.clients, machine))

    def network(self, name: str, **fields: Any) -> Topology:
        """A user-defined network; `fields` are those of `sim.spec.Network`: subnet, gateway, internal, options, …"""
        return replace(self, networks=(*self.networks, Network(name=name, **{"key": name, **fields})))

    def container(
        self,
        name: str,
        *,
        networks: Networks = (),
        mode: str = "",
        ports: Iterable[int | str] = (),
        expose: Iterable[int | str] = (),
        listens: Iterable[int | str] | None = None,
        host: str = "",
        **fields: Any,
    ) -> Topology:
        """A container. `ports` and `expose` in Compose's short form; `listens` is what is exposed and published unless
        given; `fields` are the others of `sim.spec.Container`: hostname, dns, extra_hosts, …"""
        published = read_ports(_list(f"{name}.ports", ports), HostPortRanges())
        exposed = read_exposed(_list(f"{name}.expose", expose))
        if listens is None:
            targets = [Listener(port=p.container_port, protocol=p.protocol) for p in published]
            listening = tuple(each for each in dict.fromkeys([*exposed, *targets]) if each.can_be_asked)
        else:
            listening = read_listeners(_list(f"{name}.listens", listens))
        wanted = networks if isinstance(networks, Mapping) else {network: {} for network in networks}
        box = Container(
            name=name,
            mode=mode or ("networks" if wanted else "bridge"),
            ports=published,
            expose=exposed,
            listens=listening,
            attachments=tuple(Attachment(network=network, **more) for network, more in wanted.items()),
            host=host or (self.hosts[0].name if self.hosts else "host"),
            **fields,
        )
        return replace(self, containers=(*self.containers, box))

    def service(
        self,
        name: str,
        *,
        networks: Networks,
        replicas: int = 1,
        mode: Literal["replicated", "global"] = "replicated",
        endpoint_mode: Literal["vip", "dnsrr"] = "vip",
        constraints: Iterable[str] = (),
        max_replicas_per_node: int = 0,
        ports: Iterable[int | str | Mapping[str, Any]] = (),
        listens: Iterable[int | str] | None = None,
        **fields: Any,
    ) -> Topology:
        """A service of the swarm; its tasks `NAME.1` and so on are containers of the Spec. `ports` in a stack file's
        short or long form ({"target": 80, "published": 8080, "mode": "host"}); `listens` is what is published unless
        given; `fields` are those of `sim.spec.Container` for each task: hostname, dns, …"""
        wanted = networks if isinstance(networks, Mapping) else {network: {} for network in networks}
        attachments = tuple(Attachment(network=network, **more) for network, more in wanted.items())
        published = read_service_ports(_list(f"{name}.ports", ports), [])
        service = Service(
            name=name,
            key=name,
            mode=mode,
            endpoint_mode=endpoint_mode,
            constraints=tuple(constraints),
            attachments=attachments,
            ports=published,
        )
        targets = dict.fromkeys(
            Listener(port=port.target, protocol=port.protocol) for port in published if port.can_be_asked)
        task = Container(
            name=name,
            service=name,
            attachments=attachments,
            ports=on_host(published),
            listens=tuple(targets) if listens is None else read_listeners(_list(f"{name}.listens", listens)),
            **fields,
        )
        if replicas < 0 or max_replicas_per_node < 0:
            raise SpecError("less than no replicas", where=f"service {name}", mend="use 0 or more")
        return replace(self, services=(*self.services, Wanted(service, task, replicas, max_replicas_per_node)))

    def fault(
        self, name: str, kind: Literal["link down", "engine killed", "node left", "node drained"], host: str
    ) -> Topology:
        """Something that goes wrong on a host and is mended again."""
        return replace(self, faults=(*self.faults, Fault(name=name, kind=kind, host=host)))

    def ask(self, line: str, **fields: Any) -> Topology:
        """A question as one line: "web -> db:5432", "c1 -> c2 ping by name"; "a -> b:80 around FAULT" is three.
        `fields`: group, comment, timeout."""
        return replace(self, asked=(*self.asked, (line, fields)))

    def spec(self) -> Spec:
        """The checked Spec. Without questions it has the default ones."""
        hosts = self.hosts or (Host(address=default_address(self.wire, 101)),)
        scheduler, tasks, notes = Scheduler.of(hosts, self.networks, self.containers), list[Container](), list[str]()
        for wanted in self.services:
            placed, pending = scheduler.place(
                wanted.service, wanted.task, wanted.replicas, max_replicas_per_node=wanted.max_replicas_per_node)
            tasks += placed
            notes += [pending] if pending else []
        bare = Spec(
            name=self.name,
            hosts=hosts,
            clients=self.clients or (Client(address=default_address(self.wire, 200)),),
            underlay=self.wire,
            networks=self.networks,
            containers=(*self.containers, *tasks),
            services=tuple(wanted.service for wanted in self.services),
            faults=scheduler.foresee(self.faults),
            notes=tuple(notes),
        )
        questions = tuple(question for line, fields in self.asked for question in _questions(bare, line, fields))
        asked = {"questions": questions or default_questions(bare)}
        return Spec.model_validate({**{key: getattr(bare, key) for key in Spec.model_fields}, **asked})


def topology(name: str = "hopcast") -> Topology:
    """An empty topology."""
    return Topology(name)


def _questions(spec: Spec, line: str, fields: dict[str, Any]) -> list[Question]:
    try:
        return [Question.model_validate({**each.model_dump(), **fields}) for each in parse_lines(spec, line)]
    except SpecError as error:
        raise SpecError(error.problem, where=f"ask({line!r})", mend=error.mend) from None


def _list(what: str, values: Iterable[int | str | Mapping[str, Any]]) -> Item:
    """The texts, or mappings of texts, as the Compose readers take them."""
    return Item([_item(what, value) for value in values], "topology", 0, what)


def _item(what: str, value: int | str | Mapping[str, Any]) -> Item:
    inside = {key: _item(what, text) for key, text in value.items()} if isinstance(value, Mapping) else value
    return Item(inside, "topology", 0, what)
