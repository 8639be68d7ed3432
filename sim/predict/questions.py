"""Who reaches whom, how it ends, and by which way: every question of a Spec, run in the world that the Spec plumbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sim import faults
from sim.dial import not_dialled
from sim.errors import NothingToDial, SpecError
from sim.fabric.costs import CostModel
from sim.kernel.sysctl import LATEST, linux_version
from sim.phases import phases
from sim.plumbing import Plumbing
from sim.predict.unsaid import honest
from sim.reasons import Case, Facts, because, cautions
from sim.spec import Dial, Question, Spec
from sim.trace import Answer, Outcome, Trace
from sim.world import World, build

MAX_WAYS = 24
"""In how many ways one question is run at most: all orders of four tasks."""


@dataclass(slots=True)
class Prediction:
    """One entry a question in `questions`, `dials`, `answers`, `traces` and `reasons`, in the order asked.

    Where something is drawn on the way (which address a name server tells first, which task of a service gets the
    connection), `answers` and `traces` have one of the ways that it may go, and `others` the rest of them.
    """

    plumbing: Plumbing
    warnings: list[str]
    costs: CostModel
    questions: list[Question] = field(default_factory=list)
    dials: list[Dial] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    others: list[list[tuple[Answer, Trace]]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """Why a question fails (`sim/reasons`); where something is drawn, in the first of its ways that does. Empty where
    none does."""
    cautions: list[str] = field(default_factory=list)
    """What should be known before any answer is read, a line each."""

    def ways(self, index: int) -> list[tuple[Answer, Trace]]:
        """All ways in which a question may go, the one in `answers` and `traces` first."""
        return [(self.answers[index], self.traces[index]), *self.others[index]]


def predict(
    spec: Spec,
    *,
    observed: bool = False,
    questions: Sequence[Question] | None = None,
    costs: CostModel | None = None,
    progress: Callable[[int, int], None] | None = None,
    lacking: frozenset[str] = frozenset(),
    linux: str = "",
) -> Prediction:
    """Plumb `spec` and ask its questions (or these). `observed`: sniffers are on every bridge, as in a verification.

    `progress(done, total)` is called after each. `lacking`: features that the hosts' kernel has not. `linux`: its
    release (`uname -r`), the newest when empty. PlumbError where an engine would refuse, SpecError for a question that
    can't be dialled.
    """
    world = build(spec, lacking, linux_version(linux) if linux else LATEST)
    world.sniff(observed)
    asked = list(spec.questions if questions is None else questions)
    facts = Facts(world)
    prediction = Prediction(world.plumbing(), world.warnings, costs or CostModel(), asked, cautions=cautions(facts))
    found: dict[int, tuple[Dial, list[tuple[Answer, Trace]]]] = {}
    reasons: dict[int, str] = {}
    for phase in phases(spec, asked):
        if phase.fault is not None:
            (faults.inject if phase.when == "during" else faults.mend)(world, phase.fault)
            facts = Facts(world, phase.fault)
        for index in phase.questions:
            dial, ways = _ask(world, asked[index], index, costs, after_a_fault=phase.fault is not None)
            found[index] = dial, ways
            said = (because(Case(facts, asked[index], dial, answer, trace)) for answer, trace in ways)
            reasons[index] = next(filter(None, said), "")
            if progress:
                progress(len(found), len(asked))
    for index in range(len(asked)):
        dial, (first, *others) = found[index]
        prediction.dials.append(dial)
        prediction.answers.append(first[0])
        prediction.traces.append(first[1])
        prediction.others.append(others)
        prediction.reasons.append(reasons[index])
    return prediction


def _ask(
    world: World, question: Question, index: int, costs: CostModel | None, *, after_a_fault: bool
) -> tuple[Dial, list[tuple[Answer, Trace]]]:
    """The dial and all its ways. A fault may leave nobody who asks, or nothing to dial, and an engine may not publish
    what the file does: that is an answer as well."""
    if not world.runs(question.source):
        return not_dialled(question, world.spec, index), [(Answer(Outcome.NOT_RUNNING), Trace())]
    try:
        dial = world.dial(question, index)
    except SpecError as error:
        if not after_a_fault and not isinstance(error, NothingToDial):
            raise
        nothing = Answer(Outcome.NO_TARGET, detail=error.problem)
        return not_dialled(question, world.spec, index), [(nothing, Trace())]
    try:
        return dial, _ways(world, dial, costs)
    except SpecError as error:
        raise SpecError(error.problem, where=f"question {question}", mend=error.mend) from None


def _ways(world: World, dial: Dial, costs: CostModel | None) -> list[tuple[Answer, Trace]]:
    """The question, run once for each way in which its draws may fall."""
    ways: list[tuple[Answer, Trace]] = []
    wanted: list[int] | None = []
    while wanted is not None and len(ways) < MAX_WAYS:
        answer, trace = world.ask(dial, costs, wanted)
        ways.append((honest(world, dial, answer, trace), trace))
        wanted = world.draws.next()
    return ways
