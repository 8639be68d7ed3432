"""What else happened on the machine while something was measured: stolen time, other programs, the load.

    with watch() as watching:
        ...                     # measure; watching.round() after each round, if rounds are wanted
    watching.noise              # the whole of it

From proc(5): the CPU lines of /proc/stat, for the CPUs that this process may use, and /proc/PID/stat for who spent the
time. Ours is this process, all that descend from it (the lab's engines and their docker-proxies, sockperf, iperf3), and
ksoftirqd, which does while we measure what our packets left over. What is busy beyond that is others'. Time is counted
in clock ticks of 10 ms: watch a second at least.

Interrupts and softirqs: most kernels charge them to the process that was interrupted, which on a measured CPU is one of
ours; then they count as busy. Where CONFIG_IRQ_TIME_ACCOUNTING keeps them apart from processes, or the kernel's
configuration can't be read, nobody can say whose they were: they are left out, and `others` is a lower bound.

Left out: programs of ours that were adopted by init (a container's idle process) count as others.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import platform
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from sim.errors import LabError

PROC = Path("/proc")
DEFERRED = "ksoftirqd/"
"""Names of the kernel's threads that finish softirqs which took too long."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What was not ours. Fractions are of the time of all CPUs that this process may use.

    `load` is the one-minute load average at the end and `load_before` at the start: the former has our own programs in
    it. `preempted`: involuntary context switches of our programs a second; two programs that take turns on one CPU
    preempt each other too, so it is for comparing rounds and not judged by itself. `drift`: standard deviation of the
    machine's speed from moment to moment, as a fraction, where that was told from what was measured and taken out.
    """

    steal: float
    others: float
    load: float
    seconds: float
    load_before: float = 0.0
    preempted: float = 0.0
    drift: float = 0.0

    def then(self, other: Noise) -> Noise:
        """Of both times, one after the other: what is judged is the worse of each, so that neither hides the other."""
        seconds = self.seconds + other.seconds
        return Noise(max(self.steal, other.steal), max(self.others, other.others), other.load, seconds,
                     self.load_before, (self.seconds * self.preempted + other.seconds * other.preempted) / seconds,
                     max(self.drift, other.drift))

    def as_dict(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at a moment. CPU times in clock ticks, of the CPUs that this process may use."""

    at: float
    total: int
    steal: int
    busy: int
    interrupts: int
    """IRQs and softirqs; not in `busy`."""
    ours: int
    preemptions: int
    load: float

    @classmethod
    def take(cls, proc: Path = PROC) -> Sample:
        """LabError where /proc lacks what is needed."""
        try:
            times = cpu_times(proc / "stat", os.sched_getaffinity(0))
            load = float((proc / "loadavg").read_text().split()[0])
        except (OSError, ValueError, IndexError) as error:
            raise LabError(f"can't tell how busy the machine is: {proc}/stat or {proc}/loadavg: {error}",
                           mend="mount /proc") from None
        ours, alive = our_ticks(proc, os.getpid())
        return cls(
            at=time.monotonic(), total=sum(times.values()), steal=times["steal"],
            busy=times["user"] + times["nice"] + times["system"], interrupts=times["irq"] + times["softirq"],
            ours=ours, preemptions=_preemptions(proc, alive), load=load)


COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""Of a CPU's line in /proc/stat; a guest's time, which follows, is part of `user`."""


def cpu_times(stat: Path, cpus: set[int]) -> dict[str, int]:
    """Clock ticks by kind, summed over `cpus`. ValueError where none of them is there."""
    sums, seen = dict.fromkeys(COLUMNS, 0), 0
    for line in stat.read_text().splitlines():
        name, *values = line.split() or [""]
        number = name.removeprefix("cpu")
        if name != number and number.isdigit() and int(number) in cpus:
            seen += 1
            for column, value in zip(COLUMNS, values, strict=False):
                sums[column] += int(value)
    if not seen:
        raise ValueError(f"no line for CPU {min(cpus)}")
    return sums


def our_ticks(proc: Path, root: int) -> tuple[int, list[int]]:
    """Clock ticks that process `root`, its descendants and ksoftirqd have spent so far, with those of their children
    that have ended; and the pids of the descendants that are alive."""
    parents: dict[int, int] = {}
    spent: dict[int, int] = {}
    ours: set[int] = set()
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):  # one that ends while it is read
            said = (entry / "stat").read_text()
            # The name is in brackets and may hold any character.
            name, rest = said.partition("(")[2].rpartition(")")[0], said.rpartition(")")[2].split()
            pid = int(entry.name)
            parents[pid], spent[pid] = int(rest[1]), sum(map(int, rest[11:15]))
            if pid == root or name.startswith(DEFERRED):
                ours.add(pid)
    alive = [pid for pid in parents if pid != root and _descends(pid, root, parents)]
    return sum(spent[pid] for pid in {*ours, *alive}), alive


def _descends(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    seen: set[int] = set()
    while pid in parents and pid not in seen:
        seen.add(pid)
        pid = parents[pid]
        if pid == root:
            return True
    return False


def _preemptions(proc: Path, alive: list[int]) -> int:
    """Involuntary context switches of this process, of its children that have ended, and of those alive."""
    count = sum(resource.getrusage(who).ru_nivcsw for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    for pid in alive:
        with contextlib.suppress(OSError):
            for thread in (proc / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError):
                    count += sum(int(line.split()[1]) for line in (thread / "status").read_text().splitlines()
                                 if line.startswith("nonvoluntary_ctxt_switches"))
    return count


@cache
def interrupts_are_charged(proc: Path = PROC, boot: Path = Path("/boot")) -> bool:
    """Whether this kernel counts the time of interrupts as that of the process that they interrupt."""
    for source in (proc / "config.gz", boot / f"config-{platform.release()}"):
        with contextlib.suppress(OSError):
            data = source.read_bytes()
            text = (gzip.decompress(data) if source.suffix == ".gz" else data).decode(errors="replace")
            return "CONFIG_IRQ_TIME_ACCOUNTING=y" not in text.splitlines()
    return False


def between(before: Sample, after: Sample, *, charged: bool) -> Noise:
    """The noise between two moments. `charged`: see `interrupts_are_charged`.

    A process that ended between them, and whose parent did not wait for it, takes its time along: never below 0.
    """
    total, seconds = max(after.total - before.total, 1), max(after.at - before.at, 1e-9)
    busy = after.busy - before.busy + (after.interrupts - before.interrupts if charged else 0)
    return Noise(
        steal=_fraction(after.steal - before.steal, total),
        others=_fraction(busy - (after.ours - before.ours), total),
        load=after.load, seconds=seconds, load_before=before.load,
        preempted=max(0, after.preemptions - before.preemptions) / seconds)


def _fraction(ticks: int, total: int) -> float:
    return min(1.0, max(0.0, ticks / total))


@dataclass(slots=True)
class Watch:
    """Watches from its making on. `stop` may be called again, as after a further round."""

    began: Sample = field(default_factory=Sample.take)
    rounds: list[Noise] = field(default_factory=list)
    _last: Sample | None = None
    _noise: Noise | None = None

    def round(self) -> Noise:
        """What there was since the last round, or since the beginning; kept in `rounds`."""
        now = Sample.take()
        self.rounds.append(between(self._last or self.began, now, charged=interrupts_are_charged()))
        self._last = now
        return self.rounds[-1]

    def stop(self) -> Noise:
        """What there was in all."""
        self._noise = between(self.began, Sample.take(), charged=interrupts_are_charged())
        return self._noise

    @property
    def noise(self) -> Noise:
        """What there was until `stop`, or until now where it was never called."""
        return self._noise or self.stop()


@contextlib.contextmanager
def watch() -> Iterator[Watch]:
    """Watch while the body runs; `noise` is that of the body, also where it ended by an exception."""
    watching = Watch()
    try:
        yield watching
    finally:
        watching.stop()
