"""What dockerd refuses before it plumbs anything for a container: its name, and options that its network mode excludes.

Follows moby v20.10: daemon/names.go, runconfig/hostconfig.go (`validateNetContainerMode`), runconfig/errors.go, and
`validateNetworkingConfig` in daemon/container_operations.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from sim import spec
from sim.dockerd.network import Network
from sim.errors import PlumbError

CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
"""RestrictedNamePattern: two characters at least."""

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
