"""The macvlan driver: each container gets a macvlan device on a parent of the host's, and with it a place on the host's
own wire. No bridge, no iptables, no published ports; the gateway is somebody else's.

Follows libnetwork of moby v20.10: drivers/macvlan/macvlan_network.go, macvlan_setup.go, macvlan_joinleave.go.
Left out: sub-interfaces (`eth0.10`: 802.1Q is not modelled), a bridge as parent, removing networks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from sim.dockerd.drivers.api import Driver, Engine
from sim.dockerd.endpoint import Endpoint
from sim.dockerd.network import Network
from sim.errors import PlumbError, SpecError
from sim.kernel.dummy import Dummy
from sim.kernel.macvlan import Mode, add_macvlan
from sim.kernel.netns import Netns

PARENT, MODE = "parent", "macvlan_mode"
SHOWN_DUMMY = "dm-…"
"""A dummy parent's name in a message: `dm-` and the network's id, which the model does not know."""
VLAN_IDS = range(1, 4095)


@dataclass(frozen=True, slots=True)
class MacvlanNetwork:
    """`configuration`: a network's options, read. `internal`: no gateway is given to containers."""

    parent: str
    mode: Mode
    internal: bool


class MacvlanDriver(Driver):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.networks: dict[str, MacvlanNetwork] = {}

    def create_network(self, network: Network) -> None:
        options, host = network.spec.options, self.engine.netns
        mode = options.get(MODE) or Mode.BRIDGE.value
        if mode not in {each.value for each in Mode}:
            raise PlumbError(
                f"requested macvlan mode '{mode}' is not valid, 'bridge' mode is the macvlan driver default")
        parent = options.get(PARENT, "")
        if parent == "lo":
            raise PlumbError("loopback interface is not a valid macvlan parent link")
        dummy = "" if parent else f"dm({network.name})"
        for other in self.networks.values():
            if other.parent == parent:
                raise PlumbError(f"network {SHOWN_DUMMY} is already using parent interface {parent}")
        if dummy:
            host.devices[dummy] = Dummy(dummy, host, f"mac({host.label}:{dummy})")
        elif parent not in host.devices:
            self._refuse_parent(parent)
        elif host.devices[parent].kind == "bridge":
            raise SpecError(f"macvlan on the bridge {parent} is not modelled", mend="use the host's uplink, eth0")
        self.networks[network.name] = MacvlanNetwork(dummy or parent, Mode(mode), network.internal or not parent)

    def _refuse_parent(self, parent: str) -> None:
        """`createVlanLink`, `parseVlan`: a parent that is not there is taken for a sub-interface to be made."""
        if "." not in parent:
            raise PlumbError(f"invalid subinterface vlan name {parent}, example formatting is eth0.10")
        if parent.count(".") > 1:
            raise PlumbError(
                f"required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received {parent}")
        device, _, vlan = parent.partition(".")
        if not re.fullmatch(r"[+-]?\d+", vlan):
            raise PlumbError(f"unable to parse a valid vlan id from: {vlan} (ex. eth0.10 for vlan 10)")
        if device not in self.engine.netns.devices:
            raise PlumbError(f"-o parent interface does was not found on the host: {device}")
        if int(vlan) not in VLAN_IDS:
            raise PlumbError(f"vlan id must be between 1-4094, received: {int(vlan)}")
        raise SpecError(f"the sub-interface {parent} is not modelled: no 802.1Q", mend=f"use the parent {device}")

    def gateway(self, network: Network) -> IPv4Address | None:
        return None if self.networks[network.name].internal else network.gateway

    def join(self, endpoint: Endpoint, sandbox: Netns, device: str) -> None:
        """`Join`, and what the sandbox does with the interface."""
        config = self.networks[endpoint.network.name]
        parent = self.engine.netns.device(config.parent)
        if parent.macvlans and any(other.mac == endpoint.mac for other in parent.macvlans.devices):
            raise PlumbError(
                "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container "
                "process: error during container init: error running hook #0: error running hook: exit status 1, "
                'stdout: , stderr: time="…" level=fatal msg="failed to add interface veth… to sandbox: error setting '
                f'interface \\"veth…\\" MAC to \\"{endpoint.mac}\\": address already in use": unknown')
        try:
            add_macvlan(parent, sandbox, device, endpoint.mac, config.mode)
        except PlumbError as error:
            raise PlumbError(f"failed to create the macvlan port: {error.refusal}") from None
        sandbox.add_address(device, endpoint.cidr)
