"""`ports`, all in their long form, and `expose`.

A range of host ports for one container port means "the first free one": each container that asks takes the next, as
moby's portallocator does in turn. In a stack it means all of them, an address is ignored, and the short form is of the
routing mesh (docker/cli's opts/port.go and cli/compose/convert).
Left out: IPv6 host addresses, which are errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sim import checks
from sim.compose.document import Item
from sim.compose.short_ports import PROTOCOLS, in_long_form, port_range, split_protocol
from sim.errors import did_you_mean
from sim.spec import ANYWHERE, Listener, PublishedPort, ServicePort

EVERY_IPV6 = "[::]"


@dataclass(slots=True)
class HostPortRanges:
    """Which ports of each host range are taken so far, over the whole project."""

    taken: dict[tuple[str, str, int, int], int] = field(default_factory=dict)

    def next(self, protocol: str, host_ip: str, ports: range, item: Item) -> int:
        key = (protocol, host_ip, ports.start, ports.stop)
        used = self.taken.get(key, 0)
        if used == len(ports):
            item.fail(
                f"more containers than the {len(ports)} host ports {ports.start}-{ports.stop - 1}", "widen the range"
            )
        self.taken[key] = used + 1
        return ports[used]


def read_ports(item: Item, ranges: HostPortRanges) -> tuple[PublishedPort, ...]:
    """The published ports of one container. Raises SpecError."""
    found: dict[PublishedPort, None] = {}
    for entry in in_long_form(item).value:
        with entry.blamed():
            found[_port(entry, ranges)] = None
    return tuple(found)


def on_host(ports: Iterable[ServicePort]) -> tuple[PublishedPort, ...]:
    """Those in mode host, as each task's container publishes them."""
    return tuple(
        PublishedPort(container_port=port.target, host_port=port.published, protocol=port.protocol)
        for port in ports
        if port.mode == "host"
    )


def read_exposed(item: Item) -> tuple[Listener, ...]:
    """`expose`: 80, "53/udp", "8000-8002". Raises SpecError."""
    found: dict[Listener, None] = {}
    for entry in item.texts():
        text, protocol = split_protocol(entry)
        found.update(dict.fromkeys(
            Listener.model_validate({"port": port, "protocol": protocol}) for port in port_range(text, entry)))
    return tuple(found)


def read_listeners(item: Item) -> tuple[Listener, ...]:
    """x-hopcast's `listens`: as `expose`, and "127.0.0.1:80" for one address alone; `0.0.0.0`, `*` and `[::]` are all
    of them, for a socket on `::` hears IPv4 as well (net.ipv6.bindv6only is 0). Raises SpecError."""
    found: dict[Listener, None] = {}
    for entry in item.texts():
        address, colon, ports = entry.value.strip().rpartition(":")
        if colon and ("[" in address or ":" in address) and address != EVERY_IPV6:
            entry.fail(f"{entry.value!r} listens on IPv6 alone, and Hopcast models IPv4 only",
                       "leave it out: over IPv4 nobody listens there")
        if not colon or address in (EVERY_IPV6, "*"):
            address = ANYWHERE
        elif address == "localhost":
            entry.fail(f"{entry.value!r}: whether localhost is 127.0.0.1 or ::1 is the program's choice",
                       f"write 127.0.0.1:{ports}")
        with entry.blamed():
            checks.check_address(address)
        for listener in read_exposed(entry.holding(ports)):
            if not listener.can_be_asked:
                entry.fail("no probe speaks SCTP, so nobody is asked there", "leave it out: ports and expose keep it")
            found[listener.model_copy(update={"address": address})] = None
    return tuple(found)


def read_service_ports(item: Item, notes: list[str]) -> tuple[ServicePort, ...]:
    """The published ports of a swarm service, by rising published port as the CLI sends them. Raises SpecError."""
    found: list[ServicePort] = []
    for entry in in_long_form(item).value:
        with entry.blamed():
            found += _service_ports(entry, notes)
    return tuple(sorted(dict.fromkeys(found), key=lambda port: port.published))


def _service_ports(entry: Item, notes: list[str]) -> list[ServicePort]:
    fields = _fields(entry)
    # What was written in the long form has a path of its own; what was taken out of a short one has the entry's.
    if "host_ip" in fields:
        if fields["host_ip"].path != entry.path:
            fields["host_ip"].fail("a stack knows no host_ip: its ports are on every address of a node", "remove it")
        if fields["host_ip"].text() != "0.0.0.0":
            notes.append(f"{entry.path}: ignoring IP-address ({fields['host_ip'].text()}) service will listen on "
                         "'0.0.0.0', as docker stack deploy says")
    mode = fields["mode"].text().lower() if "mode" in fields else "ingress"
    if mode not in ("ingress", "host"):
        fields["mode"].fail(f"{mode!r} is no mode of a port", did_you_mean(mode, ["ingress", "host"]))
    said = {"protocol": _protocol(fields), "mode": mode, "target": fields["target"].port()}
    if "published" in fields and fields["published"].path != entry.path and fields["published"].text() not in ("", "0"):
        fields["published"].port()
    return [ServicePort.model_validate({**said, "published": port}) for port in _host_ports(fields) or [0]]


def _port(entry: Item, ranges: HostPortRanges) -> PublishedPort:
    fields = _fields(entry)
    protocol, target = _protocol(fields), fields["target"].port()
    host_ip = fields["host_ip"].text() if "host_ip" in fields else ""
    if host_ip:
        with fields["host_ip"].blamed():
            checks.check_address(host_ip)
    host_ip = host_ip or "0.0.0.0"
    hosts = _host_ports(fields)
    chosen = ranges.next(protocol, host_ip, hosts, fields["published"]) if len(hosts) > 1 else [*hosts, 0][0]
    return PublishedPort.model_validate(
        {"container_port": target, "host_port": chosen, "host_ip": host_ip, "protocol": protocol})


def _fields(entry: Item) -> dict[str, Item]:
    fields = entry.mapping()
    if "target" not in fields:
        entry.fail("a port needs a target", "give the container's port as `target: 80`")
    return fields


def _protocol(fields: dict[str, Item]) -> str:
    protocol = fields["protocol"].text().lower() if "protocol" in fields else "tcp"
    if protocol not in PROTOCOLS:
        fields["protocol"].fail(f"{protocol!r} is no protocol of ports", "use tcp, udp or sctp")
    return protocol


def _host_ports(fields: dict[str, Item]) -> range:
    """The host ports that the engine may take; none where it chooses itself."""
    text = fields["published"].text() if "published" in fields else ""
    ports = port_range(text, fields["published"], zero=True) if text else range(0)
    return range(0) if ports == range(1) else ports
