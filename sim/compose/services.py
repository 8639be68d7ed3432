"""`services` of a Compose file: which ones run, on which networks, in which order.

A service's networks are attached as compose-go's NetworksByPriority has them: by falling `priority`, then by key.
Services come in the order in which they start: each after what it depends on, otherwise as the file lists them.
(Compose starts independent services at the same time; one order had to be chosen, for addresses depend on it.)
Left out: `extends`, options of a single endpoint: errors. Services whose profiles are off do not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sim.compose import keys
from sim.compose.document import Item
from sim.compose.interpolation import Variables
from sim.errors import did_you_mean

SERVICE_NAME = re.compile(r"[a-zA-Z0-9._-]+")


@dataclass(slots=True)
class Service:
    """A service as the file has it. `item` is its place; `fields` its keys with variables filled in."""

    name: str
    item: Item
    fields: dict[str, Item]
    networks: list[tuple[str, Item]] = field(default_factory=list)
    """(key, what is said of the attachment), in the order of attachment; empty with a network_mode."""
    swarm: bool = False
    """Deployed as a service of the swarm (`stack.py`), and not as plain containers."""

    def text(self, key: str) -> str:
        return self.fields[key].text() if key in self.fields else ""

    def texts(self, key: str) -> list[Item]:
        return self.fields[key].texts() if key in self.fields else []

    @property
    def deploy(self) -> dict[str, Item]:
        """The entries of `deploy`. Raises SpecError."""
        return self.fields["deploy"].fields(keys.DEPLOY, of="deploy") if "deploy" in self.fields else {}

    @property
    def extension(self) -> dict[str, Item]:
        """The entries of the service's own x-hopcast. Raises SpecError."""
        return self.fields["x-hopcast"].fields(keys.EXTENSION, of="x-hopcast") if "x-hopcast" in self.fields else {}

    @property
    def replicas(self) -> int:
        """How many containers: `scale`, or `deploy.replicas`, or one. Raises SpecError."""
        counts = [item for item in (self.fields.get("scale"), self.deploy.get("replicas")) if item is not None]
        for item in counts:
            if not 0 <= item.number() <= 250:
                item.fail(f"{item.number()} containers", "use 0-250")
            if item.number() != counts[0].number():
                item.fail("scale and deploy.replicas differ", "keep one of the two")
            if item.number() > 1 and "container_name" in self.fields:
                self.fields["container_name"].fail(
                    f"{item.number()} containers can't share one name", "remove container_name, or run one container"
                )
        return counts[0].number() if counts else 1

    def container_name(self, project: str, number: int = 1) -> str:
        return self.text("container_name") or f"{project}-{self.name}-{number}"


def read_service(name: str, item: Item, variables: Variables, ignored: dict[str, list[str]]) -> Service:
    """One entry of `services`; keys that can't matter go to `ignored`, unread. Raises SpecError."""
    if not SERVICE_NAME.fullmatch(name):
        item.fail(f"{name!r} is no name for a service", "use letters, digits and ._-")
    known = keys.READ_SERVICE | keys.IGNORED_SERVICE | set(keys.REFUSED_SERVICE)
    fields = {}
    for key, entry in item.mapping().items():
        if key in keys.REFUSED_SERVICE:
            entry.fail(f"{key!r} is not modelled", keys.REFUSED_SERVICE[key])
        if key in keys.IGNORED_SERVICE:
            ignored.setdefault(key, []).append(name)
        elif key in keys.READ_SERVICE or key == "x-hopcast":
            if entry.value is not None:
                fields[key] = variables.fill(entry)
        elif not key.startswith("x-"):
            near = did_you_mean(key, known)
            mend = "Compose has no such key: remove it, or begin it with x-" if near.startswith("known:") else near
            entry.fail(f"unknown key {key!r} in a service", mend)
    service = Service(name, item, fields)
    attach(service)
    return service


def attach(service: Service) -> None:
    """Read `networks` and `network_mode`. Raises SpecError."""
    if "network_mode" in service.fields:
        if "networks" in service.fields:
            service.fields["networks"].fail("networks and network_mode exclude each other", "keep one of the two")
        return
    item = service.fields.get("networks")
    if item is None:
        service.networks = [("default", service.item.emptied())]
        return
    if isinstance(item.value, list):
        entries = {entry.text(): entry.emptied() for entry in item.sequence()}
    else:
        entries = item.mapping()
    ranks = {}
    for key, entry in entries.items():
        fields = entry.mapping()
        for refused, mend in keys.REFUSED_ATTACHMENT.items():
            if refused in fields:
                fields[refused].fail(f"{refused!r} is not modelled", mend)
        fields = entry.fields(keys.READ_ATTACHMENT, of=f"the attachment to network {key!r}")
        ranks[key] = -fields["priority"].number() if "priority" in fields else 0
    service.networks = sorted(entries.items(), key=lambda pair: (ranks[pair[0]], pair[0]))
    if not service.networks:
        service.networks = [("default", item.emptied())]


def dependencies(service: Service) -> Iterable[tuple[str, Item, bool]]:
    """(service, where that is said, must it run): depends_on, links, network_mode service:X."""
    item = service.fields.get("depends_on")
    if item is not None and isinstance(item.value, dict):
        for name, entry in item.value.items():
            fields = entry.fields({"condition", "required", "restart"}, of="depends_on")
            yield name, entry, fields["required"].flag() if "required" in fields else True
    elif item is not None:
        yield from ((entry.value, entry, True) for entry in item.texts())
    yield from ((entry.value.partition(":")[0], entry, True) for entry in service.texts("links"))
    mode = service.text("network_mode")
    if mode.startswith("service:"):
        yield mode.removeprefix("service:"), service.fields["network_mode"], True


def in_start_order(services: dict[str, Service], disabled: Iterable[str]) -> list[Service]:
    """Each service after those that it depends on, otherwise in the file's order. Raises SpecError on a cycle."""
    done: dict[str, Service] = {}

    def visit(service: Service, above: list[str]) -> None:
        if service.name in done:
            return
        path = [*above, service.name]
        for name, item, required in dependencies(service):
            if name in path:
                item.fail(
                    f"services depend on each other in a circle: {' -> '.join([*path[path.index(name) :], name])}",
                    "take one of them out",
                )
            if name in services:
                visit(services[name], path)
            elif name in disabled and required:
                item.fail(
                    f"service {name!r} is needed by {service.name!r}, but its profiles are off",
                    "set COMPOSE_PROFILES, or say `required: false`",
                )
            elif name not in disabled:
                item.fail(f"unknown service {name!r}", did_you_mean(name, services))
        done[service.name] = service

    for service in services.values():
        visit(service, [])
    return list(done.values())
