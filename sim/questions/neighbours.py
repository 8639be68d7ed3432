"""Who is beside a container and who is apart from it: the first of each in the file, without a look at every pair.

Containers of one place (host and networks) are alike in this, and a large file has few places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sim.spec import Container, Spec


@dataclass(slots=True)
class Place:
    """`members`: (position in the file, container), in that order."""

    host: str
    networks: frozenset[str]
    members: list[tuple[int, Container]] = field(default_factory=list)

    def shares(self, other: Place) -> bool:
        return self.host == other.host and not self.networks.isdisjoint(other.networks)


class Neighbours:
    """Of these containers, in their order."""

    def __init__(self, spec: Spec, boxes: Sequence[Container]) -> None:
        self.spec = spec
        self._places: dict[tuple[str, frozenset[str]], Place] = {}
        self._of: dict[str, Place] = {}
        self._on: dict[str, list[Place]] = {}
        for position, box in enumerate(boxes):
            key = box.host, frozenset(spec.networks_of(box.name))
            if key not in self._places:
                place = self._places[key] = Place(*key)
                for network in place.networks:
                    self._on.setdefault(network, []).append(place)
            self._of[box.name] = self._places[key]
            self._places[key].members.append((position, box))

    def beside(self, target: Container) -> Container | None:
        """The first that shares a network with it, and lives in another namespace."""
        own = self._of[target.name]
        near = {place.members[0][0]: place for network in own.networks for place in self._on[network]}
        return self._first(target, (near[at] for at in sorted(near) if near[at].shares(own)), lambda box: True)

    def apart_from(self, target: Container) -> Container | None:
        """The first on a network that shares none with it."""
        own = self._of[target.name]
        far = (place for place in self._places.values() if not place.shares(own))
        return self._first(target, far, lambda box: box.mode in ("bridge", "networks"))

    def _first(
        self, target: Container, places: Iterable[Place], fits: Callable[[Container], bool]
    ) -> Container | None:
        """`places` come in the order of their first members, so most of them need no look."""
        namespace = self.spec.netns_of(target.name)
        first, found = len(self._of), None
        for place in places:
            if place.members[0][0] > first:
                break
            for at, box in place.members:
                if at > first:
                    break
                if fits(box) and self.spec.netns_of(box.name) != namespace:
                    first, found = at, box
                    break
        return found
