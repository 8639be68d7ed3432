"""Real names to canonical ones: `br-0a1b…` to `br(front)`, `veth3f…` to `veth(web@front)`, random MACs to symbols.

Predictions can't know what dockerd and the kernel draw at random, so everything observed passes through here before it
is compared. The names are those of `sim/spec.py`. They are found by ids and indexes, never by guessing: a bridge by its
network's id, the host's end of a veth by the index that the container's end has for its peer.

A container's MAC that dockerd derived from its address (02:42 + the address) or that the Spec asked for stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from live import links, xfrm
from live.deployment import Deployment
from live.links import Link, RouteLine
from sim.packet import BROADCAST, ZERO_MAC
from sim.spec import DEFAULT_NETWORK, Container

BRIDGE_NAME = "com.docker.network.bridge.name"
BORROWERS = ("ipvlan", "vlan")
"""Kinds of devices that have their parent's MAC address, and with it the parent's symbol."""
GWBRIDGE = "docker_gwbridge"
"""The bridge, and the engine's network, that leads out of overlay networks."""
DUMMIES = ("dm", "di")
"""What the engine calls the dummy parents of its macvlan and ipvlan networks, before the network's id."""
DRAWN = re.compile(r"br-[0-9a-f]{12}")
DEVICE = re.compile(r"[^\s()@\"/]+")


@dataclass(slots=True)
class Names:
    """`devices`: label -> real name -> canonical name; `macs`: real MAC -> symbol. `links` and `routes` are what was
    read on the way, by label; `ipsec` that of hosts; `spis`: real SPI -> symbol."""

    devices: dict[str, dict[str, str]] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)
    links: dict[str, list[Link]] = field(default_factory=dict)
    routes: dict[str, list[RouteLine]] = field(default_factory=dict)
    ipsec: dict[str, list[xfrm.Line]] = field(default_factory=dict)
    spis: dict[str, str] = field(default_factory=dict)

    def device(self, label: str, real: str) -> str:
        """Canonical name; the real one where nothing is random about it."""
        return self.devices.get(label, {}).get(real, real)

    def real(self, label: str, canonical: str) -> str:
        """What the kernel calls it. KeyError when there is no such device."""
        for link in self.links[label]:
            if self.device(label, link.name) == canonical:
                return link.name
        raise KeyError(f"{label}:{canonical}")

    def mac(self, real: str) -> str:
        """The symbol of a random MAC, else the MAC itself."""
        return self.macs.get(real.lower(), real.lower())

    def mac_of(self, label: str, link: Link) -> str:
        """As `mac`, for a device: a bridge without an address of its own has one of its ports', and both have their
        symbol.
        """
        own = link.mac in self.macs and link.kind not in BORROWERS
        return f"mac({label}:{self.device(label, link.name)})" if own else self.mac(link.mac)

    def text(self, label: str, line: str) -> str:
        """A line of iptables-save with its devices renamed."""
        return DEVICE.sub(lambda match: self.device(label, match[0]), line)

    def points(self) -> list[tuple[str, str, str]]:
        """(label, canonical device, real device) of every device that is up."""
        return [(label, self.device(label, link.name), link.name)
                for label, found in self.links.items() for link in found if link.up]


def learn(deployment: Deployment) -> Names:
    """Reads every namespace of a deployment once. LabError when a container does not run any more."""
    names = Names()
    spec = deployment.spec
    here = deployment.namespaces()
    for label, path in (here | deployment.underlay()).items():
        names.links[label], names.routes[label] = links.read(path)
    if spec.in_swarm:
        names.ipsec = {host.name: xfrm.read(here[host.name]) for host in spec.hosts}
        names.spis = xfrm.symbols(line for lines in names.ipsec.values() for line in lines)
    network_of = {host.name: _networks(deployment, host.name) for host in spec.hosts}
    for host in spec.hosts:
        names.devices[host.name] = {
            real: f"br({network})" for real, network in network_of[host.name].items() if DRAWN.fullmatch(real)}
        names.devices[host.name] |= {
            f"{dummy}-{ident[:12]}": f"{dummy}({network})"
            for (where, network), ident in deployment.network_ids.items() if where == host.name
            for dummy in DUMMIES}
    for box in spec.containers:
        if spec.netns_of(box.name) == box.name and box.name in here:
            _name_veths(names, box.name, box.name, box.host, network_of[box.host])
    for label in deployment.engine_namespaces():
        sandbox, _, where = label.rpartition("@")
        if not sandbox.startswith("ov("):
            _name_veths(names, label, sandbox.partition("(")[0], where, network_of[where])
    # A container's address stays as it is wherever it shows: macvlan in mode passthru gives it to the parent as well.
    fixed = {mac for label in here for mac in _fixed_macs(spec.container(label), names.links[label])}
    for label, found in names.links.items():
        # A bridge that takes one of its ports' addresses is the one that speaks with it: so bridges come last.
        for link in sorted(found, key=lambda each: each.kind == "bridge"):
            if link.mac not in ("", ZERO_MAC, BROADCAST) and link.mac not in fixed and link.kind not in BORROWERS:
                names.macs[link.mac] = f"mac({label}:{names.device(label, link.name)})"
    for label in deployment.underlay():
        del names.links[label], names.routes[label]
    return names


def _networks(deployment: Deployment, host: str) -> dict[str, str]:
    """A host's bridges, by their real names -> the network: named by the user, or by dockerd after the network's id."""
    found = {"docker0": DEFAULT_NETWORK, GWBRIDGE: GWBRIDGE}
    for (where, name), ident in deployment.network_ids.items():
        if where == host and name != DEFAULT_NETWORK:
            network = deployment.spec.network(name)
            found[(network and network.options.get(BRIDGE_NAME)) or f"br-{ident[:12]}"] = name
    return found


def _name_veths(names: Names, label: str, shown: str, host: str, network_of: Mapping[str, str]) -> None:
    """The other ends of a sandbox's veths, which point at each other by their indexes: in the host's namespace,
    known by the bridge that they are in, or in that of an overlay network."""
    for where, found in names.links.items():
        overlay, _, on = where.rpartition("@")
        if where != host and not (on == host and overlay.startswith("ov(")):
            continue
        by_index = {link.index: link for link in found}
        for link in names.links[label]:
            peer = by_index.get(link.peer) if link.kind == "veth" else None
            if peer is None or peer.kind != "veth" or peer.peer != link.index or peer.master not in by_index:
                continue
            network = overlay[3:-1] if overlay else network_of.get(by_index[peer.master].name)
            if network:
                names.devices.setdefault(where, {})[peer.name] = f"veth({shown}@{network})"


def _fixed_macs(box: Container | None, found: Iterable[Link]) -> set[str]:
    asked = {box.mac_address, *(attachment.mac_address for attachment in box.attachments)} if box else set()
    derived = {
        "02:42:" + ":".join(f"{int(part):02x}" for part in address.partition("/")[0].split("."))
        for link in found for address in link.addresses
    }
    return {mac.lower().replace("-", ":") for mac in asked} | derived
