"""Files, asked what fails in them and why."""

from __future__ import annotations

from sim import compose
from sim.predict import Prediction, predict


def forecast(text: str) -> Prediction:
    """Of a Compose file's text."""
    return predict(compose.loads(text, environment={}))


def reason(text: str, *asked: str) -> str:
    """Why the one question fails that a file is asked."""
    questions = "".join(f"\n    - {line}" for line in asked)
    (found,) = forecast(f"{text}\n  questions:{questions}\n" if asked else text).reasons
    return found
