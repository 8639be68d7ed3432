"""One message at a time: request, answer, request, …: the turns of a round trip on the CPU or the CPUs of a lab.

`blocking`: all programs on one CPU, a wake-up is a switch from one to the other. `spinning`: the client has CPU 0 and
polls, server and proxy have CPU 1; a wake-up is the other CPU seeing what was written. The regime's prices say what
either costs; queues there are none, and what makes one round trip longer than another is the spread of the steps and
the machine's interruptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import simpy

from sim.errors import SpecError

from .cables import cables, cross, wire_bytes
from .costs import BLOCKING, SPINNING, CostModel
from .cpu import Cpu, after
from .sampling import PERCENTILES, Draws, percentiles
from .turns import CLIENT, Turn


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Times in seconds."""

    count: int
    mean: float
    percentiles: dict[float, float]


def ping_pong(costs: CostModel, turns: Sequence[Turn], *, mode: str = BLOCKING, count: int = 10000, seed: int = 0,
              of: Sequence[float] = PERCENTILES) -> RoundTrips:
    """`count` round trips in one mode, "blocking" or "spinning", and their percentiles `of`."""
    if mode not in (BLOCKING, SPINNING):
        raise SpecError(f"no mode is called {mode!r}", mend=f"{BLOCKING} or {SPINNING}")
    if count < 1 or not turns:
        raise SpecError("a ping-pong needs at least one round trip with at least one turn")
    prices, random, env = costs.regime(mode), Random(seed), simpy.Environment()
    cpus = [Cpu(env, prices.interruptions, random) for _ in range(1 if mode == BLOCKING else 2)]
    places = [cpus[0] if turn.program == CLIENT else cpus[-1] for turn in turns]
    draws = [Draws(prices, turn.counts, random) for turn in turns]
    ways = [cables(turn) for turn in turns]
    times: list[float] = []
    began = 0.0

    def take(number: int) -> None:
        nonlocal began
        if number == len(turns):
            times.append(env.now - began)
            if len(times) == count:
                return
            began, number = env.now, 0
        places[number].submit(draws[number], lambda: carry(number))

    def carry(number: int) -> None:
        left = cross(ways[number], env.now, wire_bytes(turns[number])) if ways[number] else env.now
        if left is None:
            raise SpecError(f"a packet of {turns[number].size} bytes never passes a cable's token bucket")
        if left > env.now:
            after(env, left - env.now, lambda: take(number + 1))
        else:
            take(number + 1)

    take(0)
    env.run()
    return RoundTrips(count, sum(times) / count, percentiles(sorted(times), of))
