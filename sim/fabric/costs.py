"""The price of each step in seconds: data, fitted by `experiments/calibrate.py`, or the nominal table below.

A step costs `count` times the price of its kind, plus a price per byte of the packets that are copied by a process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sim.errors import SpecError
from sim.trace import Kind, Step

NOMINAL: dict[Kind, float] = {
    Kind.SEND: 1.0e-6, Kind.RECEIVE: 0.5e-6, Kind.WAKEUP: 1.2e-6, Kind.SEEN: 0.0, Kind.ROUTE: 0.1e-6,
    Kind.NEIGH: 0.05e-6, Kind.HOOK: 0.05e-6, Kind.RULE: 0.03e-6, Kind.CONNTRACK_NEW: 0.4e-6, Kind.CONNTRACK: 0.1e-6,
    Kind.NAT: 0.1e-6, Kind.IPVS_NEW: 0.3e-6, Kind.IPVS: 0.2e-6, Kind.VETH: 0.3e-6, Kind.BRIDGE: 0.15e-6,
    Kind.BR_NETFILTER: 0.1e-6,
    Kind.LOOPBACK: 0.2e-6, Kind.LINK: 0.3e-6, Kind.MACVLAN: 0.1e-6, Kind.IPVLAN: 0.1e-6, Kind.VLAN: 0.05e-6,
    Kind.ENCAP: 0.4e-6, Kind.DECAP: 0.4e-6, Kind.ENCRYPT: 2.0e-6, Kind.DECRYPT: 2.0e-6, Kind.FRAGMENT: 0.3e-6,
    Kind.ICMP_ERROR: 0.5e-6, Kind.PROXY: 5.0e-6, Kind.DNS: 20.0e-6, Kind.DELIVER: 0.3e-6, Kind.DROP: 0.0,
}
"""Seconds. Orders of magnitude for a machine of today, not measured: they order events, and are called nominal wherever
a time that rests on them is shown."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """Prices by kind of step. `calibrated` is False for the nominal table."""

    prices: Mapping[Kind, float] = field(default_factory=lambda: NOMINAL)
    calibrated: bool = False
    source: str = "nominal"

    def price(self, step: Step) -> float:
        """Seconds that this step takes."""
        return self.prices.get(step.kind, 0.0) * step.count

    def total(self, counts: Mapping[Kind, float]) -> float:
        """Seconds of so many steps of each kind."""
        return sum(self.prices.get(kind, 0.0) * n for kind, n in counts.items())

    @classmethod
    def load(cls, path: Path) -> CostModel:
        """Read `results/costs/<machine>.json`; SpecError when it isn't one."""
        mend = "`make bench` writes results/costs/MACHINE.json"
        try:
            prices = {Kind(name): float(price) for name, price in json.loads(path.read_text())["prices"].items()}
        except OSError as error:
            raise SpecError(f"can't be read: {error.strerror}", where=str(path), mend=mend) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SpecError("not a cost model", where=str(path), mend=mend) from None
        if any(not 0 <= price < math.inf for price in prices.values()):
            raise SpecError("a price is less than nothing, or no number", where=str(path), mend=mend)
        return cls(prices, True, path.stem)
