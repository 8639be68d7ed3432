"""`x-hopcast`: what Compose can't say. The machines around the project, their engines' options, and what goes wrong.

    x-hopcast:
      hosts:
        h1: {address: 192.168.99.101/24, engine: {version: "20.10", userland-proxy: false}}
        h2: {labels: {disk: ssd}, link: {delay: 5ms, mtu: 1400}}
      clients:
        client: {address: 192.168.99.200/24, routes: ["172.16.0.0/12 via h1"], listens: [7000]}
        router: {address: 192.168.99.1/24, beyond: 203.0.113.7/24, nat: true}
      underlay: {subnet: 192.168.99.0/24, mtu: 1500}
      faults: {cut: link down h2, crash: engine killed h1}

Engine options have the names of dockerd's flags and of daemon.json. A route may go via a host's name. `labels` are
those of the swarm's node. A fault is `KIND HOST` under its name; or an entry of a list, `{name: cut, kind: link down,
host: h2}`. `questions` are in `asked.py`, `stack` in `stack.py`; firewalls, routes, routers, `names` and `internet` in
`surroundings.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import get_args

from sim import checks
from sim.compose.document import Item
from sim.compose.nics import read_nics
from sim.compose.ports import read_listeners
from sim.compose.surroundings import (
    ROUTER_KEYS,
    default_route_said,
    read_firewall,
    read_names,
    read_router,
    read_routes,
    read_rules,
    with_internet,
)
from sim.compose.underlay import default_address, read_link, read_underlay
from sim.errors import SpecError
from sim.spec import Client, Engine, Fault, Host, Underlay

TOP_KEYS = {"hosts", "clients", "questions", "underlay", "faults", "stack", "names", "internet"}
HOST_KEYS = {"address", "engine", "link", "labels", "routes", "gateway", "firewall", "nics", "arch"}
ENGINE_FLAGS = {"userland-proxy", "iptables", "ip-forward", "ip-masq", "icc"}
ENGINE_KEYS = ENGINE_FLAGS | {"version", "bip", "mtu", "default-address-pools"}
CLIENT_KEYS = {"address", "routes", "gateway", "listens", "link", "firewall", "behind", "forward"} | ROUTER_KEYS
FAULT_KEYS = {"name", "kind", "host"}
KINDS = get_args(Fault.model_fields["kind"].annotation)
"""Of faults."""


@dataclass(frozen=True, slots=True)
class Machines:
    hosts: tuple[Host, ...]
    clients: tuple[Client, ...]
    underlay: Underlay
    names: dict[str, str]


def read_machines(fields: dict[str, Item], taken: Iterable[str]) -> Machines:
    """Hosts and clients, or one of each. Default names give way to containers that are called so. Raises SpecError."""
    names = set(taken)
    underlay = read_underlay(fields.get("underlay"))
    addresses = {
        name: _cidr(item.fields(known, of=f"{key[:-1]} {name!r}"), underlay, first + index)
        for key, first, known in (("hosts", 101, HOST_KEYS), ("clients", 200, CLIENT_KEYS))
        for index, (name, item) in enumerate(_entries(fields, key))
    }
    named = {name: address.partition("/")[0] for name, address in addresses.items()}
    hosts = [_host(name, item, addresses[name], named) for name, item in _entries(fields, "hosts")]
    if "hosts" in fields and not hosts:
        fields["hosts"].fail("there is no host", "declare one, or leave hosts out")
    blamed = fields["underlay"].blamed if "underlay" in fields else nullcontext
    with blamed():
        hosts = hosts or [Host(name=_free("host", names), address=default_address(underlay, 101))]
        named = {host.name: host.address.partition("/")[0] for host in hosts} | named
    clients = [_client(name, item, addresses[name], named, fields["clients"])
               for name, item in _entries(fields, "clients")]
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
    free_names = {name: _free(name, names) for name in ("router", "internet")}
    everybody = {*(host.name for host in hosts), *(client.name for client in clients)}
    joined = with_internet(fields.get("internet"), hosts, clients, everybody - _decided(fields), free_names)
    named = {machine.name: machine.address.partition("/")[0] for machines in joined for machine in machines}
    return Machines(*joined, underlay, read_names(fields.get("names"), named))


def _decided(fields: dict[str, Item]) -> set[str]:
    """The machines of which the file says whether they have a default route."""
    entries = [*_entries(fields, "hosts"), *_entries(fields, "clients")]
    return {name for name, item in entries if default_route_said(item.mapping())}


def _entries(fields: dict[str, Item], key: str) -> list[tuple[str, Item]]:
    return list(fields[key].mapping().items()) if key in fields else []


def _free(name: str, taken: set[str]) -> str:
    """`client`, or `client-2` and so on when a container is called so."""
    return next(n for n in (name, *(f"{name}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)


def _host(name: str, item: Item, address: str, named: Mapping[str, str]) -> Host:
    fields = item.fields(HOST_KEYS, of=f"host {name!r}")
    with item.blamed():
        engine = _engine(fields["engine"]) if "engine" in fields else Engine()
        return Host(
            name=name,
            address=address,
            engine=engine,
            link=read_link(fields.get("link")),
            labels={key: value.value for key, value in fields["labels"].pairs()} if "labels" in fields else {},
            routes=read_routes(fields, named),
            firewall=read_firewall(fields.get("firewall")),
            **read_nics(fields),
            **({"arch": fields["arch"].text()} if "arch" in fields else {}),
        )


def _cidr(fields: dict[str, Item], underlay: Underlay, last: int) -> str:
    if "behind" in fields and "address" not in fields:
        fields["behind"].fail("who stands behind a router needs an address", "give it one of the net beyond the router")
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
        if "behind" not in fields:
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


def _client(name: str, item: Item, address: str, named: Mapping[str, str], clients: Item) -> Client:
    fields = item.fields(CLIENT_KEYS, of=f"client {name!r}")
    behind = fields["behind"].text() if "behind" in fields else ""
    if behind in clients.mapping():  # from there its router has another address
        seen = read_router(clients.mapping()[behind].mapping(), named)
        named = {**named, behind: seen.host_ip} if seen else named
    with item.blamed():
        return Client(
            name=name,
            address=address,
            routes=read_routes(fields, named),
            listens=read_listeners(fields["listens"]) if "listens" in fields else (),
            link=read_link(fields.get("link")),
            firewall=read_rules(fields.get("firewall")),
            behind=behind,
            router=read_router(fields, named),
            forward="forward" in fields and fields["forward"].flag(),
        )


def read_faults(item: Item | None) -> list[tuple[Fault, Item]]:
    """`NAME: KIND HOST`, or a list of mappings; and where each stands. Raises SpecError."""
    if item is None:
        return []
    if isinstance(item.value, list):
        return [(_fault("", entry), entry) for entry in item.sequence()]
    return [(_fault(name, entry), entry) for name, entry in item.mapping().items()]


def _fault(name: str, item: Item) -> Fault:
    if isinstance(item.value, dict):
        fields = item.fields(FAULT_KEYS, of="a fault")
        said = {key: fields[key].text() for key in FAULT_KEYS if key in fields}
        if name and said.setdefault("name", name) != name:
            fields["name"].fail(f"the fault is called {name!r} already", "leave the name out")
    else:
        words = " ".join(item.text().split())
        kind, _, host = (words, "", "") if words in KINDS else words.rpartition(" ")
        said = {"name": name, "kind": kind, "host": host}
    for key in ("name", "kind", "host"):
        if not said.get(key):
            item.fail(f"a fault needs a {key}", "write it like `cut: link down h2`")
    with item.blamed():
        return Fault.model_validate(said)
