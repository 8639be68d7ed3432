"""What was predicted of a question, as JSON: of `predict`, and of `verify` beside what was measured."""

from __future__ import annotations

from typing import Any

from sim.predict import Prediction


def question_as_dict(prediction: Prediction, index: int) -> dict[str, Any]:
    """A question with its dial and its predicted answer; where something is drawn, all answers that it may have. Why it
    fails is `because`."""
    different = list(dict.fromkeys(answer for answer, _ in prediction.ways(index)))
    return {
        "text": str(prediction.questions[index]),
        "question": prediction.questions[index].model_dump(mode="json"),
        "dial": prediction.dials[index].model_dump(mode="json"),
        "predicted": prediction.answers[index].as_dict(),
        **({"predicted_one_of": [answer.as_dict() for answer in different]} if len(different) > 1 else {}),
        "because": prediction.reasons[index],
    }
