"""dockerd: from API calls to plumbing.

`Daemon(host, netns, profile, new_netns)` does what the engine does at start: forwarding, chains, the networks bridge,
host and none. `network_create` and `container_run` then follow as the API calls came. A container is created on its
first network, connected to the others, then started, as Compose does. PlumbError is dockerd's refusal, in its words.

Follows moby v20.10: daemon/daemon_unix.go (`initNetworkController`, `initBridgeDriver`), daemon/network.go,
daemon/container_operations.go, libnetwork's controller.go.
Left out: stopping and removing, but for a swarm's tasks; the order in which Go walks its maps (networks join in the
order that is given).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network

from sim import spec
from sim.dockerd import refusals, resolution, sysctls
from sim.dockerd.drivers import PREDEFINED, Registry
from sim.dockerd.drivers.api import Engine
from sim.dockerd.endpoint import Endpoint, create_endpoint, gateway_endpoint
from sim.dockerd.firewall.api import NoFirewall
from sim.dockerd.ipam import Ipam, parse_cidr
from sim.dockerd.links import links_of
from sim.dockerd.network import Network
from sim.dockerd.node import Node
from sim.dockerd.portmap import PortAllocator, PortMapper
from sim.dockerd.process import BoundPort, Process, ResolverProcess
from sim.dockerd.profile import EngineProfile
from sim.dockerd.sandbox import Sandbox
from sim.dockerd.swarm import Swarm, SwarmService
from sim.errors import PlumbError
from sim.kernel.netns import Netns
from sim.packet import ip

DEFAULT_BRIDGE = "com.docker.network.bridge.default_bridge"
DEFAULT = "default"
"""What the API calls docker0's network where nothing else is said; nobody else's can be called so."""
NO_FORWARDING = "IPv4 forwarding is disabled. Networking will not work."


class Daemon:
    """One engine on one host. `new_netns` makes a namespace with a label; `lacking`: kernel features that there are not
    (their names as in `hopcast doctor`)."""

    def __init__(
        self, host: spec.Host, netns: Netns, profile: EngineProfile, new_netns: Callable[[str], Netns],
        lacking: frozenset[str] = frozenset(),
    ) -> None:
        self.host, self.netns, self.profile, self.new_netns, self.lacking = host, netns, profile, new_netns, lacking
        netns.xfrm.esp = "esp" not in lacking
        options = host.engine
        self.warnings: list[str] = []
        self.networks: dict[str, Network] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self.sandboxes_of_its_own: list[Sandbox] = []  # what it puts up besides containers
        self.node: Node | None = None
        self.alive = True
        self.before: Daemon | None = None  # the engine that ran here before, for what its containers had
        self._resolvers: list[ResolverProcess] = []
        if not netns.hosts:
            netns.hosts = [(0x7F000001, ("localhost",))]
        hairpin = not options.userland_proxy
        self.firewall = profile.firewall(netns, hairpin) if options.iptables else NoFirewall()
        self.ports = PortMapper(netns, self.firewall, PortAllocator(profile.host_ports), options.userland_proxy)
        self.drivers = Registry(Engine(options, netns, self.firewall, self.ports))
        self.ipam = Ipam(options.default_address_pools or profile.default_pools, self._in_use)
        self._start()

    # what is asked of it

    def swarm_join(self, swarm: Swarm) -> None:
        """`docker swarm init` for the first engine of a swarm, `docker swarm join` for the others."""
        self.drivers.join_swarm(swarm, ip(self.host.address.partition("/")[0]), self.new_netns)
        self.node = Node(self, swarm)

    def network_create(self, network: spec.Network) -> None:
        """`docker network create`. Raises PlumbError."""
        with _named(f"network {network.key or network.name}"):
            known = self.networks.get(network.name)
            if network.name == DEFAULT or (known is not None and known.predefined):
                raise PlumbError(f"operation is not permitted on predefined {network.name} network ")
            if known is not None:
                raise PlumbError(f"network with name {network.name} already exists")
            driver = self.drivers.get(network.driver)
            if driver.single:
                raise PlumbError(driver.single)
            if network.scope == "swarm" and self.node is not None:
                return self.node.swarm.network_create(network)
            self._new_network(Network(network, driver))

    def container_run(self, container: spec.Container) -> None:
        """`docker create`, `docker network connect` for each further network, `docker start`. Raises PlumbError."""
        with _named(f"container {container.name}"):
            refusals.check_image(container.image)
            refusals.check_name(container.name, self._sandboxes)
            if container.mode.startswith("container:"):
                self._share(container)
            else:
                self._run(container)

    def task_run(self, task: spec.Container, service: SwarmService) -> None:
        """The manager has given this node a task of a service. Raises PlumbError."""
        with _named(f"task {task.name}"):
            self._run(task, service)

    def task_end(self, task: str) -> list[str]:
        """The manager wants a task here no more: the labels of the namespaces that go with it."""
        sandbox = self._sandboxes.pop(task)
        self._resolvers[:] = [each for each in self._resolvers if each.netns_label != sandbox.netns.label]
        labels = [sandbox.netns.label]
        for endpoint in sandbox.endpoints:
            if endpoint.network.scope == "swarm" and self.node is not None and endpoint.address is not None:
                self.node.swarm.networks[endpoint.network.name].withdraw(endpoint.address)
            elif endpoint.network.pool is not None and endpoint.address is not None:
                self.ports.unpublish(task, str(endpoint.address))
                endpoint.network.pool.release(endpoint.address)
        sandbox.close()
        for endpoint in sandbox.endpoints:
            labels += self.node.release(endpoint.network.name) if self.node is not None else []
        return labels

    @property
    def sandboxes(self) -> dict[str, Netns]:
        """container -> the namespace in which it lives: its own, the host's, or another container's."""
        return {name: sandbox.netns for name, sandbox in self._sandboxes.items()}

    def runs(self, container: str) -> bool:
        return container in self._sandboxes

    def sandbox_of(self, container: str) -> Netns:
        """The namespace of one that runs."""
        return self._sandboxes[container].netns

    @property
    def containers(self) -> list[Sandbox]:
        """Those of the containers that run."""
        return list(self._sandboxes.values())

    @property
    def endpoints(self) -> list[Endpoint]:
        """Everybody's places on networks: containers' in the order of their start, then those of its own sandboxes."""
        sandboxes = [*self._sandboxes.values(), *self.sandboxes_of_its_own]
        return [endpoint for sandbox in sandboxes for endpoint in sandbox.endpoints]

    @property
    def resolutions(self) -> dict[str, resolution.Resolution]:
        """container -> its resolver files. Those of containers in the host's namespace are not in any Netns."""
        return {name: sandbox.files for name, sandbox in self._sandboxes.items()}

    def files_of(self, container: str) -> resolution.Resolution:
        """What a process in this container reads."""
        return self._sandboxes[container].files

    @property
    def processes(self) -> list[Process]:
        """What listens on the engine's behalf: docker-proxies, then the embedded DNS of each sandbox."""
        return [*self.ports.proxies, *self._resolvers] if self.alive else []

    @property
    def bound_ports(self) -> list[BoundPort]:
        """Ports that dockerd itself holds and never serves: published ones (`--userland-proxy=false`), and those of the
        routing mesh."""
        return [*self.ports.bound, *(self.node.balancer.bound if self.node else ())] if self.alive else []

    def address_of(self, container_name: str, network_name: str) -> str | None:
        """A container's address on a network, as `docker inspect` has it: of one that ended with an engine that was
        killed, still what it had. `bridge` is the default network."""
        sandbox = self._sandboxes.get(container_name)
        if sandbox is None and self.before is not None:
            return self.before.address_of(container_name, network_name)
        for endpoint in sandbox.endpoints if sandbox else ():
            if endpoint.network.name == network_name and endpoint.address is not None:
                return str(endpoint.address)
        return None

    def published_port(self, container_name: str, container_port: int, proto: str) -> int | None:
        """The host port behind which a container's port is; of several, the first that `docker inspect` lists. Of one
        that does not run as for `address_of`."""
        if container_name not in self._sandboxes and self.before is not None:
            return self.before.published_port(container_name, container_port, proto)
        for mapping in self.ports.mappings.get(container_name, ()):
            if (mapping.container_port, mapping.protocol) == (container_port, proto):
                return mapping.host_port
        return None

    # the start

    def _start(self) -> None:
        """The bridge driver is configured first, then the three networks are made (`initNetworkController`)."""
        self.firewall.start()
        if self.host.engine.ip_forward and self.netns.sysctls["net.ipv4.ip_forward"] != "1":
            self.netns.sysctls["net.ipv4.ip_forward"] = "1"
            self.firewall.drop_forwarded()
        for name, driver in PREDEFINED.items():
            given = self._default_bridge() if name == spec.DEFAULT_NETWORK else spec.Network.model_construct(name=name)
            self._new_network(Network(given, self.drivers.get(driver), predefined=True))

    def _default_bridge(self) -> spec.Network:
        """`initBridgeDriver`: docker0 takes the daemon's flags as its options; user-defined bridges do not."""
        options = self.host.engine
        address, _, _ = options.bip.partition("/")
        subnet = parse_cidr(options.bip) if options.bip else self.ipam.first_available()
        network = spec.Network(name=spec.DEFAULT_NETWORK, subnet=str(subnet), gateway=address, options={
            "com.docker.network.bridge.name": "docker0",
            "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
            "com.docker.network.driver.mtu": str(options.mtu),
            "com.docker.network.bridge.enable_ip_masquerade": str(options.ip_masq and options.iptables).lower(),
            "com.docker.network.bridge.enable_icc": str(options.icc).lower(),
        })
        # an option that nobody else may set
        return network.model_copy(update={"options": {**network.options, DEFAULT_BRIDGE: "true"}})

    def _in_use(self) -> list[IPv4Network]:
        """The name servers of the host, and the subnets on its links: what a default pool must not overlap."""
        taken = [IPv4Network(f"{server}/32") for server in self.netns.nameservers]
        return taken + [IPv4Network((r.network, r.prefix_length)) for r in self.netns.routes.entries if not r.via]

    # networks

    def _new_network(self, network: Network) -> None:
        """`NewNetwork`: addresses first, then the driver."""
        if network.driver.gives_addresses:
            network.allocate(self.ipam)
        network.driver.create_network(network)
        self.networks[network.name] = network
        self.firewall.network_added()

    def _find(self, name: str) -> Network:
        found = (self.node.network(name) if self.node else None) or self.networks.get(name)
        if found is None:
            raise PlumbError(f"network {name} not found")
        return found

    # containers

    def _share(self, box: spec.Container) -> None:
        """Mode container:NAME: namespace and resolver files are the other one's."""
        refusals.check_options(box, refusals.SHARING)
        other = self._sandboxes.get(box.mode.removeprefix("container:"))
        if other is None:
            raise PlumbError(f"No such container: {box.mode.removeprefix('container:')}")
        sysctls.write(box, other.netns, on_host=other.netns is self.netns)
        self._sandboxes[box.name] = Sandbox(box.name, other.netns, other.files)

    def _run(self, box: spec.Container, service: SwarmService | None = None) -> None:
        if service is None:
            attachments = box.attachments or (spec.Attachment(network=box.mode),)
            networks = [self._find(a.network) for a in attachments]
        else:
            assert self.node is not None
            networks = self.node.networks_of(service)
            swarm = self.node.swarm
            attachments = tuple(spec.Attachment(network=n.name, ipv4_address=swarm.claim(box.name, n.name))
                                for n in networks)
        on_host = networks[0].driver.shares_host
        if on_host:
            refusals.check_options(box, refusals.ON_HOST)
        gateway = self.networks[spec.DEFAULT_NETWORK].gateway
        for text in box.extra_hosts:
            resolution.extra_host(text, gateway)
        self._warn(box, networks[0])
        for network, attachment in zip(networks, attachments, strict=True) if service is None else ():
            refusals.check_attachment(network, attachment)
        linked = links_of(box, self._sandboxes, self.netns)
        netns = self.netns if on_host else self.new_netns(box.name)
        # the default network is always joined first (`allocateNetwork`)
        joining = sorted(zip(networks, attachments, strict=True), key=lambda pair: pair[0].name != spec.DEFAULT_NETWORK)
        endpoints = [create_endpoint(box, n, a, self.profile, first=n is networks[0], named=service is None)
                     for n, a in joining]
        files = resolution.files_of(box, endpoints, self.netns, self.profile.localhost_substitutes, gateway,
                                    linked.lines, on_host=on_host)
        endpoints += self.node.attach(box.name, endpoints) if self.node else []
        sandbox = Sandbox(box.name, netns, files, endpoints, resolution.hostname(box))
        self._sandboxes[box.name] = sandbox
        if on_host:
            refusals.check_hostname(box)
            sysctls.write(box, netns, on_host=True)
            for each in box.listens:
                self.ports.hold(each.protocol, each.address, each.port)
            return
        self._publish(box, endpoints, linked.children)
        first = gateway_endpoint(endpoints)
        if first is not None and first.gateway is not None and first.network.pool is not None:
            refusals.check_route_to(first.gateway, first.network.pool.network)
        sandbox.populate()
        refusals.check_hostname(box)
        sysctls.write(box, netns, on_host=False)
        sandbox.files.write(netns)
        if resolution.needs_resolver(endpoints):
            self._resolvers.append(sandbox.start_resolver())
        if service is not None and self.node is not None:
            self.node.task_started(sandbox, service)

    def _warn(self, box: spec.Container, network: Network) -> None:
        """`verifyPlatformContainerSettings`"""
        if network.driver.forwards and self.netns.sysctls["net.ipv4.ip_forward"] != "1":
            self.warnings.append(NO_FORWARDING)
        if box.ports and network.driver.ports_discarded:
            self.warnings.append(network.driver.ports_discarded)

    def _publish(self, box: spec.Container, endpoints: list[Endpoint], linked: tuple[Endpoint, ...]) -> None:
        """Ports are published at the endpoint that has the default route, and not on an internal network; links on the
        default network come after them."""
        endpoint = gateway_endpoint(endpoints)
        if endpoint is None or endpoint.network.internal:
            return
        try:
            endpoint.network.driver.publish(endpoint, box)
        except PlumbError as error:
            raise PlumbError(f"driver failed programming external connectivity on endpoint {box.name} (…): "
                             f"{error.refusal}", mend=error.mend) from None
        endpoint.network.driver.link(endpoint, linked)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """A refusal inside says which object it is about."""
    try:
        yield
    except PlumbError as error:
        raise PlumbError(error.refusal, where=error.where or where, mend=error.mend) from None
