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

from live import links
from live.deployment import Deployment
from live.links import Link, RouteLine
from sim.packet import BROADCAST, ZERO_MAC
from sim.spec import DEFAULT_NETWORK, Container

BRIDGE_NAME = "com.docker.network.bridge.name"
DRAWN = re.compile(r"br-[0-9a-f]{12}")
DEVICE = re.compile(r"[^\s()@\"/]+")


@dataclass(slots=True)
class Names:
    """`devices`: label -> real name -> canonical name; `macs`: real MAC -> symbol. `links` and `routes` are what was
    read on the way, by label."""

    devices: dict[str, dict[str, str]] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)
    links: dict[str, list[Link]] = field(default_factory=dict)
    routes: dict[str, list[RouteLine]] = field(default_factory=dict)

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
    network_of = {host.name: _networks(deployment, host.name) for host in spec.hosts}
    for host in spec.hosts:
        names.devices[host.name] = {
            real: f"br({network})" for real, network in network_of[host.name].items() if DRAWN.fullmatch(real)}
    for box in spec.containers:
        if spec.netns_of(box.name) == box.name:
            _name_veths(names, box, network_of[box.host])
    for label, found in names.links.items():
        fixed = _fixed_macs(spec.container(label), found) if label in here else set()
        for link in found:
            if link.mac not in ("", ZERO_MAC, BROADCAST) and link.mac not in fixed:
                names.macs[link.mac] = f"mac({label}:{names.device(label, link.name)})"
    for label in deployment.underlay():
        del names.links[label], names.routes[label]
    return names


def _networks(deployment: Deployment, host: str) -> dict[str, str]:
    """A host's bridges, by their real names -> the network: named by the user, or by dockerd after the network's id."""
    found = {"docker0": DEFAULT_NETWORK}
    for (where, name), ident in deployment.network_ids.items():
        if where == host and name != DEFAULT_NETWORK:
            network = deployment.spec.network(name)
            found[(network and network.options.get(BRIDGE_NAME)) or f"br-{ident[:12]}"] = name
    return found


def _name_veths(names: Names, box: Container, network_of: Mapping[str, str]) -> None:
    """The host's ends of a container's veths, by the peer's index and the bridge that they are in."""
    on_host = {link.index: link for link in names.links[box.host]}
    renamed = names.devices[box.host]
    for link in names.links[box.name]:
        peer = on_host.get(link.peer) if link.kind == "veth" else None
        bridge = on_host[peer.master].name if peer is not None and peer.master in on_host else ""
        if peer is not None and bridge in network_of:
            renamed[peer.name] = f"veth({box.name}@{network_of[bridge]})"


def _fixed_macs(box: Container | None, found: Iterable[Link]) -> set[str]:
    if box is None:
        return set()
    asked = {box.mac_address, *(attachment.mac_address for attachment in box.attachments)}
    derived = {
        "02:42:" + ":".join(f"{int(part):02x}" for part in address.partition("/")[0].split("."))
        for link in found for address in link.addresses
    }
    return {mac.lower().replace("-", ":") for mac in asked} | derived
