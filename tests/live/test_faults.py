"""What a lab does to its machines when something shall go wrong, and that it is all there again afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from live import cgroup, doctor, faults, links, netns
from live.daemon import DYING, comm
from live.deploy import deploy
from live.deployment import Deployment
from live.lab import Lab
from sim import topology
from sim.errors import PlumbError
from sim.spec import Fault, Move

pytestmark = pytest.mark.live

SPEC = (topology("t").network("front")
        .container("web", networks=["front"], ports=["8080:80"], restart="always")
        .container("gone", networks=["front"])
        .container("side", mode="container:gone", restart="always")
        .fault("cut", "link down", "host").fault("crash", "engine killed", "host").ask("client -> web:80").spec())


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)
    with Lab.up(SPEC) as made:
        yield made


@pytest.fixture(scope="module")
def deployment(lab: Lab) -> Deployment:
    return deploy(lab, SPEC)


def running(lab: Lab) -> set[str]:
    return {comm(pid) for pid in cgroup.processes(lab.run, "host")}


def test_cut_cable_takes_the_carrier_and_nothing_else(lab: Lab, deployment: Deployment) -> None:
    cut, host = SPEC.faults[0], lab.netns_path("host")
    before = links.read(host)
    faults.inject(lab, deployment, cut)
    assert not netns.call(host, netns.carrier, "eth0")
    assert links.read(host) == before
    faults.mend(lab, deployment, cut)
    assert netns.call(host, netns.carrier, "eth0")
    assert deployment.ended == set()


def test_killed_engine_leaves_its_containers_and_comes_back_with_its_data(lab: Lab, deployment: Deployment) -> None:
    crash, old = SPEC.faults[1], lab.daemons["host"].pid
    web, etc = deployment.pid("web"), lab.etc("host")
    faults.inject(lab, deployment, crash)
    assert not running(lab) & set(DYING)
    assert deployment.pid("web") == web and deployment.netns_path("web").exists()
    assert lab.etc("host") != etc and (lab.etc("host") / "resolv.conf").exists()
    assert lab.sandboxes("host").is_dir()
    faults.mend(lab, deployment, crash)
    assert set(DYING) <= running(lab) and lab.daemons["host"].pid != old
    assert deployment.ended == {"gone", "side"}
    assert deployment.pid("web") != web
    assert set(deployment.namespaces()) == {"host", "client", "web"}
    assert Lab.attach(lab.run).engine("host").containers.get("web").status == "running"


STACK = (topology("drain").host("h1").host("h2").host("h3").network("ov", driver="overlay", attachable=True)
         .container("shell", networks=["ov"], host="h2")
         .network("back", driver="overlay")
         .service("web", networks=["ov"], replicas=2, constraints=["node.role == worker"], ports=["8080:80"])
         .service("pinned", networks=["back"], constraints=["node.hostname == h2"])
         .fault("f", "node drained", "h2").spec())


@pytest.fixture(scope="module")
def stack() -> Iterator[tuple[Lab, Deployment]]:
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)
    with Lab.up(STACK) as made:
        yield made, deploy(made, STACK)


def test_drained_node_loses_its_tasks_and_keeps_its_containers(stack: tuple[Lab, Deployment]) -> None:
    lab, deployment = stack
    drain = STACK.faults[0]
    assert [(move.task, move.host) for move in drain.moves] == [("web.2", "h3"), ("pinned.1", "")]
    web, shell, old = deployment.containers["web.2"], deployment.pid("shell"), deployment.address_of("web.2", "ov")
    known = links.permanent(deployment.engine_namespaces()["ov(ov)@h3"])[0]
    assert old in {address for address, _, _ in known}
    faults.inject(lab, deployment, drain)
    moved = deployment.spec.container("web.2")
    assert moved is not None and moved.host == "h3" and deployment.containers["web.2"] != web
    assert deployment.ended == {"pinned.1"} and deployment.pid("shell") == shell
    assert not {"ov(back)@h2", "lb(back)@h2"} & deployment.engine_namespaces().keys()
    assert {"ov(ov)@h2", "ov(ingress)@h2"} <= deployment.engine_namespaces().keys()
    known = links.permanent(deployment.engine_namespaces()["ov(ov)@h3"])[0]
    assert old not in {address for address, _, _ in known}
    faults.mend(lab, deployment, drain)
    assert deployment.ended == set() and deployment.address_of("pinned.1", "back")
    assert deployment.containers["web.2"] in {box.id for box in lab.engine("h3").containers.list()}
    assert "ov(back)@h2" in deployment.engine_namespaces()


def test_task_that_moves_where_it_was_not_predicted_is_a_disagreement(stack: tuple[Lab, Deployment]) -> None:
    """Now both run on h3, and the lab is told that h3's first one moves to h1: the swarm takes h2, the other worker."""
    lab, deployment = stack
    wrong = Fault(name="g", kind="node drained", host="h3", moves=(Move(task="web.1", host="h1"),))
    with pytest.raises(PlumbError, match=r"task web\.1: the swarm runs it on h2, predicted was h1"):
        faults.inject(lab, deployment, wrong)
