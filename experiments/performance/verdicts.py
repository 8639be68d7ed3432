"""Checks of shape and order on plain figures: whether a ratio lies where it should, as far as its interval tells.

Figures are data of an experiment, predicted or measured:

    {"latency": {path: figure},                  seconds
     "throughput": {path: {flows: figure}},      bits per second
     "transactions": {path: {flows: figure}},    requests per second, optional
     "udp": {path: {bytes: figure}}}             bits per second that arrived

A figure is a number, or {"value", "low", "high"}, optionally with "rounds" (per round, interleaved): a ratio of figures
whose rounds pair up is taken round by round, so that what drifted for both is not in its interval. Without rounds the
interval is the widest that the two allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any

import numpy as np

from experiments.performance.intervals import Interval, interval
from experiments.performance.quality import FEWEST_ROUNDS

Figures = Mapping[str, Mapping[str, Any]]

EQUAL = 0.02
"""Two paths within 2 % count as equally fast where a relation allows that: rounds of one path differ by as much."""
CLOSED = 0.5
"""A gap has closed where at most this share of it is left."""
CONSTANT = (0.8, 1.25)
"""Packets per second that stay within this factor are constant."""
UNFRAGMENTED = 1422
"""Bytes of a UDP datagram that no path fragments: an overlay's MTU of 1450 less IP's and UDP's headers."""
FAR_APART = 4
"""Sizes that differ by this factor tell a constant packet rate from a constant byte rate."""


class Outcome(StrEnum):
    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    """The interval reaches both inside and outside."""
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one side's figures say. `ratio` is what was judged, and `side` where it lies of what it should be: -1 below,
    1 above, 0 neither."""

    outcome: Outcome
    ratio: Interval | None = None
    detail: str = ""
    side: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {"outcome": self.outcome.value, "ratio": self.ratio.as_dict() if self.ratio else None,
                "detail": self.detail}

    def __str__(self) -> str:
        return f"{self.outcome}, {show(self.ratio)}" if self.ratio else str(self.outcome)


NO_DATA = Verdict(Outcome.NO_DATA)
Check = Callable[[Figures], Verdict]


def show(ratio: Interval) -> str:
    """`1.46 [1.45, 1.47]`; a ratio without an interval alone."""
    if ratio.low == ratio.high:
        return f"{ratio.value:.2f}"
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def estimate(figure: Any) -> Interval | None:
    """A figure as an interval; None where there is none, or it is not above 0 and no ratio can be made of it."""
    if isinstance(figure, Interval):
        found = figure
    elif isinstance(figure, Mapping):
        if figure.get("value") is None:
            return None
        value = float(figure["value"])
        found = Interval(value, float(figure.get("low", value)), float(figure.get("high", value)))
    elif isinstance(figure, int | float) and not isinstance(figure, bool):
        found = Interval(float(figure), float(figure), float(figure))
    else:
        return None
    return found if found.low > 0 and math.isfinite(found.high) else None


def quotient(above: Any, below: Any) -> Interval | None:
    """One figure over another. None where one is missing."""
    top, bottom = estimate(above), estimate(below)
    if top is None or bottom is None:
        return None
    one, other = (list(f.get("rounds") or []) if isinstance(f, Mapping) else [] for f in (above, below))
    if len(one) == len(other) >= FEWEST_ROUNDS and min(one) > 0 and min(other) > 0:
        return interval(list(np.array(one) / np.array(other)))
    return Interval(top.value / bottom.value, top.low / bottom.high, top.high / bottom.low)


def within(ratio: Interval, low: float, high: float, detail: str = "") -> Verdict:
    """Whether a ratio is from `low` to `high`."""
    if low <= ratio.low and ratio.high <= high:
        return Verdict(Outcome.HOLDS, ratio, detail)
    if ratio.high < low or ratio.low > high:
        return Verdict(Outcome.FAILS, ratio, detail, -1 if ratio.high < low else 1)
    overlap = "the intervals overlap" if math.isinf(high) else "the interval reaches beyond the range"
    return Verdict(Outcome.UNDECIDED, ratio, detail or overlap)


def latency_ratio(path: str, over: str, low: float, high: float = math.inf) -> Check:
    """The latency of `path` is from `low` to `high` times that of `over`."""
    def check(figures: Figures) -> Verdict:
        latency = figures.get("latency", {})
        ratio = quotient(latency.get(path), latency.get(over))
        return within(ratio, low, high) if ratio else NO_DATA

    return check


def faster(path: str, than: str) -> Check:
    """`path` answers sooner `than`."""
    return latency_ratio(than, path, math.nextafter(1.0, 2.0))


def not_slower(path: str, than: str) -> Check:
    """`path` answers sooner or as soon (within EQUAL)."""
    return latency_ratio(than, path, 1 - EQUAL)


def gap_closes(path: str, over: str) -> Check:
    """Throughput: of what `path` lacks with one flow, at most CLOSED is left with the most flows."""
    def check(figures: Figures) -> Verdict:
        shares = _shares(figures.get("throughput", {}), path, over)
        if len(shares) < 2:
            return NO_DATA
        return _gap(path, over, shares, keeps=False)

    return check


def gap_stays(path: str, over: str) -> Check:
    """Request/response: more than CLOSED of the gap is left with the most flows.

    Without figures of parallel requests: the gap of single requests (in requests per second, the inverse of latency) is
    larger than the gap in throughput that is left with the most flows.
    """
    def check(figures: Figures) -> Verdict:
        shares = _shares(figures.get("transactions", {}), path, over)
        if len(shares) >= 2:
            return _gap(path, over, shares, keeps=True)
        latency = figures.get("latency", {})
        single = quotient(latency.get(over), latency.get(path))
        streams = _shares(figures.get("throughput", {}), path, over)
        if single is None or len(streams) < 2:
            return NO_DATA
        if single.high >= 1 - EQUAL:
            return Verdict(Outcome.UNDECIDED, None, f"no gap to stay: {path} has {show(single)} of {over}'s requests")
        most = max(streams)
        detail = (f"single requests: {show(single)} of {over}'s rate; streams, {most} flows: "
                  f"{show(streams[most])} of {over}'s throughput")
        ratio = Interval(streams[most].value / single.value, streams[most].low / single.high,
                         streams[most].high / single.low)
        return within(ratio, math.nextafter(1.0, 2.0), math.inf, detail)

    return check


def _shares(kind: Mapping[str, Any], path: str, over: str) -> dict[int, Interval]:
    """Flows -> what `path` carries of what `over` carries."""
    ours, theirs = (_by_number(kind.get(name) or {}) for name in (path, over))
    found = {flows: quotient(ours[flows], theirs[flows]) for flows in sorted(ours.keys() & theirs.keys())}
    return {flows: share for flows, share in found.items() if share is not None}


def _gap(path: str, over: str, shares: Mapping[int, Interval], *, keeps: bool) -> Verdict:
    few, most = min(shares), max(shares)
    first, last = shares[few], shares[most]
    detail = f"{path} has {show(first)} of {over}'s with {few} flow{'s' * (few > 1)}, {show(last)} with {most}"
    if first.high >= 1 - EQUAL:
        return Verdict(Outcome.UNDECIDED, None, f"no gap to close: {detail}")
    corners = [(1 - b) / (1 - a) for a, b in product((first.low, first.high), (last.low, last.high))]
    left = Interval((1 - last.value) / (1 - first.value), min(corners), max(corners))
    bounds = (math.nextafter(CLOSED, 1.0), math.inf) if keeps else (-math.inf, CLOSED)
    return within(left, *bounds, detail)


def constant_packet_rate(figures: Figures) -> Verdict:
    """UDP: goodput grows as the size does, up to a size at least FAR_APART times the smallest. All paths that have
    figures are judged; the verdict is that of the worst."""
    found = {path: verdict for path, sizes in figures.get("udp", {}).items()
             if (verdict := _packet_rate(_by_number(sizes or {}))) is not None}
    if not found:
        return NO_DATA
    severity = (Outcome.HOLDS, Outcome.UNDECIDED, Outcome.FAILS)
    worst = max(found.values(), key=lambda verdict: severity.index(verdict.outcome))
    detail = "; ".join(f"{path}: {verdict.detail}" for path, verdict in found.items())
    return Verdict(worst.outcome, worst.ratio, detail, worst.side)


def _packet_rate(goodput: Mapping[int, Any]) -> Verdict | None:
    """Packets per second of each size over those of the smallest."""
    sizes = sorted(size for size, figure in goodput.items() if 0 < size <= UNFRAGMENTED and estimate(figure))
    rates = {}
    for size in sizes[1:]:
        if ratio := quotient(goodput[size], goodput[sizes[0]]):
            scale = sizes[0] / size
            rates[size] = Interval(ratio.value * scale, ratio.low * scale, ratio.high * scale)
    verdicts = {size: within(rate, *CONSTANT) for size, rate in rates.items() if size >= FAR_APART * sizes[0]}
    if not verdicts:
        return None
    for outcome in (Outcome.HOLDS, Outcome.UNDECIDED, Outcome.FAILS):
        if of := [size for size, verdict in verdicts.items() if verdict.outcome is outcome]:
            size = max(of)
            words = ", ".join(f"{other}: {show(rate)}" for other, rate in rates.items())
            detail = f"packets/s by bytes, over those of {sizes[0]}: {words}"
            if outcome is Outcome.HOLDS:
                limit = "" if size == max(verdicts) else " (the byte limit)"
                detail = f"constant up to {size} bytes{limit}; {detail}"
            return Verdict(outcome, verdicts[size].ratio, detail, verdicts[size].side)
    return None


def _by_number(figures: Mapping[Any, Any]) -> dict[int, Any]:
    """JSON has text where Python has numbers for keys."""
    return {int(key): figure for key, figure in figures.items()}


def first_reasons(steps: Mapping[str, Mapping[str, float]], path: str, over: str, most: int = 3) -> Sequence[str]:
    """In which steps (path -> kind -> seconds, the model's) `path` differs most from `over`, the largest first."""
    one, other = steps.get(path), steps.get(over)
    if one is None or other is None:
        return ()
    extra = {kind: one.get(kind, 0.0) - other.get(kind, 0.0) for kind in {*one, *other}}
    largest = sorted(extra, key=lambda kind: (-abs(extra[kind]), kind))[:most]
    return [f"{kind} {1e6 * extra[kind]:+.2f} µs" for kind in largest if extra[kind]]
