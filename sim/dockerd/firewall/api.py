"""What a network driver tells the firewall, whatever the era of its rules (later moby calls this a Firewaller)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BridgeRules:
    """A bridge network as the firewall sees it."""

    name: str
    """The bridge device."""
    subnet: str
    internal: bool
    icc: bool
    masquerade: bool
    host_ip: str = ""
    """Source address for what leaves (`com.docker.network.host_ipv4`); empty: MASQUERADE."""


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A published port: `host_ip`:`host_port` leads to `container_ip`:`container_port` on a bridge."""

    bridge: str
    protocol: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int


class Firewall(Protocol):
    """The daemon calls these in the order in which dockerd does."""

    def start(self) -> None:
        """The chains that the driver owns."""

    def drop_forwarded(self) -> None:
        """dockerd itself switched forwarding on, so nobody relied on it: drop what no rule accepts."""

    def bridge_added(self, bridge: BridgeRules) -> None:
        """A bridge network was created."""

    def network_added(self) -> None:
        """Any network was created: the user's chain comes first again."""

    def port_mapped(self, mapping: PortMapping) -> None:
        """A port was published."""

    def port_unmapped(self, mapping: PortMapping) -> None:
        """A port is published no more."""

    def linked(self, bridge: str, parent: str, child: str, ports: Iterable[tuple[int, str]]) -> None:
        """Between two containers of a bridge that forwards nothing among them: `parent` may ask the ports (number,
        protocol) of `child`."""

    def mesh_published(self, bridge: str, address: str, ports: list[tuple[str, int]]) -> None:
        """Ports (protocol, number) of the swarm's routing mesh: they lead to `address`, by the same number."""

    def mesh_unpublished(self, address: str, ports: list[tuple[str, int]]) -> None:
        """They do no more: nobody is behind them."""


class NoFirewall:
    """`--iptables=false`: dockerd writes no rule at all."""

    def start(self) -> None:
        pass

    def drop_forwarded(self) -> None:
        pass

    def bridge_added(self, bridge: BridgeRules) -> None:
        pass

    def network_added(self) -> None:
        pass

    def port_mapped(self, mapping: PortMapping) -> None:
        pass

    def port_unmapped(self, mapping: PortMapping) -> None:
        pass

    def linked(self, bridge: str, parent: str, child: str, ports: Iterable[tuple[int, str]]) -> None:
        pass

    def mesh_published(self, bridge: str, address: str, ports: list[tuple[str, int]]) -> None:
        pass

    def mesh_unpublished(self, address: str, ports: list[tuple[str, int]]) -> None:
        pass
