"""TCP requests with a body on a real engine, segment for segment: where ICMP tells of a smaller MTU, where it can't."""

from __future__ import annotations

import pytest

from sim import compose
from tests.experiments.test_verify_live import agreed, pytestmark
from tests.sim.test_bodies import FILE, NO_ICMP

__all__ = ["pytestmark"]

ASKED = ", ".join([
    '{from: build, to: "mirror:443", size: 4000}', '{from: build, to: "mirror:443", size: 2896}',
    '{from: build, to: "mirror:443", size: 1448}', '{from: build, to: "mirror:443", size: 1398}',
    '{from: build, to: "small:443", size: 6000}', '{from: mirror, to: "build:80", size: 4000}',
    '{from: host, to: "mirror:443", size: 4000}', '{from: host, to: "127.0.0.1:8080", size: 4000}',
    "build -> mirror:443", "{from: build, to: mirror, size: 1450}"])


@pytest.mark.parametrize(("rule", "reached"), [("", 8), (NO_ICMP, 5)])
def test_segments_leave_are_told_about_and_sent_again_as_predicted(rule: str, reached: int) -> None:
    result = agreed(compose.loads(FILE % (rule, ASKED), environment={}))
    assert [answer.outcome.value for answer in result.prediction.answers].count("reached") == reached
