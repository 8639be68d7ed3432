"""Cold caches before each question: neighbours, bridges' learned addresses and conntrack, in every lab namespace.

Whether ARP is asked, a frame flooded or a NAT mapping reused depends on what went before; predictions start from cold
caches, so the engines' namespaces do too, and no limit on ICMP errors remembers earlier ones.
Permanent entries and static rules stay. Netlink sockets of each namespace stay open (`live/flush.py`), so a flush costs
about a millisecond.
So are the route exceptions in which a namespace keeps the path MTUs that it was told.
Left out: what is not per namespace (TCP metrics age by themselves and move no packet here).
"""

from __future__ import annotations

import socket
from contextlib import suppress
from types import TracebackType

from live import links, netns
from live.deployment import Deployment
from live.flush import Flush
from live.netns import set_sysctl
from sim.errors import LabError


class Caches:
    """The caches of a deployment's namespaces. Close it, or use `with`; it holds on to the namespaces until then."""

    def __init__(self, deployment: Deployment) -> None:
        self._there: list[Flush] = []
        try:
            for path in (deployment.namespaces() | deployment.underlay()).values():
                self._there.append(netns.call(path, _open))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Caches:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def flush(self) -> None:
        """Makes every cache cold. All namespaces at once; LabError when a kernel refuses."""
        try:
            for there in self._there:
                there.begin()
            for there in self._there:
                there.end()
        except OSError as error:
            raise LabError(f"can't make the caches cold: {error.strerror or error}") from error

    def close(self) -> None:
        for there in self._there:
            with suppress(OSError):
                there.close()
        self._there.clear()


def flush(deployment: Deployment) -> None:
    """Once; `Caches` is quicker for many times."""
    with Caches(deployment) as caches:
        caches.flush()


def _open() -> Flush:
    """In the calling thread's namespace."""
    # Six ICMP errors to one peer, then one a second (icmp(7)): whether a question is refused must not depend on the
    # questions before it. The mask as well: before Linux 6.14 a limit of 0 takes from the same peer's bucket all that
    # "no route to host" may draw on for the next second (inet_peer_xrlim_allow, ip_error).
    set_sysctl("net.ipv4.icmp_ratelimit", "0")
    set_sysctl("net.ipv4.icmp_ratemask", "0")
    return Flush([index for index, name in socket.if_nameindex() if links.driver(name) == "bridge"])
