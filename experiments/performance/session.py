"""A lab to measure times in, and the model of it beside: the same ways, asked of both.

Each thing that is measured is a job; a round does every job once, in an order that changes from round to round, so that
what drifts drifts for all. No sniffers, no IPv6; who sends and who answers is pinned (`live/sockperf.py`).
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from experiments.performance.cases import CONNECT, Case, Offered
from experiments.performance.topology import PORT, Way, spec
from experiments.provenance import provenance
from live import connections, doctor, iperf, links, offloads, pinned, sockperf, where
from live.deploy import deploy
from live.deployment import Deployment
from live.lab import Lab
from live.noise import Noise, Watch
from live.sockperf_output import Latency, Load
from sim.dial import dial
from sim.errors import LabError
from sim.fabric.costs import BLOCKING, SPINNING
from sim.spec import Probe, Spec

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]
Result = TypeVar("Result")
Job = TypeVar("Job", bound=Hashable)

SECONDS = 0.3
"""What a run measures: ten thousand round trips and more, and a hundred timer ticks."""
BATCH = 10
"""So many clients are ready at once."""
MODES = {BLOCKING: sockperf.Mode.blocking, SPINNING: sockperf.Mode.spinning}
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
        """Each case measured, in this order; up to BATCH clients are made ready together, for one takes seconds."""
        for regime, batch in batches(cases):
            if regime == CONNECT:
                for case in batch:
                    yield case, self._connects(case, seconds)
                continue
            with contextlib.ExitStack() as stack:
                servers: dict[tuple[Path, str], sockperf.Server] = {}
                ready = []
                for case in batch:
                    client, namespace, address, port = self.ends(case.way, case.protocol)
                    mode = MODES[regime](case.protocol)
                    if (namespace, case.protocol) not in servers:
                        servers[namespace, case.protocol] = stack.enter_context(
                            sockperf.answering(namespace, PORT, mode, rests=mode.spin))
                    ready.append((case, servers[namespace, case.protocol], stack.enter_context(
                        sockperf.asking(client, address, port, mode, size=case.size, seconds=seconds))))
                for case, server, asking in ready:
                    yield case, asking.measure(server)

    def _connects(self, case: Case, seconds: float) -> Latency:
        client, server, address, port = self.ends(case.way)
        cpu = sockperf.Mode.blocking("tcp").client_cpu
        with connections.accepting(server, PORT, cpu):
            return connections.requests(client, address, port, seconds=seconds, cpu=cpu)

    def loads(self, asked: Sequence[Offered], seconds: float = SECONDS) -> Iterator[tuple[Offered, Load]]:
        """UDP requests at a rate, each answered; in this order."""
        for start in range(0, len(asked), BATCH):
            with contextlib.ExitStack() as stack:
                servers: dict[Path, sockperf.Server] = {}
                ready = []
                for offered in asked[start:start + BATCH]:
                    client, namespace, address, port = self.ends(offered.way, "udp")
                    if namespace not in servers:
                        servers[namespace] = stack.enter_context(
                            sockperf.answering(namespace, PORT, sockperf.Mode.spinning("udp"), rests=True))
                    ready.append((offered, servers[namespace], stack.enter_context(sockperf.loading(
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


def batches(cases: Sequence[Case]) -> Iterator[tuple[str, list[Case]]]:
    """The cases in parts that can be ready at once: of one regime, for a server that polls and one that sleeps can't
    listen on one port."""
    for regime in dict.fromkeys(case.regime for case in cases):
        mine = [case for case in cases if case.regime == regime]
        for start in range(0, len(mine), BATCH):
            yield regime, mine[start:start + BATCH]


def rounds(jobs: Sequence[Job], measure: Callable[[Sequence[Job]], Iterator[tuple[Job, Result]]], number: int,
           progress: Progress, what: str = "measuring") -> tuple[dict[Job, list[Result]], Noise]:
    """`measure` all jobs once a round, in a new order each round: what each of them gave, and what else ran."""
    found: dict[Job, list[Result]] = {job: [] for job in jobs}
    order, done, total = random.Random(0), 0, number * len(jobs)
    watch = Watch()
    for turn in range(number):
        for job, result in measure(order.sample(list(jobs), len(jobs))):
            found[job].append(result)
            done += 1
            progress(f"{what}, round {turn + 1} of {number}", done, total)
    return found, watch.stop()
