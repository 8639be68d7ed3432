"""A network namespace: its devices, addresses, routes, rules, sockets, and the resolver files of whoever lives in it.

Everything that one machine or one container calls "my network" hangs on this object; dockerd plumbs it with the same
verbs as with `ip` and `iptables`.
"""

from __future__ import annotations

from sim.errors import PlumbError
from sim.kernel.bridge import Bridge
from sim.kernel.device import NetDevice
from sim.kernel.draws import Draws
from sim.kernel.ip import IpStack
from sim.kernel.ipvs import Ipvs
from sim.kernel.loopback import Loopback
from sim.kernel.neighbor import NeighbourTable
from sim.kernel.netfilter import Netfilter
from sim.kernel.resolver import ResolverFiles
from sim.kernel.routing import RouteEntry, RoutingTable
from sim.kernel.socket import SocketTable
from sim.kernel.sysctl import LATEST, Sysctls
from sim.kernel.xfrm import Xfrm
from sim.packet import Packet, cidr, dotted, ip, mask_of
from sim.plumbing import Interface, Namespace, Route


class Netns:
    """See the module docstring. `label` names it in traces and comparisons."""

    def __init__(self, label: str, linux: tuple[int, int] = LATEST, draws: Draws | None = None) -> None:
        self.label, self.linux = label, linux
        self.sysctls = Sysctls(self.linux)
        self.devices: dict[str, NetDevice] = {}
        self.routes = RoutingTable()
        self.neighbours = NeighbourTable(self)
        self.ip = IpStack(self)
        self.sockets = SocketTable(self)
        self.xfrm = Xfrm(self)
        self.netfilter = Netfilter(
            label, is_local=self.is_local, address_of=self.address_of, is_broadcast=self.is_broadcast)
        self.ipvs = Ipvs(self)
        self.draws = draws or Draws()
        self.tso = True
        """Devices take TCP's writes whole, as with segmentation offload; else they are cut at the MSS."""
        self.nameservers: list[str] = []
        self.search: list[str] = []
        self.resolv_options: list[str] = []
        self.hosts: list[tuple[int, tuple[str, ...]]] = []
        self.daemon_listeners: list[tuple[str, str, int]] = []
        self.touched = True
        """Something may have happened here since the last `flush`: whoever could fill a cache says so."""
        self._local: set[int] = set()
        self._broadcasts: set[int] = set()
        self._local_nets: list[tuple[int, int]] = []
        self.devices["lo"] = Loopback(self)
        self.add_address("lo", "127.0.0.1/8")

    def __repr__(self) -> str:
        return f"<Netns {self.label}>"

    # the verbs of ip(8) and iptables(8)

    def device(self, name: str) -> NetDevice:
        try:
            return self.devices[name]
        except KeyError:
            raise PlumbError(f'Cannot find device "{name}"', where=self.label) from None

    def add_bridge(self, name: str, mac: str, mtu: int = 1500) -> Bridge:
        """`ip link add NAME type bridge`, up."""
        if name in self.devices:
            raise PlumbError("RTNETLINK answers: File exists", where=f"{self.label}:{name}")
        bridge = Bridge(name, self, mac, mtu)
        self.devices[name] = bridge
        return bridge

    def enslave(self, bridge_name: str, device_name: str) -> None:
        """`ip link set DEVICE master BRIDGE`."""
        bridge, port = self.device(bridge_name), self.device(device_name)
        if not isinstance(bridge, Bridge):
            raise PlumbError(f"{bridge_name} is not a bridge", where=self.label)
        bridge.ports.append(port)
        port.master = bridge
        bridge.mtu = min(p.mtu for p in bridge.ports)  # br_mtu_auto_adjust

    def add_address(self, device_name: str, address: str) -> None:
        """`ip address add CIDR dev DEVICE`, and the connected route that the kernel adds with it."""
        device = self.device(device_name)
        value, mask = cidr(address)
        device.addresses.append((value, mask.bit_count()))
        self._note_addresses()
        if device_name != "lo" and mask != 0xFFFFFFFF:
            self.routes.add(RouteEntry(value & mask, mask, device_name, src=value))

    def del_address(self, device_name: str, address: str) -> None:
        """`ip address del CIDR dev DEVICE`, of one that has no route of its own (/32)."""
        value, mask = cidr(address)
        self.device(device_name).addresses.remove((value, mask.bit_count()))
        self._note_addresses()

    def _note_addresses(self) -> None:
        """Own addresses, and those that everybody on a net hears, from what the devices have."""
        known = [(d, address, plen) for d in self.devices.values() for address, plen in d.addresses]
        self._local = {address for _, address, _ in known}
        self._broadcasts = {address | ~mask_of(plen) & 0xFFFFFFFF for d, address, plen in known
                            if d.name != "lo" and plen < 31}

    def add_route(self, dst: str, *, dev: str, via: str = "", src: str = "") -> None:
        """`ip route add DST [via VIA] dev DEV`. DST is "default" or a CIDR."""
        network, mask = (0, 0) if dst == "default" else cidr(dst)
        self.device(dev)
        if any((r.network, r.mask, r.metric) == (network & mask, mask, 0) for r in self.routes.entries):
            raise PlumbError("RTNETLINK answers: File exists", where=f"{self.label}: route {dst}")
        self.routes.add(RouteEntry(network & mask, mask, dev, ip(via) if via else 0, ip(src) if src else 0))

    def add_local_route(self, dst: str) -> None:
        """`ip route add local DST dev lo`: all its addresses are this namespace's own, but those that are on a link."""
        value, mask = cidr(dst)
        self._local_nets.append((value & mask, mask))

    def link_set(self, device_name: str, *, up: bool | None = None) -> None:
        """`ip link set DEVICE up|down`."""
        if up is not None:
            self.device(device_name).up = up

    def link_del(self, device_name: str) -> None:
        """`ip link del DEVICE`: its addresses, routes and neighbours go as well, and a veth's other end."""
        device = self.device(device_name)
        del self.devices[device_name]
        self.routes.entries = [route for route in self.routes.entries if route.dev != device_name]
        self.neighbours.forget(device_name)
        self._note_addresses()
        device.gone()

    def forget_settings(self) -> None:
        """No rules, no IPsec, and sysctls as a fresh namespace has them."""
        self.sysctls = Sysctls(self.linux)
        self.xfrm = Xfrm(self)
        self.netfilter = Netfilter(
            self.label, is_local=self.is_local, address_of=self.address_of, is_broadcast=self.is_broadcast)

    def iptables(self, command: str) -> None:
        """`iptables COMMAND`; PlumbError in the tool's words."""
        self.netfilter.iptables(command)

    @property
    def files(self) -> ResolverFiles:
        """What a process here finds that has no files of its own."""
        return ResolverFiles(
            tuple(self.nameservers), tuple(self.search), tuple(self.resolv_options), tuple(self.hosts))

    # what the stack asks

    def is_local(self, address: int) -> bool:
        """Is `address` in the local table: one of this namespace's own, or anything in 127/8?"""
        if address in self._local or address >> 24 == 127:
            return True
        return self.everywhere and self._of_local_route(address)

    @property
    def everywhere(self) -> bool:
        """Has it more addresses than its devices say?"""
        return bool(self._local_nets)

    def _of_local_route(self, address: int) -> bool:
        """Of a local route, unless a longer one of the table leads there (`fib_table_lookup`)."""
        mine = max((mask for network, mask in self._local_nets if address & mask == network), default=-1)
        route = self.routes.lookup(address)
        return mine >= 0 and (route is None or route.mask <= mine)

    def is_broadcast(self, address: int) -> bool:
        """The limited broadcast, or the last address of a subnet that this namespace is on."""
        return address == 0xFFFFFFFF or address in self._broadcasts

    def address_of(self, device_name: str) -> int | None:
        """The first address of a device (what MASQUERADE writes)."""
        device = self.devices.get(device_name)
        return device.addresses[0][0] if device and device.addresses else None

    def source_for(self, target: int, device_name: str) -> int:
        """The source address that the kernel prefers towards `target` out of a device (`inet_select_addr`); or 0.
        For a device without addresses it is the first of any other that is not only this host's."""
        device = self.devices.get(device_name)
        if device is None:
            return 0
        for address, plen in device.addresses:
            if (address ^ target) & mask_of(plen) == 0:
                return address
        if device.addresses:
            return device.addresses[0][0]
        return next((a for d in self.devices.values() for a, _ in d.addresses if a >> 24 != 127), 0)

    def holds(self, packet: Packet) -> bool:
        """Does a packet of a socket here still wait for a neighbour: here, or where another namespace routes it?"""
        routers = [device.router for device in self.devices.values() if device.router is not None]
        return any(netns.neighbours.holds(packet) for netns in (self, *routers))

    def flush(self) -> None:
        """Cold caches: neighbours, dynamic FDB entries, conntrack, IPVS's connections, and every socket that is not
        listening."""
        self.touched = False
        self.neighbours.flush()
        self.netfilter.flush_conntrack()
        self.ipvs.flush()
        self.sockets.flush()
        self.ip.reassembly.flush()
        self.xfrm.flush()
        for device in self.devices.values():
            device.flush()

    def snapshot(self) -> Namespace:
        """This namespace as plain data, for the comparison of plumbing."""
        interfaces = {
            d.name: Interface(
                d.name, d.kind, d.mac, tuple(cidr_text(a, n) for a, n in d.addresses), d.mtu,
                d.master.name if d.master else "", d.up, d.options)
            for d in self.devices.values()
        }
        routes = [
            Route(r.dst, r.dev, _dotted_or_empty(r.via), _dotted_or_empty(r.src)) for r in self.routes.entries
        ]
        return Namespace(self.label, interfaces, routes, self.netfilter.save(), sorted(self.daemon_listeners),
                         list(self.nameservers), self.neighbours.permanent(),
                         [line for d in self.devices.values() for line in d.remote_lines()],
                         balanced=self.ipvs.lines(), policies=self.xfrm.lines())


def cidr_text(address: int, prefix_length: int) -> str:
    return f"{_dotted_or_empty(address)}/{prefix_length}"


def _dotted_or_empty(address: int) -> str:
    return dotted(address) if address else ""
