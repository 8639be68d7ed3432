"""Which of several addresses of a name a program tries first: the order in which getaddrinfo(3) returns them.

glibc sorts by RFC 3484 (sysdeps/posix/getaddrinfo.c, `rfc3484_sort`). Of IPv4 this stays: what can't be reached comes
last, an address of the same reach as the own one before others, loopback before what leads further, an own address
before others; else the order stays as it came. How long a prefix an address has in common with the own one counts only
in namespaces with IPv6 addresses (`__check_pf` keeps prefix lengths for these alone), and containers here have none.
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.kernel.netns import Netns

LINK_LOCAL, GLOBAL = 2, 14


def by_preference(netns: Netns, addresses: Iterable[int]) -> list[int]:
    """Each address once."""
    return sorted(dict.fromkeys(addresses), key=lambda address: _rank(netns, address))


def _rank(netns: Netns, address: int) -> tuple[bool, bool, int, bool]:
    route = netns.ip.route(netns.ip.destination(address))
    if route is None:
        return True, True, _scope(address), True
    own = route.src or netns.source_for(route.via or address, route.dev)
    return False, _scope(address) != _scope(own), _scope(address), address != own


def _scope(address: int) -> int:
    return LINK_LOCAL if address >> 24 == 127 or address >> 16 == 0xA9FE else GLOBAL
