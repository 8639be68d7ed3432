"""What the macvlan and the ipvlan driver have in common: the host's interface that their devices hang on.

`parent` names it. Where it is not there, a name of the form `eth0.10` makes the driver put up that 802.1Q
sub-interface; without the option the driver makes a dummy, from which nothing leads on. Several networks of one driver
can't share a parent, and the kernel does not let two drivers share one either.

Follows libnetwork of moby v20.10: macvlan_setup.go and ipvlan_setup.go, which differ in a word, createNetwork in
macvlan_network.go and ipvlan_network.go.
Left out: a bridge as parent, removing what was made together with the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sim.dockerd.network import Network
from sim.dockerd.refusals import in_hook
from sim.errors import PlumbError, SpecError
from sim.kernel.dummy import Dummy
from sim.kernel.netns import Netns
from sim.kernel.vlan import IDS, add_vlan

PARENT = "parent"


@dataclass(frozen=True, slots=True)
class ParentRules:
    """How a driver names its dummies, itself, and a device that is missing."""

    driver: str
    dummy: str
    missing: str

    def find(self, network: Network, host: Netns, taken: Iterable[str]) -> str:
        """The parent's name, once it is there. `taken`: the parents of the driver's other networks. PlumbError in
        dockerd's words."""
        parent = network.spec.options.get(PARENT, "")
        if parent == "lo":
            raise PlumbError(f"loopback interface is not a valid {self.driver} parent link")
        if not parent:
            name = f"{self.dummy}({network.name})"
            if name not in host.devices:
                host.devices[name] = Dummy(name, host, f"mac({host.label}:{name})")
            return name
        if parent in taken:
            raise PlumbError(f"network {self.dummy}-… is already using parent interface {parent}")
        if parent not in host.devices:
            try:
                self._add_sub_interface(parent, host)
            except PlumbError as error:
                cables = ", ".join(name for name, device in host.devices.items() if device.kind == "link")
                raise PlumbError(error.refusal, mend=error.mend or (
                    f"the host has {cables}; x-hopcast: {{hosts: {{{host.label}: {{nics: […]}}}}}} says what its "
                    "interfaces are called")) from None
        _refuse_bridge(parent, host)
        return parent

    def _add_sub_interface(self, name: str, host: Netns) -> None:
        """`createVlanLink`, `parseVlan`"""
        if "." not in name:
            raise PlumbError(f"invalid subinterface vlan name {name}, example formatting is eth0.10")
        if name.count(".") > 1:
            raise PlumbError(
                f"required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received {name}")
        device, _, vlan = name.partition(".")
        if not re.fullmatch(r"[+-]?\d+", vlan):
            raise PlumbError(f"unable to parse a valid vlan id from: {vlan} (ex. eth0.10 for vlan 10)")
        if device not in host.devices:
            raise PlumbError(f"{self.missing}: {device}")
        if int(vlan) not in IDS:
            raise PlumbError(f"vlan id must be between 1-4094, received: {int(vlan)}")
        _refuse_bridge(device, host)
        try:
            add_vlan(host.device(device), name, int(vlan))
        except PlumbError as error:
            raise PlumbError(f"failed to create {name} vlan link: {error.refusal}") from None


def _refuse_bridge(name: str, host: Netns) -> None:
    if host.device(name).kind == "bridge":
        raise SpecError(f"the bridge {name} as a parent is not modelled", mend="use the host's uplink, eth0")


def not_set_up(what: str) -> PlumbError:
    """The sandbox could not take its interface: runc's hook, which asks dockerd for it, ends with what it answered."""
    return in_hook(f"failed to add interface veth… to sandbox: {what}")
