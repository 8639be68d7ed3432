"""The measured half of a verification: a lab with real engines, the topology on it, every question asked and captured.

Sniffers stand at every interface of every host, client and container for the whole time. Before each question the
caches are made cold (neighbours, FDB, conntrack), as the prediction starts from cold ones; after it the capture goes on
until the wire has been quiet for `SETTLE` seconds. A question of which frames were lost is asked again, from cold.

Where the CPU is emulated, programs may be late for the kernel's own timers (delayed acknowledgements, retransmissions).
That only ever adds segments; so a TCP question in which somebody was late is asked again there, and of its attempts the
one with fewest frames counts. Whether it was late is told from its frames alone, never from what was predicted.

`Running` is a topology that stands and can be asked, as often as one likes; `measure` is the whole from nothing to
nothing. Both run on a host and in a micro-VM's guest alike, and what they find goes over a wire as JSON and back
(`as_dict`, `from_dict`): frames by their headers and lengths, which is all that is ever compared.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from live import names, rules, where
from live.capture import Capture, Point
from live.cold import Caches
from live.deploy import deploy
from live.deployment import Deployment
from live.lab import Lab
from live.names import Names
from live.patience import factor, patient
from live.probe import probe
from live.responder import ListenerAt, Responders
from sim.dial import dial as make_dial
from sim.errors import LabError, SpecError
from sim.packet import Packet, Tcp
from sim.plumbing import Plumbing
from sim.spec import Client, Container, Dial, Question, Spec
from sim.trace import Answer, Outcome, Trace

SETTLE = 0.05
"""Seconds without a frame after which a question counts as over."""
TAKE_LIMIT = 2.0
"""Seconds after which the capture of a question ends although frames still come."""
ATTEMPTS = 3
LATE = 0.03
"""Seconds: less than Linux waits with an acknowledgement (TCP_DELACK_MIN, 40 ms)."""
AT_ONCE = (Outcome.REACHED, Outcome.REFUSED, Outcome.RESET, Outcome.NET_UNREACHABLE, Outcome.PROHIBITED)
"""Outcomes of a TCP question that come without anybody waiting, but for the dial's own pause."""

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

    def as_dict(self) -> dict[str, Any]:
        return {"dial": self.dial.model_dump(mode="json") if self.dial else None,
                "answer": self.answer.as_dict() if self.answer else None,
                "trace": self.trace.as_dict(), "lengths": [_lengths(step.packet) for step in self.trace],
                "until": self.until, "why": self.why}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Observation:
        """What `as_dict` made."""
        answer = row["answer"] and Answer(**row["answer"] | {"outcome": Outcome(row["answer"]["outcome"])})
        trace = Trace.from_dict(row["trace"])
        for step, lengths in zip(trace, row["lengths"], strict=True):
            _lengthen(step.packet, lengths)
        return cls(Dial(**row["dial"]) if row["dial"] else None, answer, trace, row["until"], row["why"])


def _lengths(packet: Packet | None) -> list[int]:
    """Bytes of payload, of the packet and of each one inside: a later fragment's are in no header's fields."""
    return [len(packet.payload), *_lengths(packet.inner)] if packet else []


def _lengthen(packet: Packet | None, lengths: list[int]) -> None:
    if packet:
        packet.payload = bytes(lengths[0])
        _lengthen(packet.inner, lengths[1:])


@dataclass(slots=True)
class Measurement:
    """`observations`: one a question, in the order asked. `points`: where sniffers stood. `seconds`: how long each
    stage took."""

    engine: str
    plumbing: Plumbing
    points: list[str]
    observations: list[Observation]
    seconds: dict[str, float]
    where: str = ""
    """`micro-VM (TCG)`: not on this machine's own kernel. Times from an emulated one mean nothing."""
    kernel: str = ""
    """As `uname -r` says there."""

    def as_dict(self) -> dict[str, Any]:
        """JSON; all but the frames' payloads, of which only the lengths are kept."""
        rows = {name: adapter.dump_python(getattr(self, name), mode="json") for name, adapter in _adapters().items()}
        return rows | {"observations": [seen.as_dict() for seen in self.observations]}

    @classmethod
    def from_dict(cls, rows: Mapping[str, Any]) -> Measurement:
        """What `as_dict` made."""
        values = {name: adapter.validate_python(rows[name]) for name, adapter in _adapters().items()}
        return cls(observations=[Observation.from_dict(row) for row in rows["observations"]], **values)


def _adapters() -> dict[str, TypeAdapter[Any]]:
    """What turns each field of a Measurement into JSON and back, but its observations."""
    return {name: TypeAdapter(kind) for name, kind in get_type_hints(Measurement).items() if name != "observations"}


class Running:
    """A topology that is up and deployed, and what its engines built: it can be asked as often as one likes."""

    def __init__(self, lab: Lab, deployment: Deployment, known: Names, plumbing: Plumbing,
                 seconds: dict[str, float]) -> None:
        self.lab, self.deployment, self.known, self.plumbing, self.seconds = lab, deployment, known, plumbing, seconds

    @classmethod
    def up(cls, spec: Spec, progress: Callable[[str], None]) -> Running:
        """Brings up a lab for `spec` and deploys it there. LabError where that can't be done, PlumbError where an
        engine refuses the topology; nothing is left then."""
        stage = _Stages()
        lab = Lab.up(spec, progress=progress)
        try:
            stage.over("lab up")
            deployment = deploy(lab, spec, progress)
            stage.over("deploy")
            progress("reading what the engine built")
            known = names.learn(deployment)
            plumbing = rules.snapshot(deployment, known)
            stage.over("plumbing")
        except BaseException:
            lab.down()
            raise
        return cls(lab, deployment, known, plumbing, stage.seconds)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.lab.down()

    def ask(self, questions: Sequence[Question], progress: Progress) -> Measurement:
        """Every question, from cold caches, watched everywhere."""
        stage = _Stages()
        deployment = self.deployment
        engine = str(self.lab.engine(deployment.spec.hosts[0].name).version()["Version"])
        paths = deployment.namespaces()
        points = [Point(label, device, str(paths[label]), real) for label, device, real in self.known.points()]
        observations = []
        with (Responders(_listeners(deployment)), Capture(points, mac_symbol=self.known.mac) as capture,
              Caches(deployment) as caches):
            for index, question in enumerate(questions):
                progress(str(question), index, len(questions))
                observations.append(_ask(deployment, question, index, capture, caches))
        stage.over("questions")
        return Measurement(engine, self.plumbing, [f"{p.label}:{p.device}" for p in points], observations,
                           self.seconds | stage.seconds, where.here(), where.kernel())


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
    found.seconds |= stage.seconds
    return found


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
    # Long enough for others to hang up first, wherever this runs: their outcome is compared, and no time.
    asked = dial.model_copy(update={"pause": dial.pause * factor()})
    best: Observation | None = None
    for _ in range(ATTEMPTS):
        found = Observation(dial)
        caches.flush()
        begun = time.monotonic()
        capture.mark()
        try:
            if box is not None:
                found.answer = probe(asked, source, deployment.pid(box.name))
            else:
                etc = deployment.etc(dial.source)
                found.answer = probe(asked, source, resolv_conf=str(etc / "resolv.conf"), hosts=str(etc / "hosts"))
        except LabError as error:
            found.why = str(error)
            return found
        found.trace = capture.take(patient(SETTLE), patient(TAKE_LIMIT))
        found.until = time.monotonic() - begun
        if best is None or (found.trace.lost, len(found.trace)) < (best.trace.lost, len(best.trace)):
            best = found
        if not found.trace.lost and not (factor() > 1 and _late(found)):
            break
    assert best is not None
    return best


def _late(seen: Observation) -> bool:
    """Was somebody late in a TCP dialogue of which every step follows at once from the one before?"""
    dial, answer = seen.dial, seen.answer
    if dial is None or answer is None or dial.probe != "tcp" or answer.outcome not in AT_ONCE:
        return False
    times = [step.at for step in seen.trace if step.packet and _speaks(step.packet, dial.source_port)]
    waits = sum(later - earlier > LATE for earlier, later in itertools.pairwise(times))
    return waits > (answer.outcome in (Outcome.REACHED, Outcome.RESET))  # those have the dial's pause


def _speaks(packet: Packet, port: int) -> bool:
    """A TCP segment from or to a port, also inside a tunnel's packet."""
    if packet.inner is not None and packet.vxlan is not None:
        return _speaks(packet.inner, port)
    return isinstance(packet.l4, Tcp) and port in (packet.l4.sport, packet.l4.dport)
