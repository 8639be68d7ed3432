"""What dockerd refuses before it plumbs anything for a container: its name, and options that its network mode excludes.

Follows moby v20.10: daemon/names.go, runconfig/hostconfig.go (`validateNetContainerMode`), runconfig/errors.go, and
`validateNetworkingConfig` in daemon/container_operations.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv4Network

from sim import spec
from sim.dockerd.network import Network
from sim.errors import PlumbError

CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
"""RestrictedNamePattern: two characters at least."""

HOST_NAME_MAX, IFNAMSIZ = 64, 16
"""Bytes."""
# An image's name, of distribution's reference/regexp.go.
COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
REFERENCE = re.compile(
    rf"(?:{LABEL}(?:\.{LABEL})*(?::[0-9]+)?/)?{COMPONENT}(?:/{COMPONENT})*"
    r"(?::\w[\w.-]{0,127})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?", re.ASCII)

Check = tuple[Callable[[spec.Container], object], str]

LINKS_ON_HOST, LINKS_WHEN_SHARING = (
    f"conflicting options: {mode} can't be used with links. This would result in undefined behavior"
    for mode in ("host type networking", "container type network"))

SHARING: tuple[Check, ...] = (
    (lambda box: box.links, LINKS_WHEN_SHARING),
    (lambda box: box.hostname, "conflicting options: hostname and the network mode"),
    (lambda box: box.dns, "conflicting options: dns and the network mode"),
    (lambda box: box.extra_hosts, "conflicting options: custom host-to-IP mapping and the network mode"),
    (lambda box: box.mac_address, "conflicting options: mac-address and the network mode"),
    (lambda box: box.ports, "conflicting options: port publishing and the container type network mode"),
    (lambda box: box.expose, "conflicting options: port exposing and the container type network mode"),
)
"""What a container can't have that shares another one's namespace."""

ON_HOST: tuple[Check, ...] = (
    (lambda box: box.links, LINKS_ON_HOST),
    (lambda box: box.mac_address, "conflicting options: mac-address and the network mode"),
)
"""What a container can't have in the host's namespace."""


def runc(what: str) -> PlumbError:
    """What the engine says when runc could not start a container."""
    return PlumbError(f"failed to create shim task: OCI runtime create failed: runc create failed: {what}: unknown")


def in_init(what: str) -> PlumbError:
    """The container's first process ends before it becomes the user's program."""
    return runc(f"unable to start container process: error during container init: {what}")


def in_hook(what: str) -> PlumbError:
    """runc's hook, which asks the engine for the container's network (libnetwork-setkey), ends with what that says."""
    return in_init("error running hook #0: error running hook: exit status 1, stdout: , "
                   f'stderr: time="…" level=fatal msg="{what}"')


def check_hostname(box: spec.Container) -> None:
    """sethostname(2) in a namespace of its own, in mode host as well (__NEW_UTS_LEN)."""
    if len(box.hostname.encode()) > HOST_NAME_MAX:
        raise in_init("sethostname: invalid argument")


def check_image(image: str) -> None:
    """The engine reads a reference before it looks for the image (distribution's reference/normalize.go, regexp.go)."""
    domain, slash, rest = image.partition("/")
    if not slash or (domain != "localhost" and not set(domain) & {".", ":"}):
        rest = image
    if rest.partition(":")[0] != rest.partition(":")[0].lower():
        raise PlumbError("invalid reference format: repository name must be lowercase")
    if not REFERENCE.fullmatch(image):
        raise PlumbError("invalid reference format")


def check_route_to(gateway: IPv4Address, subnet: IPv4Network) -> None:
    """`programGateway` asks the kernel for the route to the gateway before it sets the default route.

    There is none to a group. Addresses in 0.0.0.0/8 get no route to their subnet (fib_add_ifaddr), and none leaves an
    interface with an address in 127.0.0.0/8, unless the loopback interface's own route is as long (__mkroute_output).
    """
    if gateway.is_multicast or subnet.network_address in IPv4Network("0.0.0.0/8"):
        why = "network is unreachable"
    elif subnet.prefixlen > 8 and gateway.is_loopback:
        why = "invalid argument"
    else:
        return
    raise in_hook(f"failed to set gateway while updating gateway: route for the gateway {gateway} could not be found: "
                  f"{why}")


def check_bridge_name(name: str, address: str) -> None:
    """The kernel's rules for a device's name (dev_valid_name, sysctl_dev_name_is_allowed), in the engine's words. Of a
    `%d` it makes a number, and the engine then looks for its bridge in vain. `address`: the bridge's, as CIDR."""
    if len(name.encode()) >= IFNAMSIZ:
        raise PlumbError("failed to check bridge interface existence: numerical result out of range")
    if name in (".", "..", "all", "default") or re.search(r"[\s/:]", name) or "%" in name.replace("%d", "", 1):
        raise PlumbError("invalid argument")
    if "%" in name:
        raise PlumbError(f"failed to add IPv4 address {address} to bridge: no such device")


def check_name(name: str, taken: Collection[str]) -> None:
    if not CONTAINER_NAME.fullmatch(name):
        raise PlumbError(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    if name in taken:
        raise PlumbError(f'Conflict. The container name "/{name}" is already in use by container "…". You have to '
                         "remove (or rename) that container to be able to reuse that name.")


def check_options(box: spec.Container, checks: tuple[Check, ...]) -> None:
    for given, refusal in checks:
        if given(box):
            raise PlumbError(refusal)


def check_attachment(network: Network, attachment: spec.Attachment) -> None:
    """Addresses and aliases of one's own are for user-defined networks, addresses for those with a given subnet."""
    if network.predefined:
        if attachment.ipv4_address:
            raise PlumbError("user specified IP address is supported on user defined networks only")
        if attachment.aliases:
            raise PlumbError("network-scoped alias is supported only for containers in user defined networks")
    if attachment.ipv4_address and not network.spec.subnet:
        raise PlumbError("user specified IP address is supported only when connecting to networks with user configured "
                         "subnets")
