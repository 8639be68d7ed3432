"""The measured half of a verification: a lab with real engines, the topology on it, every question asked and captured.

Sniffers stand at every interface of every host, client and container; where faults happen, phase by phase
(`sim/phases.py`): at those that there are then. Before each question the caches are made cold (neighbours, FDB,
conntrack), as the prediction starts from cold ones; after it the capture goes on until the wire has been quiet for
`SETTLE` seconds. A question of which frames were lost, by the capture or by a cable, is asked again, from cold.

A TCP question with a body is asked while no device takes TCP's writes whole (TSO off), for these could not be told from
their segments.

A TCP question in which a program was late for the kernel's own timers (`live/lateness.py`) is asked again, and of its
attempts the one with fewest frames counts; one in which somebody was late each time says so (`Observation.late`).

`Running` is a topology that stands and can be asked; `measure` is the whole from nothing to nothing. Both run on a host
and in a micro-VM's guest alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from experiments.measurement import TOO_LATE, Measurement, Observation
from experiments.watch import Watch
from live import faults, features, names, needs, offloads, pinned, rules, where
from live.deploy import deploy
from live.deployment import Deployment
from live.frames import Frames
from live.lab import Lab
from live.lateness import late
from live.patience import factor, patient
from live.probe import probe
from live.serve import one_cpu
from sim.dial import dial as make_dial
from sim.dial import not_dialled
from sim.errors import LabError, NothingToDial, SpecError
from sim.phases import phases
from sim.plumbing import Plumbing
from sim.spec import Question, Spec
from sim.trace import Answer, Outcome

SETTLE = 0.05
"""Seconds without a frame after which a question counts as over."""
TAKE_LIMIT = 2.0
"""Seconds after which the capture of a question ends although frames still come."""
ATTEMPTS = 2
MORE_ATTEMPTS = 8
"""Where cables lose frames, for predictions are of the case in which they lose none of a question's; and where somebody
was late."""

RESPITE = 0.25
"""Seconds by which each pause after a late attempt is longer than the last: what takes the CPU away comes in spells."""

Progress = Callable[[str, int, int], None]
"""(what is being done, questions done, questions in all)"""


class Running:
    """A topology that is up and deployed, and what its engines built: it can be asked as often as one likes."""

    def __init__(self, lab: Lab, deployment: Deployment, plumbing: Plumbing, watch: Watch, seconds: dict[str, float],
                 lacking: frozenset[str]) -> None:
        self.lab, self.deployment, self.plumbing, self.seconds = lab, deployment, plumbing, seconds
        self.lacking = lacking
        self._watch = watch

    @classmethod
    def up(cls, spec: Spec, progress: Callable[[str], None]) -> Running:
        """Brings up a lab for `spec`, deploys it there and gets all ready to ask. LabError where that can't be done,
        PlumbError where an engine refuses the topology; nothing is left then."""
        stage = _Stages()
        lab = Lab.up(spec, progress=progress)
        try:
            stage.over("lab up")
            deployment = deploy(lab, spec, progress)
            stage.over("deploy")
            progress("reading what the engine built")
            known, plumbing = rules.read(deployment)
            stage.over("plumbing")
            optional = features.OPTIONAL & {"ip_vs", *needs.needed(spec)} if spec.in_swarm else ()
            lacking = frozenset(feature for feature, why in features.tried(optional).items() if why)
            watch = _watch(lab, deployment, known)
            stage.over("watch")
        except BaseException:
            lab.down()
            raise
        return cls(lab, deployment, plumbing, watch, stage.seconds, lacking)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def rest(self) -> None:
        """Until the next question nobody answers and nobody sniffs: something is about to change, or somebody wants to
        look around."""
        self._watch.close()

    def down(self) -> None:
        self.rest()
        self.lab.down()

    def ask(self, questions: Sequence[Question], progress: Progress) -> Measurement:
        """Every question, from cold caches, watched everywhere; faults on the way. The frames are not read yet."""
        stage = _Stages()
        engine = self.lab.daemons[self.deployment.spec.hosts[0].name].version
        found: dict[int, Observation] = {}
        for phase in phases(self.deployment.spec, questions):
            if phase.fault is not None:
                going = phase.when == "during"
                what = f"fault {phase.fault.name}: {phase.fault.kind} {phase.fault.host}"
                progress(what if going else f"{what}, mended", len(found), len(questions))
                self.rest()
                (faults.inject if going else faults.mend)(self.lab, self.deployment, phase.fault)
            if not phase.questions:
                continue
            watch = self._watching()
            cutting = any(questions[index].body for index in phase.questions)
            places = [(Path(point.netns), point.ifname) for point in watch.points if cutting and point.device != "lo"]
            with offloads.switched(places, tso=False):
                for index in phase.questions:
                    progress(str(questions[index]), len(found), len(questions))
                    found[index] = _ask(self.deployment, questions[index], index, watch, self.lab.frames_lost)
                    found[index].points = [f"{point.label}:{point.device}" for point in watch.points]
        observations = [found[index] for index in range(len(questions))]
        points = sorted({point for seen in observations for point in seen.points})
        stage.over("questions")
        return Measurement(engine, self.plumbing, points, observations, self.seconds | stage.seconds, self.lacking,
                           where.here(), where.kernel())

    def _watching(self) -> Watch:
        """A watch that stands; after a rest, one of what is there now."""
        if self._watch.closed:
            self._watch = _watch(self.lab, self.deployment, names.learn(self.deployment))
        return self._watch


def _watch(lab: Lab, deployment: Deployment, known: names.Names) -> Watch:
    """A watch that stands, and docker-proxies, the one part of the way that is no process of ours, where all send."""
    pinned.pin_proxies(lab.dockerds, one_cpu())
    return Watch(deployment, known)


class _Stages:
    """How long each stage took, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = time.monotonic()

    def over(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._begun, 3)
        self._begun = now


def measure(spec: Spec, questions: Sequence[Question], *, progress: Progress | None = None) -> Measurement:
    """Bring up a lab for `spec`, ask `questions`, and remove the lab. LabError where that can't be done, PlumbError
    where an engine refuses the topology."""
    say = progress or (lambda what, done, total: None)
    total = len(questions)
    with Running.up(spec, lambda what: say(what, 0, total)) as running:
        found = running.ask(questions, say)
        say("removing the lab", total, total)
        stage = _Stages()
    stage.over("lab down")
    found.read()
    found.seconds |= stage.seconds
    return found


def _ask(
    deployment: Deployment, question: Question, index: int, watch: Watch, losses: Callable[[], int]
) -> Observation:
    spec = deployment.spec
    nothing = not_dialled(question, spec, index)
    if nothing.source in deployment.ended:
        return Observation(nothing, Answer(Outcome.NOT_RUNNING))
    try:
        dial = make_dial(question, spec, index, deployment.address_of, deployment.published_port, deployment.vip_of)
    except SpecError as error:
        # a fault may leave nothing to dial, and an engine not publish it: an answer, as in the prediction
        if question.during or question.after or isinstance(error, NothingToDial):
            return Observation(nothing, Answer(Outcome.NO_TARGET, detail=error.problem))
        return Observation(why=str(error))
    source = str(deployment.netns_path(dial.source))
    box = spec.container(dial.source)
    # Long enough for others to hang up first, wherever this runs: their outcome is compared, and no time.
    asked = dial.model_copy(update={"pause": dial.pause * factor()})
    best: Observation | None = None
    again: list[str] = []
    for attempt in itertools.count(1):
        found = Observation(dial, attempts=attempt)
        watch.caches.flush()
        before = losses()
        begun = time.monotonic()
        watch.capture.mark()
        try:
            if box is not None:
                found.answer = probe(asked, source, deployment.pid(box.name))
            else:
                etc = deployment.etc(dial.source)
                found.answer = probe(asked, source, resolv_conf=str(etc / "resolv.conf"), hosts=str(etc / "hosts"))
        except LabError as error:
            found.why = str(error)
            return found
        found.frames = watch.capture.take(patient(SETTLE + 2 * spec.flight), patient(TAKE_LIMIT))
        found.frames.macs, found.frames.spis = watch.known.macs, watch.known.spis
        found.until = time.monotonic() - begun
        found.lost = losses() - before
        found.late = late(dial, found.answer, found.frames, spec.flight)
        if best is None or _spoiled(found) < _spoiled(best):
            best = found
        if not _again(found, attempt, spec.lossy):
            break
        again.append(_spoilt_by(found))
        if found.late and attempt > 2:
            time.sleep(RESPITE * attempt)
    assert best is not None
    best.attempts, best.again = found.attempts, again
    return best


def _again(seen: Observation, attempts: int, lossy: bool) -> bool:
    """May another attempt show more?"""
    if seen.late or (lossy and seen.lost):
        return attempts < MORE_ATTEMPTS
    return bool((seen.frames and seen.frames.lost) or seen.lost) and attempts < ATTEMPTS


def _spoilt_by(seen: Observation) -> str:
    """In words, what `_again` looks at."""
    frames = seen.frames.lost if seen.frames else 0
    causes = [TOO_LATE if seen.late else "", f"cables lost {seen.lost} frames" if seen.lost else "",
              f"the capture lost {frames} frames" if frames else ""]
    return ", ".join(filter(None, causes))


def _spoiled(seen: Observation) -> tuple[int, int, bool, int]:
    """How little an attempt is worth: frames lost by the capture, by cables, was somebody late, and frames in all."""
    frames = seen.frames or Frames()
    return frames.lost, seen.lost, seen.late, len(frames)
