"""What sockperf 3.7 prints, read: the log of a ping-pong and the statistics of a run under load.

It prints microseconds, of whole round trips with `--full-rtt`. It counts an answer that came after a later one's as
"out-of-order" and leaves it out of its percentiles; one that never came is "dropped". Duplicates are not counted twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live import pinned
from live.connect import statistics
from sim.errors import LabError

PERCENTILES = (25.0, 50.0, 75.0, 90.0, 99.0, 99.9)
ROWS = "packet, txTime"
"""Begins the line above a log's rows: number, time sent, time received (s), round trip (µs)."""
NOTICED = 0.005
"""Seconds. A round trip that was held for less is not told from one that took long by itself."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One run. Times are round trips in seconds."""

    observations: int
    mean: float
    percentiles: dict[float, float]
    moment: float = 0.0
    """When it began (s, any clock): the same for clients that were measured in turns."""

    @property
    def p50(self) -> float:
        return self.percentiles[50.0]

    @classmethod
    def of(cls, statistics: Mapping[str, Any]) -> Latency:
        """Of what `connect.statistics` says."""
        return cls(statistics["observations"], statistics["mean"],
                   {float(p): seconds for p, seconds in statistics["percentiles"].items()})


@dataclass(frozen=True, slots=True)
class Load:
    """One run under load. Times are round trips in seconds, of those messages that were answered."""

    offered: float
    """Messages a second asked for. The sender may manage fewer: `rate`."""
    sent: int
    received: int
    """Answers to those that were sent in `seconds`."""
    seconds: float
    mean: float
    percentiles: dict[float, float]

    @property
    def rate(self) -> float:
        """Messages a second that were sent."""
        return self.sent / self.seconds

    @property
    def goodput(self) -> float:
        """Answers a second."""
        return self.received / self.seconds

    @property
    def lost(self) -> float:
        """The fraction of messages that were never answered, 0 to 1, in either direction."""
        return 1 - self.received / self.sent


def parse(said: str) -> Latency:
    """Read sockperf's statistics (microseconds, `--full-rtt`). LabError with what it said instead, if it has none."""
    text = pinned.ESCAPE.sub("", said)
    percentiles = {float(p): float(value) * 1e-6 for p, value in re.findall(r"percentile +([\d.]+) = +([\d.]+)", text)}
    mean = re.search(r"avg-rtt=([\d.]+)", text)
    observations = re.search(r"Total (\d+) observations", text)
    if not (mean and observations and set(PERCENTILES) <= set(percentiles)):
        raise LabError(f"sockperf measured nothing: {reason(text)}")
    return Latency(int(observations[1]), float(mean[1]) * 1e-6, {p: percentiles[p] for p in PERCENTILES})


def parse_log(said: str, log: Path, pauses: Sequence[float]) -> Latency:
    """The round trips of `--full-log`, in which the client was held for `pauses` (seconds): those that it spent held
    are left out. LabError with what sockperf said, where it measured nothing."""
    text = log.read_text() if log.exists() else ""
    rows = (line.rpartition(",") for line in text.partition(ROWS)[2].splitlines()[1:])
    took = sorted(round(float(microseconds) * 1000) for _, comma, microseconds in rows if comma)
    held = [pause for pause in pauses if pause >= NOTICED]
    for _ in held:
        if took and took[-1] >= min(held) * 1e9:
            took.pop()
    if not took:
        raise LabError(f"sockperf measured nothing: {reason(said)}")
    return Latency.of(statistics(took, PERCENTILES))


def parse_load(said: str, offered: float) -> Load:
    """As `parse`, with the messages sent and answered in the time that counts. An answer that came after a later one's
    is one all the same; sockperf leaves it out of its percentiles."""
    latency = parse(said)
    valid = re.search(r"\[Valid Duration\] RunTime=([\d.]+) sec; SentMessages=(\d+); ReceivedMessages=(\d+)", said)
    overtaken = re.search(r"# out-of-order messages = (\d+)", said)
    if not (valid and overtaken and float(valid[1])):
        raise LabError(f"sockperf measured no load: {reason(said)}")
    return Load(offered, int(valid[2]), int(valid[3]) + int(overtaken[1]), float(valid[1]), latency.mean,
                latency.percentiles)


def reason(said: str) -> str:
    """Why there are no statistics, in sockperf's words."""
    text = pinned.ESCAPE.sub("", said)
    words = re.search(r"ERROR: *(.+)|(No messages were received.*)|(No valid observations found)", text)
    return next(group for group in words.groups() if group).strip() if words else pinned.last_words(text)
