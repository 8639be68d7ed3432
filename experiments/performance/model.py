"""The model beside the lab: the same ways, asked of the plumbed world."""

from __future__ import annotations

from experiments.performance.topology import Way
from sim.fabric.turns import Turn
from sim.predict import RoundTrip, round_trip
from sim.predict.roundtrip import MESSAGE_BYTES, Style
from sim.spec import Probe, Spec
from sim.world import World, build


class Model:
    """The plumbed world of the same Spec: what the steps of each way are. It is built once and asked many times."""

    def __init__(self, spec: Spec) -> None:
        self.world: World = build(spec)
        self._known: dict[tuple[Way, Probe, int, Style], RoundTrip] = {}

    def round_trip(self, way: Way, protocol: Probe = "tcp", size: int = MESSAGE_BYTES,
                   style: Style = "kept") -> RoundTrip:
        """SpecError where nobody answers."""
        key = way, protocol, size, style
        if key not in self._known:
            self._known[key] = round_trip(self.world, way.question(protocol), size=size, style=style)
        return self._known[key]

    def counts(self, way: Way, protocol: Probe = "tcp", style: Style = "kept") -> dict[str, float]:
        return self.round_trip(way, protocol, style=style).counts

    def turns(self, way: Way, protocol: Probe = "tcp", size: int = MESSAGE_BYTES) -> tuple[Turn, ...]:
        return self.round_trip(way, protocol, size).turns
