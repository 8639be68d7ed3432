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
from sim.errors import LabError
from sim.spec import Fault

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


def test_fault_that_no_lab_can_do_is_one_clear_line(lab: Lab, deployment: Deployment) -> None:
    with pytest.raises(LabError, match="fault f: no lab can do 'node drained'"):
        faults.inject(lab, deployment, Fault(name="f", kind="node drained", host="host"))
