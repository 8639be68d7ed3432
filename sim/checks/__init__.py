"""What must hold in each object of a Spec: the form of addresses and names, what a driver's options may be.

Each check raises a SpecError whose `where` names the object (`container web`, `network front`); the Compose reader puts
the file, the key and the line in its place. What objects say of each other is in `spec.py`, what is said of swarm
services and faults in `swarm.py`. What only an engine can refuse (a port that is already allocated, pools that overlap)
is left to dockerd, simulated or real.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import TYPE_CHECKING

from sim.checks import sysctls
from sim.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from sim.spec import Container, Network

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
"""moby's RestrictedNameChars, which containers, networks and volumes share."""
MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
MODES = ("networks", "bridge", "host", "none")
MODELLED_DRIVERS = ("bridge", "ipvlan", "macvlan", "overlay")
"""Network drivers for which sim/dockerd/drivers has a file. The next driver is added here as well."""
PUBLISHING_DRIVERS = ("bridge", "overlay")
"""Drivers on whose networks `ports` have an effect."""
WIRE_DRIVERS = ("ipvlan", "macvlan")
"""Drivers whose containers stand on the hosts' own wire, where two engines may give the same address."""
SWARM_DRIVERS = ("overlay",)
"""Drivers whose networks are the whole swarm's."""

BOOLEANS = {"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"}
"""What Go's strconv.ParseBool takes, and so dockerd in a driver option."""
BRIDGE_OPTIONS = {
    "com.docker.network.bridge.name": "device",
    "com.docker.network.bridge.enable_icc": "boolean",
    "com.docker.network.bridge.enable_ip_masquerade": "boolean",
    "com.docker.network.bridge.host_binding_ipv4": "address",
    "com.docker.network.driver.mtu": "number",
    "com.docker.network.host_ipv4": "address",
}
"""driver_opts of the bridge driver that the model covers (libnetwork/drivers/bridge/labels.go), and their form."""

IGNORED_OPTIONS = {
    "bridge": {f"com.docker.network.bridge.{name}" for name in (
        "gateway_mode_ipv4", "gateway_mode_ipv6", "inhibit_ipv4", "trusted_host_interfaces")},
}
"""driver_opts of 27.0 and later that the engine of 20.10 overlooks, as any label that it does not know."""

MACVLAN_OPTIONS = {"parent": "device", "macvlan_mode": "choice"}
"""driver_opts of the macvlan driver (libnetwork/drivers/macvlan/macvlan.go)."""
IPVLAN_OPTIONS = {"parent": "device", "ipvlan_mode": "choice", "ipvlan_flag": "choice"}
"""driver_opts of the ipvlan driver (libnetwork/drivers/ipvlan/ipvlan.go). Mode l3s and the flag are those of 23.0: the
engine of 20.10 refuses the one and overlooks the other."""
CHOICES = {
    "macvlan_mode": ("bridge", "private", "vepa", "passthru"),
    "ipvlan_mode": ("l2", "l3", "l3s"),
    "ipvlan_flag": ("bridge", "private", "vepa"),
}
OVERLAY_OPTIONS = {"com.docker.network.driver.mtu": "number", "encrypted": "flag"}
"""driver_opts of the overlay driver (libnetwork/drivers/overlay/ov_network.go). Of `encrypted` the engine looks at the
key alone: any value switches it on."""
OFF = {"0", "false", "no", "off", "n", "f"}
"""What somebody writes who does not want it."""
DRIVER_OPTIONS = {
    "bridge": BRIDGE_OPTIONS, "ipvlan": IPVLAN_OPTIONS, "macvlan": MACVLAN_OPTIONS, "overlay": OVERLAY_OPTIONS,
}


def check_name(text: str, what: str) -> str:
    """A name as Docker takes it. Raises SpecError."""
    if not NAME.fullmatch(text):
        raise SpecError(
            f"{text!r} is no name for a {what}", mend="use letters, digits and _.- and begin with one of the first two"
        )
    return text


def check_address(text: str) -> str:
    """An IPv4 address, dotted. Raises SpecError."""
    if ":" in text:
        raise SpecError(f"{text!r} looks like IPv6, and Hopcast models IPv4 only", mend="give an IPv4 address")
    try:
        IPv4Address(text)
    except AddressValueError:
        raise SpecError(f"{text!r} is not an IPv4 address", mend="write it like 172.28.0.10") from None
    return text


def check_cidr(text: str) -> str:
    """An IPv4 CIDR with a prefix length. Host bits stay: dockerd itself has an opinion on them. Raises SpecError."""
    address, slash, length = text.partition("/")
    if ":" in address:
        raise SpecError(f"{text!r} looks like IPv6, and Hopcast models IPv4 only", mend="give an IPv4 subnet")
    if not slash or not re.fullmatch(r"\d{1,2}", length, re.ASCII):
        raise SpecError(f"{text!r} is not a subnet in CIDR notation", mend="write it like 172.28.0.0/16")
    subnet_of(text)
    return text


def subnet_of(text: str) -> IPv4Network:
    """The network that a CIDR lies in, host bits cleared. Raises SpecError."""
    try:
        return IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise SpecError(f"{text!r} is not a subnet in CIDR notation", mend="write it like 172.28.0.0/16") from None


def check_route(text: str) -> str:
    """`SUBNET via ADDRESS`. Raises SpecError."""
    match text.split():
        case [subnet, "via", gateway]:
            check_address(gateway)
            if subnet != "default":
                check_cidr(subnet)
            return text
    raise SpecError(f"{text!r} is no route", mend="write it like '172.16.0.0/12 via 192.168.99.101'")


def check_mac(text: str) -> str:
    """A unicast MAC address. Raises SpecError."""
    if not MAC.fullmatch(text):
        raise SpecError(f"{text!r} is not a MAC address", mend="write it like 02:42:ac:11:00:02")
    if not text.strip("0:-"):
        raise SpecError(f"{text!r} is no address, no interface can have it", mend="write it like 02:42:ac:11:00:02")
    if int(text[:2], 16) & 1:
        raise SpecError(
            f"{text!r} is a multicast MAC address, no interface can have it", mend="make its first byte even"
        )
    return text


def check_mode(text: str) -> str:
    """Docker's network mode. Raises SpecError."""
    if text not in MODES and not (text.startswith("container:") and text != "container:"):
        raise SpecError(f"{text!r} is no network mode", mend=did_you_mean(text, [*MODES, "container:NAME"]))
    return text


def check_network(net: Network) -> None:
    """A network on its own: the driver is modelled, its options are the driver's, addresses lie in the subnet."""
    where = f"network {net.key or net.name}"
    try:
        if net.driver not in MODELLED_DRIVERS:
            raise SpecError(f"driver {net.driver!r} is not modelled", mend=did_you_mean(net.driver, MODELLED_DRIVERS))
        for key, value in net.options.items():
            check_driver_option(net.driver, key, value)
        check_inside("gateway", [net.gateway], net.subnet)
        check_inside("ip_range", [net.ip_range], net.subnet)
        check_inside("aux_addresses", net.aux_addresses, net.subnet)
    except SpecError as error:
        raise SpecError(error.problem, where=where, mend=error.mend) from None


def check_inside(key: str, texts: Iterable[str], subnet: str) -> None:
    """Addresses, or a range, that must lie in their network's subnet. Raises SpecError."""
    for text in filter(None, texts):
        if not subnet:
            raise SpecError(f"{key} {text} without a subnet", mend="give the subnet as well")
        if not subnet_of(text).subnet_of(subnet_of(subnet)):
            raise SpecError(f"{key} {text} is outside the subnet {subnet}", mend=f"use one in {subnet_of(subnet)}")


def check_driver_option(driver: str, key: str, value: str) -> None:
    """One of driver_opts: the driver knows it and can read its value. Raises SpecError."""
    known = DRIVER_OPTIONS[driver]
    form = known.get(key)
    if key in IGNORED_OPTIONS.get(driver, ()):
        return
    if form is None:
        raise SpecError(f"driver option {key!r} is not one that the model covers", mend=did_you_mean(key, known))
    if form == "choice" and value not in CHOICES[key]:
        raise SpecError(f"{key} {value!r} is none of {driver}'s", mend=did_you_mean(value, CHOICES[key]))
    if form == "boolean" and value not in BOOLEANS:
        raise SpecError(f"{key} {value!r} is neither true nor false", mend='write "true" or "false"')
    if form == "number" and not (re.fullmatch(r"\d{1,5}", value, re.ASCII) and 68 <= int(value) <= 65535):
        raise SpecError(f"{key} {value!r} is no MTU", mend="use 68-65535")
    if form == "device" and (not 0 < len(value.encode()) < 16 or re.search(r"[\s/:]", value)):
        raise SpecError(f"{key} {value!r} is no name for a device", mend="use 1-15 letters without space, / or :")
    if form == "device" and (meant := re.search(r"""["'\\+!()@]""", value)):
        raise SpecError(f"{key} {value!r}: {meant[0]!r}, which iptables or ip may read otherwise, is not modelled in a "
                        "device's name", mend="use letters, digits and _.-")
    if form == "address":
        check_address(value)


def check_container(box: Container) -> None:
    """A container on its own: what its mode excludes."""
    where = f"container {box.name}"
    if box.mode != "networks" and box.attachments:
        raise SpecError(f"mode {box.mode!r} excludes networks", where=where, mend="keep one of the two")
    if box.mode == "networks" and not box.attachments and not box.task_of:
        raise SpecError(
            "no network to attach to", where=where, mend="name a network, or give a mode: bridge, host, none"
        )
    if box.mode.startswith("container:") and box.ports:
        raise SpecError(
            "ports can't be published from another container's namespace",
            where=where,
            mend=f"publish them on {box.mode.removeprefix('container:')}",
        )
    unique((a.network for a in box.attachments), "attached twice to network", where)
    for listener in box.listens:
        if not listener.can_be_asked:
            raise SpecError(f"nobody can listen on {listener}: no probe speaks SCTP", where=where,
                            mend="leave it out of what listens; publishing and exposing it is predicted")
    for name, value in box.sysctls.items() if box.mode != "host" else ():
        sysctls.check(name, value)


def check_fixed_address(address: str, net: Network) -> None:
    """An ipv4_address that the user chose: dockerd wants a subnet that the user chose, too. Raises SpecError."""
    called = net.key or net.name
    if not net.subnet:
        raise SpecError(
            f"ipv4_address {address} needs a network with a subnet of its own",
            mend=f"give network {called!r} a subnet under ipam.config, or where it is external: "
            f"x-hopcast: {{networks: {{{called}: {{subnet: …}}}}}}",
        )
    if IPv4Address(address) not in subnet_of(net.subnet):
        raise SpecError(
            f"ipv4_address {address} is outside the subnet {net.subnet} of network {called!r}",
            mend=f"use an address in {subnet_of(net.subnet)}",
        )


def unique(names: Iterable[str], what: str, where: str) -> None:
    """No name twice. Raises SpecError."""
    for name, count in Counter(names).items():
        if count > 1:
            raise SpecError(f"{what} {name!r}", where=where, mend="each needs its own")
