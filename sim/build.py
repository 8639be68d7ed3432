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
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sim.compose.document import Item
from sim.compose.ports import HostPortRanges, read_listeners, read_ports
from sim.compose.underlay import default_address
from sim.errors import SpecError
from sim.questions import parse_line
from sim.questions.default import default_questions
from sim.spec import Attachment, Client, Container, Engine, Host, Listener, Network, Question, Spec, Underlay

Networks = Sequence[str] | Mapping[str, Mapping[str, Any]]
"""Names, or name -> {aliases, ipv4_address, mac_address}."""


@dataclass(frozen=True, slots=True)
class Topology:
    """What has been declared so far. `spec()` checks it as a whole."""

    name: str
    hosts: tuple[Host, ...] = ()
    clients: tuple[Client, ...] = ()
    wire: Underlay = field(default_factory=Underlay)
    networks: tuple[Network, ...] = ()
    containers: tuple[Container, ...] = ()
    asked: tuple[tuple[str, dict[str, Any]], ...] = ()

    def host(self, name: str = "host", *, address: str = "", **engine: Any) -> Topology:
        """A machine with an engine; `engine` are the fields of `sim.spec.Engine`, such as `icc=False`."""
        address = address or default_address(self.wire, 101 + len(self.hosts))
        return replace(self, hosts=(*self.hosts, Host(name=name, address=address, engine=Engine(**engine))))

    def underlay(self, **fields: Any) -> Topology:
        """The wire of the machines that are declared from here on: subnet, mtu, delay (seconds), rate (bit/s)."""
        return replace(self, wire=Underlay(**fields))

    def client(
        self, name: str = "client", *, address: str = "", routes: Iterable[str] = (), listens: Iterable[int | str] = ()
    ) -> Topology:
        """A machine without an engine. `routes`: "172.16.0.0/12 via 192.168.99.101"."""
        address = address or default_address(self.wire, 200 + len(self.clients))
        machine = Client(
            name=name, address=address, routes=tuple(routes), listens=read_listeners(_list("listens", listens))
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
        exposed = read_listeners(_list(f"{name}.expose", expose))
        if listens is None:
            targets = [Listener(port=p.container_port, protocol=p.protocol) for p in published]
            listening = tuple(dict.fromkeys([*exposed, *targets]))
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

    def ask(self, line: str, **fields: Any) -> Topology:
        """A question as one line: "web -> db:5432", "c1 -> c2 ping by name"; `fields`: group, comment, timeout."""
        return replace(self, asked=(*self.asked, (line, fields)))

    def spec(self) -> Spec:
        """The checked Spec. Without questions it has the default ones."""
        bare = Spec(
            name=self.name,
            hosts=self.hosts or (Host(address=default_address(self.wire, 101)),),
            clients=self.clients or (Client(address=default_address(self.wire, 200)),),
            underlay=self.wire,
            networks=self.networks,
            containers=self.containers,
        )
        questions = tuple(_question(bare, line, fields) for line, fields in self.asked) or default_questions(bare)
        return Spec(
            name=self.name,
            hosts=bare.hosts,
            clients=bare.clients,
            underlay=bare.underlay,
            networks=self.networks,
            containers=self.containers,
            questions=questions,
        )


def topology(name: str = "hopcast") -> Topology:
    """An empty topology."""
    return Topology(name)


def _question(spec: Spec, line: str, fields: dict[str, Any]) -> Question:
    try:
        question = parse_line(spec, line)
        return Question.model_validate({**question.model_dump(), **fields})
    except SpecError as error:
        raise SpecError(error.problem, where=f"ask({line!r})", mend=error.mend) from None


def _list(what: str, values: Iterable[int | str]) -> Item:
    """The texts as the Compose readers take them."""
    items = [Item(value, "topology", 0, what) for value in values]
    return Item(items, "topology", 0, what)
