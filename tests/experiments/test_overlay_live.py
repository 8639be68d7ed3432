"""Overlay networks over three real engines in a swarm: every level, in time; and a wrong prediction does not pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import verify as verification
from experiments.verify import verify
from live import doctor
from sim import compose, topology
from sim.dockerd import swarm

pytestmark = pytest.mark.live
SCENARIO = Path(verification.__file__).parent / "scenarios" / "article_overlay.yaml"
LIMIT = 120.0
LAB_LIMIT = 30.0


@pytest.fixture(autouse=True)
def able() -> None:
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)


def test_the_articles_overlay_networks_behave_as_predicted_on_three_real_engines() -> None:
    result = verify(compose.load(SCENARIO, environment={}))
    differing = [f"{c.level}: {c.subject}: at {c.where} predicted {c.predicted}, seen {c.observed}\n{c.detail}"
                 for c in result.checks if c.agreed is not True]
    assert not differing, "\n".join(differing)
    assert len(result.answers) >= 40
    assert result.measurement is not None
    assert {"ov(alpha)@h1:vxlan0", "ov(alpha)@h2:br0", "ov(alpha)@h3:veth(red3@alpha)", "red1:eth1",
            "h1:docker_gwbridge", "h1:eth0", "lb(alpha)@h1:eth0"} <= set(result.measurement.points)
    assert result.seconds["lab up"] < LAB_LIMIT and result.seconds["all"] < LIMIT, result.seconds


def test_containers_on_overlays_and_bridges_at_once_behave_as_predicted() -> None:
    result = verify(compose.load(SCENARIO.with_name("overlay_mixed.yaml"), environment={}))
    assert [(c.subject, c.detail) for c in result.checks if c.agreed is not True] == []


def test_a_prediction_with_another_vni_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarm, "FIRST_VNI", 5000)
    builder = topology("t").network("alpha", driver="overlay", attachable=True).host("h1").host("h2")
    builder = builder.container("a1", networks=["alpha"], host="h1").container("a2", networks=["alpha"], host="h2")
    result = verify(builder.ask("a1 -> a2 ping by ip").spec())
    assert result.answers[0][0].agreed is True  # reachability alone would not tell
    assert result.answers[0][1].agreed is False and "vxlan.vni" in result.answers[0][1].detail
    assert {c.subject for c in result.plumbing if c.agreed is False} == {
        *(f"ov({name})@{host}: links" for name in ("alpha", "ingress") for host in ("h1", "h2")),
        "h1: what its engine says", "h2: what its engine says"}
