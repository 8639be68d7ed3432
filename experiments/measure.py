"""The measured half of a verification: a lab with real engines, the topology on it, every question asked and captured.

Sniffers stand at every interface of every host, client and container for the whole time. Before each question the
caches are made cold (neighbours, FDB, conntrack), as the prediction starts from cold ones; after it the capture goes on
until the wire has been quiet for `SETTLE` seconds. A question of which frames were lost is asked once more, from cold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from live import names, rules
from live.capture import Capture, Point
from live.cold import Caches
from live.deploy import deploy
from live.deployment import Deployment
from live.lab import Lab
from live.probe import probe
from live.responder import ListenerAt, Responders
from sim.dial import dial as make_dial
from sim.errors import LabError, SpecError
from sim.plumbing import Plumbing
from sim.spec import Client, Container, Dial, Question, Spec
from sim.trace import Answer, Trace

SETTLE = 0.05
"""Seconds without a frame after which a question counts as over."""
ATTEMPTS = 2

Progress = Callable[[str, int, int], None]
"""(what is being done, questions done, questions in all)"""


@dataclass(slots=True)
class Observation:
    """One question, measured. `answer` None: it could not be asked, and `why` says so (`dial` None: the engine gave
    nothing to dial). `until`: how long it was watched, in seconds."""

    dial: Dial | None = None
    answer: Answer | None = None
    trace: Trace = field(default_factory=Trace)
    until: float = 0.0
    why: str = ""


@dataclass(slots=True)
class Measurement:
    """`observations`: one a question, in the order asked. `points`: where sniffers stood. `seconds`: how long each
    stage took."""

    engine: str
    plumbing: Plumbing
    points: list[str]
    observations: list[Observation]
    seconds: dict[str, float]


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
        where = deployment.namespaces()
        points = [Point(label, device, str(where[label]), real) for label, device, real in known.points()]
        observations = []
        with (Responders(_listeners(deployment)), Capture(points, mac_symbol=known.mac) as capture,
              Caches(deployment) as caches):
            for index, question in enumerate(questions):
                say(str(question), index, total)
                observations.append(_ask(deployment, question, index, capture, caches))
        say("removing the lab", total, total)
        stage("questions")
    stage("lab down")
    return Measurement(engine, plumbing, [f"{p.label}:{p.device}" for p in points], observations, seconds)


def _listeners(deployment: Deployment) -> list[ListenerAt]:
    spec = deployment.spec
    boxes: list[Container | Client] = [*spec.containers, *spec.clients]
    return [ListenerAt(box.name, str(deployment.netns_path(box.name)), listener.port, listener.protocol)
            for box in boxes for listener in box.listens]


def _ask(deployment: Deployment, question: Question, index: int, capture: Capture, caches: Caches) -> Observation:
    spec = deployment.spec
    try:
        dial = make_dial(question, spec, index, deployment.address_of, deployment.published_port)
    except SpecError as error:
        return Observation(why=str(error))
    source = str(deployment.netns_path(dial.source))
    box = spec.container(dial.source)
    found = Observation(dial)
    for _ in range(ATTEMPTS):
        caches.flush()
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
        found.trace = capture.take(SETTLE)
        found.until = time.monotonic() - begun
        if not found.trace.lost:
            break
    return found
