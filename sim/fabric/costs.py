"""What each step costs, in seconds: data, fitted by `hopcast calibrate`, or the nominal table below.

A step is counted under its kind; a socket's steps also under what they do with the packet: TCP's own work a segment,
and the bytes that are copied from and to the program. These names are the regressors of the calibration
(`experiments/performance/fit.py`), and the keys of every `Counts`.

A price is the mean of a distribution: `variation` is its standard deviation in units of the mean. Now and then the rest
of the machine takes the CPU away for longer than any step (timer ticks, other tenants): those are `interruptions`.

Prices depend on how warm the caches are, and that on who else ran on the CPU: so there is a table a regime. Where both
ends block and share one CPU each turn begins with a context switch; where each has a CPU for itself and polls, what the
other wrote must cross between the CPUs.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sim.errors import SpecError
from sim.packet import Tcp
from sim.reading import read_text
from sim.trace import Kind, Step

Counts = Mapping[str, float]
"""Regressor -> how many."""

SEGMENT, BYTE_SENT, BYTE_RECEIVED = "tcp-segment", "byte-sent", "byte-received"
BLOCKING, SPINNING = "blocking", "spinning"

NOMINAL: dict[str, float] = {
    Kind.SEND: 1.0e-6, Kind.RECEIVE: 0.5e-6, Kind.WAKEUP: 1.2e-6, Kind.SEEN: 0.0, Kind.ROUTE: 0.1e-6,
    Kind.NEIGH: 0.05e-6, Kind.NETFILTER: 0.05e-6, Kind.HOOK: 0.05e-6, Kind.RULE: 0.03e-6,
    Kind.CONNTRACK_NEW: 0.4e-6, Kind.CONNTRACK: 0.1e-6,
    Kind.NAT: 0.1e-6, Kind.IPVS_NEW: 0.3e-6, Kind.IPVS: 0.2e-6, Kind.BACKLOG: 0.2e-6, Kind.VETH: 0.1e-6,
    Kind.BRIDGE: 0.15e-6, Kind.BR_NETFILTER: 0.1e-6,
    Kind.LOOPBACK: 0.1e-6, Kind.LINK: 0.1e-6, Kind.MACVLAN: 0.1e-6, Kind.IPVLAN: 0.1e-6, Kind.VLAN: 0.05e-6,
    Kind.ENCAP: 0.1e-6, Kind.DECAP: 0.1e-6, Kind.ENCRYPT: 2.0e-6, Kind.DECRYPT: 2.0e-6, Kind.FRAGMENT: 0.3e-6,
    Kind.ICMP_ERROR: 0.5e-6, Kind.PROXY: 5.0e-6, Kind.DNS: 20.0e-6, Kind.DELIVER: 0.3e-6, Kind.DROP: 0.0,
    SEGMENT: 0.3e-6, BYTE_SENT: 0.1e-9, BYTE_RECEIVED: 0.1e-9,
}
"""Seconds. Orders of magnitude for a machine of today, not measured: they order events, and are called nominal wherever
a time that rests on them is shown."""
MOST = 1.0
"""Seconds: no step of any machine takes that long."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """A class of moments in which the CPU does something else: how many a second of CPU time, seconds each."""

    per_second: float
    seconds: float


@dataclass(frozen=True, slots=True)
class CostModel:
    """Prices by regressor. `calibrated` is False for the nominal table. `seen`: how many of each the calibration met in
    a round trip, least and most; what is beyond is extrapolated."""

    prices: Mapping[str, float] = field(default_factory=lambda: NOMINAL)
    calibrated: bool = False
    source: str = "nominal"
    variation: float = 0.0
    interruptions: tuple[Interruption, ...] = ()
    seen: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    regimes: Mapping[str, CostModel] = field(default_factory=dict)

    def price(self, step: Step) -> float:
        """Seconds that this step takes, in the mean."""
        prices, kind, packet = self.prices, step.kind, step.packet
        price = prices.get(kind.value, 0.0) * step.count
        if packet is not None and (kind is Kind.SEND or kind is Kind.DELIVER):  # as `regressors`: this is asked most
            price += prices.get(BYTE_SENT if kind is Kind.SEND else BYTE_RECEIVED, 0.0) * len(packet.payload)
            if isinstance(packet.l4, Tcp):
                price += prices.get(SEGMENT, 0.0)
        return price

    def total(self, counts: Counts) -> float:
        """Seconds of so many steps of each kind, in the mean."""
        return sum(self.prices.get(name, 0.0) * n for name, n in counts.items())

    def deviation(self, counts: Counts) -> float:
        """Standard deviation of `total` in seconds; steps vary independently of each other."""
        return self.variation * math.sqrt(sum(n * self.prices.get(name, 0.0) ** 2 for name, n in counts.items()))

    def regime(self, name: str) -> CostModel:
        """The table for one way of running both ends; this one where it has no other for that."""
        return self.regimes.get(name, self)

    def outside(self, counts: Counts) -> list[str]:
        """Of which steps there are fewer or more than in any path that was calibrated on; none for a nominal table,
        which was not."""
        return sorted(name for name, n in counts.items()
                      if self.seen and self.prices.get(name) != 0
                      and not self.seen.get(name, (0, 0))[0] <= n <= self.seen.get(name, (0, 0))[1])

    def as_dict(self) -> dict[str, Any]:
        """What `load` reads, regimes apart."""
        return {
            "prices": {name: float(f"{price:.4g}") for name, price in self.prices.items()},
            "variation": float(f"{self.variation:.4g}"),
            "interruptions": [[float(f"{each.per_second:.4g}"), float(f"{each.seconds:.4g}")]
                              for each in self.interruptions],
            "seen": {name: list(span) for name, span in self.seen.items()},
        }

    @classmethod
    def load(cls, path: Path) -> CostModel:
        """Read `results/costs/<machine>.json`; SpecError when it isn't one. The blocking regime is the model itself."""
        mend = "`hopcast calibrate` writes results/costs/MACHINE.json"
        try:
            rows = json.loads(read_text(path, mend=mend))["regimes"]
            regimes = {str(name): cls._read(row, f"{path.stem}, {name}") for name, row in rows.items()}
            first = regimes.get(BLOCKING) or next(iter(regimes.values()))
        except FileNotFoundError:
            raise SpecError("no such file", where=str(path), mend=mend) from None
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration, OverflowError, RecursionError):
            raise SpecError("not a cost model", where=str(path), mend=mend) from None
        for model in regimes.values():
            seconds = [*model.prices.values(), *(each.seconds for each in model.interruptions)]
            others = [model.variation, *(each.per_second for each in model.interruptions)]
            if any(not 0 <= number <= MOST for number in seconds) or any(not 0 <= number < 1e9 for number in others):
                raise SpecError(f"a price is less than nothing, more than {MOST} s, or no number", where=str(path),
                                mend=mend)
        return replace(first, source=path.stem, regimes=regimes)

    @classmethod
    def _read(cls, row: Mapping[str, Any], source: str) -> CostModel:
        if unknown := set(row["prices"]) - set(NOMINAL):
            raise ValueError(f"no step is called {min(unknown)}")
        return cls(
            {name: float(price) for name, price in row["prices"].items()}, True, source, float(row["variation"]),
            tuple(Interruption(float(often), float(long)) for often, long in row["interruptions"]),
            {name: (float(low), float(high)) for name, (low, high) in row["seen"].items()})


def regressors(step: Step) -> Iterable[tuple[str, float]]:
    """What a step counts as."""
    yield step.kind.value, step.count
    if step.packet is None:
        return
    if step.kind is Kind.SEND:
        yield BYTE_SENT, len(step.packet.payload)
    elif step.kind is Kind.DELIVER:
        yield BYTE_RECEIVED, len(step.packet.payload)
    else:
        return
    if isinstance(step.packet.l4, Tcp):
        yield SEGMENT, 1


def count(steps: Iterable[Step]) -> dict[str, float]:
    """The counts of some steps, without those that cost nothing."""
    counts: Counter[str] = Counter()
    for step in steps:
        for name, n in regressors(step):
            if n and name not in FREE:
                counts[name] += n  # type: ignore[assignment]
    return dict(counts)


FREE = frozenset({Kind.SEEN.value, Kind.DROP.value})
