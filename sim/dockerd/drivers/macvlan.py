"""The macvlan driver: each container gets a macvlan device on a parent of the host's, and with it a place on the host's
own wire, or on one VLAN of it. No bridge, no iptables, no published ports; the gateway is somebody else's.

Follows libnetwork of moby v20.10: drivers/macvlan/macvlan_network.go, macvlan_joinleave.go; for the parent `parent.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from sim.dockerd.drivers.api import Driver, Engine
from sim.dockerd.drivers.parent import ParentRules, not_set_up
from sim.dockerd.endpoint import Endpoint
from sim.dockerd.network import Network
from sim.errors import PlumbError
from sim.kernel.macvlan import Mode, add_macvlan
from sim.kernel.netns import Netns

MODE = "macvlan_mode"
PARENTS = ParentRules("macvlan", "dm", "-o parent interface does was not found on the host")


@dataclass(frozen=True, slots=True)
class MacvlanNetwork:
    """`configuration`: a network's options, read."""

    parent: str
    mode: Mode


class MacvlanDriver(Driver):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.networks: dict[str, MacvlanNetwork] = {}

    def create_network(self, network: Network) -> None:
        mode = network.spec.options.get(MODE) or Mode.BRIDGE.value
        if mode not in {each.value for each in Mode}:
            raise PlumbError(
                f"requested macvlan mode '{mode}' is not valid, 'bridge' mode is the macvlan driver default")
        parent = PARENTS.find(network, self.engine.netns, {other.parent for other in self.networks.values()})
        self.networks[network.name] = MacvlanNetwork(parent, Mode(mode))

    def gateway(self, network: Network) -> IPv4Address | None:
        return None if network.internal else network.gateway

    def join(self, endpoint: Endpoint, sandbox: Netns, device: str) -> None:
        """`Join`, and what the sandbox does with the interface."""
        config = self.networks[endpoint.network.name]
        parent = self.engine.netns.device(config.parent)
        if parent.macvlans and any(other.mac == endpoint.mac for other in parent.macvlans.devices):
            raise not_set_up(
                f'error setting interface \\"veth…\\" MAC to \\"{endpoint.mac}\\": address already in use')
        try:
            add_macvlan(parent, sandbox, device, endpoint.mac, config.mode)
        except PlumbError as error:
            raise PlumbError(f"failed to create the macvlan port: {error.refusal}") from None
        sandbox.add_address(device, endpoint.cidr)
