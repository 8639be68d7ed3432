"""The overlay driver: one Ethernet for containers on many engines. On each engine that has an endpoint on the
network there is a namespace of its own with a bridge `br0`, the containers' veths, and `vxlan0`, the way to the
other engines.

Each remote endpoint is a permanent neighbour entry (address -> MAC) and an entry of vxlan0's forwarding database
(MAC -> that engine's address): the driver programs what others learn by flooding. Rules of iptables are written for
encrypted networks only (`encryption.py`).

Follows libnetwork of moby v20.10: drivers/overlay/ov_network.go, joinleave.go, peerdb.go.
Left out: several subnets, IPv6.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address

from sim.dockerd.drivers import encryption
from sim.dockerd.drivers.api import Driver, Engine
from sim.dockerd.drivers.encryption import Encryption
from sim.dockerd.endpoint import Endpoint
from sim.dockerd.network import Network
from sim.dockerd.swarm import Peer, Swarm
from sim.errors import PlumbError
from sim.kernel.netns import Netns
from sim.kernel.veth import veth_pair
from sim.kernel.vxlan import OVERHEAD, VxlanDevice

BRIDGE, VXLAN = "br0", "vxlan0"
MTU = "com.docker.network.driver.mtu"
DEFAULT_MTU = 1500
ETH_MIN_MTU = 68
"""include/uapi/linux/if_ether.h"""


class OverlayDriver(Driver):
    """`tunnel`: this engine's address on the underlay (`--advertise-addr`)."""

    needs_way_out = True

    def __init__(self, engine: Engine, swarm: Swarm, tunnel: int, new_netns: Callable[[str], Netns]) -> None:
        super().__init__(engine)
        self.swarm, self.tunnel, self.new_netns = swarm, tunnel, new_netns
        self.encryption = Encryption(engine.netns, tunnel)
        self.namespaces: dict[str, Netns] = {}
        self._hearing: dict[str, Callable[[Peer], None]] = {}
        self._forgetting: dict[str, Callable[[Peer], None]] = {}

    def gateway(self, network: Network) -> IPv4Address | None:
        """None: br0 has the gateway's address, but nothing is routed there."""
        return None

    def create_network(self, network: Network) -> None:
        """What `initSubnetSandbox` makes for an engine's first endpoint on the network."""
        shared = self.swarm.networks[network.name]
        if _secure(network):
            self.encryption.network_added(shared.vni)
        label = f"ov({network.name})@{self.engine.netns.label}"
        netns = self.namespaces[network.name] = self.new_netns(label)
        # as the machine's first namespace has it (net.core.devconf_inherit_init_net)
        netns.sysctls["net.ipv4.ip_forward"] = self.engine.netns.sysctls["net.ipv4.ip_forward"]
        netns.add_bridge(BRIDGE, f"mac({label}:{BRIDGE})")
        netns.add_address(BRIDGE, f"{shared.gateway}/{shared.pool.network.prefixlen}")
        vxlan = VxlanDevice(VXLAN, netns, f"mac({label}:{VXLAN})", self.engine.netns, shared.vni, _mtu(network))
        netns.enslave(BRIDGE, VXLAN)
        hear = self._hearing[network.name] = partial(self._peer_add, vxlan, secure=_secure(network))
        forget = self._forgetting[network.name] = partial(self._peer_delete, vxlan)
        shared.listen(hear)
        shared.forgetting.append(forget)

    def join(self, endpoint: Endpoint, sandbox: Netns, device: str) -> None:
        assert endpoint.address is not None
        netns, near = self.namespaces[endpoint.network.name], endpoint.host_device
        veth_pair(netns, near, f"mac({netns.label}:{near})", sandbox, device, endpoint.mac, _mtu(endpoint.network))
        netns.enslave(BRIDGE, near)
        sandbox.add_address(device, endpoint.cidr)
        self.swarm.networks[endpoint.network.name].tell(Peer(endpoint.address, endpoint.mac, self.tunnel))

    def hear_of(self, network: Network, peers: list[Peer]) -> None:
        """`peerDBNetworkCleanup`, then `peerAdd` for each."""
        vxlan = self.namespaces[network.name].devices[VXLAN]
        assert isinstance(vxlan, VxlanDevice)
        vxlan.netns.neighbours.forget(VXLAN)
        vxlan.remotes.clear()
        for peer in peers:
            self._hearing[network.name](peer)

    def leave_swarm(self) -> list[str]:
        return [label for name in list(self.namespaces) for label in self._destroy(name)]

    def delete_network(self, network: Network) -> list[str]:
        return self._destroy(network.name)

    def _destroy(self, name: str) -> list[str]:
        """`destroySandbox`"""
        shared, netns = self.swarm.networks[name], self.namespaces.pop(name)
        shared.listeners.remove(self._hearing.pop(name))
        shared.forgetting.remove(self._forgetting.pop(name))
        for device in list(netns.devices):
            if device != "lo" and device in netns.devices:
                netns.link_del(device)
        return [netns.label]

    def _peer_delete(self, vxlan: VxlanDevice, peer: Peer) -> None:
        """`peerDeleteOp`"""
        if peer.tunnel != self.tunnel:
            vxlan.netns.neighbours.remove(vxlan.name, int(peer.address))
            vxlan.remove(peer.mac)

    def _peer_add(self, vxlan: VxlanDevice, peer: Peer, *, secure: bool) -> None:
        """`peerAddOp`: this engine's own endpoints need no entry, they are on the bridge."""
        if peer.tunnel != self.tunnel:
            if secure:
                self.encryption.peer_added(peer.tunnel)
            vxlan.netns.neighbours.add(vxlan.name, int(peer.address), peer.mac)
            vxlan.append(peer.mac, peer.tunnel)


def _mtu(network: Network) -> int:
    """`maxMTU`. PlumbError with the errno of LinkSetMTU, which is all that the driver says, when no veth takes it."""
    mtu = (int(network.spec.options.get(MTU, "0")) or DEFAULT_MTU) - OVERHEAD
    mtu = encryption.largest(mtu) if _secure(network) else mtu
    if mtu < ETH_MIN_MTU:
        raise PlumbError("invalid argument", mend=f"network {network.name} leaves {mtu} bytes in the tunnel, and an "
                         f"interface has {ETH_MIN_MTU} at least: raise its {MTU}")
    return mtu


def _secure(network: Network) -> bool:
    return encryption.OPTION in network.spec.options
