"""A topology that stands is asked as often as one likes, and left alone where somebody wants to look around."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.measure import Running
from live import doctor
from live.serve import one_cpu
from sim.build import topology
from sim.spec import Spec
from sim.trace import Outcome
from tests.live.conftest import run_in

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def spec() -> Spec:
    return (topology("standing").network("front").container("web", networks=["front"], ports=["8080:80"], listens=[80])
            .client("client").ask("client -> host:8080").spec())


@pytest.fixture(scope="module")
def running(spec: Spec) -> Iterator[Running]:
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)
    with Running.up(spec, lambda what: None) as found:
        yield found


def ask(running: Running, spec: Spec) -> tuple[Outcome | None, set[str]]:
    """How it ended, and where frames were seen."""
    measured = running.ask(spec.questions, lambda what, done, total: None)
    measured.read()
    answer = measured.observations[0].answer
    return answer and answer.outcome, {step.point for step in measured.observations[0].trace}


def watched(running: Running) -> tuple[bool, bool]:
    """Is a sniffer at the host's uplink, and does somebody listen in `web`?"""
    uplink = run_in(running.deployment.netns_path("host"), "ip", "-d", "link", "show", "eth0")
    sockets = run_in(running.deployment.netns_path("web"), "cat", "/proc/net/tcp")
    return "promiscuity 0" not in uplink, ":0050 00000000:0000 0A" in sockets


def test_the_same_topology_answers_the_same_as_often_as_it_is_asked(running: Running, spec: Spec) -> None:
    first = ask(running, spec)
    assert first[0] is Outcome.REACHED
    assert first[1] >= {"client:eth0", "host:eth0", "host:br(front)", "web:eth0"}
    assert ask(running, spec) == first


def test_a_topology_at_rest_has_neither_sniffers_nor_responders_and_answers_again_afterwards(
        running: Running, spec: Spec) -> None:
    before = ask(running, spec)
    assert watched(running) == (True, True)
    running.rest()
    assert watched(running) == (False, False)
    assert ask(running, spec) == before


def test_docker_proxies_send_from_the_cpu_of_all_others_so_that_no_frame_overtakes_another(
        running: Running, spec: Spec) -> None:
    ask(running, spec)
    proxies = [int(entry.name) for entry in Path("/proc").iterdir()
               if entry.name.isdigit() and (entry / "stat").read_text().split()[3] in map(str, running.lab.dockerds)
               and "(docker-proxy)" in (entry / "stat").read_text()]
    assert proxies
    threads = [int(thread.name) for pid in proxies for thread in Path(f"/proc/{pid}/task").iterdir()]
    assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {frozenset({one_cpu()})}
