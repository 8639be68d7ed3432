"""The processes that an engine starts, as data. The fabric runs them; here is only what each would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProxyProcess:
    """`docker-proxy -proto … -host-ip … -host-port … -container-ip … -container-port …`, in the host's namespace."""

    netns_label: str
    protocol: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int


@dataclass(frozen=True, slots=True)
class NameAnswer:
    """What the embedded DNS does with a question: tells addresses, says that there is no such name, or asks `upstream`.

    All three empty: it answers that the name exists and has no address, which a stub resolver reads as "no such name".
    """

    addresses: tuple[str, ...] = ()
    nxdomain: bool = False
    upstream: tuple[str, ...] = ()
    """External servers in the order in which they are tried: the first one that answers without an error wins."""


@dataclass(frozen=True, slots=True)
class ResolverProcess:
    """The embedded DNS server of one sandbox: listens on 127.0.0.11 there, on ports that the kernel draws.

    Questions go upstream from the sandbox's own namespace, to port 53 of `--dns` or of the host's resolv.conf; those in
    `host_loopback` are addresses of the host's loopback and are asked from the host's namespace.
    """

    netns_label: str
    udp_port: int
    tcp_port: int
    answer: Callable[[str], NameAnswer]
    host_loopback: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BoundPort:
    """A socket that dockerd itself holds so that nobody else takes a published port (`--userland-proxy=false`).

    It listens and never accepts: whoever gets past the DNAT rules sees a connection without an answer.
    """

    netns_label: str
    protocol: str
    host_ip: str
    host_port: int


Process = ProxyProcess | ResolverProcess
