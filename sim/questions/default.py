"""The questions that a file asks when it has none: who reaches whom inside, and what the outside world sees.

Containers of one service are alike, so the first stands for all. Pairs grow with the square of the services: beyond
MAX_PAIRS each container asks its next few neighbours in the file, so that a large file stays a matter of seconds.
Tasks of swarm services are asked in `services.py`.
Left out: names asked from host mode and from none, whose resolver is the machine's own affair.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.questions.neighbours import Neighbours
from sim.questions.services import service_questions
from sim.spec import Container, Listener, Question, Spec

MAX_PAIRS = 56
"""Ordered pairs that are asked in full: eight services."""
MAX_PORTS = 4
"""Listening ports that are asked of one container."""
PING, LISTENING, PUBLISHED, OUTSIDE = ("container to container", "listening ports", "published ports", "from outside")


def default_questions(spec: Spec) -> tuple[Question, ...]:
    """Pings, listening ports, published ports, unpublished ports, in that order; no question twice."""
    plain = [box for box in spec.containers if not box.task_of]
    boxes = list({box.service or box.name: box for box in reversed(plain)}.values())[::-1]
    asked = [*_pings(spec, boxes), *_listening(spec, boxes), *_published(spec, boxes), *_outside(spec, boxes)]
    asked += service_questions(spec)
    return tuple({str(question): question for question in asked}.values())


def _pairs(boxes: list[Container]) -> Iterator[tuple[Container, Container]]:
    """Ordered pairs of different containers; of a large file, each with its next neighbours."""
    count = len(boxes)
    reach = count - 1 if count * (count - 1) <= MAX_PAIRS else max(1, MAX_PAIRS // count)
    for index, box in enumerate(boxes):
        for step in range(1, reach + 1):
            yield box, boxes[(index + step) % count]


def _dns_name(spec: Spec, box: Container) -> str:
    """The service's name, unless several containers have it: the engine answers with one of them, drawn at random."""
    alone = spec.namesakes[box.service] == 1
    named = box.mode == "networks" and box.service and all(each.service_name for each in box.attachments)
    return box.service if named and alone else box.name


def _pings(spec: Spec, boxes: list[Container]) -> Iterator[Question]:
    for source, target in _pairs(boxes):
        if spec.netns_of(source.name) == spec.netns_of(target.name):
            continue
        if target.mode != "none":
            yield Question(source=source.name, target=target.name, group=PING)
        if source.mode not in ("host", "none") and target.mode in ("bridge", "networks"):
            yield Question(source=source.name, target=_dns_name(spec, target), by="name", group=PING)


def _listening(spec: Spec, boxes: list[Container]) -> Iterator[Question]:
    """Each port from a container beside it, and from one that shares no network with it."""
    neighbours = Neighbours(spec, boxes)
    for target in boxes:
        if target.mode == "none":
            continue
        near, far = neighbours.beside(target), neighbours.apart_from(target)
        for port in target.listens[:MAX_PORTS]:
            if near is not None:
                by_name = near.mode == target.mode == "networks"
                yield _ask(spec, near.name, target, port, by_name=by_name, group=LISTENING)
            if far is not None:
                yield _ask(spec, far.name, target, port, group=LISTENING)


def _ask(
    spec: Spec, source: str, target: Container, port: Listener, *, by_name: bool = False, group: str
) -> Question:
    return Question(
        source=source,
        target=_dns_name(spec, target) if by_name else target.name,
        probe=port.protocol,
        port=port.port,
        by="name" if by_name else "ip",
        group=group,
    )


def _published(spec: Spec, boxes: list[Container]) -> Iterator[Question]:
    """Each published port: from its host over loopback and over its address, and from the first client on the wire."""
    for box in boxes:
        sources = [box.host, *(c.name for c in spec.outsiders[:1])]
        for port in [each for each in box.ports if each.can_be_asked][:MAX_PORTS]:
            if port.host_port:
                yield Question(
                    source=box.host,
                    target="127.0.0.1",
                    probe=port.protocol,
                    port=port.host_port,
                    group=PUBLISHED,
                    comment=f"{box.name}:{port.container_port}",
                )
            for source in sources:
                if not spec.publishes(box.name):
                    # the engine discards it: ask for the port that the file promises
                    yield Question(
                        source=source,
                        target=spec.uplink_address(box.host),
                        probe=port.protocol,
                        port=port.host_port or port.container_port,
                        group=PUBLISHED,
                    )
                else:
                    yield Question(
                        source=source,
                        target=box.name,
                        probe=port.protocol,
                        port=port.container_port,
                        published=True,
                        group=PUBLISHED,
                    )


def _outside(spec: Spec, boxes: list[Container]) -> Iterator[Question]:
    """Listening ports that are not published, from the first client; and the way out, from each container."""
    for client in spec.outsiders[:1]:
        for box in boxes:
            published = {(p.container_port, p.protocol) for p in box.ports}
            for port in box.listens[:MAX_PORTS] if box.mode != "none" else ():
                if not spec.publishes(box.name) or (port.port, port.protocol) not in published:
                    yield _ask(spec, client.name, box, port, group=OUTSIDE)
            yield Question(source=box.name, target=client.name, group=OUTSIDE)
    for internet in [client for client in spec.clients if client.everywhere]:
        yield from (Question(source=box.name, target=internet.name, group=OUTSIDE) for box in boxes)
