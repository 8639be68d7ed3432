"""A published port in the short form: `[HOST_IP:][HOST_PORT:]CONTAINER_PORT[/PROTOCOL]`, with ranges.

Follows go-connections' nat.ParsePortSpec. What it says becomes the long form: one mapping for each container port; a
range of host ports for a single container port stays a range.
"""

from __future__ import annotations

import re
from dataclasses import replace

from sim import checks
from sim.compose.document import Item

PROTOCOLS = ("tcp", "udp", "sctp")
MAX_RANGE = 1000
MOST_PORTS = 4000
"""Of one service."""
_MEND = "write it like 8080:80, 127.0.0.1:8080:80/udp or 3000-3002:3000-3002"


def in_long_form(item: Item) -> Item:
    """`ports` with each entry in its long form. Raises SpecError."""
    ports: list[Item] = []
    for entry in item.sequence():
        ports += [entry] if isinstance(entry.value, dict) else read_short(entry)
        if len(ports) > MOST_PORTS:
            entry.fail(f"more than {MOST_PORTS} ports of one service", "declare those that are used")
    return item.holding(ports)


def read_short(entry: Item) -> list[Item]:
    """The long forms of a short port, all at its place. Raises SpecError."""
    text, protocol = split_protocol(entry)
    if "[" in text or text.count(":") > 2:
        entry.fail(f"{text!r} has an IPv6 host address, and Hopcast models IPv4 only", "bind an IPv4 address, or none")
    *before, inside = text.split(":")
    published = before.pop() if before else ""
    if not before and "." in published:
        entry.fail(
            f"{text!r} has a host address and one port only",
            f"write {published}::{inside} for a host port of the engine's choice",
        )
    host_ip = before[0] if before else ""
    if host_ip:
        with entry.blamed():
            checks.check_address(host_ip)
    targets = port_range(inside, entry)
    hosts = port_range(published, entry, zero=True) if published else None
    if hosts is not None and len(hosts) != len(targets) and len(targets) > 1:
        entry.fail(f"{len(hosts)} host ports for {len(targets)} container ports", "make both ranges equally long")
    found = []
    for number, target in enumerate(targets):
        fields: dict[str, object] = {"mode": "ingress", "target": target, "protocol": protocol}
        if host_ip:
            fields["host_ip"] = host_ip
        if hosts is not None:
            fields["published"] = published if len(targets) == 1 else str(hosts[number])
        found.append(entry.holding({key: entry.holding(value) for key, value in fields.items()}))
    return found


def split_protocol(entry: Item) -> tuple[str, str]:
    """`53/udp` -> ("53", "udp")"""
    port, _, protocol = entry.text().strip().partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        entry.fail(f"{protocol!r} is no protocol of ports", "use tcp, udp or sctp")
    return port, protocol


def port_range(text: str, entry: Item, *, zero: bool = False) -> range:
    """`80` or `8000-8002`; `zero`: 0 stands for a port of the engine's choice. Raises SpecError."""
    found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
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
