"""A machine that does not exist: its prices are known, so what is measured there and what was calibrated follow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from experiments.performance.cases import REGIMES, Case, cases
from experiments.performance.fit import fit
from experiments.performance.known import Known, Measured
from experiments.performance.model import Model
from live.noise import Noise
from live.sockperf_output import Latency
from sim.fabric.costs import NOMINAL, CostModel, Interruption
from sim.trace import Kind

QUIET = Noise(steal=0.0, others=0.0, load=1.0, seconds=60.0)
SPEED = {"blocking": 1.0, "spinning": 0.8, "connect": 3.0}
TAILS = {25.0: 0.98, 50.0: 1.0, 75.0: 1.02, 90.0: 1.1, 99.0: 1.3, 99.9: 4.0}
PROVENANCE = {"cpu": "a test's", "cpus": 2, "kernel": "6.0", "engine": "20.10", "rounds": 3}


def truth(regime: str) -> CostModel:
    """Prices that are not the nominal ones: some kinds are dearer than others, and all but a rule's differ from regime
    to regime."""
    return CostModel({kind: price * (1.0 if kind == Kind.RULE else SPEED[regime])
                      * (1.5 if kind in (Kind.CONNTRACK, Kind.BRIDGE) else 0.8) for kind, price in NOMINAL.items()})


def measured(model: Model, asked: Sequence[Case], *, slower: float = 1.0, rounds: int = 3) -> dict[Case, list[Latency]]:
    """Rounds that differ by 0.3 %."""
    rolls = random.Random(1)

    def run(case: Case) -> Latency:
        p50 = slower * truth(case.regime).total(case.counts(model)) * rolls.gauss(1, 0.003)
        return Latency(10000, p50, {percentile: p50 * factor for percentile, factor in TAILS.items()})

    return {case: [run(case) for _ in range(rounds)] for case in asked}


def known(model: Model) -> Known:
    """Its calibration."""
    found = measured(model, cases(model))
    rows = tuple(Measured(case.name, case.way.name, case.regime, case.counts(model), tuple(run.p50 for run in runs))
                 for case, runs in found.items())
    regimes = {regime: replace(fit([row.counts for row in rows if row.regime == regime],
                                   [row.rounds[0] for row in rows if row.regime == regime]),
                               variation=0.1, interruptions=(Interruption(1000.0, 3e-6),)) for regime in REGIMES}
    return Known(replace(regimes[REGIMES[0]], source="made up", regimes=regimes), rows)
