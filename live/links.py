"""What stands in a namespace, read over rtnetlink: devices with addresses and bridge, and the main table's routes.

Indexes matter as much as names: `eth0` of a container knows its peer only by the peer's index in the other namespace.
Left out: IPv6, tables other than main, multipath routes.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Callable
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from live import netns

IFF_UP, IFF_LOOPBACK = 0x1, 0x8
RT_TABLE_MAIN = 254
RTN_UNICAST = 1
NUD_PERMANENT = 0x80
SIOCETHTOOL, ETHTOOL_GDRVINFO = 0x8946, 3


@dataclass(frozen=True, slots=True)
class Link:
    """A device. `kind` is the kernel's (`veth`, `bridge`, …; `loopback` for lo); `peer` and `master` are indexes, 0 for
    none; `peer` counts in the peer's namespace."""

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    master: int = 0
    peer: int = 0
    addresses: tuple[str, ...] = ()
    options: str = ""
    """A macvlan's or ipvlan's mode, a vlan's id, a vxlan's id, port and flags, in the words of `ip -d link`."""


@dataclass(frozen=True, slots=True)
class RouteLine:
    """`dst` CIDR or `default`; `via` and `src` may be empty."""

    dst: str
    dev: str
    via: str
    src: str


def read(path: Path) -> tuple[list[Link], list[RouteLine]]:
    """Devices by index, and routes in the order of the table."""
    return netns.call(path, _read)


def _read() -> tuple[list[Link], list[RouteLine]]:
    with IPRoute() as route:
        addresses: dict[int, list[str]] = {}
        for message in route.get_addr(family=socket.AF_INET):
            local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            addresses.setdefault(message["index"], []).append(f"{local}/{message['prefixlen']}")
        links = [_link(message, tuple(addresses.get(message["index"], ()))) for message in route.get_links()]
        names = {link.index: link.name for link in links}
        routes = [
            _route(message, names)
            for message in route.get_routes(family=socket.AF_INET, table=RT_TABLE_MAIN)
            if message["type"] == RTN_UNICAST
        ]
    return sorted(links, key=lambda link: link.index), routes


def _link(message: Any, addresses: tuple[str, ...]) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    kind = "loopback" if message["flags"] & IFF_LOOPBACK else (info and info.get_attr("IFLA_INFO_KIND")) or "link"
    return Link(
        index=message["index"], name=message.get_attr("IFLA_IFNAME"), kind=kind,
        mac=(message.get_attr("IFLA_ADDRESS") or "").lower(), mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & IFF_UP), master=message.get_attr("IFLA_MASTER") or 0,
        peer=message.get_attr("IFLA_LINK") or 0, addresses=addresses,
        options=OPTIONS[kind](info.get_attr("IFLA_INFO_DATA")) if kind in OPTIONS and info else "")


def _vxlan(data: Any) -> str:
    flags = [name for name in ("proxy", "l2miss", "l3miss") if data.get_attr(f"IFLA_VXLAN_{name.upper()}")]
    number, port = data.get_attr("IFLA_VXLAN_ID"), data.get_attr("IFLA_VXLAN_PORT")
    return " ".join([f"id {number}", f"dstport {port}", *flags])


def _macvlan(data: Any) -> str:
    return f"mode {data.get_attr('IFLA_MACVLAN_MODE')}"


def _ipvlan(data: Any) -> str:
    number = data.get_attr("IFLA_IPVLAN_MODE")
    return f"mode {IPVLAN_MODES.get(number, number)}"


def _vlan(data: Any) -> str:
    protocol = data.get_attr("IFLA_VLAN_PROTOCOL")
    return f"protocol {VLAN_PROTOCOLS.get(protocol, protocol)} id {data.get_attr('IFLA_VLAN_ID')}"


IPVLAN_MODES = {0: "l2", 1: "l3", 2: "l3s"}
"""enum ipvlan_mode (include/uapi/linux/if_link.h)"""
VLAN_PROTOCOLS = {0x8100: "802.1Q", 0x88A8: "802.1ad"}
OPTIONS: dict[str, Callable[[Any], str]] = {"ipvlan": _ipvlan, "macvlan": _macvlan, "vlan": _vlan, "vxlan": _vxlan}

def driver(ifname: str) -> str:
    """The driver of a device of the calling thread's namespace, as `ethtool -i` says; "" where it has none, as
    loopback."""
    info = create_string_buffer(struct.pack("I", ETHTOOL_GDRVINFO), 196)
    request = struct.pack("16sP16x", ifname.encode(), addressof(info))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, SIOCETHTOOL, request)
        except OSError:
            return ""
    return info.raw[4:36].split(b"\0")[0].decode()


Triples = list[tuple[str, str, str]]


def permanent(path: Path) -> tuple[Triples, Triples]:
    """(address, device, MAC) of permanent neighbours, and (MAC, device, address) of what tunnels hold permanently."""
    return netns.call(path, permanent_here)


def permanent_here() -> tuple[Triples, Triples]:
    """As `permanent`, in the calling thread's namespace."""
    with IPRoute() as route:
        names = dict(socket.if_nameindex())
        found: list[Triples] = []
        for family in (socket.AF_INET, socket.AF_BRIDGE):
            found.append([
                (entry.get_attr("NDA_DST"), names[entry["ifindex"]], entry.get_attr("NDA_LLADDR"))
                for entry in route.get_neighbours(family=family)
                if entry["state"] & NUD_PERMANENT and entry.get_attr("NDA_DST")])
    return found[0], [(mac, device, remote) for remote, device, mac in found[1]]


def _route(message: Any, names: dict[int, str]) -> RouteLine:
    dst = message.get_attr("RTA_DST")
    return RouteLine(
        dst=f"{dst}/{message['dst_len']}" if dst else "default", dev=names.get(message.get_attr("RTA_OIF"), ""),
        via=message.get_attr("RTA_GATEWAY") or "", src=message.get_attr("RTA_PREFSRC") or "")
