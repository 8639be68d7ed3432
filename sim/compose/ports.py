"""`ports` and `expose`, in Compose's short and long forms, with ranges.

Follows go-connections' nat.ParsePortSpec and compose-go's ports transform. A range of host ports for one container port
means "the first free one": each container that asks takes the next, as moby's portallocator does in turn.
In a stack it means all of them, an address is ignored, and the short form is of the routing mesh (docker/cli's
opts/port.go and cli/compose/convert).
Left out: IPv6 host addresses and SCTP, which are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sized
from dataclasses import dataclass, field, replace
from typing import NoReturn

from sim import checks
from sim.compose.document import Item
from sim.errors import SpecError, did_you_mean
from sim.spec import ANYWHERE, Listener, PublishedPort, ServicePort

LONG_KEYS = {"target", "published", "host_ip", "protocol", "mode", "name", "app_protocol"}
MAX_RANGE = 1000
EVERY_IPV6 = "[::]"
_MEND = "write it like 8080:80, 127.0.0.1:8080:80/udp or 3000-3002:3000-3002"


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
    for entry in item.sequence():
        with entry.blamed():
            ports = _long(entry, ranges) if isinstance(entry.value, dict) else _short(entry, ranges)
        found.update(dict.fromkeys(ports))
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
        text, protocol = _protocol(entry.value, entry)
        found.update(dict.fromkeys(Listener(port=port, protocol=protocol) for port in _range(text, entry)))
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
            found[listener.model_copy(update={"address": address})] = None
    return tuple(found)


def read_service_ports(item: Item, notes: list[str]) -> tuple[ServicePort, ...]:
    """The published ports of a swarm service, by rising published port as the CLI sends them. Raises SpecError."""
    found: list[ServicePort] = []
    for entry in item.sequence():
        with entry.blamed():
            if isinstance(entry.value, dict):
                found.append(_service_port(entry))
                continue
            written = _read_short(entry)
            if written.host_ip not in ("", "0.0.0.0"):
                checks.check_address(written.host_ip)
                notes.append(
                    f"{entry.path}: ignoring IP-address ({entry.text()}) service will listen on '0.0.0.0', as docker "
                    "stack deploy says"
                )
            targets, published = written.targets, written.host_ports(entry)
            if len(published) != len(targets) and len(targets) > 1:
                _unequal(published, targets, entry)
            pairs = [(targets[0], port) for port in published] if len(targets) == 1 else zip(
                targets, published, strict=True)
            found += [ServicePort.model_validate({"target": target, "published": port, "protocol": written.protocol})
                      for target, port in pairs]
    return tuple(sorted(dict.fromkeys(found), key=lambda port: port.published))


def _service_port(entry: Item) -> ServicePort:
    fields = entry.fields(LONG_KEYS, of="a port")
    if "target" not in fields:
        entry.fail("a port needs a target", "give the container's port as `target: 80`")
    if "host_ip" in fields:
        fields["host_ip"].fail("a stack knows no host_ip: its ports are on every address of a node", "remove it")
    said = {key: fields[key].text().lower() for key in ("protocol", "mode") if key in fields}
    if said.get("protocol", "tcp") not in ("tcp", "udp"):
        fields["protocol"].fail(f"protocol {said['protocol']!r} is not modelled", "use tcp or udp")
    if said.get("mode", "ingress") not in ("ingress", "host"):
        fields["mode"].fail(f"{said['mode']!r} is no mode of a port", did_you_mean(said["mode"], ["ingress", "host"]))
    published = fields["published"].text() if "published" in fields else ""
    port = fields["published"].port() if published not in ("", "0") else 0
    return ServicePort.model_validate({"target": fields["target"].port(), "published": port, **said})


@dataclass(frozen=True, slots=True)
class _Written:
    """A port in the short form, taken apart."""

    targets: range
    published: str
    host_ip: str
    protocol: str

    def host_ports(self, entry: Item) -> list[int]:
        """One for each target, 0 where the swarm may choose; or several for one target."""
        hosts = _range(self.published, entry, zero=True) if self.published else range(1)
        return [0] * len(self.targets) if hosts == range(1) else list(hosts)


def _short(entry: Item, ranges: HostPortRanges) -> list[PublishedPort]:
    written = _read_short(entry)
    return _pair(written.targets, written.published, written.host_ip, written.protocol, entry, ranges)


def _read_short(entry: Item) -> _Written:
    """`[HOST_IP:][HOST_PORT:]CONTAINER_PORT[/PROTOCOL]`"""
    text, protocol = _protocol(entry.text(), entry)
    if "[" in text or text.count(":") > 2:
        entry.fail(f"{text!r} has an IPv6 host address, and Hopcast models IPv4 only", "bind an IPv4 address, or none")
    parts = text.split(":")
    host_ip = parts[0] if len(parts) == 3 else ""
    published = parts[-2] if len(parts) > 1 else ""
    if len(parts) == 2 and "." in published:
        entry.fail(
            f"{text!r} has a host address and one port only",
            f"write {published}::{parts[-1]} for a host port of the engine's choice",
        )
    return _Written(_range(parts[-1], entry), published, host_ip, protocol)


def _unequal(hosts: Sized, targets: Sized, entry: Item) -> NoReturn:
    entry.fail(f"{len(hosts)} host ports for {len(targets)} container ports", "make both ranges equally long")


def _long(entry: Item, ranges: HostPortRanges) -> list[PublishedPort]:
    fields = entry.fields(LONG_KEYS, of="a port")
    if "target" not in fields:
        entry.fail("a port needs a target", "give the container's port as `target: 80`")
    protocol = fields["protocol"].text().lower() if "protocol" in fields else "tcp"
    if protocol not in ("tcp", "udp"):
        fields["protocol"].fail(f"protocol {protocol!r} is not modelled", "use tcp or udp")
    target = fields["target"].port()
    host_ip = fields["host_ip"].text() if "host_ip" in fields else ""
    published = fields["published"].text() if "published" in fields else ""
    return _pair(range(target, target + 1), published, host_ip, protocol, fields.get("published", entry), ranges)


def _pair(
    targets: range, published: str, host_ip: str, protocol: str, entry: Item, ranges: HostPortRanges
) -> list[PublishedPort]:
    """Container ports with host ports: none, as many, or a range for one container port."""
    if host_ip:
        with entry.blamed():
            checks.check_address(host_ip)
    host_ip = host_ip or "0.0.0.0"
    hosts = _range(published, entry, zero=True) if published else None
    if hosts is None or hosts == range(1):
        chosen = [0] * len(targets)
    elif len(hosts) == len(targets):
        chosen = list(hosts)
    elif len(targets) == 1:
        chosen = [ranges.next(protocol, host_ip, hosts, entry)]
    else:
        _unequal(hosts, targets, entry)
    try:
        return [
            PublishedPort.model_validate(
                {"container_port": target, "host_port": port, "host_ip": host_ip, "protocol": protocol}
            )
            for target, port in zip(targets, chosen, strict=True)
        ]
    except SpecError as error:
        entry.fail(error.problem, error.mend)


def _protocol(text: str, entry: Item) -> tuple[str, str]:
    """`53/udp` -> ("53", "udp")"""
    port, slash, protocol = text.strip().partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in ("tcp", "udp"):
        entry.fail(f"protocol {protocol!r} is not modelled", "use tcp or udp")
    return port, protocol


def _range(text: str, entry: Item, *, zero: bool = False) -> range:
    """`80` or `8000-8002`."""
    found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text, re.ASCII)
    if found is None:
        entry.fail(f"{text!r} is no port", _MEND)
    first, last = int(found[1]), int(found[2] or found[1])
    for port in (first, last):
        replace(entry, value=port if port or not zero else 1).port()
    if last < first:
        entry.fail(f"the range {text} runs backwards", f"write {last}-{first}")
    if last - first >= MAX_RANGE:
        entry.fail(
            f"the range {text} has {last - first + 1} ports", f"declare at most {MAX_RANGE}, those that are used"
        )
    return range(first, last + 1)
