"""Every way a question can end has a face wherever answers are shown."""

import pytest

from experiments import plots, render
from sim.compose import load
from sim.predict import predict
from sim.trace import Outcome
from tests.goldens.traces import SCENARIO


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_colour_in_tables_and_plots(outcome: Outcome) -> None:
    assert outcome in render.COLOURS and outcome in plots.COLOURS


@pytest.mark.parametrize("file", sorted(SCENARIO.parent.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_scenario_is_predicted_and_shown(file) -> None:  # type: ignore[no-untyped-def]
    spec = load(file)
    forecast = predict(spec)
    assert render.predictions(forecast) is not None
    render.matrix(spec, forecast.questions, forecast.answers)
