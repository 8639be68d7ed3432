"""An engine as a node of a swarm: the way out for overlay networks, and the sandboxes that swarm itself puts on each
node.

* `docker_gwbridge`: a bridge network of the engine's own, without communication between its members. A container whose
  networks have no gateway gets a further interface there, behind all others; its default route leads out by it.
* `ingress_sbox`: the node's end of the routing mesh, on the network `ingress` and on docker_gwbridge.
* `lb(NETWORK)`: on each overlay network of the node, where virtual addresses of services are balanced (`balancer.py`).

Follows moby v20.10: daemon/network.go (`setupIngress`), libnetwork's default_gateway.go, service_linux.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sim import spec
from sim.dockerd.balancer import Balancer, redirect
from sim.dockerd.endpoint import Endpoint, by_priority, mac_of
from sim.dockerd.network import Network
from sim.dockerd.resolution import Resolution
from sim.dockerd.sandbox import Sandbox
from sim.dockerd.swarm import IN_VAIN, INGRESS, Binding, Peer, Swarm, SwarmService
from sim.errors import PlumbError

if TYPE_CHECKING:
    from sim.dockerd.daemon import Daemon

GWBRIDGE = "docker_gwbridge"
INGRESS_SANDBOX = "ingress_sbox"
NO_FILES = Resolution((), (), (), ())


class Node:
    """Made when the engine joins: `docker swarm init` or `docker swarm join`."""

    def __init__(self, daemon: Daemon, swarm: Swarm) -> None:
        self.daemon, self.swarm = daemon, swarm
        self._hearing: dict[str, tuple[Callable[[Binding], None], Callable[[Peer], None]]] = {}
        if GWBRIDGE not in daemon.networks:  # it stays when the engine leaves
            daemon.network_create(spec.Network(name=GWBRIDGE, options={
                "com.docker.network.bridge.name": GWBRIDGE,
                "com.docker.network.bridge.enable_icc": "false",
                "com.docker.network.bridge.enable_ip_masquerade": "true",
            }))
        daemon.networks[GWBRIDGE].way_out = True
        self.balancer = Balancer(daemon.netns, daemon.firewall, GWBRIDGE, "ip_vs" not in daemon.lacking)
        ingress = self._here(INGRESS)
        sandbox = self._sandbox(INGRESS_SANDBOX, f"{INGRESS_SANDBOX}@{daemon.netns.label}",
                                [self._endpoint(INGRESS_SANDBOX, ingress), self._way_out(INGRESS_SANDBOX)])
        self.balancer.sandbox_made(INGRESS, sandbox)

    def network(self, name: str) -> Network | None:
        """A network of the swarm, for a container: made on this node when it is the first one there. Raises
        PlumbError.
        """
        if name in self.swarm.pending:
            raise PlumbError(IN_VAIN, mend=self.swarm.pending[name])
        shared = self.swarm.networks.get(name)
        if shared is None:
            return None
        if not shared.spec.attachable:
            raise PlumbError(f"Could not attach to network {name}: rpc error: code = PermissionDenied desc = network "
                             f"{name} not manually attachable",
                             mend="a container that is no task needs `attachable: true` on it")
        return self._here(name)

    def networks_of(self, service: SwarmService) -> list[Network]:
        """Those that a task joins: of the routing mesh, if it has ports there, and the service's own, else the default
        one. A task needs no leave to attach."""
        wanted = [INGRESS] if service.spec.ingress_ports else []
        found = [self._here(name) for name in (*wanted, *(a.network for a in service.spec.attachments))]
        return found or [self.daemon.networks[spec.DEFAULT_NETWORK]]

    def task_started(self, sandbox: Sandbox, service: SwarmService) -> None:
        """`populateLoadBalancers` for each endpoint, then `EnableService`, which tells the others."""
        for endpoint in sandbox.endpoints:
            if endpoint.network.name == INGRESS and endpoint.address is not None:
                redirect(sandbox.netns, endpoint.address, service.spec.ingress_ports)
        for endpoint in by_priority(sandbox.endpoints):
            if endpoint.network.scope == "swarm" and endpoint.address is not None:
                self.swarm.task_bind(service, endpoint.network.name, endpoint.address)

    def attach(self, box: str, endpoints: list[Endpoint]) -> list[Endpoint]:
        """What a container's endpoints bring along: the load balancer of a network that is new here, and the way
        out.
        """
        for endpoint in endpoints:
            self._balance(endpoint.network)
        needs = any(e.network.driver.needs_way_out and not e.network.internal for e in endpoints)
        if needs and not any(e.gateway is not None for e in endpoints):
            return [self._way_out(box)]
        return []

    def release(self, name: str) -> list[str]:
        """Somebody left a network of the swarm. When it was the last, the node's load balancer goes from it as well,
        and then the network from the node; the labels of the namespaces that go. The node stays on `ingress`."""
        network = self.daemon.networks.get(name)
        if network is None or name == INGRESS or name not in self.swarm.networks or any(
                e.network is network for box in self.daemon.containers for e in box.endpoints):
            return []
        shared = self.swarm.networks[name]
        balancing = [each for each in self.daemon.sandboxes_of_its_own if each.netns.label == self._label(name)]
        for sandbox in balancing:
            self.daemon.sandboxes_of_its_own.remove(sandbox)
            for endpoint in sandbox.endpoints:
                assert endpoint.address is not None
                shared.withdraw(endpoint.address)
            sandbox.close()
        hear, forget = self._hearing.pop(name)
        shared.balancers.remove(hear)
        shared.forgetting.remove(forget)
        self.balancer.network_left(name)
        del self.daemon.networks[name]
        return [*(sandbox.netns.label for sandbox in balancing), *network.driver.delete_network(network)]

    def _here(self, name: str) -> Network:
        """The swarm's network as this engine has it."""
        if name not in self.daemon.networks:
            shared = self.swarm.networks[name]
            network = Network(shared.spec, self.daemon.drivers.get(shared.spec.driver), pool=shared.pool,
                              gateway=shared.gateway, names=shared.names, only_routes=name == INGRESS)
            network.driver.create_network(network)
            self.daemon.networks[name] = network
            self.daemon.firewall.network_added()
            hear, forget = self._hearing[name] = self.balancer.hears(shared), self.balancer.forgets(shared)
            shared.balance(hear)
            shared.forgetting.append(forget)
        return self.daemon.networks[name]

    def _balance(self, network: Network) -> None:
        label = self._label(network.name)
        if network.name in self.swarm.networks and network.name != INGRESS and label not in self._sandboxes:
            self.balancer.sandbox_made(network.name, self._sandbox("lb", label, [self._endpoint("lb", network)]))

    def _label(self, network: str) -> str:
        return f"lb({network})@{self.daemon.netns.label}"

    @property
    def _sandboxes(self) -> list[str]:
        return [each.netns.label for each in self.daemon.sandboxes_of_its_own]

    def _endpoint(self, who: str, network: Network) -> Endpoint:
        assert network.pool is not None
        address = network.pool.request()
        return Endpoint(who, network, address, mac_of(address), network.driver.gateway(network))

    def _way_out(self, who: str) -> Endpoint:
        """`setupDefaultGW`"""
        return self._endpoint(who, self.daemon.networks[GWBRIDGE])

    def _sandbox(self, who: str, label: str, endpoints: list[Endpoint]) -> Sandbox:
        sandbox = Sandbox(who, self.daemon.new_netns(label), NO_FILES, endpoints)
        # a new namespace has the settings of the machine's first one (net.core.devconf_inherit_init_net)
        sandbox.netns.sysctls["net.ipv4.ip_forward"] = self.daemon.netns.sysctls["net.ipv4.ip_forward"]
        sandbox.populate()
        sandbox.start_resolver()  # nobody lives there who would ask it: its rules are what there is to see
        self.daemon.sandboxes_of_its_own.append(sandbox)
        return sandbox
