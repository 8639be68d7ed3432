"""Packets as the kernel carries them: a stack of headers, slotted and cheap to copy.

IPv4 addresses are 32-bit ints (rules and routes compare them with masks), MAC addresses are strings, because most of
those that dockerd makes are random: the model then writes a symbol such as `mac(host:docker0)` and the live side maps
the real address to the same symbol before anything is compared.

The headers themselves are in `headers.py`, the forms of addresses in `address.py`; both are read from here.
Left out: IPv6, IP options, TCP options but for their length (`Packet.options`; Hopcast never compares them).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sim.packet.address import BROADCAST, ZERO_MAC, cidr, dotted, ip, mask_of
from sim.packet.headers import (
    Arp,
    Esp,
    Ethernet,
    EtherType,
    Icmp,
    IcmpType,
    IPv4,
    Proto,
    Tcp,
    TcpFlag,
    Transport,
    Udp,
    Unreach,
    Vlan,
    Vxlan,
    flag_names,
    icmp_name,
)

__all__ = [
    "BROADCAST", "ZERO_MAC", "Arp", "Esp", "EtherType", "Ethernet", "IPv4", "Icmp", "IcmpType", "Packet", "Proto",
    "Tcp", "TcpFlag", "Transport", "Udp", "Unreach", "Vlan", "Vxlan", "cidr", "dotted", "flag_names", "icmp_name", "ip",
    "mask_of",
]


HEADERS: dict[str, tuple[str, type[Any]]] = {
    "eth": ("eth", Ethernet), "vlan": ("vlan", Vlan), "arp": ("arp", Arp), "ip": ("ip", IPv4), "icmp": ("l4", Icmp),
    "udp": ("l4", Udp), "tcp": ("l4", Tcp), "vxlan": ("vxlan", Vxlan), "esp": ("esp", Esp),
}
"""Label in `Packet.fields()` -> (slot of the packet, header class)."""
_ids = itertools.count(1)


@dataclass(slots=True, eq=False)
class Packet:
    """A header stack plus what the kernel's skb carries beside it.

    Exactly one of `arp` and `ip` is set. `payload` is application data; `inner` is the packet inside: the frame that a
    VXLAN header carries, or the datagram that an ICMP error quotes.
    `csum` says what a capture would find in the transport checksum: "valid", or "partial" when the kernel left it to
    the device (CHECKSUM_PARTIAL), as it does for its own TCP and UDP on veth, bridge and loopback.
    """

    eth: Ethernet | None = None
    arp: Arp | None = None
    ip: IPv4 | None = None
    l4: Transport | None = None
    vxlan: Vxlan | None = None
    payload: bytes = b""
    inner: Packet | None = None
    csum: str = "valid"
    vlan: Vlan | None = None
    """The frame's 802.1Q tag, when it is on a link that has it (`skb_vlan_tag_present`)."""
    esp: Esp | None = None
    options: int = 0
    """Bytes of TCP options: part of the packet's size, and so of what encloses it."""
    # skb metadata: not on the wire, not compared
    mark: int = 0
    mss: int = 0
    """What a SYN says of the largest segment that its sender takes; 0: nothing."""
    sack: tuple[tuple[int, int], ...] = ()
    """What an acknowledgement says of data behind a hole: ranges of sequence numbers, without the second."""
    sealed: Packet | None = None
    """What the ciphertext behind an ESP header is: for the ends of a security association, not for sniffers. Also the
    whole frame of which the first fragment of a VXLAN datagram shows the beginning."""
    secpath: bool = False
    """It came in through a security association (the skb's sec_path)."""
    ct: Any = None
    """Conntrack's (entry, ctinfo) for this packet in the namespace where it is now; veth scrubs it."""
    nf_bridge: Any = None
    """br_netfilter's note (physical in-port, whether PRE_ROUTING has run)."""
    pkt_type: str = "host"
    """host | broadcast | otherhost | outgoing, as eth_type_trans sets it."""
    ipvs: bool = False
    """IPVS has rewritten it in this namespace and leaves it alone from here on (`ipvs_property`); veth scrubs it."""
    largest: int = 0
    """Of a datagram that was put together: the size of its largest fragment (`frag_max_size`)."""
    departs: bool = False
    """A TCP socket stamped it with its time of departure, which stays in the place of a time of arrival."""
    uid: int = 0

    def __post_init__(self) -> None:
        if not self.uid:
            self.uid = next(_ids)

    def copy(self) -> Packet:
        """A packet of its own (headers copied), same uid, same skb metadata."""
        clone = self.snapshot()
        clone.mark, clone.ct, clone.nf_bridge, clone.pkt_type = self.mark, self.ct, self.nf_bridge, self.pkt_type
        clone.departs, clone.ipvs, clone.largest = self.departs, self.ipvs, self.largest
        clone.sealed, clone.secpath = self.sealed, self.secpath
        clone.mss, clone.sack = self.mss, self.sack
        return clone

    def snapshot(self) -> Packet:
        """What a sniffer would see now: headers copied, no skb metadata."""
        eth, header, l4, inner = self.eth, self.ip, self.l4, self.inner
        return Packet(
            eth and Ethernet(eth.src, eth.dst, eth.ethertype),
            self.arp and _copy(self.arp),
            header and IPv4(header.src, header.dst, header.proto, header.ttl, header.df, header.mf, header.offset,
                            header.tos),
            Tcp(l4.sport, l4.dport, l4.flags, l4.seq, l4.ack) if type(l4) is Tcp else _copy(l4),
            self.vxlan and _copy(self.vxlan), self.payload, inner and inner.snapshot(), self.csum,
            self.vlan and _copy(self.vlan), self.esp and _copy(self.esp), self.options, uid=self.uid,
        )

    def size(self) -> int:
        """Length in bytes of the IP datagram (or ARP message), without the Ethernet header."""
        if self.ip is None:
            return 28
        l4 = {Icmp: 8, Udp: 8, Tcp: 20}.get(type(self.l4), 0)
        inner = self.inner.size() + (14 if self.inner.eth and self.vxlan else 0) if self.inner else 0
        return 20 + l4 + (8 if self.vxlan else 0) + (8 if self.esp else 0) + self.options + len(self.payload) + inner

    def fields(self) -> dict[str, Any]:
        """Flat `header.field -> value` in wire order, addresses dotted: what tables show and comparisons compare."""
        flat: dict[str, Any] = {}
        for name in ("eth", "vlan", "arp", "ip", "l4", "vxlan", "esp"):
            header = getattr(self, name)
            if header is None:
                continue
            label = type(header).__name__.lower() if name == "l4" else name
            for f in fields(header):
                value = getattr(header, f.name)
                if name in ("ip", "arp") and f.name in ("src", "dst", "sender_ip", "target_ip"):
                    value = dotted(value)
                elif f.name == "flags":
                    value = flag_names(value)
                flat[f"{label}.{f.name}"] = value
        if self.l4 is not None:
            flat["l4.csum"] = self.csum
            flat["payload.length"] = len(self.payload)
        if self.esp is not None or (self.ip is not None and self.ip.offset):  # a later fragment is all payload
            flat["payload.length"] = len(self.payload)
        if self.inner is not None:
            flat |= {f"inner.{key}": value for key, value in self.inner.fields().items()}
        return flat

    @classmethod
    def from_fields(cls, flat: Mapping[str, Any]) -> Packet:
        """The packet whose `fields()` these are. Only the length of the payload is known: it is filled with zeros."""
        inner = {key.removeprefix("inner."): value for key, value in flat.items() if key.startswith("inner.")}
        packet = cls(payload=bytes(flat.get("payload.length", 0)), csum=flat.get("l4.csum", "valid"),
                     inner=cls.from_fields(inner) if inner else None)
        for label, (slot, header) in HEADERS.items():
            prefix = f"{label}."
            values = {key.removeprefix(prefix): value for key, value in flat.items() if key.startswith(prefix)}
            if not values:
                continue
            for name, value in values.items():
                if name in ("src", "dst", "sender_ip", "target_ip") and slot in ("ip", "arp"):
                    values[name] = ip(value)
                elif name == "flags":
                    values[name] = sum(TcpFlag[flag] for flag in value.split("|") if flag != "none")
            setattr(packet, slot, header(**values))
        return packet

    def __str__(self) -> str:
        return f"VLAN {self.vlan.id}: {self._text()}" if self.vlan else self._text()

    def _text(self) -> str:
        if self.arp:
            verb = "who-has" if self.arp.op == 1 else "is-at"
            what = dotted(self.arp.target_ip) if self.arp.op == 1 else self.arp.sender_mac
            return f"ARP {verb} {what} tell {dotted(self.arp.sender_ip)}" if self.arp.op == 1 else (
                f"ARP {dotted(self.arp.sender_ip)} {verb} {what}")
        if self.ip is None:
            return "frame"
        src, dst = dotted(self.ip.src), dotted(self.ip.dst)
        match self.l4:
            case Tcp(sport=s, dport=d, flags=f):
                return f"TCP {src}:{s} > {dst}:{d} [{flag_names(f)}]"
            case Udp(sport=s, dport=d):
                return f"UDP {src}:{s} > {dst}:{d}"
            case Icmp(type=t, code=c):
                return f"ICMP {icmp_name(t, c)} {src} > {dst}"
        if self.esp:
            return f"ESP {src} > {dst} seq {self.esp.seq}"
        return f"IP {src} > {dst} proto {self.ip.proto}"


def _copy(header: Any) -> Any:
    if header is None:
        return None
    return type(header)(*[getattr(header, name) for name in header.__slots__])
