"""Who reaches whom, how it ends, and by which way: every question of a Spec, run in the world that the Spec plumbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from sim import faults
from sim.dial import not_dialled
from sim.errors import NothingToDial, SpecError
from sim.fabric.costs import CostModel
from sim.kernel.sysctl import LATEST, linux_version
from sim.phases import phases
from sim.plumbing import Plumbing
from sim.predict.processes import share_out, spared, worth
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
    traces: bool = True,
    jobs: int = 1,
) -> Prediction:
    """Plumb `spec` and ask its questions (or these). `observed`: sniffers are on every bridge, as in a verification.

    `progress(done, total)` is called after each. `lacking`: features that the hosts' kernel has not. `linux`: its
    release (`uname -r`), the newest when empty. `traces`: are they kept? Of a large file that takes much memory.
    `jobs`: how many processes ask; 0: as many as the questions are worth. PlumbError where an engine would refuse,
    SpecError for a question that can't be dialled.
    """
    with spared():
        world = build(spec, lacking, linux_version(linux) if linux else LATEST)
    world.sniff(observed)
    asked = list(spec.questions if questions is None else questions)
    facts = Facts(world)
    prediction = Prediction(world.plumbing(), world.warnings, costs or CostModel(), asked, cautions=cautions(facts))
    found: dict[int, Asked] = {}

    def ask(facts: Facts, index: int) -> Asked:
        return _asked(world, facts, asked[index], index, costs, traces)

    def done(count: int) -> None:
        if progress:
            progress(len(found) + count, len(asked))

    for phase in phases(spec, asked):
        if phase.fault is not None:
            (faults.inject if phase.when == "during" else faults.mend)(world, phase.fault)
            facts = Facts(world, phase.fault)
        with spared():
            made = share_out(phase.questions, partial(ask, facts), jobs or worth(len(phase.questions)), done)
        found.update(zip(phase.questions, made, strict=True))
    for one in (found[index] for index in range(len(asked))):
        (answer, trace), *others = one.ways
        prediction.dials.append(one.dial)
        prediction.answers.append(answer)
        prediction.traces.append(trace)
        prediction.others.append(others)
        prediction.reasons.append(one.reason)
    return prediction


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was asked: its dial, all its ways, and why it fails."""

    dial: Dial
    ways: list[tuple[Answer, Trace]]
    reason: str


def _asked(
    world: World, facts: Facts, question: Question, index: int, costs: CostModel | None, traces: bool
) -> Asked:
    """With `traces` False the ways' traces are empty: each has been read when the next one is made."""
    dial, ways, kept, reason = None, _ask(world, question, index, costs, facts.fault is not None), [], ""
    for dial, answer, trace in ways:
        reason = reason or because(Case(facts, question, dial, answer, trace))
        kept.append((answer, trace if traces else Trace()))
    assert dial is not None
    return Asked(dial, kept, reason)


def _ask(
    world: World, question: Question, index: int, costs: CostModel | None, after_a_fault: bool
) -> Iterator[tuple[Dial, Answer, Trace]]:
    """The dial with each of its ways. A fault may leave nobody who asks, or nothing to dial, and an engine may not
    publish what the file does: that is an answer as well."""
    if not world.runs(question.source):
        yield not_dialled(question, world.spec, index), Answer(Outcome.NOT_RUNNING), Trace()
        return
    try:
        dial = world.dial(question, index)
    except SpecError as error:
        if not after_a_fault and not isinstance(error, NothingToDial):
            raise
        yield not_dialled(question, world.spec, index), Answer(Outcome.NO_TARGET, detail=error.problem), Trace()
        return
    wanted: list[int] | None = []
    for _ in range(MAX_WAYS):
        if wanted is None:
            return
        try:
            answer, trace = world.ask(dial, costs, wanted)
        except SpecError as error:
            raise SpecError(error.problem, where=f"question {question}", mend=error.mend) from None
        yield dial, honest(world, dial, answer, trace), trace
        wanted = world.draws.next()
