"""Load balancing on one node: virtual addresses of services (IPVS), the node's published ports, and how a task gets
what the routing mesh brings.

Each engine does this for the networks that it has, as it hears of the tasks there (`SwarmNetwork.bind`): on the node's
load balancer sandbox of that network the service's virtual address becomes an alias, packets for it get a firewall
mark, and IPVS deals out what is marked; when the last task goes, all that goes as well. On the network `ingress` that
sandbox is `ingress_sbox`, and the host's rules lead the published ports there.

Follows libnetwork of moby v20.10: service_common.go (`addServiceBinding`, `rmServiceBinding`), service_linux.go
(`addLBBackend`, `rmLBBackend`, `programIngress`, `fwMarker`, `redirector`). Left out: direct server return.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from sim.dockerd.endpoint import Endpoint, by_priority
from sim.dockerd.firewall.api import Firewall
from sim.dockerd.process import BoundPort
from sim.dockerd.sandbox import Sandbox
from sim.dockerd.swarm import Binding, Peer, SwarmNetwork
from sim.kernel.netns import Netns
from sim.spec import ServicePort

FIRST_MARK = 256
"""fwMarkCtr"""
CONNTRACK = "net.ipv4.vs.conntrack"


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
    _next_mark: int = FIRST_MARK
    _known: dict[tuple[str, str], list[Binding]] = field(default_factory=dict)
    """(service, network) -> its tasks there"""
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
        key = binding.service, network
        if key not in self._marks:
            self._marks[key], self._next_mark = self._next_mark, self._next_mark + 1
        self._known.setdefault(key, []).append(binding)
        if network in self._sandboxes:
            self._add_backend(network, binding)
        else:
            self._waiting.setdefault(network, []).append(binding)

    def forgets(self, network: SwarmNetwork) -> Callable[[Peer], None]:
        """What it does when an endpoint there goes."""

        def forget(peer: Peer) -> None:
            for (service, name), bindings in list(self._known.items()):
                for binding in [each for each in bindings if (name, each.address) == (network.spec.name, peer.address)]:
                    self._unbind(service, name, binding)

        return forget

    def network_left(self, network: str) -> None:
        """The engine has the network no more (`cleanupServiceBindings`): next time its services get other marks."""
        self._sandboxes.pop(network, None)
        self._waiting.pop(network, None)
        for key in [key for key in self._marks if key[1] == network]:
            del self._marks[key], self._known[key]

    def _unbind(self, service: str, network: str, binding: Binding) -> None:
        """`rmServiceBinding`: with the last task the service goes, and its mark."""
        left = self._known[service, network]
        left.remove(binding)
        if network in self._sandboxes:
            self._remove_backend(network, binding, last=not left)
        else:
            self._waiting[network].remove(binding)
        if not left:
            del self._known[service, network], self._marks[service, network]

    def _remove_backend(self, network: str, binding: Binding, *, last: bool) -> None:
        """`rmLBBackend`"""
        if binding.vip is None or not self.balances:
            return
        sandbox, endpoint = self._sandboxes[network]
        mark = self._marks[binding.service, network]
        sandbox.netns.ipvs.remove_destination(mark, int(binding.address))
        if last:
            sandbox.netns.ipvs.remove_service(mark)
            way_out = next((e for e in sandbox.endpoints if e.network.way_out), None)
            if binding.ports and way_out is not None:
                self._unpublish(str(way_out.address), binding.ports)
            for rule in _marked(binding, mark):
                sandbox.netns.iptables(f"-t mangle -D {rule}")
            device = f"eth{by_priority(sandbox.endpoints).index(endpoint)}"
            sandbox.netns.del_address(device, f"{binding.vip}/32")

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

    def _unpublish(self, towards: str, ports: tuple[ServicePort, ...]) -> None:
        """`programIngress` with `-D`"""
        mine = {(port.protocol, "0.0.0.0", port.published) for port in ports}
        self.firewall.mesh_unpublished(towards, [(port.protocol, port.published) for port in ports])
        self.bound[:] = [each for each in self.bound if (each.protocol, each.host_ip, each.host_port) not in mine]
        self.netns.daemon_listeners[:] = [each for each in self.netns.daemon_listeners if each not in mine]

    @property
    def _held(self) -> set[tuple[str, str, int]]:
        return {(each.host_ip, each.protocol, each.host_port) for each in self.bound}

    @staticmethod
    def _mark(netns: Netns, endpoint: Endpoint, binding: Binding, mark: int) -> None:
        """`fwMarker`. The rule that gives answers their way back stays when the service goes."""
        assert endpoint.network.pool is not None
        for rule in _marked(binding, mark):
            netns.iptables(f"-t mangle -A {rule}")
        if netns.sysctls.get(CONNTRACK) != "1":
            netns.iptables(f"-t nat -A POSTROUTING -m ipvs --ipvs -d {endpoint.network.pool.network} -j SNAT "
                           f"--to-source {endpoint.address}")
            netns.sysctls[CONNTRACK] = "1"


def _marked(binding: Binding, mark: int) -> list[str]:
    """The rules of `mangle` that mark what is for a service."""
    ports = [f"PREROUTING -p {port.protocol} --dport {port.published}" for port in binding.ports]
    return [f"{match} -j MARK --set-mark {mark}" for match in (*ports, f"INPUT -d {binding.vip}/32")]


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
