"""Cold caches before each question: neighbours, bridges' learned addresses and conntrack, in every lab namespace.

Whether ARP is asked, a frame flooded or a NAT mapping reused depends on what went before; predictions start from cold
caches, so the engines' namespaces do too, and no limit on ICMP errors remembers earlier ones.
Permanent entries and static rules stay. One thread with open netlink sockets stands in each namespace, so a flush
costs about a millisecond.
So are the route exceptions in which a namespace keeps the path MTUs that it was told.
Left out: what is not per namespace (TCP metrics age by themselves and move no packet here).
"""

from __future__ import annotations

import socket
from contextlib import suppress
from types import TracebackType
from typing import Any

from pyroute2 import IPRoute, NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError

from live.deployment import Deployment
from live.netns import Inside, set_sysctl

NUD_NOARP, NUD_PERMANENT = 0x40, 0x80


class Caches:
    """The caches of a deployment's namespaces. Close it, or use `with`; it holds on to the namespaces until then."""

    def __init__(self, deployment: Deployment) -> None:
        self._there: list[tuple[Inside, _Sockets]] = []
        try:
            for path in (deployment.namespaces() | deployment.underlay()).values():
                inside = Inside(path)
                self._there.append((inside, inside.run(_Sockets)))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Caches:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def flush(self) -> None:
        """Makes every cache cold. All namespaces at once; returns when all are done."""
        for pending in [inside.submit(sockets.flush) for inside, sockets in self._there]:
            pending.result()

    def close(self) -> None:
        for inside, sockets in self._there:
            with suppress(Exception):
                inside.run(sockets.close)
            inside.close()
        self._there.clear()


def flush(deployment: Deployment) -> None:
    """Once; `Caches` is quicker for many times."""
    with Caches(deployment) as caches:
        caches.flush()


class _Sockets:
    """Netlink sockets of one namespace, opened and used by its thread."""

    def __init__(self) -> None:
        # Six ICMP errors to one peer, then one a second (icmp(7)): whether a question is refused must not depend on the
        # questions before it.
        set_sysctl("net.ipv4.icmp_ratelimit", "0")
        self.route: Any = IPRoute()
        self.conntrack: Any = NFCTSocket()
        self.bridges = [
            link["index"] for link in self.route.get_links()
            if (info := link.get_attr("IFLA_LINKINFO")) and info.get_attr("IFLA_INFO_KIND") == "bridge"
        ]

    def flush(self) -> None:
        for entry in self.route.get_neighbours(family=socket.AF_INET):
            if not entry["state"] & (NUD_NOARP | NUD_PERMANENT):
                with suppress(NetlinkError):  # it went by itself in between
                    self.route.neigh("del", ifindex=entry["ifindex"], dst=entry.get_attr("NDA_DST"))
        for index in self.bridges:
            self.route.link("set", index=index, kind="bridge", br_fdb_flush=1)
        self.conntrack.flush()
        set_sysctl("net.ipv4.route.flush", "1")

    def close(self) -> None:
        self.route.close()
        self.conntrack.close()
