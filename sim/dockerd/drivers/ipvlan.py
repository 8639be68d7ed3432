"""The ipvlan driver: each container gets an ipvlan device on a parent of the host's: an address of its own behind the
host's MAC address. No bridge, no iptables, no published ports.

In mode l2 the containers stand on the host's wire, and the network's gateway is somebody else's, as with macvlan. In
mode l3 there is no gateway at all, a container's default route is its device, and the host routes; other machines must
be told the way. The engine of 20.10 knows these two modes. The kernel's mode l3s and its flags came with 23.0: that
mode is refused, and `ipvlan_flag`, as any option that the driver does not know, has no effect.

Follows libnetwork of moby v20.10: drivers/ipvlan/ipvlan_network.go, ipvlan_endpoint.go, ipvlan_joinleave.go; for the
parent `parent.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from sim.dockerd.drivers.api import Driver, Engine
from sim.dockerd.drivers.parent import ParentRules, not_set_up
from sim.dockerd.endpoint import Endpoint
from sim.dockerd.network import Network
from sim.errors import PlumbError
from sim.kernel.ipvlan import Mode, add_ipvlan
from sim.kernel.netns import Netns

MODE = "ipvlan_mode"
MODES = (Mode.L2.value, Mode.L3.value)
PARENTS = ParentRules("ipvlan", "di", "-o parent interface was not found on the host")


@dataclass(frozen=True, slots=True)
class IpvlanNetwork:
    """`configuration`: a network's options, read."""

    parent: str
    mode: Mode


class IpvlanDriver(Driver):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.networks: dict[str, IpvlanNetwork] = {}

    def create_network(self, network: Network) -> None:
        mode = network.spec.options.get(MODE) or Mode.L2.value
        if mode not in MODES:
            raise PlumbError(f"requested ipvlan mode '{mode}' is not valid, 'l2' mode is the ipvlan driver default")
        parent = PARENTS.find(network, self.engine.netns, {other.parent for other in self.networks.values()})
        self.networks[network.name] = IpvlanNetwork(parent, Mode(mode))

    def gateway(self, network: Network) -> IPv4Address | None:
        """In mode l3 none (`DisableGatewayService`): the default route is an interface's own."""
        routed = self.networks[network.name].mode is Mode.L3
        return None if network.internal or routed else network.gateway

    def mac_address(self, container: str, network: Network, asked: str, drawn: str) -> str:
        """The parent's is everybody's, and the engine does not ask for it."""
        if asked:
            raise PlumbError(f"failed to create endpoint {container} on network {network.name}: ipvlan interfaces do "
                             "not support custom mac address assignment")
        return ""

    def join(self, endpoint: Endpoint, sandbox: Netns, device: str) -> None:
        """`Join`, and what the sandbox does with the interface: a connected default route in mode l3."""
        config = self.networks[endpoint.network.name]
        try:
            add_ipvlan(self.engine.netns.device(config.parent), sandbox, device, config.mode)
        except PlumbError as error:
            raise PlumbError(f"failed to create the ipvlan port: {error.refusal}") from None
        sandbox.add_address(device, endpoint.cidr)
        if config.mode is Mode.L3 and not endpoint.network.internal:
            try:
                sandbox.add_route("default", dev=device)
            except PlumbError:  # an interface before this one has it
                raise not_set_up(
                    'error setting interface \\"veth…\\" routes to [\\"0.0.0.0/0\\"]: file exists') from None
