"""Load balancing on one node: virtual addresses of services (IPVS), the node's published ports, and how a task gets
what the routing mesh brings.

Each engine does this for the networks that it has, as it hears of the tasks there (`SwarmNetwork.bind`): on the node's
load balancer sandbox of that network the service's virtual address becomes an alias, packets for it get a firewall
mark, and IPVS deals out what is marked. On the network `ingress` that sandbox is `ingress_sbox`, and the host's rules
lead the published ports there.

Follows libnetwork of moby v20.10: service_common.go (`addServiceBinding`), service_linux.go (`addLBBackend`,
`programIngress`, `fwMarker`, `redirector`). Left out: direct server return, SCTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from sim.dockerd.endpoint import Endpoint, by_priority
from sim.dockerd.firewall.api import Firewall
from sim.dockerd.process import BoundPort
from sim.dockerd.sandbox import Sandbox
from sim.dockerd.swarm import Binding, SwarmNetwork
from sim.kernel.netns import Netns
from sim.spec import ServicePort

FIRST_MARK = 256
"""fwMarkCtr"""


@dataclass(slots=True)
class Balancer:
    """One engine's. `gateway`: the bridge on the host by which the ingress sandbox is reached; `balances` False: this
    kernel has no IPVS, so the engine says so in its log and programs nothing."""

    netns: Netns
    firewall: Firewall
    gateway: str
    balances: bool
    bound: list[BoundPort] = field(default_factory=list)
    """Published ports that dockerd itself holds, so that nobody else on the host takes them."""
    _sandboxes: dict[str, tuple[Sandbox, Endpoint]] = field(default_factory=dict)
    _marks: dict[tuple[str, str], int] = field(default_factory=dict)
    """(service, network) -> firewall mark"""
    _waiting: dict[str, list[Binding]] = field(default_factory=dict)

    def hears(self, network: SwarmNetwork) -> Callable[[Binding], None]:
        """This engine has the network: what it does with each task there."""

        def hear(binding: Binding) -> None:
            self._bind(network.spec.name, binding)

        return hear

    def sandbox_made(self, network: str, sandbox: Sandbox) -> None:
        """The node's load balancer on a network is there."""
        endpoint = next(e for e in sandbox.endpoints if e.network.name == network)
        self._sandboxes[network] = (sandbox, endpoint)
        for binding in self._waiting.pop(network, ()):
            self._add_backend(network, binding)

    def _bind(self, network: str, binding: Binding) -> None:
        """`addServiceBinding`: a mark for each service and network, in the order in which they are heard of."""
        self._marks.setdefault((binding.service, network), FIRST_MARK + len(self._marks))
        if network in self._sandboxes:
            self._add_backend(network, binding)
        else:
            self._waiting.setdefault(network, []).append(binding)

    def _add_backend(self, network: str, binding: Binding) -> None:
        """`addLBBackend`"""
        if binding.vip is None or not self.balances:
            return
        sandbox, endpoint = self._sandboxes[network]
        mark = self._marks[binding.service, network]
        if mark not in sandbox.netns.ipvs.services:
            device = f"eth{by_priority(sandbox.endpoints).index(endpoint)}"
            sandbox.netns.add_address(device, f"{binding.vip}/32")
            way_out = next((e for e in sandbox.endpoints if e.network.way_out), None)
            if binding.ports and way_out is not None and way_out.address is not None:
                self._publish(way_out.address, binding.ports)
            self._mark(sandbox.netns, endpoint, binding, mark)
            sandbox.netns.ipvs.add_service(mark)
        sandbox.netns.ipvs.add_destination(mark, int(binding.address))

    def _publish(self, towards: IPv4Address, ports: tuple[ServicePort, ...]) -> None:
        """`programIngress`"""
        self.netns.sysctls[f"net.ipv4.conf.{self.gateway}.route_localnet"] = "1"
        new = [port for port in ports if ("0.0.0.0", port.protocol, port.published) not in self._held]
        self.firewall.mesh_published(
            self.gateway, str(towards), [(port.protocol, port.published) for port in new])
        self.bound += [BoundPort(self.netns.label, port.protocol, "0.0.0.0", port.published) for port in new]
        self.netns.daemon_listeners += [(port.protocol, "0.0.0.0", port.published) for port in new]

    @property
    def _held(self) -> set[tuple[str, str, int]]:
        return {(each.host_ip, each.protocol, each.host_port) for each in self.bound}

    @staticmethod
    def _mark(netns: Netns, endpoint: Endpoint, binding: Binding, mark: int) -> None:
        """`fwMarker`"""
        assert endpoint.network.pool is not None
        for port in binding.ports:
            netns.iptables(f"-t mangle -A PREROUTING -p {port.protocol} --dport {port.published} -j MARK "
                           f"--set-mark {mark}")
        balanced = f"-m ipvs --ipvs -d {endpoint.network.pool.network} -j SNAT --to-source {endpoint.address}"
        if not netns.ipvs.services:
            netns.iptables(f"-t nat -A POSTROUTING {balanced}")
            netns.sysctls["net.ipv4.vs.conntrack"] = "1"
        netns.iptables(f"-t mangle -A INPUT -d {binding.vip}/32 -j MARK --set-mark {mark}")


def redirect(task: Netns, address: IPv4Address, ports: tuple[ServicePort, ...]) -> None:
    """`redirector`: in a task's own namespace its published ports turn into those that it listens on, and nothing else
    of the ingress network gets in."""
    for port in ports:
        task.iptables(f"-t nat -A PREROUTING -d {address} -p {port.protocol} --dport {port.published} -j REDIRECT "
                      f"--to-port {port.target}")
        task.iptables(f"-I INPUT -d {address} -p {port.protocol} --dport {port.target} -m conntrack "
                      "--ctstate NEW,ESTABLISHED -j ACCEPT")
        task.iptables(f"-I OUTPUT -s {address} -p {port.protocol} --sport {port.target} -m conntrack "
                      "--ctstate ESTABLISHED -j ACCEPT")
    if ports:
        for protocol in ("sctp", "udp", "tcp"):
            task.iptables(f"-A INPUT -d {address} -p {protocol} -j DROP")
            task.iptables(f"-A OUTPUT -s {address} -p {protocol} -j DROP")
