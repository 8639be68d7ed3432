"""Which round trips a calibration measures, in which regime.

TCP goes all ways; UDP and larger messages only some, for what they have besides TCP's steps is the same everywhere.
docker-proxy is measured where both ends block: it is a third program, and nobody can say on which of two CPUs it would
wake up.
"""

from __future__ import annotations

from dataclasses import dataclass

from experiments.performance.model import Model
from experiments.performance.topology import WAYS, Way
from sim.errors import SpecError
from sim.fabric.costs import BLOCKING, SPINNING, Counts
from sim.fabric.turns import PROXY
from sim.predict.roundtrip import MESSAGE_BYTES, Style
from sim.spec import Probe

LARGE = 1400
"""Bytes that still fit one packet through a tunnel."""
CONNECT = "connect"
"""The regime of a connection for each request; `sim.fabric.costs` names those of one that is kept."""
REGIMES = (BLOCKING, SPINNING, CONNECT)


@dataclass(frozen=True, slots=True)
class Case:
    """One round trip in one regime."""

    way: Way
    regime: str
    protocol: Probe = "tcp"
    size: int = MESSAGE_BYTES

    @property
    def name(self) -> str:
        size = "" if self.size == MESSAGE_BYTES else f" {self.size} bytes"
        return f"{self.way.name}: {self.protocol}{size}"

    def counts(self, model: Model) -> Counts:
        style: Style = "connect" if self.regime == CONNECT else "kept"
        return model.round_trip(self.way, self.protocol, self.size, style).counts


@dataclass(frozen=True, slots=True)
class Offered:
    """UDP requests at `rate` messages/s, `burst` at a time, each to be answered."""

    way: Way
    rate: float
    size: int = MESSAGE_BYTES
    burst: int = 1


def cases(model: Model) -> list[Case]:
    """All of them, regime by regime. Where only some ways are taken, each kind of step is in more than one of them, so
    that a way can be left out."""
    direct = [way for way in WAYS if all(turn.program != PROXY for turn in model.turns(way))]
    loops = [way for way in direct if way.source == way.target or way.name == "loopback on a host"]
    some = list(dict.fromkeys([*loops, *direct[::2]]))
    others = list(dict.fromkeys([*loops, *direct[1::2], *(way for way in direct if way.driver)]))
    answered = [way for way in some if _answers(model, way)]
    few = [*loops[:1], *(way for way in direct if way.driver)][:4]
    found = [Case(way, BLOCKING) for way in WAYS]
    found += [Case(way, SPINNING) for way in others]
    found += [Case(way, regime, "udp") for regime in (BLOCKING, SPINNING) for way in answered]
    found += [Case(way, regime, "udp", LARGE) for regime in (BLOCKING, SPINNING) for way in few]
    found += [Case(way, CONNECT) for way in some]
    return found


def _answers(model: Model, way: Way) -> bool:
    """Does the answer come from the address that was asked? A UDP server that listens on all addresses answers from
    that of the interface by which it answers, and who asked another one does not take it."""
    try:
        model.round_trip(way, "udp")
    except SpecError:
        return False
    return True
