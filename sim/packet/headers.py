"""The headers that a packet is made of, the numbers that stand in them, and what people call these.

Layouts follow RFC 791/792/768/9293/826/7348/4303 and IEEE 802.1Q, with what Hopcast never compares left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag


class EtherType(IntEnum):
    IPV4 = 0x0800
    ARP = 0x0806


class Proto(IntEnum):
    """IP protocol numbers, by the names that iptables and Docker use."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ESP = 50


class IcmpType(IntEnum):
    ECHO_REPLY = 0
    DEST_UNREACH = 3
    REDIRECT = 5
    ECHO_REQUEST = 8
    TIME_EXCEEDED = 11


class Unreach(IntEnum):
    """Codes of ICMP destination unreachable (include/uapi/linux/icmp.h)."""

    NET = 0
    HOST = 1
    PROTOCOL = 2
    PORT = 3
    FRAG_NEEDED = 4
    NET_PROHIBITED = 9
    HOST_PROHIBITED = 10
    ADMIN_PROHIBITED = 13


class TcpFlag(IntFlag):
    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10


@dataclass(slots=True)
class Ethernet:
    src: str
    dst: str
    ethertype: int = EtherType.IPV4


@dataclass(slots=True)
class Vlan:
    """An 802.1Q tag, which stands between the addresses and the EtherType; `Ethernet.ethertype` stays that of what is
    tagged, as in the kernel, where the tag travels beside the bytes."""

    id: int


@dataclass(slots=True)
class Arp:
    """An Ethernet/IPv4 ARP message; op 1 asks, 2 answers."""

    op: int
    sender_mac: str
    sender_ip: int
    target_mac: str
    target_ip: int


@dataclass(slots=True)
class IPv4:
    src: int
    dst: int
    proto: int
    ttl: int = 64
    df: bool = False
    mf: bool = False
    offset: int = 0
    """Fragment offset in bytes."""
    tos: int = 0


@dataclass(slots=True)
class Icmp:
    """Echo messages use ident and seq; errors carry the offending datagram as the packet's `inner`."""

    type: int
    code: int = 0
    ident: int = 0
    seq: int = 0
    mtu: int = 0


@dataclass(slots=True)
class Udp:
    sport: int
    dport: int


@dataclass(slots=True)
class Tcp:
    """seq and ack are relative to the initial sequence numbers: the SYN has seq 0, the first byte of data seq 1."""

    sport: int
    dport: int
    flags: int
    seq: int = 0
    ack: int = 0


@dataclass(slots=True)
class Vxlan:
    vni: int


@dataclass(slots=True)
class Esp:
    """IPsec's encapsulation; what follows is ciphertext. `spi` is text: a number (`0x4e4f0d38`), or a symbol where it
    is drawn. `seq` counts the packets of a security association from 1."""

    spi: str
    seq: int = 0


Transport = Icmp | Udp | Tcp


def flag_names(flags: int) -> str:
    """TCP flags as `SYN|ACK`, in the order in which people say them."""
    order = (TcpFlag.SYN, TcpFlag.FIN, TcpFlag.RST, TcpFlag.PSH, TcpFlag.ACK)
    return "|".join(f.name or "" for f in order if flags & f) or "none"


def icmp_name(kind: int, code: int) -> str:
    """ICMP type and code in words."""
    names = {0: "echo-reply", 3: "unreachable", 5: "redirect", 8: "echo-request", 11: "time-exceeded"}
    text = names.get(kind, f"type-{kind}")
    if kind == IcmpType.DEST_UNREACH:
        text = {0: "net", 1: "host", 2: "protocol", 3: "port", 4: "frag-needed", 9: "net-prohibited",
                10: "host-prohibited", 13: "admin-prohibited"}.get(code, str(code)) + "-unreachable"
    return text
