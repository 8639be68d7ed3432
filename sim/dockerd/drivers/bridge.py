"""The bridge driver: a Linux bridge on the host for each network, a veth pair for each container.

Follows libnetwork of moby v20.10: drivers/bridge/bridge.go, setup_device.go, setup_ipv4.go, setup_verify.go, labels.go.
Left out: IPv6, a bridge that existed before the engine, removing networks and endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network

from sim import spec
from sim.dockerd.drivers.api import Driver, Engine
from sim.dockerd.endpoint import Endpoint
from sim.dockerd.firewall.api import BridgeRules
from sim.dockerd.network import Network
from sim.dockerd.portmap import ANYWHERE
from sim.dockerd.refusals import check_bridge_name
from sim.errors import PlumbError
from sim.kernel.netns import Netns
from sim.kernel.veth import veth_pair

NAME = "com.docker.network.bridge.name"
ICC = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
BINDING = "com.docker.network.bridge.host_binding_ipv4"
MTU = "com.docker.network.driver.mtu"
HOST_IP = "com.docker.network.host_ipv4"

TRUE = {"1", "t", "T", "TRUE", "true", "True"}
"""What Go's strconv.ParseBool calls true."""

DEFAULT_MTU = 1500


@dataclass(frozen=True, slots=True)
class BridgeNetwork:
    """`networkConfiguration`: a network's options, read."""

    device: str
    subnet: IPv4Network
    binding_ip: str
    mtu: int
    """0: not set, the kernel's default"""
    rules: BridgeRules


class BridgeDriver(Driver):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.networks: dict[str, BridgeNetwork] = {}

    def create_network(self, network: Network) -> None:
        config = self._configuration(network)
        self._check_conflict(config)
        host, assigned = self.engine.netns, network.pool
        assert assigned is not None
        if not config.device.startswith("br("):
            check_bridge_name(config.device, f"{network.gateway}/{assigned.network.prefixlen}")
        # A bridge's MTU follows its ports (br_mtu_auto_adjust), so the option shows with the first container.
        host.add_bridge(config.device, f"mac({host.label}:{config.device})")
        host.add_address(config.device, f"{network.gateway}/{assigned.network.prefixlen}")
        if not self.engine.options.userland_proxy:
            host.sysctls[f"net.ipv4.conf.{config.device}.route_localnet"] = "1"
        self.engine.firewall.bridge_added(config.rules)
        if not config.rules.icc and self.engine.options.iptables and host.sysctls["net.ipv4.ip_forward"] == "1":
            host.sysctls["net.bridge.bridge-nf-call-iptables"] = "1"
        self.networks[network.name] = config

    def _configuration(self, network: Network) -> BridgeNetwork:
        """`fromLabels`, `processIPAM`: the labels that the network was given."""
        assert network.pool is not None
        options, subnet = network.spec.options, network.pool.network
        device = options.get(NAME) or f"br({network.name})"
        rules = BridgeRules(
            device, str(subnet), network.internal, options.get(ICC, "true") in TRUE,
            options.get(MASQUERADE, "true") in TRUE, options.get(HOST_IP, ""))
        return BridgeNetwork(device, subnet, options.get(BINDING, ANYWHERE), int(options.get(MTU, "0")), rules)

    def _check_conflict(self, config: BridgeNetwork) -> None:
        """`checkConflict`, and what stands on the host already."""
        existing = self.engine.netns.devices.get(config.device)
        if existing is not None and existing.kind != "bridge":
            raise PlumbError(f"existing interface {config.device} is not a bridge")
        for other in self.networks.values():
            why = ""
            if other.device == config.device:
                why = "networks have same bridge name"
            elif other.subnet.overlaps(config.subnet):
                why = "networks have overlapping IPv4"
            if why:
                raise PlumbError(f"cannot create network … ({shown(config.device)}): conflicts with network … "
                                 f"({shown(other.device)}): {why}")

    def join(self, endpoint: Endpoint, sandbox: Netns, device: str) -> None:
        """`CreateEndpoint`, `Join`, and what the sandbox does with the interface."""
        config, host = self.networks[endpoint.network.name], self.engine.netns
        near, _ = veth_pair(
            host, endpoint.host_device, f"mac({host.label}:{endpoint.host_device})", sandbox, device, endpoint.mac,
            config.mtu or DEFAULT_MTU)
        host.enslave(config.device, endpoint.host_device)
        near.hairpin = not self.engine.options.userland_proxy
        sandbox.add_address(device, endpoint.cidr)

    def publish(self, endpoint: Endpoint, box: spec.Container) -> None:
        config = self.networks[endpoint.network.name]
        assert endpoint.address is not None
        self.engine.ports.publish(box, config.device, endpoint.address, config.binding_ip)

    def link(self, endpoint: Endpoint, children: Iterable[Endpoint]) -> None:
        """`link`: needed, and done, only where the bridge lets nobody through (icc=false)."""
        config = self.networks[endpoint.network.name]
        for child in children if not config.rules.icc else ():
            self.engine.firewall.linked(config.device, str(endpoint.address), str(child.address), child.exposed)


def shown(device: str) -> str:
    """A bridge's name in a message: one that dockerd draws shows the network's id, which the model does not know."""
    return "br-…" if device.startswith("br(") else device
