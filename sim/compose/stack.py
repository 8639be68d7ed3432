"""A file that is deployed as a stack: `docker stack deploy`, and not `docker compose up`.

A file is read as a stack as a whole: when its x-hopcast says `stack: true`, or when a service says something that
Compose would not heed and only a stack obeys (`sign`). `stack: false` at the top reads it as a Compose project all the
same; `stack: false` in a service makes that one a plain container beside the stack, on networks that are attachable.
A port's `mode: ingress` is no such sign: `docker compose config` writes it to every port.

    x-hopcast: {stack: true, hosts: {h1: {}, h2: {labels: {disk: ssd}}}}

Services are called STACK_KEY, networks STACK_KEY with driver overlay unless the file says another, and each service has
its key for an alias on each network. Networks are attached in the order of their names. What the CLI drops is dropped,
and said once. Services are made in the file's order (the CLI ranges over a Go map).

Follows docker/cli 20.10: cli/compose/loader, cli/compose/convert, cli/command/stack/swarm/deploy_composefile.go.
Left out: jobs, placement preferences, updates and restarts: nothing here is deployed twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.checks.swarm import read_constraint
from sim.compose.containers import container_of
from sim.compose.document import Item
from sim.compose.ports import on_host, read_service_ports
from sim.compose.services import Service, attach
from sim.errors import SpecError, did_you_mean
from sim.placement import Scheduler
from sim.spec import Attachment, Container, Network
from sim.spec import Service as SwarmService

ONLY_A_STACK = ("placement", "endpoint_mode", "update_config", "rollback_config")
"""Keys of `deploy` that Compose does not heed and swarm does. (Both heed `replicas` and `resources`.)"""
IGNORED = ("links", "external_links", "mac_address", "network_mode", "container_name", "depends_on", "restart")
"""Keys of a service that `docker stack deploy` reads past (UnsupportedProperties and DeprecatedProperties in
cli/compose/types); `depends_on` it does not even mention."""
REFUSED = {
    "dns_opt": "docker stack deploy knows no such key; remove it",
    "scale": "docker stack deploy knows no such key; use deploy.replicas",
}
PLACEMENT = {"constraints", "preferences", "max_replicas_per_node"}


@dataclass(frozen=True, slots=True)
class Deploy:
    """`deploy` of a service, as far as it decides what runs where."""

    mode: str
    replicas: int
    endpoint_mode: str
    constraints: tuple[str, ...]
    max_replicas_per_node: int


def sign(services: dict[str, Service], declared: dict[str, Item]) -> Item | None:
    """What in the file is for a stack only: in some service's `deploy` mode global, one of ONLY_A_STACK, or replicas on
    an overlay network that is not attachable."""
    for service in services.values():
        if "stack" in service.extension and not service.extension["stack"].flag():
            continue
        deploy = service.deploy
        if "mode" in deploy and deploy["mode"].text() == "global":
            return deploy["mode"]
        for key in ONLY_A_STACK:
            if key in deploy and deploy[key].value not in (None, {}):
                return deploy[key]
        if "replicas" in deploy and any(_only_for_services(declared.get(key)) for key, _ in service.networks):
            return deploy["replicas"]
    return None


def _only_for_services(network: Item | None) -> bool:
    fields = network.mapping() if network is not None else {}
    attachable = "attachable" in fields and fields["attachable"].flag()
    return "driver" in fields and fields["driver"].value == "overlay" and not attachable


def decide(
    said: Item | None, services: dict[str, Service], declared: dict[str, Item], notes: list[str]
) -> bool:
    """Is the file a stack? `said` is x-hopcast's `stack`. Marks the services that are deployed as swarm services."""
    found = sign(services, declared) if said is None else None
    stacked = said.flag() if said is not None else found is not None
    if found is not None:
        notes.append(
            f"read as a stack (docker stack deploy), for only a stack heeds {found.path} (line {found.line}); "
            "x-hopcast: {stack: false} reads it as a Compose project"
        )
    for service in services.values():
        own = service.extension.get("stack")
        if own is not None and own.flag() and not stacked:
            own.fail("the file is no stack", "write `x-hopcast: {stack: true}` at its top")
        service.swarm = stacked and (own is None or own.flag())
    dropped: dict[str, list[str]] = {}
    for service in services.values():
        if service.swarm:
            _drop(service, dropped)
    if dropped:
        said_of = [f"{key} ({', '.join(names)})" for key, names in sorted(dropped.items())]
        notes.append(f"ignored, as docker stack deploy does: {', '.join(said_of)}")
    return stacked


def _drop(service: Service, dropped: dict[str, list[str]]) -> None:
    for key, mend in REFUSED.items():
        if key in service.fields:
            service.fields[key].fail(f"{key!r} in a stack", mend)
    if "host" in service.extension:
        host = service.extension["host"]
        host.fail(
            "the swarm's scheduler chooses a task's host",
            f'write `deploy: {{placement: {{constraints: ["node.hostname == {host.text()}"]}}}}`, or '
            "x-hopcast: {stack: false} for a plain container",
        )
    for key in IGNORED:
        if service.fields.pop(key, None) is not None:
            dropped.setdefault(key, []).append(service.name)
    attach(service)
    for _, entry in service.networks:
        for key in sorted(set(entry.mapping()) - {"aliases"}):
            dropped.setdefault(f"networks' {key}", []).append(service.name)


def read_deploy(service: Service) -> Deploy:
    """Raises SpecError."""
    fields = service.deploy
    mode = fields["mode"].text() if "mode" in fields else "replicated"
    if mode not in ("replicated", "global"):
        fields["mode"].fail(f"mode {mode!r} is not modelled", did_you_mean(mode, ["replicated", "global"]))
    if mode == "global" and "replicas" in fields:
        fields["replicas"].fail("replicas can only be used with replicated mode", "remove one of the two")
    endpoint_mode = fields["endpoint_mode"].text() if "endpoint_mode" in fields else "vip"
    if endpoint_mode not in ("vip", "dnsrr"):
        fields["endpoint_mode"].fail(
            f"{endpoint_mode!r} is no endpoint_mode", did_you_mean(endpoint_mode, ["vip", "dnsrr"])
        )
    placement = fields["placement"].fields(PLACEMENT, of="placement") if "placement" in fields else {}
    if "preferences" in placement and placement["preferences"].sequence():
        placement["preferences"].fail("placement preferences are not modelled", "use constraints")
    constraints = placement["constraints"].sequence() if "constraints" in placement else []
    for constraint in constraints:
        with constraint.blamed():
            read_constraint(constraint.text())
    most = placement["max_replicas_per_node"].number() if "max_replicas_per_node" in placement else 0
    if most < 0:
        placement["max_replicas_per_node"].fail(f"{most} replicas", "use 1 or more, or 0 for no limit")
    replicas = 0 if mode == "global" else service.replicas
    return Deploy(mode, replicas, endpoint_mode, tuple(c.text() for c in constraints), most)


def deploy(
    service: Service, project: str, networks: dict[str, Network], scheduler: Scheduler, notes: list[str]
) -> tuple[SwarmService, list[Container]]:
    """The service and its tasks, where the scheduler puts them. Raises SpecError."""
    said = read_deploy(service)
    attachments = tuple(sorted(
        (Attachment(network=networks[key].name, aliases=_aliases(service, entry)) for key, entry in service.networks),
        key=lambda attachment: attachment.network,
    ))
    ports = read_service_ports(service.fields["ports"], notes) if "ports" in service.fields else ()
    with service.fields.get("ports", service.item).blamed():
        made = SwarmService(
            name=f"{project}_{service.name}",
            key=service.name,
            mode=said.mode,
            endpoint_mode=said.endpoint_mode,
            constraints=said.constraints,
            attachments=attachments,
            ports=ports,
        )
    targets = tuple((port.target, port.protocol) for port in ports)
    task = container_of(service, f"{made.name}.0", attachments=attachments, ports=on_host(ports), targets=targets)
    place = service.deploy.get("placement", service.item)
    try:
        tasks, pending = scheduler.place(
            made, task, said.replicas, max_replicas_per_node=said.max_replicas_per_node
        )
    except SpecError as error:
        place.fail(error.problem, error.mend)
    notes += [pending] if pending else []
    return made, tasks


def _aliases(service: Service, entry: Item) -> tuple[str, ...]:
    """What the file gives, and then the key."""
    given = [item.value for item in entry.mapping()["aliases"].texts()] if "aliases" in entry.mapping() else []
    return tuple(dict.fromkeys([*given, service.name]))
