"""What loopback under load teaches, as no ping-pong can: it is measured in the same rounds, and nobody asks about it.

* What it costs to preempt the server (`sim/fabric/preemption.py`): from the latency without a queue and the saturation.
* How often and for how long the CPUs do something else. A ping-pong counts round trips, and an interruption hits one of
  them however long it is; messages that come at a rate sample time, so the share of them that is late by x is the share
  of time in which somebody takes the CPU for x longer, and of that in which a queue is worked off after it. Two
  lengths stand for all: what the 99th and the 99.9th percentile are late by. They are learnt at two loads, as a machine
  with more to do is interrupted otherwise; what is between them is a mixture of both.
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
    the messages at which the preemption and `interruptions` were learnt; more than that is a pause. `busy`: at which
    rate those `under_load` were; 0: nobody looked, and they are the same."""

    preemption: Preemption
    interruptions: tuple[Interruption, ...]
    cooling: float = 0.0
    warm: float = 0.0
    under_load: tuple[Interruption, ...] = ()
    busy: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return {"before": self.preemption.before, "after": self.preemption.after, "cooling": self.cooling,
                "warm": self.warm, "busy": self.busy, "interruptions": _rows(self.interruptions),
                "under_load": _rows(self.under_load)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Learnt:
        """What `as_dict` made."""
        calm, busy = ([Interruption(*map(float, each)) for each in told[name]]
                      for name in ("interruptions", "under_load"))
        return cls(Preemption(told["before"], told["after"]), tuple(calm), told["cooling"], told["warm"], tuple(busy),
                   told["busy"])

    def at(self, costs: CostModel, rate: float) -> tuple[CostModel, Preemption]:
        """Prices where messages come at this rate."""
        slower = 1 + self.cooling * max(0.0, 1 / rate - self.warm)
        regimes = {name: stretched(each, slower) for name, each in costs.regimes.items()}
        regimes[SPINNING] = replace(regimes[SPINNING], interruptions=self._interruptions(rate))
        return (replace(costs, regimes=regimes),
                Preemption(self.preemption.before * slower, self.preemption.after * slower))

    def _interruptions(self, rate: float) -> tuple[Interruption, ...]:
        if not self.busy:
            return self.interruptions
        calm = 1 / self.warm
        part = min(max((rate - calm) / (self.busy - calm), 0.0), 1.0)
        return tuple(replace(each, per_second=each.per_second * share)
                     for share, classes in ((1 - part, self.interruptions), (part, self.under_load)) if share
                     for each in classes)


def _rows(classes: Sequence[Interruption]) -> list[list[float]]:
    return [[each.per_second, each.seconds] for each in classes]


def learn(costs: CostModel, turns: tuple[Turn, Turn, Turn], slow: Sequence[Load], calm: Sequence[Load],
          busy: Sequence[Load], flood: Sequence[Load]) -> Learnt:
    """From rounds of the same way: offered little, several times as much, half of what it carries, and far more than
    that."""
    p50 = {runs[0].offered: median(run.percentiles[50.0] for run in runs) for runs in (slow, calm)}
    pause, warm = 1 / slow[0].offered, 1 / calm[0].offered
    carries = median(run.goodput for run in flood)
    interruptions, under_load = (_interrupted(runs, carries) for runs in (calm, busy))
    apart = replace(costs.regime(SPINNING), interruptions=under_load)
    latency = p50[calm[0].offered]
    preemption = Preemption.fitted(
        replace(costs, regimes={**costs.regimes, SPINNING: apart}), *turns, latency=latency,
        saturation=carries)
    cooling = max(0.0, (p50[slow[0].offered] / latency - 1) / (pause - warm))
    return Learnt(preemption, interruptions, cooling, warm, under_load, busy[0].offered)


def _interrupted(runs: Sequence[Load], carries: float) -> tuple[Interruption, ...]:
    late = {p: median(run.percentiles[p] - run.percentiles[50.0] for run in runs) for p in (LIKELY, RARE)}
    return interrupted(late, median(run.percentiles[50.0] for run in runs), min(0.9, runs[0].offered / carries))


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
