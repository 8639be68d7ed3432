"""The whole of it on real engines: the article's networks and macvlan's modes, every level, in time."""

from __future__ import annotations

from pathlib import Path

import pytest

import experiments
from experiments.demo import scenario
from experiments.verify import Verification, verify
from live import doctor
from sim.compose import load
from sim.spec import Spec

pytestmark = pytest.mark.live
LIMIT = 60.0


def agreed(spec: Spec) -> Verification:
    """The verification of a Spec in which all agreed; skipped where no lab can run."""
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)
    result = verify(spec)
    differing = [f"{c.level}: {c.subject}: at {c.where} predicted {c.predicted}, seen {c.observed}\n{c.detail}"
                 for c in result.checks if c.agreed is not True]
    assert not differing, "\n".join(differing)
    return result


def test_the_articles_single_host_networks_behave_as_predicted_on_a_real_engine() -> None:
    result = agreed(scenario("single-host"))
    assert len(result.answers) >= 25
    assert result.seconds["all"] < LIMIT, result.seconds


def test_every_mode_of_macvlan_behaves_as_predicted_on_five_real_engines() -> None:
    if any(item.name == "macvlan" and not item.ok for item in doctor.examine().items):
        pytest.skip("the kernel lacks macvlan")
    spec = load(Path(experiments.__path__[0], "scenarios", "macvlan_modes.yaml"))
    result = agreed(spec)
    assert {question.group for question in spec.questions} == {"bridge", "private", "vepa", "passthru", "internal"}
    assert result.seconds["all"] < 2 * LIMIT, result.seconds
