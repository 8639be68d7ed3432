"""VXLAN: Ethernet frames of one network in UDP datagrams of another (drivers/net/vxlan/vxlan_core.c, RFC 7348).

The device stands where its users are (an overlay's own namespace), its UDP socket where it was made (the host's):
`vxlan->net`. A frame goes to the tunnel endpoint that the forwarding database has for its destination, and nowhere
when there is none: a network that dockerd programs floods nothing. With `proxy` the device answers ARP itself, from
permanent neighbour entries, so that ARP never crosses the wire. What comes in is found by its VNI.

Outer headers: DF is not set, TTL 64, source port by the inner flow's hash in the ephemeral range. The checksum of an
inner packet that is still partial is taken as done (local checksum offload), so the outer one is complete; else the
outer one itself is left to the device.
What is too long for the way to the other end: a packet with DF is answered with FRAG_NEEDED, in the name of whom it was
for; any other goes, and its outer datagram is cut.
Left out: learning from what arrives (every peer is programmed), multicast groups, IPv6, GPE and GBP, routing by
metadata.
"""

from __future__ import annotations

from zlib import crc32

from sim.kernel import icmp
from sim.kernel.device import NetDevice
from sim.kernel.effects import Effects, Handoff
from sim.kernel.netns import Netns
from sim.kernel.sysctl import EPHEMERAL
from sim.packet import Arp, Ethernet, EtherType, IcmpType, IPv4, Packet, Proto, Tcp, Udp, Unreach, Vxlan, dotted
from sim.trace import DropReason, Kind, Step

PORT = 4789
"""IANA's; the kernel's own default is 8472."""
OVERHEAD = 50
"""Bytes that the tunnel adds: inner Ethernet 14, VXLAN 8, UDP 8, IPv4 20."""
TTL = 64
SMALLEST = 576
"""A path MTU below this is not told to anybody."""


class VxlanDevice(NetDevice):
    """`ip link add NAME type vxlan id VNI dstport PORT proxy l2miss l3miss`, made in `underlay` and moved to
    `netns`.
    """

    kind = "vxlan"

    def __init__(self, name: str, netns: Netns, mac: str, underlay: Netns, vni: int, mtu: int = 1450,
                 *, port: int = PORT) -> None:
        super().__init__(name, netns, mac, mtu)
        self.underlay, self.vni, self.port = underlay, vni, port
        self.remotes: dict[str, int] = {}
        """The device's own forwarding database: MAC address -> tunnel endpoint."""
        netns.devices[name] = self
        tunnel = underlay.sockets.tunnels.setdefault(port, VxlanSocket(underlay))
        assert isinstance(tunnel, VxlanSocket)
        tunnel.devices[vni] = self

        self.options = f"id {vni} dstport {port} proxy l2miss l3miss"

    def gone(self) -> None:
        """With the last device of a port its socket closes."""
        super().gone()
        tunnel = self.underlay.sockets.tunnels.get(self.port)
        if isinstance(tunnel, VxlanSocket) and tunnel.devices.get(self.vni) is self:
            del tunnel.devices[self.vni]
            if not tunnel.devices:
                del self.underlay.sockets.tunnels[self.port]

    def append(self, mac: str, remote: int) -> None:
        """`bridge fdb append MAC dev NAME dst REMOTE self permanent`."""
        self.remotes[mac] = remote

    def remove(self, mac: str) -> None:
        """`bridge fdb del MAC dev NAME self`; nothing where there is no such entry."""
        self.remotes.pop(mac, None)

    def remote_lines(self) -> list[str]:
        return [f"{mac} dev {self.name} dst {dotted(remote)}" for mac, remote in self.remotes.items()]

    def transmit(self, packet: Packet, now: float) -> Effects:
        assert packet.eth is not None
        if packet.arp is not None:
            yield from self._reduce(packet, packet.arp)
            return
        remote = self.remotes.get(packet.eth.dst)
        if remote is None:
            yield self.drop(DropReason.NO_MEMBER, packet, f"no tunnel endpoint for {packet.eth.dst}")
            return
        narrow = self._narrow(packet, remote)
        if narrow is not None:
            yield self.step(Kind.ICMP_ERROR, narrow, f"{packet.size()} bytes do not fit into the tunnel")
            yield Handoff(self, narrow, self)  # vxlan_encap_bypass: as if it had come out of the tunnel
            return
        outer = Packet(
            ip=IPv4(0, remote, Proto.UDP, TTL), l4=Udp(source_port(packet), self.port), vxlan=Vxlan(self.vni),
            inner=packet.snapshot(), csum="valid" if packet.csum == "partial" else "partial", uid=packet.uid)
        yield self.step(Kind.ENCAP, packet, f"{packet.eth.dst} is behind {dotted(remote)}, VNI {self.vni}")
        yield from self.underlay.ip.output(outer, now)

    def receive(self, packet: Packet, port: object, now: float) -> Effects:
        if port is not self:
            yield from super().receive(packet, port, now)
            return
        packet.pkt_type = "host"  # vxlan_encap_bypass calls it so, whomever it is for
        yield from self.hand_up(packet, now)

    def _narrow(self, packet: Packet, remote: int) -> Packet | None:
        """The answer to a packet with DF that is too long for the way to the other end, in the name of whom it is for
        (`skb_tunnel_check_pmtu`, `iptunnel_pmtud_build_icmp`). One without DF goes, and the outer datagram is cut."""
        header, route = packet.ip, self.underlay.ip.route(remote)
        if header is None or packet.eth is None or route is None or not header.df or header.mf or header.offset:
            return None
        mtu = self.underlay.device(route.dev).mtu - OVERHEAD
        if packet.size() <= mtu or mtu < SMALLEST:
            return None
        error = icmp.error_about(packet, IcmpType.DEST_UNREACH, Unreach.FRAG_NEEDED, mtu=mtu)
        if error is not None and error.ip is not None:
            error.eth = Ethernet(packet.eth.dst, packet.eth.src)
            error.ip = IPv4(header.dst, header.src, Proto.ICMP, header.ttl, df=True)
        return error

    def _reduce(self, packet: Packet, asked: Arp) -> Effects:
        """The ARP proxy (`arp_reduce`): a request is answered or dropped, and any other ARP is dropped."""
        known = self.netns.neighbours.entries.get((self.name, asked.target_ip)) if asked.op == 1 else None
        if known is None or not known.permanent:
            yield self.drop(DropReason.NOT_FOR_US, packet, "ARP does not cross the tunnel")
            return
        reply = Packet(
            eth=Ethernet(known.mac, asked.sender_mac, EtherType.ARP),
            arp=Arp(2, known.mac, asked.target_ip, asked.sender_mac, asked.sender_ip))
        yield self.step(Kind.NEIGH, packet, f"answered by {self.name}: {dotted(asked.target_ip)} is at {known.mac}")
        yield Handoff(self, reply)  # netif_rx: as if it had come out of the tunnel


class VxlanSocket:
    """The kernel's UDP socket on the tunnel's port: which device a datagram is for (`vxlan_rcv`)."""

    def __init__(self, netns: Netns) -> None:
        self.netns = netns
        self.devices: dict[int, VxlanDevice] = {}

    @property
    def point(self) -> tuple[str, str]:
        return self.netns.label, ""

    def receive(self, packet: Packet, port: object, now: float) -> Effects:
        device = self.devices.get(packet.vxlan.vni) if packet.vxlan else None
        if device is None or packet.inner is None:
            yield Step(Kind.DROP, self.netns.label, "", packet.snapshot(), "no VXLAN device with that VNI",
                       reason=DropReason.NO_MEMBER)
            return
        inner = packet.inner.snapshot()
        yield device.step(Kind.DECAP, inner, f"VNI {device.vni}, to {device.netns.label}:{device.name}")
        yield Handoff(device, inner)  # gro_cells: the device's own backlog


def source_port(packet: Packet) -> int:
    """`udp_flow_src_port`: the same for all of a flow. The kernel's hash has a random key, or is the TCP socket's
    own random number; so the model's figure stands for it, and comparisons check range and constancy."""
    first, last = EPHEMERAL.start, EPHEMERAL.stop - 1
    return first + (crc32(repr(_flow(packet)).encode()) * (last - first) >> 32)


def _flow(packet: Packet) -> tuple[object, ...]:
    """What the flow dissector takes: addresses, and the ports of a whole TCP or UDP datagram."""
    header = packet.ip
    if header is None:
        return ()
    ends = (header.src, 0), (header.dst, 0)
    if isinstance(packet.l4, Tcp | Udp) and not (header.mf or header.offset):
        ends = (header.src, packet.l4.sport), (header.dst, packet.l4.dport)
    return (header.proto, *(ends if header.proto == Proto.TCP else sorted(ends)))
