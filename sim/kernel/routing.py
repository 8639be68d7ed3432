"""The routing table: the longest prefix wins, among equals the lowest metric, then the oldest (net/ipv4/fib_trie.c).

One main table per namespace; addresses of the namespace itself are the local table's (`Netns.is_local`), which comes
first.
Left out: policy rules, multipath, TOS routing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.packet import dotted


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """`network`/`mask` as ints; `via` 0 when the destination is on the link; `src` the preferred source, or 0."""

    network: int
    mask: int
    dev: str
    via: int = 0
    src: int = 0
    metric: int = 0

    @property
    def prefix_length(self) -> int:
        return self.mask.bit_count()

    @property
    def dst(self) -> str:
        """As `ip route` prints it."""
        return "default" if not self.mask else f"{dotted(self.network)}/{self.prefix_length}"

    def __str__(self) -> str:
        return f"{self.dst}{f' via {dotted(self.via)}' if self.via else ''} dev {self.dev}"


class RoutingTable:
    def __init__(self) -> None:
        self.entries: list[RouteEntry] = []

    def add(self, entry: RouteEntry) -> None:
        """Kept sorted: longest prefix first, then metric; an equal one goes behind."""
        key = (-entry.prefix_length, entry.metric)
        at = next((i for i, e in enumerate(self.entries) if (-e.prefix_length, e.metric) > key), len(self.entries))
        self.entries.insert(at, entry)

    def lookup(self, address: int, oif: str = "") -> RouteEntry | None:
        """The route to `address`, or None: network unreachable. `oif`: only routes out of that device count."""
        for entry in self.entries:
            if address & entry.mask == entry.network and oif in ("", entry.dev):
                return entry
        return None
