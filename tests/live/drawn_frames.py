"""Frames for hypothesis to draw: of every kind that Hopcast compares."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sim.packet import Arp, Ethernet, EtherType, Icmp, IcmpType, IPv4, Packet, Proto, Tcp, Udp, Vxlan

macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
addresses = st.integers(0, 0xFFFFFFFF)
ports = st.integers(0, 0xFFFF)
payloads = st.binary(max_size=300)
tcp = st.builds(Tcp, ports, ports, st.integers(0, 31), addresses, addresses)
udp = st.builds(Udp, ports, ports.filter(lambda port: port != 4789))
echo = st.builds(Icmp, st.sampled_from([IcmpType.ECHO_REQUEST, IcmpType.ECHO_REPLY]), st.just(0), ports, ports)


transports = st.one_of(tcp, udp, echo)


@st.composite
def datagrams(draw: Any, transports: Any = transports, csum: str | None = None) -> Packet:
    l4 = draw(transports)
    proto = {Tcp: Proto.TCP, Udp: Proto.UDP, Icmp: Proto.ICMP}[type(l4)]
    header = IPv4(draw(addresses), draw(addresses), proto, ttl=draw(st.integers(0, 255)), df=draw(st.booleans()),
                  tos=draw(st.integers(0, 255)))
    states = ["valid", "bad"] if proto == Proto.ICMP else ["valid", "partial", "bad"]
    return Packet(ip=header, l4=l4, payload=draw(payloads), csum=csum or draw(st.sampled_from(states)))


@st.composite
def frames(draw: Any, inside: Any = datagrams()) -> Packet:  # noqa: B008 a strategy, not a value
    packet: Packet = draw(inside)
    packet.eth = Ethernet(draw(macs), draw(macs))
    return packet


arps = st.builds(lambda eth, arp: Packet(eth=eth, arp=arp), st.builds(Ethernet, macs, macs, st.just(EtherType.ARP)),
                 st.builds(Arp, st.sampled_from([1, 2]), macs, addresses, macs, addresses))


@st.composite
def icmp_errors(draw: Any) -> Packet:
    l4 = Icmp(draw(st.sampled_from([3, 5, 11])), draw(st.integers(0, 13)))
    if l4.type == IcmpType.DEST_UNREACH:
        l4.mtu = draw(ports)
    return Packet(ip=IPv4(draw(addresses), draw(addresses), Proto.ICMP, tos=0xC0), l4=l4, inner=draw(datagrams()))


@st.composite
def tunnelled(draw: Any) -> Packet:
    return Packet(ip=IPv4(draw(addresses), draw(addresses), Proto.UDP), l4=Udp(draw(ports), 4789),
                  vxlan=Vxlan(draw(st.integers(0, 0xFFFFFF))), inner=draw(frames()))
