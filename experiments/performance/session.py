"""A lab to measure times in, and the model of it beside: the same ways, asked of both.

Each thing that is measured is a job; a round does every job once, in an order that changes from round to round, so that
what drifts drifts for all. No sniffers, no IPv6; who sends and who answers is pinned (`live/sockperf.py`).
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from experiments.performance.cases import CONNECT, Case, Offered
from experiments.performance.moments import levelled
from experiments.performance.topology import PORT, Way, spec
from experiments.provenance import provenance
from live import connections, doctor, iperf, links, offloads, ping_pong, pinned, sockperf, under_load, where
from live.deploy import deploy
from live.deployment import Deployment
from live.lab import Lab
from live.noise import Noise, Watch
from live.sockperf_output import Latency, Load
from live.turns import TURN, Client, in_turn
from sim.dial import dial
from sim.errors import LabError
from sim.fabric.costs import BLOCKING, SPINNING
from sim.spec import Probe, Spec

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]
Result = TypeVar("Result")
Job = TypeVar("Job", bound=Hashable)

SECONDS = 0.4
"""What a run measures: ten thousand round trips and more, a hundred timer ticks, and sixteen turns."""
WAVE, READY = 10, 20
"""So many clients are measured in turns, and so many are ready at once, as sockperf sleeps two seconds first."""
BATCH = 10
"""So many clients that load are ready at once."""
MODES = {BLOCKING: sockperf.Mode.blocking, SPINNING: sockperf.Mode.spinning}
PING_PONG = f"sockperf ping-pong, paths in turns of {TURN * 1000:.0f} ms, at the machine's middle speed"
"""The tool of round trips, for provenance."""
CALM = 6.0
"""Seconds after which a swarm that has just been formed has told all its nodes everything."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What was measured on: the engine's version, and by kind of device which offloads are "on", "off", or "differ"
    from one to the other, as they were before anything was measured."""

    engine: str
    offloads: Mapping[str, Mapping[str, str]]

    def about(self, rounds: int) -> dict[str, Any]:
        """Provenance of what was measured here in so many rounds."""
        return provenance(engine=self.engine, seed=0) | {"rounds": rounds, "offloads": self.offloads}


@dataclass(frozen=True, slots=True)
class Session:
    """A deployed lab."""

    deployment: Deployment
    setting: Setting

    @property
    def spec(self) -> Spec:
        return self.deployment.spec

    def ends(self, way: Way, protocol: Probe = "tcp") -> tuple[Path, Path, str, int]:
        """The client's and the server's namespace, and what is dialled: address, port."""
        question = way.question(protocol)
        to = dial(question, self.spec, 0, self.deployment.address_of, self.deployment.published_port)
        return (self.deployment.netns_path(way.source), self.deployment.netns_path(way.target), to.address, to.port)

    def latencies(self, cases: Sequence[Case], seconds: float = SECONDS) -> Iterator[tuple[Case, Latency]]:
        """Each case measured once, wave by wave; who belongs to a wave is measured in turns (`live/turns.py`)."""
        for regime, waves in batches(cases):
            lasting = 1 + 2 * seconds * max(map(len, waves))
            with contextlib.ExitStack() as stack:
                ask = self._connecting(stack) if regime == CONNECT else self._asking(stack, MODES[regime], lasting)
                ready = [[ask(case) for case in wave] for wave in waves]
                for wave, clients in zip(waves, ready, strict=True):
                    yield from zip(wave, in_turn(clients, seconds), strict=True)

    def _asking(self, stack: contextlib.ExitStack, modes: Callable[[str], sockperf.Mode],
                lasting: float) -> Callable[[Case], Client]:
        """Makes clients of sockperf ready, and servers as they need."""
        serving = _serving(stack, modes)

        def ask(case: Case) -> Client:
            client, namespace, address, port = self.ends(case.way, case.protocol)
            return stack.enter_context(ping_pong.asking(
                client, address, port, modes(case.protocol), serving(namespace, case.protocol), size=case.size,
                lasting=lasting))

        return ask

    def _connecting(self, stack: contextlib.ExitStack) -> Callable[[Case], Client]:
        """Makes clients ready that connect for each request."""
        cpu = sockperf.Mode.blocking("tcp").client_cpu

        @cache
        def accept(namespace: Path) -> None:
            stack.enter_context(connections.accepting(namespace, PORT, cpu))

        def ask(case: Case) -> Client:
            client, namespace, address, port = self.ends(case.way)
            accept(namespace)
            return stack.enter_context(connections.asking(client, address, port, cpu))

        return ask

    def loads(self, asked: Sequence[Offered], seconds: float = SECONDS) -> Iterator[tuple[Offered, Load]]:
        """UDP requests at a rate, each answered; in this order."""
        for start in range(0, len(asked), BATCH):
            with contextlib.ExitStack() as stack:
                serving, ready = _serving(stack, sockperf.Mode.spinning), []
                for offered in asked[start:start + BATCH]:
                    client, namespace, address, port = self.ends(offered.way, "udp")
                    ready.append((offered, serving(namespace, "udp"), stack.enter_context(under_load.loading(
                        client, address, port, rate=round(offered.rate), size=offered.size, burst=offered.burst,
                        seconds=seconds))))
                for offered, server, loading in ready:
                    yield offered, loading.measure(server)

    def stream(self, way: Way, protocol: Probe = "tcp", *, parallel: int = 1, size: int = 0, rate: float = 0.0,
               seconds: int = 2, congestion: str = "") -> iperf.Throughput:
        """iperf3 from one end to the other."""
        client, server, address, port = self.ends(way, protocol)
        return iperf.stream(client, server, address, port=port, listen=PORT, protocol=protocol, parallel=parallel,
                            size=size, rate=rate, seconds=seconds, congestion=congestion)

    def places(self, way: Way) -> list[tuple[Path, str]]:
        """The interfaces of both ends: where offloads are switched."""
        return [(path, link.name) for label in (way.source, way.target)
                for path in [self.deployment.netns_path(label)]
                for link in links.read(path)[0] if link.kind != "loopback"]


@contextlib.contextmanager
def session(of: Spec | None = None, say: Say = print) -> Iterator[Session]:
    """A lab with everything deployed, gone at the end. LabError where times can't be measured."""
    where.refuse_times("performance")
    report = doctor.examine()
    if not report.can_run_lab:
        raise LabError(f"nothing can be measured here: {report.why_not}")
    wanted = of or spec()
    with Lab.up(wanted, progress=say) as lab:
        deployment = deploy(lab, wanted, say)
        pinned.pin_proxies(lab.dockerds, sockperf.Mode.blocking("tcp").client_cpu)
        time.sleep(CALM)
        yield Session(deployment, Setting(lab.daemons[wanted.hosts[0].name].version, offloads_of(deployment)))


def _serving(stack: contextlib.ExitStack,
             modes: Callable[[str], sockperf.Mode]) -> Callable[[Path, str], sockperf.Server]:
    """A sockperf server for each namespace and protocol that is asked for, at rest where it polls, until the end of
    `stack`."""
    @cache
    def serving(namespace: Path, protocol: str) -> sockperf.Server:
        mode = modes(protocol)
        return stack.enter_context(sockperf.answering(namespace, PORT, mode, rests=mode.spin))

    return serving


def offloads_of(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Of all devices that the engines and the lab made: kind -> feature -> "on", "off" or "differ"."""
    found: dict[str, dict[str, set[bool]]] = {}
    for path in (*deployment.namespaces().values(), *deployment.underlay().values()):
        for link in links.read(path)[0]:
            mine = found.setdefault(link.kind, {})
            for feature, on in offloads.read(path, link.name).items():
                mine.setdefault(feature, set()).add(on)
    return {kind: {feature: "differ" if len(seen) > 1 else "on" if True in seen else "off"
                   for feature, seen in features.items()} for kind, features in sorted(found.items())}


def batches(cases: Sequence[Case]) -> Iterator[tuple[str, list[list[Case]]]]:
    """The cases in parts that can be ready at once, each of a regime, and of waves that can be measured in turns.

    A server that polls and one that sleeps can't listen on one port. sockperf's TCP server has one client at a time,
    so a wave has one of its clients, and the waves come in the order in which their clients connect.
    """
    for regime in dict.fromkeys(case.regime for case in cases):
        mine = sorted((case for case in cases if case.regime == regime), key=lambda case: not _alone(case))
        servers = Counter(case.way.target for case in mine if _alone(case))
        waves: list[list[Case]] = [[] for _ in range(max([math.ceil(len(mine) / WAVE), *servers.values()]))]
        for case in mine:
            free = [wave for wave in waves if not _alone(case) or case.way.target not in {
                other.way.target for other in wave if _alone(other)}]
            min(free, key=len).append(case)
        together = max(1, READY // max(map(len, waves)))
        for start in range(0, len(waves), together):
            yield regime, waves[start:start + together]


def _alone(case: Case) -> bool:
    """Has its server no other client meanwhile?"""
    return case.protocol == "tcp" and case.regime != CONNECT


def rounds(jobs: Sequence[Job], measure: Callable[[Sequence[Job]], Iterator[tuple[Job, Result]]], number: int,
           progress: Progress, what: str = "measuring") -> tuple[dict[Job, list[Result]], Noise]:
    """`measure` all jobs each round, in a new order each round: what each of them gave, round trips at the machine's
    middle speed (`levelled`), and what else ran."""
    found: dict[Job, list[Result]] = {job: [] for job in jobs}
    order, total = random.Random(0), number * len(jobs)
    watch = Watch()
    for turn in range(number):
        done: set[Job] = set()
        for job, result in measure(order.sample(list(jobs), len(jobs))):
            found[job].append(result)
            done.add(job)
            progress(f"{what}, round {turn + 1} of {number}", turn * len(jobs) + len(done), total)
    noise = watch.stop()
    level, drift = levelled(found)
    return level, replace(noise, drift=drift)
