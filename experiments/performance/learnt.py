"""What loopback under load teaches, as no ping-pong can: it is measured in the same rounds, and nobody asks about it.

* What it costs to preempt the server (`sim/fabric/preemption.py`): from the latency without a queue and the saturation.
* How often and for how long the CPUs do something else. A ping-pong counts round trips, and an interruption hits one of
  them however long it is; messages that come at a rate sample time, so the share of them that is late by x is the share
  of time in which somebody takes the CPU for x longer, and of that in which a queue is worked off after it. Two
  lengths stand for all: what the 99th and the 99.9th percentile are late by.
* How much a path cools: the same steps take longer where a message comes after a pause, as others have used the caches
  meanwhile (the other programs, and on a virtual machine its neighbours). Seen to be proportional to the pause, and in
  the same ratio on all paths: about a sixth at a hundred microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from experiments.performance.known import stretched
from live.sockperf_output import Load
from sim.fabric.costs import SPINNING, CostModel, Interruption
from sim.fabric.preemption import Preemption
from sim.fabric.turns import Turn

LIKELY, RARE = 99.0, 99.9
"""The percentiles that tell about interruptions."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """`cooling`: by which fraction all takes longer for each second since the message before. `warm`: seconds between
    the messages at which the preemption was learnt; more than that is a pause."""

    preemption: Preemption
    interruptions: tuple[Interruption, ...]
    cooling: float = 0.0
    warm: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return {"before": self.preemption.before, "after": self.preemption.after, "cooling": self.cooling,
                "warm": self.warm, "interruptions": [[each.per_second, each.seconds] for each in self.interruptions]}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Learnt:
        """What `as_dict` made."""
        return cls(Preemption(told["before"], told["after"]),
                   tuple(Interruption(*map(float, each)) for each in told["interruptions"]), told["cooling"],
                   told["warm"])

    def at(self, costs: CostModel, rate: float, often: float = 1.0) -> tuple[CostModel, Preemption]:
        """Prices where messages come at this rate, and interruptions `often` times as often as they were learnt."""
        slower = 1 + self.cooling * max(0.0, 1 / rate - self.warm)
        regimes = {name: stretched(each, slower) for name, each in costs.regimes.items()}
        regimes[SPINNING] = replace(regimes[SPINNING], interruptions=tuple(
            replace(each, per_second=each.per_second * often) for each in self.interruptions))
        return (replace(costs, regimes=regimes),
                Preemption(self.preemption.before * slower, self.preemption.after * slower))


def learn(costs: CostModel, turns: tuple[Turn, Turn, Turn], slow: Sequence[Load], calm: Sequence[Load],
          flood: Sequence[Load]) -> Learnt:
    """From rounds of the same way: offered little, several times as much, and far more than it carries."""
    p50 = {runs[0].offered: median(run.percentiles[50.0] for run in runs) for runs in (slow, calm)}
    pause, warm = 1 / slow[0].offered, 1 / calm[0].offered
    tails = {p: median(run.percentiles[p] - run.percentiles[50.0] for run in calm) for p in (LIKELY, RARE)}
    carries = median(run.goodput for run in flood)
    interruptions = interrupted(tails, p50[calm[0].offered], min(0.9, calm[0].offered / carries))
    apart = replace(costs.regime(SPINNING), interruptions=interruptions)
    latency = p50[calm[0].offered]
    preemption = Preemption.fitted(
        replace(costs, regimes={**costs.regimes, SPINNING: apart}), *turns, latency=latency,
        saturation=carries)
    cooling = max(0.0, (p50[slow[0].offered] / latency - 1) / (pause - warm))
    return Learnt(preemption, interruptions, cooling, warm)


def interrupted(late: Mapping[float, float], alone: float, busy: float = 0.0) -> tuple[Interruption, ...]:
    """Of messages that sample time, the share that is late by so many seconds (beyond the median, by percentile): the
    interruptions of two lengths that make it so. An interruption of L makes late by all of L those messages that are
    under way (for `alone` seconds) when it begins, and by more than x those that come in the first L - x of it or queue
    behind it: a CPU that is `busy` for a share of the time takes 1/(1 - busy) as long to work them off."""
    short, long = late[LIKELY], late[RARE]
    likely, rare = 1 - LIKELY / 100, 1 - RARE / 100
    if short <= 0 or long <= short:
        return ()
    reach = alone + (long - short) / (1 - busy)
    often = min(rare / alone, likely / reach)
    left = max(0.0, likely - often * reach)
    return Interruption(often, long), Interruption(left / alone, short)
