"""What was measured at one moment met one machine: its speed then is told from all of it, and taken out.

A shared machine's CPUs are a tenth faster in one ten seconds than in the next. Clients that are measured in turns
(`live/turns.py`) share their moment, and each round puts other clients together, so what belongs to a moment can be
told from what belongs to a client: an incomplete block design with moments as its blocks, chosen at random. Each time
is corrected by how slow the *others* of its moment were, as far as moments differ by more than chance (a random effect,
by its best linear unbiased predictor: where a machine is steady that is next to nothing). So times are those of the
machine at its middle speed.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from live.sockperf_output import Latency

Job = TypeVar("Job", bound=Hashable)
Result = TypeVar("Result")


def levelled(found: Mapping[Job, Sequence[Result]]) -> tuple[dict[Job, list[Result]], float]:
    """The same with each Latency as it would be at the middle speed, anything else as it is; and the standard deviation
    of what was taken out, as a fraction."""
    timed = [(job, number, run) for job, runs in found.items() for number, run in enumerate(runs)
             if isinstance(run, Latency) and run.p50 > 0]
    result = {job: list(runs) for job, runs in found.items()}
    if not timed:
        return result, 0.0
    slowness = slow(np.log([run.p50 for _, _, run in timed]), _numbers([job for job, _, _ in timed]),
                    _numbers([run.moment for _, _, run in timed]))
    for (job, number, run), by in zip(timed, slowness, strict=True):
        result[job][number] = stretched(run, math.exp(-by))  # type: ignore[assignment]  # a Latency for one
    return result, float(np.std(slowness))


def stretched(run: Latency, factor: float) -> Latency:
    return replace(run, mean=run.mean * factor, percentiles={p: time * factor for p, time in run.percentiles.items()})


def slow(logs: NDArray[np.float64], jobs: NDArray[np.int_], moments: NDArray[np.int_]) -> NDArray[np.float64]:
    """Of each measurement, by how much (natural logarithm) its moment was slower than the middle, as the others of the
    moment have it. `jobs`, `moments`: of each measurement, numbered from 0. Moments are comparable as far as jobs
    connect them; a regime has its own."""
    first = jobs.max() + 1
    size = first + moments.max() + 1
    graph = coo_matrix((np.ones(len(jobs)), (jobs, first + moments)), shape=(size, size))
    part = connected_components(graph, directed=False)[1][jobs]
    found = np.zeros(len(logs))
    for mine in np.unique(part):
        at = part == mine
        found[at] = _slow(logs[at], np.unique(jobs[at], return_inverse=True)[1],
                          np.unique(moments[at], return_inverse=True)[1])
    return found


def _slow(logs: NDArray[np.float64], jobs: NDArray[np.int_], moments: NDArray[np.int_]) -> NDArray[np.float64]:
    """The same of a part that is connected."""
    of_job, of_moment = np.eye(jobs.max() + 1)[jobs], np.eye(moments.max() + 1)[moments]
    both = np.hstack([of_job, of_moment])
    solved, _, rank, _ = np.linalg.lstsq(both, logs, rcond=None)
    free = len(logs) - int(rank)
    if free <= 0:
        return np.zeros(len(logs))
    left = logs - both @ solved
    effects = solved[of_job.shape[1]:]
    effects = effects - effects.mean()
    there = of_moment.sum(axis=0)
    error = float(left @ left) / free
    between = float(np.mean(effects ** 2 - error / there))  # what an effect has of chance is no speed
    if between <= 0:
        return np.zeros(len(logs))
    beyond = effects[moments] + left
    others = there[moments] - 1
    mean = (np.bincount(moments, beyond)[moments] - beyond) / np.maximum(others, 1)
    return np.asarray(mean * between * others / (between * others + error))


def _numbers(names: Sequence[Hashable]) -> NDArray[np.int_]:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names])
