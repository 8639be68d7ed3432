"""resolv.conf and hosts as a process reads them. Containers in one namespace may have different ones."""

from __future__ import annotations

from dataclasses import dataclass

HostsLine = tuple[int, tuple[str, ...]]
"""An address and its names."""


@dataclass(frozen=True, slots=True)
class ResolverFiles:
    """`options` as in resolv.conf: `ndots:0`. `drawn`: so many lines at the end of the hosts file, which give one name
    several addresses, stand there in an order that is drawn: any of them may be the first, the others follow as here.
    """

    nameservers: tuple[str, ...]
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    hosts: tuple[HostsLine, ...] = ()
    drawn: int = 0
