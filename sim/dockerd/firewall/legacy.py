"""The rules of the 20.10 era, as the command lines that dockerd runs, in its order, with its -I and its -A.

Follows libnetwork of moby v20.10: drivers/bridge/setup_ip_tables.go, iptables/iptables.go, firewall_linux.go,
drivers/bridge/setup_ip_forwarding.go. Left out: ip6tables, firewalld, and removing what was added.
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.dockerd.firewall.api import BridgeRules, PortMapping
from sim.kernel.netns import Netns

DOCKER, USER, MESH = "DOCKER", "DOCKER-USER", "DOCKER-INGRESS"
STAGE1, STAGE2 = "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"


class LegacyFirewall:
    """`hairpin`: no userland proxy; the rules alone serve the host itself and the container's own bridge."""

    def __init__(self, netns: Netns, hairpin: bool) -> None:
        self.netns, self.hairpin = netns, hairpin
        self._present: set[tuple[str, str, str]] = set()
        """(table, chain, rule): what `iptables -C` would find of our own."""

    def start(self) -> None:
        self.netns.iptables(f"-t nat -N {DOCKER}")
        for chain in (DOCKER, STAGE1, STAGE2):
            self.netns.iptables(f"-t filter -N {chain}")
        for chain in (STAGE1, STAGE2):
            self._ensure("-A", "filter", chain, "-j RETURN")

    def drop_forwarded(self) -> None:
        self.netns.iptables("-t filter -P FORWARD DROP")

    def network_added(self) -> None:
        """`arrangeIngressFilterRule`, `arrangeUserFilterRule`"""
        if ("filter", "FORWARD", f"-j {MESH}") in self._present:
            self._on_top(MESH)
        self._user_chain()

    def _user_chain(self) -> None:
        if ("filter", USER, "-j RETURN") not in self._present:
            self.netns.iptables(f"-t filter -N {USER}")
            self._ensure("-A", "filter", USER, "-j RETURN")
        self._on_top(USER)

    def bridge_added(self, bridge: BridgeRules) -> None:
        """`setupIPTables`, then `isolateNetwork`"""
        if bridge.internal:
            self._internal(bridge)
        else:
            self._masquerade(bridge)
            self._icc(bridge)
            self._ensure("-I", "filter", "FORWARD", f"-i {bridge.name} ! -o {bridge.name} -j ACCEPT")
            self._link_chains(bridge)
        self._on_top(STAGE1)
        if not bridge.internal:
            self._ensure("-I", "filter", STAGE1, f"-i {bridge.name} ! -o {bridge.name} -j {STAGE2}")
            self._ensure("-I", "filter", STAGE2, f"-o {bridge.name} -j DROP")

    def port_mapped(self, mapping: PortMapping) -> None:
        """`ChainInfo.Forward`"""
        for table, chain, rule in self._port_rules(mapping):
            self._ensure("-A", table, chain, rule)

    def port_unmapped(self, mapping: PortMapping) -> None:
        """`ChainInfo.Forward` with `-D`"""
        for table, chain, rule in self._port_rules(mapping):
            self.netns.iptables(f"-t {table} -D {chain} {rule}")
            self._present.remove((table, chain, rule))

    def _port_rules(self, mapping: PortMapping) -> list[tuple[str, str, str]]:
        bridge, protocol, target = mapping.bridge, mapping.protocol, mapping.container_ip
        anywhere = mapping.host_ip == "0.0.0.0"
        dnat = (f"-p {protocol} -d {'0/0' if anywhere else mapping.host_ip} --dport {mapping.host_port} "
                f"-j DNAT --to-destination {target}:{mapping.container_port}")
        rules = [
            ("nat", DOCKER, dnat if self.hairpin else f"{dnat} ! -i {bridge}"),
            ("filter", DOCKER,
             f"! -i {bridge} -o {bridge} -p {protocol} -d {target} --dport {mapping.container_port} -j ACCEPT"),
            ("nat", "POSTROUTING",
             f"-p {protocol} -s {target} -d {target} --dport {mapping.container_port} -j MASQUERADE"),
        ]
        if protocol == "sctp":  # a veth leaves SCTP's checksum to a NIC that may not know how
            fill = f"-p sctp --sport {mapping.container_port} -j CHECKSUM --checksum-fill"
            rules.append(("mangle", "POSTROUTING", fill))
        return rules

    def linked(self, bridge: str, parent: str, child: str, ports: Iterable[tuple[int, str]]) -> None:
        """`ChainInfo.Link`: there, and back."""
        for port, protocol in ports:
            between = f"-i {bridge} -o {bridge} -p {protocol}"
            self._ensure("-A", "filter", DOCKER, f"{between} -s {parent} -d {child} --dport {port} -j ACCEPT")
            self._ensure("-A", "filter", DOCKER, f"{between} -s {child} -d {parent} --sport {port} -j ACCEPT")

    def mesh_published(self, bridge: str, address: str, ports: list[tuple[str, int]]) -> None:
        """`programIngress`"""
        if ("nat", MESH, "-j RETURN") not in self._present:
            for table in ("nat", "filter"):
                self.netns.iptables(f"-t {table} -N {MESH}")
                self._ensure("-A", table, MESH, "-j RETURN")
        for chain in ("OUTPUT", "PREROUTING"):
            self._ensure("-I", "nat", chain, f"-m addrtype --dst-type LOCAL -j {MESH}")
        if ("filter", "FORWARD", f"-j {MESH}") not in self._present:
            self._ensure("-I", "filter", "FORWARD", f"-j {MESH}")
            self._user_chain()
        self._ensure("-I", "nat", "POSTROUTING", f"-m addrtype --src-type LOCAL -o {bridge} -j MASQUERADE")
        for table, rule in _mesh_rules(address, ports):
            self._ensure("-I", table, MESH, rule)

    def mesh_unpublished(self, address: str, ports: list[tuple[str, int]]) -> None:
        """`programIngress` with `-D`: the chains and the ways there stay."""
        for table, rule in _mesh_rules(address, ports):
            self.netns.iptables(f"-t {table} -D {MESH} {rule}")
            self._present.remove((table, MESH, rule))

    def _internal(self, bridge: BridgeRules) -> None:
        """`setupInternalNetworkRules`: nothing in or out but its own subnet."""
        self._ensure("-I", "filter", STAGE1, f"-i {bridge.name} ! -d {bridge.subnet} -j DROP")
        self._ensure("-I", "filter", STAGE1, f"-o {bridge.name} ! -s {bridge.subnet} -j DROP")
        self._icc(bridge)

    def _masquerade(self, bridge: BridgeRules) -> None:
        """The first half of `setupIPTablesInternal`."""
        target = f"SNAT --to-source {bridge.host_ip}" if bridge.host_ip else "MASQUERADE"
        if bridge.masquerade:
            self._ensure("-I", "nat", "POSTROUTING", f"-s {bridge.subnet} ! -o {bridge.name} -j {target}")
        if bridge.masquerade and not self.hairpin:
            self._ensure("-I", "nat", DOCKER, f"-i {bridge.name} -j RETURN")
        if self.hairpin:
            self._ensure("-I", "nat", "POSTROUTING", f"-m addrtype --src-type LOCAL -o {bridge.name} -j {target}")

    def _icc(self, bridge: BridgeRules) -> None:
        """`setIcc`: accepted at the head of FORWARD, or dropped at its end."""
        between = f"-i {bridge.name} -o {bridge.name} -j"
        if bridge.icc:
            self._ensure("-I", "filter", "FORWARD", f"{between} ACCEPT")
        else:
            self._ensure("-A", "filter", "FORWARD", f"{between} DROP")

    def _link_chains(self, bridge: BridgeRules) -> None:
        """`ProgramChain` for nat, then for filter."""
        local = f"-m addrtype --dst-type LOCAL -j {DOCKER}"
        self._ensure("-A", "nat", "PREROUTING", local)
        self._ensure("-A", "nat", "OUTPUT", local if self.hairpin else f"{local} ! --dst 127.0.0.0/8")
        self._ensure("-I", "filter", "FORWARD", f"-o {bridge.name} -j {DOCKER}")
        self._ensure("-I", "filter", "FORWARD",
                     f"-o {bridge.name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")

    def _ensure(self, how: str, table: str, chain: str, rule: str) -> None:
        """`ProgramRule`: only where `-C` does not find it."""
        if (table, chain, rule) not in self._present:
            self.netns.iptables(f"-t {table} {how} {chain} {rule}")
            self._present.add((table, chain, rule))

    def _on_top(self, chain: str) -> None:
        """`EnsureJumpRule`: the jump from FORWARD goes to the head, also when it was there already."""
        if ("filter", "FORWARD", f"-j {chain}") in self._present:
            self.netns.iptables(f"-t filter -D FORWARD -j {chain}")
            self._present.remove(("filter", "FORWARD", f"-j {chain}"))
        self._ensure("-I", "filter", "FORWARD", f"-j {chain}")


def _mesh_rules(address: str, ports: list[tuple[str, int]]) -> list[tuple[str, str]]:
    """(table, rule) for each published port, in the order in which they come."""
    return [rule for protocol, port in ports for rule in (
        ("nat", f"-p {protocol} --dport {port} -j DNAT --to-destination {address}:{port}"),
        ("filter", f"-m state -p {protocol} --sport {port} --state ESTABLISHED,RELATED -j ACCEPT"),
        ("filter", f"-p {protocol} --dport {port} -j ACCEPT"))]
