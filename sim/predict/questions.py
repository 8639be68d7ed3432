"""Who reaches whom, how it ends, and by which way: every question of a Spec, run in the world that the Spec plumbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sim.fabric.costs import CostModel
from sim.plumbing import Plumbing
from sim.spec import Dial, Question, Spec
from sim.trace import Answer, Trace
from sim.world import build


@dataclass(slots=True)
class Prediction:
    """One entry a question in `questions`, `dials`, `answers` and `traces`, in the order asked."""

    plumbing: Plumbing
    warnings: list[str]
    costs: CostModel
    questions: list[Question] = field(default_factory=list)
    dials: list[Dial] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)


def predict(
    spec: Spec,
    *,
    observed: bool = False,
    questions: Sequence[Question] | None = None,
    costs: CostModel | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Plumb `spec` and ask its questions (or these). `observed`: sniffers are on every bridge, as in a verification.

    `progress(done, total)` is called after each. PlumbError where an engine would refuse, SpecError for a question that
    can't be dialled.
    """
    world = build(spec)
    world.sniff(observed)
    asked = list(spec.questions if questions is None else questions)
    prediction = Prediction(world.plumbing(), world.warnings, costs or CostModel(), asked)
    for index, question in enumerate(asked):
        dial = world.dial(question, index)
        answer, trace = world.ask(dial, costs)
        prediction.dials.append(dial)
        prediction.answers.append(answer)
        prediction.traces.append(trace)
        if progress:
            progress(index + 1, len(asked))
    return prediction
