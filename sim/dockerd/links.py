"""`docker run --link` on the default network: lines of the hosts file, and who may be asked in spite of icc=false.

Elsewhere a link is a name that the embedded DNS knows for one container alone (`dns.py`).

Follows moby v20.10: `registerLinks` in daemon/daemon_unix.go, `buildSandboxOptions` in daemon/container_operations.go,
libnetwork's drivers/bridge/link.go. A name that is given twice stays the first one's.
Left out: the environment variables, and the lines that follow a linked container when it starts again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim import spec
from sim.dockerd.endpoint import Endpoint
from sim.dockerd.refusals import LINKS_ON_HOST
from sim.dockerd.sandbox import Sandbox
from sim.errors import PlumbError
from sim.kernel.resolver import HostsLine


@dataclass(frozen=True, slots=True)
class Linked:
    """What the links of a container come to. `children`: places on the default network, each once."""

    lines: tuple[HostsLine, ...] = ()
    children: tuple[Endpoint, ...] = ()


def links_of(box: spec.Container, sandboxes: Mapping[str, Sandbox], host: object) -> Linked:
    """Of a container on none but the engine's own networks. `host`: the host's namespace. Raises PlumbError."""
    found: dict[str, Sandbox] = {}
    for link in box.links if box.mode != "networks" else ():
        name, _, alias = link.partition(":")
        if name not in sandboxes:
            raise PlumbError(f"could not get container for {name}: No such container: {name}",
                             mend="it must run before this one is created")
        if sandboxes[name].netns is host:
            raise PlumbError(LINKS_ON_HOST)
        found.setdefault(alias, _owner(sandboxes[name], sandboxes))
    lines, children = [], dict[str, Endpoint]()
    for alias, child in found.items():
        endpoint = next((each for each in child.endpoints if each.network.name == spec.DEFAULT_NETWORK), None)
        if endpoint is None or endpoint.address is None:
            raise PlumbError(f"Cannot link to /{child.container}, as it does not belong to the default network",
                             mend="put both on one user-defined network, or both on the default one")
        names = (alias, child.hostname, *([child.container] if alias != child.container else []))
        lines.append((int(endpoint.address), names))
        children[child.container] = endpoint
    return Linked(tuple(lines), tuple(children.values()))


def _owner(sandbox: Sandbox, sandboxes: Mapping[str, Sandbox]) -> Sandbox:
    """Whose namespace it is."""
    return next(each for each in sandboxes.values() if each.netns is sandbox.netns)
