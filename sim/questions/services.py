"""The questions that a file with services of the swarm asks when it has none of its own.

Each service is asked once by somebody who shares a network with it: by its name, at its virtual address, by
`tasks.NAME`, and its first and last task each alone; its first task asks the way out; and the first client asks at each
node, for the routing mesh answers on all of them. Tasks are alike, so nobody asks them all; of many nodes the first
MAX_NODES are asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.spec import Container, Question, Service, ServicePort, Spec

MAX_PORTS = 4
MAX_NODES = 5
INSIDE, MESH = "services", "routing mesh"


def service_questions(spec: Spec) -> Iterator[Question]:
    """For each service: from inside, then at its published ports."""
    for service in spec.services:
        asker = _asker(spec, service)
        yield from _inside(spec, service, asker) if asker is not None else ()
    for service in spec.services:
        for client in spec.outsiders[:1]:
            for task in spec.tasks(service.name)[:1]:
                yield Question(source=task.name, target=client.name, group=INSIDE)
            for port in [each for each in service.ports if each.can_be_asked][:MAX_PORTS]:
                yield from _published(spec, client.name, service, port)


def _asker(spec: Spec, service: Service) -> Container | None:
    """Who asks: a container or the first task of another service on one of its networks; else its own last task."""
    theirs = {attachment.network for attachment in service.attachments}
    beside = (box for box in spec.containers if box.task_of != service.name and _swarm_networks(spec, box) & theirs)
    return next(beside, None) or next(reversed(spec.tasks(service.name)), None)


def _swarm_networks(spec: Spec, box: Container) -> set[str]:
    found = (spec.network(name) for name in spec.networks_of(box.name))
    return {network.name for network in found if network is not None and network.scope == "swarm"}


def _inside(spec: Spec, service: Service, asker: Container) -> Iterator[Question]:
    tasks = spec.tasks(service.name)
    listening = tasks[0].listens[:MAX_PORTS] if tasks else ()
    name = service.key or service.name
    ways = ("name", "ip") if service.endpoint_mode == "vip" else ("name",)
    for by in ways:
        yield Question.model_validate({"source": asker.name, "target": name, "by": by, "group": INSIDE})
        for port in listening if by == "name" else listening[:1]:
            yield Question.model_validate({
                "source": asker.name, "target": name, "by": by, "probe": port.protocol, "port": port.port,
                "group": INSIDE})
    yield Question(source=asker.name, target=f"tasks.{name}", by="name", group=INSIDE)
    for task in dict.fromkeys(each.name for each in (*tasks[:1], *tasks[-1:]) if each.name != asker.name):
        yield Question(source=asker.name, target=task, group=INSIDE)


def _published(spec: Spec, source: str, service: Service, port: ServicePort) -> Iterator[Question]:
    """At each node; a port in mode host at that of the first task."""
    everywhere = [host.name for host in spec.hosts[:MAX_NODES]]
    for host in everywhere if port.mode == "ingress" else [task.host for task in spec.tasks(service.name)[:1]]:
        yield Question(
            source=source,
            target=service.key or service.name,
            probe=port.protocol,
            port=port.target,
            published=True,
            at=host,
            group=MESH,
        )
