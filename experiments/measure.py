"""The measured half of a verification: a lab with real engines, the topology on it, every question asked and captured.

Sniffers stand at every interface of every host, client and container; where faults happen, phase by phase
(`sim/phases.py`): at those that there are then. Before each question the
caches are made cold (neighbours, FDB, conntrack), as the prediction starts from cold ones; after it the capture goes on
until the wire has been quiet for `SETTLE` seconds. A question of which frames were lost, by the
capture or by a cable, is asked again, from cold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from live import faults, features, names, rules
from live.capture import Capture, Point
from live.cold import Caches
from live.deploy import deploy
from live.deployment import Deployment
from live.lab import Lab
from live.probe import probe
from live.responder import ListenerAt, Responders
from sim.dial import dial as make_dial
from sim.dial import not_dialled
from sim.errors import LabError, SpecError
from sim.phases import phases
from sim.plumbing import Plumbing
from sim.spec import Client, Container, Dial, Question, Spec
from sim.trace import Answer, Outcome, Trace

SETTLE = 0.05
"""Seconds without a frame after which a question counts as over."""
ATTEMPTS = 2
LOSSY_ATTEMPTS = 8
"""Where cables lose frames: predictions are of the case in which they lose none of a question's."""

Progress = Callable[[str, int, int], None]
"""(what is being done, questions done, questions in all)"""


@dataclass(slots=True)
class Observation:
    """One question, measured. `answer` None: it could not be asked, and `why` says so (`dial` None: the engine gave
    nothing to dial). `until`: how long it was watched, in seconds. `lost`: frames that cables lost meanwhile."""

    dial: Dial | None = None
    answer: Answer | None = None
    trace: Trace = field(default_factory=Trace)
    until: float = 0.0
    why: str = ""
    lost: int = 0
    points: list[str] = field(default_factory=list)
    """Where sniffers stood."""
    attempts: int = 1
    """How often it was asked until no frame was lost."""


@dataclass(slots=True)
class Measurement:
    """`observations`: one a question, in the order asked. `points`: where sniffers stood. `seconds`: how long each
    stage took."""

    engine: str
    plumbing: Plumbing
    points: list[str]
    observations: list[Observation]
    seconds: dict[str, float]
    lacking: frozenset[str] = frozenset()
    """Features that the kernel which measured has not, by the doctor's names."""


def measure(spec: Spec, questions: Sequence[Question], *, progress: Progress | None = None) -> Measurement:
    """Bring up a lab for `spec`, ask `questions`, and remove the lab. LabError where that can't be done, PlumbError
    where an engine refuses the topology."""
    say = progress or (lambda what, done, total: None)
    total = len(questions)
    begun = time.monotonic()
    seconds: dict[str, float] = {}

    def stage(name: str) -> None:
        nonlocal begun
        now = time.monotonic()
        seconds[name] = round(now - begun, 3)
        begun = now

    with Lab.up(spec, progress=lambda what: say(what, 0, total)) as lab:
        stage("lab up")
        deployment = deploy(lab, spec, lambda what: say(what, 0, total))
        stage("deploy")
        say("reading what the engine built", 0, total)
        known = names.learn(deployment)
        plumbing = rules.snapshot(deployment, known)
        engine = str(lab.engine(spec.hosts[0].name).version()["Version"])
        stage("plumbing")
        observations = _ask_all(lab, deployment, questions, say)
        points = sorted({point for seen in observations for point in seen.points})
        say("removing the lab", total, total)
        stage("questions")
    stage("lab down")
    lacking = frozenset(feature for feature, why in features.tried().items() if why)
    return Measurement(engine, plumbing, points, observations, seconds, lacking)


def _ask_all(lab: Lab, deployment: Deployment, questions: Sequence[Question], say: Progress) -> list[Observation]:
    """Phase by phase, each with sniffers and responders where containers and interfaces are then."""
    found: dict[int, Observation] = {}
    for phase in phases(deployment.spec, questions):
        if phase.fault is not None:
            going = phase.when == "during"
            say(f"fault {phase.fault.name}: {phase.fault.kind} {phase.fault.host}{'' if going else ', mended'}",
                len(found), len(questions))
            (faults.inject if going else faults.mend)(lab, deployment, phase.fault)
        if not phase.questions:
            continue
        known, where = names.learn(deployment), deployment.namespaces()
        points = [Point(label, device, str(where[label]), real) for label, device, real in known.points()]
        with (Responders(_listeners(deployment)), Caches(deployment) as caches,
              Capture(points, mac_symbol=known.mac, spi_symbol=known.spi) as capture):
            for index in phase.questions:
                say(str(questions[index]), len(found), len(questions))
                found[index] = _ask(deployment, questions[index], index, capture, caches, lab.frames_lost)
                found[index].points = [f"{point.label}:{point.device}" for point in points]
    return [found[index] for index in range(len(questions))]


def _listeners(deployment: Deployment) -> list[ListenerAt]:
    spec = deployment.spec
    boxes: list[Container | Client] = [*spec.containers, *spec.clients]
    return [ListenerAt(box.name, str(deployment.netns_path(box.name)), listener.port, listener.protocol)
            for box in boxes if box.name not in deployment.ended for listener in box.listens]


def _ask(
    deployment: Deployment, question: Question, index: int, capture: Capture, caches: Caches, losses: Callable[[], int]
) -> Observation:
    spec = deployment.spec
    nothing = not_dialled(question, spec, index)
    if nothing.source in deployment.ended:
        return Observation(nothing, Answer(Outcome.NOT_RUNNING))
    try:
        dial = make_dial(question, spec, index, deployment.address_of, deployment.published_port, deployment.vip_of)
    except SpecError as error:
        if question.during or question.after:  # a fault may leave nothing to dial: an answer, as in the prediction
            return Observation(nothing, Answer(Outcome.NO_TARGET, detail=error.problem))
        return Observation(why=str(error))
    source = str(deployment.netns_path(dial.source))
    box = spec.container(dial.source)
    found = Observation(dial)
    for attempt in range(LOSSY_ATTEMPTS if spec.lossy else ATTEMPTS):
        found.attempts = attempt + 1
        caches.flush()
        before = losses()
        begun = time.monotonic()
        capture.mark()
        try:
            if box is not None:
                found.answer = probe(dial, source, deployment.pid(box.name))
            else:
                etc = deployment.etc(dial.source)
                found.answer = probe(dial, source, resolv_conf=str(etc / "resolv.conf"), hosts=str(etc / "hosts"))
        except LabError as error:
            found.why = str(error)
            return found
        found.trace = capture.take(SETTLE + 2 * spec.flight)
        found.until = time.monotonic() - begun
        found.lost = losses() - before
        if not found.trace.lost and not found.lost:
            break
    return found
