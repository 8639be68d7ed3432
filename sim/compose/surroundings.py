"""`x-hopcast`: the world around the hosts. Firewalls, routes, routers with what is behind them, names, the internet.

    hosts:
      host:
        firewall: ["-A INPUT -p tcp --dport 9200 -j DROP", "-I DOCKER-USER -s 192.168.99.200 -j DROP"]
        routes: ["172.18.5.0/24 via vpngw"]
        gateway: router                                 # the default route
    clients:
      router: {address: 192.168.99.1/24, beyond: 203.0.113.7/24, nat: true, forwards: ["443 -> host:443"]}
      vpngw: {address: 192.168.99.2/24, beyond: 172.18.5.1/24}
      nas: {behind: vpngw, address: 172.18.5.20/24, listens: [443]}
    names: {example.org: 93.184.216.34, nas.lan: nas}
    internet: true                                      # or {listens: [80, 443, 53/udp]}

A gateway, the next hop of a route and the target of a forwarded port may be called by a machine's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

from sim import checks
from sim.checks.firewall import check_rule_line
from sim.compose.document import Item
from sim.compose.ports import read_listeners
from sim.compose.underlay import LINK_KEYS, read_link
from sim.errors import SpecError, did_you_mean
from sim.spec import Client, Firewall, Forward, Host, Listener, Router, Spec

ROUTER_KEYS = {"beyond", "nat", "hairpin", "forwards"}
FIREWALL_KEYS = {"before", "after"}
BEYOND_KEYS = LINK_KEYS | {"address"}
INTERNET_KEYS = {"listens"}
INTERNET = (Listener(port=80), Listener(port=443), Listener(port=53, protocol="udp"))
"""Where the internet listens when the file says no more than that there is one."""
PUBLIC = "203.0.113.0/24"
"""TEST-NET-3 (RFC 5737): between a router of our own making and the internet."""
NONE = {"none", "false"}
FORWARD = re.compile(r"(\d{1,5})(?:/(tcp|udp))?\s*->\s*([^\s:/]+)(?::(\d{1,5}))?")
NAME = re.compile(r"(?=.{1,253}\.?$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?")

Named = Mapping[str, str]
"""Machine -> its address, without the prefix length."""


def read_firewall(item: Item | None) -> Firewall:
    """Of a host: lines of iptables, each where it belongs; or said where: `{before: […], after: […]}`."""
    if item is None:
        return Firewall()
    if isinstance(item.value, dict):
        fields = item.fields(FIREWALL_KEYS, of="a firewall")
        with item.blamed():
            return Firewall(**{key: tuple(_lines(value)) for key, value in fields.items()})
    return Firewall.of(_lines(item))


def read_rules(item: Item | None) -> tuple[str, ...]:
    """A client's: there is no engine to wait for."""
    return tuple(_lines(item)) if item is not None else ()


def _lines(item: Item) -> list[str]:
    """A list of lines, or a text with one a line, of which those that begin with # say nothing."""
    found = []
    for entry in item.texts():
        for line in entry.value.splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                with entry.blamed():
                    found.append(check_rule_line(line.strip()))
    return found


def default_route_said(fields: Mapping[str, Item]) -> bool:
    """Does a machine say whether it has a default route?"""
    routes = fields["routes"].texts() if "routes" in fields else []
    return "gateway" in fields or any(route.value.split()[:1] == ["default"] for route in routes)


def read_routes(fields: Mapping[str, Item], named: Named) -> tuple[str, ...]:
    """A machine's routes, its gateway's behind the others."""
    routes = []
    for route in fields["routes"].texts() if "routes" in fields else []:
        words = route.value.split()
        with route.blamed():
            if len(words) == 3 and words[1] == "via":
                words[2] = _address(words[2], named)
            routes.append(checks.check_route(" ".join(words)))
    if "gateway" in fields and fields["gateway"].text().lower() not in NONE:
        with fields["gateway"].blamed():
            routes.append(f"default via {_address(fields['gateway'].text(), named)}")
    return tuple(routes)


def _address(text: str, named: Named) -> str:
    """Of a machine, or as it is written. Raises SpecError."""
    if text in named:
        return named[text]
    if not re.fullmatch(r"[\d.]+", text) and ":" not in text:
        raise SpecError(f"unknown machine {text!r}", mend=did_you_mean(text, named))
    return checks.check_address(text)


def read_router(fields: Mapping[str, Item], named: Named) -> Router | None:
    """What a client says of itself as a router; None: nothing."""
    if "beyond" not in fields:
        for key in ROUTER_KEYS & set(fields):
            fields[key].fail(f"{key} without beyond", "say its other side: `beyond: 203.0.113.7/24`")
        return None
    item = fields["beyond"]
    said = item.fields(BEYOND_KEYS, of="beyond") if isinstance(item.value, dict) else {"address": item}
    if "address" not in said:
        item.fail("beyond needs an address", "write {address: 203.0.113.7/24, mtu: 1492}")
    address = said.pop("address")
    with address.blamed():
        found: dict[str, object] = {"address": checks.check_cidr(address.text())}
    found |= read_link(item.holding(said)).model_dump(exclude_none=True)
    found |= {key: fields[key].flag() for key in ("nat", "hairpin") if key in fields}
    if "forwards" in fields:
        found["forwards"] = tuple(_forward(each, named) for each in fields["forwards"].texts())
    with fields.get("forwards", item).blamed():
        return Router.model_validate(found)


def _forward(item: Item, named: Named) -> Forward:
    match = FORWARD.fullmatch(item.value.strip())
    if match is None:
        item.fail(f"{item.value!r} is no forwarded port", "write it like `443 -> host:443` or `53/udp -> nas`")
    port, protocol, target, to = match.groups()
    for number in filter(None, (port, to)):
        if not 1 <= int(number) <= 65535:
            item.fail(f"port {number} is out of range", "use 1-65535")
    with item.blamed():
        return Forward(port=int(port), protocol=protocol or "tcp", address=_address(target, named), to=int(to or port))


def gateways_of_nobody(spec: Spec) -> list[str]:
    """Notes: next hops that no machine of the file has, nor a container by an address of its own choice."""
    taken = {machine.address.partition("/")[0] for machine in spec.machines}
    taken |= {client.router.host_ip for client in spec.clients if client.router}
    taken |= {attachment.ipv4_address for box in spec.containers for attachment in box.attachments}
    ways = [(machine.name, line.rpartition(" ")[2]) for machine in spec.machines for line in machine.routes]
    return [f"{via}, the next hop of {name}, is nobody's address: declare a client that has it (`beyond` says what is "
            "on its other side)" for name, via in dict.fromkeys(ways) if via not in taken]


def read_names(item: Item | None, named: Named) -> dict[str, str]:
    """What the underlay's name server knows."""
    found = {}
    for name, value in item.mapping().items() if item is not None else ():
        if not NAME.fullmatch(name.lower()):
            value.fail(f"{name!r} is no name", "write it like example.org")
        with value.blamed():
            found[name.lower().rstrip(".")] = _address(value.text(), named)
    return found


def with_internet(
    item: Item | None, hosts: Sequence[Host], clients: Sequence[Client], open_to: set[str], called: Mapping[str, str],
) -> tuple[tuple[Host, ...], tuple[Client, ...]]:
    """All machines, and where the file says `internet`: a router with NAT, unless there is one, and the internet behind
    it. `open_to`: who says nothing of a default route, and has it there. `called`: names for these two."""
    fields = item.fields(INTERNET_KEYS, of="internet") if item and isinstance(item.value, dict) else {}
    if item is None or (not fields and not isinstance(item.value, dict) and not item.flag()):
        return tuple(hosts), tuple(clients)
    with item.blamed():
        router = next((each for each in clients if each.router and each.router.nat and not each.behind), None)
        everybody = [*clients] if router else [*clients, _our_router(hosts, clients, called["router"])]
        router = router or everybody[-1]
        assert router.router is not None
        beyond = checks.subnet_of(router.router.address)
        taken = {each.address.partition("/")[0] for each in clients} | {router.router.host_ip}
        address = next((str(a) for a in beyond.hosts() if str(a) not in taken), None)
        if address is None:
            raise SpecError(f"{beyond} has no address left for the internet", mend="give its router a larger net")
    ways = {router.name: address} | dict.fromkeys(open_to - {router.name}, router.address.partition("/")[0])
    inside = checks.subnet_of(router.address)

    def opened(machine: Host | Client) -> dict[str, tuple[str, ...]]:
        said = any(route.startswith("default ") for route in machine.routes)
        there = checks.subnet_of(machine.address).subnet_of(inside)
        way = ways.get(machine.name) if there and not said else None
        return {"routes": (*machine.routes, f"default via {way}")} if way else {}

    internet = Client(
        name=called["internet"], address=f"{address}/{beyond.prefixlen}", behind=router.name, everywhere=True,
        listens=read_listeners(fields["listens"]) if "listens" in fields else INTERNET)
    return (tuple(host.model_copy(update=opened(host)) for host in hosts),
            (*(each.model_copy(update=opened(each)) for each in everybody), internet))


def _our_router(hosts: Sequence[Host], clients: Sequence[Client], name: str) -> Client:
    """At the first address of the hosts' subnet."""
    inside = checks.subnet_of(hosts[0].address)
    address = f"{inside.network_address + 1}/{inside.prefixlen}"
    machines: list[Host | Client] = [*hosts, *clients]
    if holder := next((each for each in machines if each.address == address), None):
        raise SpecError(
            f"the way to the internet is a router at {address}, which is {holder.name!r}",
            mend=f"make a router of it: `beyond: {_far_address(inside)}` and `nat: true`, or give it another address")
    return Client(name=name, address=address, router=Router(address=_far_address(inside), nat=True))


def _far_address(inside: IPv4Network) -> str:
    """Number 2 of PUBLIC, or of the next net of documentation where that is the hosts' own."""
    nets = map(IPv4Network, (PUBLIC, "198.51.100.0/24"))
    far = next(net for net in nets if not net.overlaps(inside))
    return f"{far.network_address + 2}/{far.prefixlen}"
