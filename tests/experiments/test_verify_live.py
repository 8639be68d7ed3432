"""The whole of it on a real engine: the article's single-host networks, every level, in time."""

from __future__ import annotations

import pytest

from experiments.demo import scenario
from experiments.verify import verify
from live import doctor

pytestmark = pytest.mark.live
LIMIT = 60.0


def test_the_articles_single_host_networks_behave_as_predicted_on_a_real_engine() -> None:
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)
    result = verify(scenario())
    differing = [f"{c.level}: {c.subject}: at {c.where} predicted {c.predicted}, seen {c.observed}\n{c.detail}"
                 for c in result.checks if c.agreed is not True]
    assert not differing, "\n".join(differing)
    assert len(result.answers) >= 25
    assert result.seconds["all"] < LIMIT, result.seconds
