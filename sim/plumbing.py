"""What stands in each network namespace, as data: predicted from the model's kernel objects, observed with `ip` and
`iptables-save` on the real ones. Both sides use canonical names (see `sim/spec.py`), so the two can be compared as they
are.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any


@dataclass(frozen=True, slots=True)
class Interface:
    """`kind`: loopback | veth | bridge | link (the uplink) | macvlan | ipvlan | vlan | dummy | vxlan. `addresses` are
    IPv4 CIDRs."""

    name: str
    kind: str
    mac: str = ""
    addresses: tuple[str, ...] = ()
    mtu: int = 1500
    master: str = ""
    up: bool = True
    options: str = ""
    """What the kind has besides, in the words of `ip -d link`: a macvlan's or ipvlan's mode, a vlan's id, a vxlan's id,
    port and flags."""


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """A line of the main table. `dst` is a CIDR or "default"; `via` and `src` may be empty."""

    dst: str
    dev: str
    via: str = ""
    src: str = ""


@dataclass(slots=True)
class Namespace:
    """`rules`: table -> the lines of `iptables-save` between `*table` and COMMIT, without counters:
    `:INPUT ACCEPT` (chains in iptables-save's order) then `-A …` in order. A table that nobody touched is absent.
    `listeners`: (protocol, address, port) of the engine's own listeners (docker-proxy), sorted; not the DNS's random
    ports.
    `nameservers`: the lines `nameserver X` of resolv.conf."""

    label: str
    interfaces: dict[str, Interface] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    rules: dict[str, list[str]] = field(default_factory=dict)
    listeners: list[tuple[str, str, int]] = field(default_factory=list)
    nameservers: list[str] = field(default_factory=list)
    neighbours: list[str] = field(default_factory=list)
    """The permanent ones: `ADDRESS dev DEVICE lladdr MAC`."""
    remotes: list[str] = field(default_factory=list)
    """The permanent entries of vxlan devices' forwarding databases: `MAC dev DEVICE dst ADDRESS`."""
    balanced: list[str] = field(default_factory=list)
    """IPVS, a line a destination: `fwmark 256 rr -> 10.0.0.6 masq weight 1`."""
    policies: list[str] = field(default_factory=list)
    """xfrm, in the words of `ip xfrm`: policies and states, sorted, without keys; SPIs by their symbols
    `spi(FROM>TO#N)` (sim/dockerd/drivers/encryption.py)."""


@dataclass(slots=True)
class Plumbing:
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    """What the engine warned about while deploying, e.g. that published ports are discarded in host mode."""
    inspected: dict[str, list[str]] = field(default_factory=dict)
    """Host -> what its engine says of networks and services (`docker network inspect`, `docker service inspect`)."""

    def points(self, kind: str) -> set[str]:
        """`namespace:device` of every interface of a kind."""
        return {f"{label}:{device.name}" for label, netns in self.namespaces.items()
                for device in netns.interfaces.values() if device.kind == kind}

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


PUBLISHED = re.compile(
    r"-A (?P<chain>DOCKER|POSTROUTING) .*?(?:-s \S+ -d (?P<masq>\S+)/32 .*-j MASQUERADE"
    r"|-d (?P<accept>\S+)/32 ! -i .*-j ACCEPT|-j DNAT --to-destination (?P<dnat>[\d.]+):\d+)$")


LINKED = re.compile(
    r"-A DOCKER -s (?P<one>\S+)/32 -d (?P<other>\S+)/32 -i (\S+) -o \3 .*--(?P<side>[sd])port \d+ -j ACCEPT")


def unordered(rules: list[str]) -> list[str]:
    """iptables-save's lines with the rules of each container's published ports, and those of its links, sorted among
    themselves.

    They stand together, match different packets, and dockerd takes them from a Go map, in another order each time
    (`binding_order` in sim/dockerd/portmap.py, `links_of` in links.py).
    """
    ordered: list[str] = []
    for owner, group in groupby(rules, _owner):
        lines = list(group)
        ordered += sorted(lines) if owner else lines
    return ordered


def _owner(rule: str) -> tuple[str, str] | None:
    """(chain, container's address) of a published port's rule, or of one that a container's links made."""
    if link := LINKED.fullmatch(rule):
        return "link", link["one"] if link["side"] == "d" else link["other"]
    found = PUBLISHED.fullmatch(rule)
    return (found["chain"], found["masq"] or found["accept"] or found["dnat"]) if found else None
