"""`x-hopcast`: what Compose can't say. The machines around the project, their engines' options, and the questions.

    x-hopcast:
      hosts:
        h1: {address: 192.168.99.101/24, engine: {version: "20.10", userland-proxy: false}}
      clients:
        client: {address: 192.168.99.200/24, routes: ["172.16.0.0/12 via h1"], listens: [7000]}
      underlay: {subnet: 192.168.99.0/24, mtu: 1500}
      questions:
        - client -> web:80
        - {from: web, to: db, port: 5432, by: name, group: inside}

Engine options have the names of dockerd's flags and of daemon.json. A route may go via a host's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass

from sim import checks
from sim.compose.document import Item
from sim.compose.ports import read_listeners
from sim.compose.underlay import default_address, read_underlay
from sim.errors import SpecError
from sim.questions import ask, parse_line
from sim.spec import Client, Engine, Host, Question, Spec, Underlay

TOP_KEYS = {"hosts", "clients", "questions", "underlay"}
HOST_KEYS = {"address", "engine"}
ENGINE_FLAGS = {"userland-proxy", "iptables", "ip-forward", "ip-masq", "icc"}
ENGINE_KEYS = ENGINE_FLAGS | {"version", "bip", "mtu", "default-address-pools"}
CLIENT_KEYS = {"address", "routes", "listens"}
QUESTION_KEYS = {"from", "to", "probe", "port", "by", "published", "timeout", "size", "df", "comment", "group"}


@dataclass(frozen=True, slots=True)
class Machines:
    hosts: tuple[Host, ...]
    clients: tuple[Client, ...]
    underlay: Underlay


def read_machines(fields: dict[str, Item], taken: Iterable[str]) -> Machines:
    """Hosts and clients, or one of each. Default names give way to containers that are called so. Raises SpecError."""
    names = set(taken)
    underlay = read_underlay(fields.get("underlay"))
    hosts = [_host(name, item, underlay, 101 + i) for i, (name, item) in enumerate(_entries(fields, "hosts"))]
    if "hosts" in fields and not hosts:
        fields["hosts"].fail("there is no host", "declare one, or leave hosts out")
    blamed = fields["underlay"].blamed if "underlay" in fields else nullcontext
    with blamed():
        hosts = hosts or [Host(name=_free("host", names), address=default_address(underlay, 101))]
    declared = enumerate(_entries(fields, "clients"), 200)
    clients = [_client(name, item, underlay, last, hosts) for last, (name, item) in declared]
    if "clients" not in fields:
        with blamed():
            free = _free("client", names | {h.name for h in hosts})
            clients = [Client(name=free, address=default_address(underlay, 200))]
    seen: dict[str, str] = {}
    for key, machines in (("hosts", hosts), ("clients", clients)):
        for machine in machines:
            address = machine.address.partition("/")[0]
            if key in fields and (machine.name in names or address in seen):
                what = (
                    f"the name {machine.name!r} is a service's, a container's or another machine's as well"
                    if machine.name in names
                    else f"{address} is the address of {seen[address]!r} already"
                )
                fields[key].mapping()[machine.name].fail(what, "each needs its own")
            seen[address] = machine.name
            names.add(machine.name)
    return Machines(tuple(hosts), tuple(clients), underlay)


def _entries(fields: dict[str, Item], key: str) -> list[tuple[str, Item]]:
    return list(fields[key].mapping().items()) if key in fields else []


def _free(name: str, taken: set[str]) -> str:
    """`client`, or `client-2` and so on when a container is called so."""
    return next(n for n in (name, *(f"{name}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def _host(name: str, item: Item, underlay: Underlay, last: int) -> Host:
    fields = item.fields(HOST_KEYS, of=f"host {name!r}")
    with item.blamed():
        engine = _engine(fields["engine"]) if "engine" in fields else Engine()
        return Host(name=name, address=_cidr(fields, underlay, last), engine=engine)


def _cidr(fields: dict[str, Item], underlay: Underlay, last: int) -> str:
    if "address" not in fields:
        return default_address(underlay, last)
    with fields["address"].blamed():
        text = fields["address"].text()
        try:
            address = checks.check_cidr(text)
        except SpecError:
            if ":" in text:
                raise
            raise SpecError(
                f"{text!r} is not an address with its prefix length",
                mend=f"write it like {default_address(underlay, last)}",
            ) from None
        checks.check_inside("address", [address.partition("/")[0]], underlay.subnet or address)
        return address


def _engine(item: Item) -> Engine:
    fields = item.fields(ENGINE_KEYS, of="engine")
    options: dict[str, object] = {}
    for key, value in fields.items():
        if key in ENGINE_FLAGS:
            options[key.replace("-", "_")] = value.flag()
        elif key == "default-address-pools":
            options["default_address_pools"] = tuple(_pool(entry) for entry in value.sequence())
        else:
            options[key] = value.number() if key == "mtu" else value.text()
        with value.blamed():
            engine = Engine.model_validate(options)
    return engine if fields else Engine()


def _pool(item: Item) -> tuple[str, int]:
    fields = item.fields({"base", "size"}, of="an address pool")
    if set(fields) != {"base", "size"}:
        item.fail("an address pool needs a base and a size", "write {base: 172.30.0.0/16, size: 24}")
    with fields["base"].blamed():
        base = checks.subnet_of(checks.check_cidr(fields["base"].text()))
    size = fields["size"].number()
    if not base.prefixlen <= size <= 30:
        fields["size"].fail(f"size {size} does not fit into {base}", f"use {base.prefixlen}-30")
    return str(base), size


def _client(name: str, item: Item, underlay: Underlay, last: int, hosts: list[Host]) -> Client:
    fields = item.fields(CLIENT_KEYS, of=f"client {name!r}")
    addresses = {h.name: h.address.partition("/")[0] for h in hosts}
    routes = []
    for route in fields["routes"].texts() if "routes" in fields else []:
        words = route.value.split()
        with route.blamed():
            routes.append(
                checks.check_route(" ".join([*words[:-1], addresses.get(words[-1], words[-1])] if words else []))
            )
    with item.blamed():
        return Client(
            name=name,
            address=_cidr(fields, underlay, last),
            routes=tuple(routes),
            listens=read_listeners(fields["listens"]) if "listens" in fields else (),
        )


def read_questions(item: Item, spec: Spec) -> tuple[Question, ...]:
    """The questions, one-line or as maps. Raises SpecError."""
    return tuple(_question(entry, spec) for entry in item.sequence())


def _question(item: Item, spec: Spec) -> Question:
    with item.blamed():
        if not isinstance(item.value, dict):
            return parse_line(spec, item.text())
    fields = item.fields(QUESTION_KEYS, of="a question")
    for key in ("from", "to"):
        if key not in fields:
            item.fail(f"a question needs {key!r}", "write {from: web, to: db, port: 5432}")
    target = fields["to"].text()
    if "port" in fields:
        target += f":{fields['port'].port()}"
    more: dict[str, object] = {key: fields[key].text() for key in ("comment", "group") if key in fields}
    if "size" in fields:
        more["size"] = fields["size"].number()
    if "df" in fields:
        more["df"] = fields["df"].flag()
    if "timeout" in fields:
        try:
            more["timeout"] = float(fields["timeout"].text())
        except ValueError:
            fields["timeout"].fail(f"{fields['timeout'].text()!r} is no number of seconds", "write it like 1.5")
    with item.blamed():
        return ask(
            spec,
            fields["from"].text(),
            target,
            probe=fields["probe"].text() if "probe" in fields else "",
            by=fields["by"].text() if "by" in fields else "",
            published=fields["published"].flag() if "published" in fields else None,
            **more,
        )
