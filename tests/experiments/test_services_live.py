"""Swarm services and cables of different sizes on real engines, as far as this machine's kernel can."""

from __future__ import annotations

from pathlib import Path

import pytest

import experiments
from experiments.verify import verify
from live import doctor
from sim.compose import load

pytestmark = pytest.mark.live
SCENARIOS = Path(experiments.__path__[0], "scenarios")
WITHOUT_IPVS = "can't be measured here: kernel lacks ip_vs"
LIMIT = 120.0


@pytest.fixture(autouse=True)
def able() -> None:
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)


def test_the_articles_service_with_three_replicas_behaves_as_predicted_on_three_real_engines() -> None:
    result = verify(load(SCENARIOS / "article_ingress.yaml", environment={}))
    assert [(c.subject, c.predicted, c.observed, c.detail) for c in result.checks if c.agreed is False] == []
    balances = doctor.examine().item("ip_vs").ok
    unmade = {check.detail for check in result.checks if check.agreed is None}
    assert unmade == (set() if balances else {WITHOUT_IPVS})
    assert sum(check.agreed is True for check, _ in result.answers) >= 15
    assert result.seconds["all"] < LIMIT, result.seconds


def test_cables_of_different_mtu_fragment_and_refuse_as_predicted() -> None:
    result = verify(load(SCENARIOS / "links.yaml", environment={}))
    assert [(c.subject, c.predicted, c.observed, c.detail) for c in result.checks if c.agreed is not True] == []
