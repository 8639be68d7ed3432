"""What a measurement finds: a topology's plumbing, and of each question the answer and the frames that were seen.

Made by `experiments/measure.py`, on a host or in a micro-VM's guest; from there it comes over a wire as JSON
(`as_dict`, `from_dict`): frames as they are, as long as nobody has read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from live.frames import Frames
from sim.plumbing import Plumbing
from sim.spec import Dial
from sim.trace import Answer, Outcome, Trace

TOO_LATE = "the CPU was late for the kernel's own timers"


@dataclass(slots=True)
class Observation:
    """One question, measured. `answer` None: it could not be asked, and `why` says so (`dial` None: the engine gave
    nothing to dial). `until`: how long it was watched, in seconds. `lost`: frames that cables lost meanwhile."""

    dial: Dial | None = None
    answer: Answer | None = None
    trace: Trace = field(default_factory=Trace)
    """What the frames say, once they have been read."""
    frames: Frames | None = None
    """As they were taken; None when they have been read."""
    until: float = 0.0
    why: str = ""
    lost: int = 0
    points: list[str] = field(default_factory=list)
    """Where sniffers stood."""
    attempts: int = 1
    """How often it was asked until no frame was lost, and nobody late."""
    late: bool = False
    """Somebody was late for the kernel's own timers, each time that it was asked."""
    again: list[str] = field(default_factory=list)
    """Why it was asked again, each time: what had spoiled the attempt before."""

    def read(self) -> None:
        """Makes the trace of the frames."""
        if self.frames is not None:
            self.trace, self.frames = self.frames.trace(), None

    def as_dict(self) -> dict[str, Any]:
        return {"dial": self.dial.model_dump(mode="json") if self.dial else None,
                "answer": self.answer.as_dict() if self.answer else None,
                "trace": self.trace.as_dict(), "frames": self.frames.as_dict() if self.frames else None,
                "until": self.until, "why": self.why, "lost": self.lost, "points": self.points,
                "attempts": self.attempts, "late": self.late, "again": self.again}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Observation:
        """What `as_dict` made."""
        answer = row["answer"] and Answer(**row["answer"] | {"outcome": Outcome(row["answer"]["outcome"])})
        frames = Frames.from_dict(row["frames"]) if row["frames"] else None
        return cls(Dial(**row["dial"]) if row["dial"] else None, answer, Trace.from_dict(row["trace"]), frames,
                   row["until"], row["why"], row["lost"], list(row["points"]), row["attempts"], row["late"],
                   list(row["again"]))


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
    """What the kernel which measured has not of the features without which a swarm does less (the doctor's names)."""
    where: str = ""
    """`micro-VM (TCG)`: not on this machine's own kernel. Times from an emulated one mean nothing."""
    kernel: str = ""
    """As `uname -r` says there."""

    def read(self) -> None:
        """Makes the traces of all frames that were taken."""
        for seen in self.observations:
            seen.read()

    def as_dict(self) -> dict[str, Any]:
        """JSON; of traces all but the payloads, of which only the lengths are kept."""
        rows = {name: adapter.dump_python(getattr(self, name), mode="json") for name, adapter in adapters().items()}
        return rows | {"lacking": sorted(self.lacking), "observations": [seen.as_dict() for seen in self.observations]}

    @classmethod
    def from_dict(cls, rows: Mapping[str, Any]) -> Measurement:
        """What `as_dict` made."""
        values = {name: adapter.validate_python(rows[name]) for name, adapter in adapters().items()}
        return cls(observations=[Observation.from_dict(row) for row in rows["observations"]], **values)


@cache
def adapters() -> dict[str, TypeAdapter[Any]]:
    """What turns each field of a Measurement into JSON and back, but its observations."""
    return {name: TypeAdapter(kind) for name, kind in get_type_hints(Measurement).items() if name != "observations"}
