"""Cables that lose frames: a question is asked again, and what was lost on the way is compared with nothing."""

from __future__ import annotations

import pytest

import experiments.verify
from experiments.measurement import Measurement, Observation
from experiments.verify import verify
from sim.predict import predict
from sim.spec import Client, Host, Link, Question, Spec
from sim.trace import Answer, Outcome, Trace

LOSSY = Spec(hosts=(Host(link=Link(loss=0.1)),), clients=(Client(),),
             questions=(Question(source="client", target="host"), Question(source="host", target="client")))


def test_an_answer_of_which_a_cable_lost_a_frame_is_not_compared_and_says_how_often_that_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prediction = predict(LOSSY, observed=True)
    points = ["client:eth0", "host:eth0"]
    late = Observation(prediction.dials[0], Answer(Outcome.TIMEOUT, "192.168.99.101"), Trace(), until=2.0, lost=3)
    fine = Observation(prediction.dials[1], prediction.answers[1],
                       Trace(prediction.traces[1].observed(points).steps), until=2.0)
    measured = Measurement("20.10.24", prediction.plumbing, points, [late, fine], {})
    monkeypatch.setattr(experiments.verify, "measure", lambda *_, **__: measured)
    result = verify(LOSSY)
    assert [[check.agreed for check in pair] for pair in result.answers] == [[None, None], [True, True]]
    assert result.answers[0][0].detail == "cables lost 3 frames; none is lost in 66% of all runs"
    assert result.exit_code == 3
