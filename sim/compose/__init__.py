"""A Compose project -> a Spec: what its files say about networking, and nothing that they don't.

Files are found and merged as `docker compose` (v2) does it: `open_project` is what `docker compose config` prints, each
value with its file and line. `spec_of` understands it.

Networks are made in this order: external ones, which exist before; the project's default network, if a service is on
it; the others that are used, as the files list them. (Compose ranges over a Go map there, so its own order differs from
run to run; one had to be chosen, for the subnets of the pool depend on it.) Services start in the order of
`sim/compose/services.py`. Keys that can't change a packet's fate are not read, and said once in `Spec.notes`; what the
model doesn't cover is a SpecError with file, line and key.

    load("compose.yaml").questions      # x-hopcast's, or a default set
    loads("services: {web: {image: nginx}}").networks

A file for `docker stack deploy` is read as that (`stack`).

The parts of reading: `files` (which ones), `dotenv`, `document` (YAML with lines), `interpolation`, `project`
(`extends`, `include`, the order of it all), `merge`, `schema` (with `shapes`), `canonical` and `short_ports` (long
forms), `normal` (what Compose adds), `consistency`. Of understanding: `keys` (which key matters), `ports`, `networks`,
`services`, `containers`, `stack`, `extension`, `asked` and `with_files` (x-hopcast).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from sim.compose import keys
from sim.compose.asked import read_questions
from sim.compose.budget import Budget
from sim.compose.consistency import check
from sim.compose.containers import check_replicas, containers_of, image_listens, one_listener_a_port
from sim.compose.document import Item
from sim.compose.extension import TOP_KEYS, read_faults, read_machines
from sim.compose.files import STDIN, Found, find
from sim.compose.interpolation import Variables
from sim.compose.networks import is_external, read_network
from sim.compose.nics import with_nics
from sim.compose.ports import HostPortRanges
from sim.compose.project import Project, read_project
from sim.compose.services import Service, gateway_priorities, in_start_order, join, read_service
from sim.compose.stack import decide, deploy
from sim.compose.surroundings import gateways_of_nobody
from sim.compose.underlay import addresses_at_risk
from sim.compose.with_files import brought, of_command_line, read_with
from sim.errors import SpecError
from sim.placement import Scheduler
from sim.questions import parse_target
from sim.questions.default import default_questions
from sim.spec import Container, Fault, Network, Spec
from sim.spec import Service as SwarmService

__all__ = ["Project", "check", "default_questions", "load", "loads", "open_project", "parse_target", "spec_of"]


class Options(TypedDict, total=False):
    """What is said of a project beside its files."""

    profiles: Sequence[str]
    """Those that are on (--profile)."""
    name: str
    """The project's (-p)."""
    directory: str | Path | None
    """What relative paths are relative to, and where `.env` is (--project-directory)."""
    env_files: Sequence[str | Path]
    """Instead of `.env`."""
    environment: Mapping[str, str] | None
    """os.environ when not given."""
    beside: Sequence[str | Path]
    """Files with what could stand in the project's x-hopcast, and lies over it (--with, `with_files`)."""
    stack: bool
    """It is a stack's file."""
    questions: Sequence[str]
    """In the place of the project's own (-q)."""


def load(*files: str | Path, **options: Unpack[Options]) -> Spec:
    """The Spec of a project: of the one in a folder, of a Compose file, or of several that are merged in their order
    (`-` is stdin); without any, of the one that Compose would find from here. Raises SpecError."""
    return spec_of(open_project(*files, **options))


def open_project(*files: str | Path, **options: Unpack[Options]) -> Project:
    """The project as its files have it, merged, before any of it is understood; arguments as of `load`. Raises
    SpecError."""
    environment = options.get("environment")
    found = find(
        files,
        directory=options.get("directory"),
        env_files=options.get("env_files", ()),
        environment=dict(os.environ if environment is None else environment),
    )
    read = read_project(found, profiles=options.get("profiles", ()), name=options.get("name", ""))
    said = of_command_line(stack=options.get("stack", False), questions=options.get("questions", ()))
    return replace(read, root=brought(read.root, [*read_with(options.get("beside", ()), read.variables), said]))


def loads(
    text: str,
    *,
    file: str = "compose.yaml",
    directory: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Spec:
    """The Spec of a Compose file's text. `directory` is where `.env` is, and gives the project's name; `environment` is
    os.environ when not given. Raises SpecError."""
    given = dict(os.environ if environment is None else environment)
    found = Found((file,), None, given)
    if directory is not None:
        found = replace(find([STDIN], directory=directory, environment=given), files=(file,))
    read = read_project(found, texts={file: text})
    return spec_of(replace(read, root=brought(read.root)))


def spec_of(read: Project) -> Spec:
    """The Spec of a project that was read. Raises SpecError."""
    root, project = read.root, read.name
    top = root.mapping()
    for key, item in top.items():
        if key.startswith("x-") and key != "x-hopcast" and difflib.get_close_matches(key, ["x-hopcast"], cutoff=0.85):
            item.fail(f"unknown key {key!r}", "did you mean 'x-hopcast'?")
    ignored: dict[str, list[str]] = {key: [] for key in keys.IGNORED_TOP if key in top}
    notes = list(read.notes)
    budget = Budget()
    budget.spend("services", read.services, root)
    budget.spend("variables", read.variables.unset, root)
    services, disabled = _services(read, ignored)
    extension = top["x-hopcast"].fields(TOP_KEYS, of="x-hopcast") if "x-hopcast" in top else {}
    declared = top["networks"].mapping() if "networks" in top else {}
    budget.spend("networks", declared, top.get("networks", root))
    for key in ("hosts", "clients", "faults"):
        if key in extension and isinstance(extension[key].value, Sized):
            budget.spend(key, extension[key].value, extension[key])
    stacked = decide(extension.get("stack"), services, declared, notes)
    check(read, stack=stacked)
    order = in_start_order(services)
    join({name: service for name, service in services.items() if not service.swarm}, declared)
    networks = _networks(declared, root, services, project, notes, stacked)
    for service in order:
        budget.spend("containers", service.replicas, service.item)
    plain = [service for service in order if not service.swarm]
    names = [s.container_name(project, n + 1) for s in plain for n in range(s.replicas)]
    machines = read_machines(extension, [*names, *services])
    hosts = with_nics(machines.hosts, networks, notes)
    ranges = HostPortRanges()
    boxes: list[Container] = []
    named: set[str] = set()
    for service in plain:
        for box in containers_of(service, project, networks, services, ranges, machines.hosts[0].name):
            with service.fields.get("container_name", service.item).blamed():
                if box.name in named:
                    raise SpecError(f"two containers are named {box.name!r}", mend="each needs its own container_name")
            named.add(box.name)
            boxes.append(box)
            budget.spend("ports", len(box.ports) + len(box.listens) + len(box.expose), service.item)
            budget.spend("aliases", sum(len(each.aliases) for each in box.attachments), service.item)
            budget.spend("extra hosts", box.extra_hosts, service.item)
    boxes = one_listener_a_port(boxes, services, notes)
    scheduler = Scheduler.of(hosts, networks.values(), boxes)
    swarm: list[SwarmService] = []
    for service in services.values():
        if service.swarm:
            made, tasks = deploy(service, project, networks, scheduler, notes)
            swarm.append(made)
            boxes += tasks
    faults: list[tuple[Fault, Item]] = []
    for fault, item in read_faults(extension.get("faults")):
        with item.blamed():
            faults += [(foreseen, item) for foreseen in scheduler.foresee([fault])]
    places = {f"network {key}": declared[key] for key in networks if key in declared}
    places |= {f"{kind} {box.name}": services[box.service].item for box in boxes for kind in ("container", "task")}
    places |= {f"service {each.name}": services[each.key].item for each in swarm}
    places |= {f"fault {fault.name}": item for fault, item in faults}
    for key in ("hosts", "clients"):
        declared_machines = extension[key].mapping() if key in extension else {}
        places |= {f"{key[:-1]} {name}": item for name, item in declared_machines.items()}
    spec = _blamed_spec(
        places,
        extension.get("faults", root),
        root,
        {
            "name": project,
            "hosts": hosts,
            "clients": machines.clients,
            "underlay": machines.underlay,
            "names": machines.names,
            "networks": tuple(networks.values()),
            "containers": tuple(boxes),
            "services": tuple(swarm),
            "idle": tuple(service.name for service in plain if service.replicas == 0),
            "faults": tuple(fault for fault, _ in faults),
            "file": read.file,
        },
    )
    check_replicas(spec, services)
    asked = read_questions(extension["questions"], spec, budget) if "questions" in extension else []
    questions = tuple(question for question, _ in asked) if "questions" in extension else default_questions(spec)
    budget.spend("questions", 0 if asked else questions, root)
    if not spec.services:  # the routing mesh and a service's address turn: there, asking again says more
        once = tuple(dict.fromkeys(questions))
        if len(once) < len(questions):
            notes.append(f"asked once, though said more often: {len(questions) - len(once)} questions")
        questions = once
    said = {f"question {question}": item.where for question, item in asked}
    notes += addresses_at_risk(spec) + gateways_of_nobody(spec) + gateway_priorities(services.values())
    notes += _unasked(spec)
    notes += _said_once(ignored, disabled, order, read.variables)
    return Spec.model_validate({
        **{key: getattr(spec, key) for key in Spec.model_fields},
        "questions": questions,
        "notes": tuple(notes),
        "places": {**spec.places, **said},
    })


def _services(read: Project, ignored: dict[str, list[str]]) -> tuple[dict[str, Service], list[str]]:
    """The services that run, and the names of those whose profiles are off."""
    if not read.services:
        read.root.mapping().get("services", read.root).fail("no services", "declare at least one under `services:`")
    services = {name: read_service(name, item, ignored) for name, item in read.services.items() if read.runs(name)}
    if not services:
        read.root.mapping()["services"].fail(
            "every service has a profile that is off", "set COMPOSE_PROFILES to the one that you mean")
    return services, [name for name in read.services if not read.runs(name)]


def _networks(
    declared: dict[str, Item],
    root: Item,
    services: dict[str, Service],
    project: str,
    notes: list[str],
    stacked: bool,
) -> dict[str, Network]:
    """The networks that are used, by key, in the order in which they are made."""
    used: set[str] = set()
    for service in services.values():
        used.update(key for key, _ in service.networks)
    made: dict[str, Network] = {}
    default = {"default": declared.get("default", root.emptied())}
    for key, entry in {**default, **declared}.items():
        net = read_network(key, entry, project, notes if key in used else [], stack=stacked)
        if key in used:
            twin = next((n for n in made.values() if n.name == net.name), None)
            if twin is not None:
                entry.fail(f"networks {twin.key!r} and {key!r} have the same name {net.name!r}", "give each its own")
            made[key] = net
        elif key in declared:
            notes.append(f"network {key!r} is used by no service, so Compose does not make it")

    return dict(sorted(made.items(), key=lambda pair: pair[0] not in declared or not is_external(declared[pair[0]])))


def _blamed_spec(places: dict[str, Item], faults: Item, root: Item, parts: dict[str, Any]) -> Spec:
    """The Spec; what its own checks object to is blamed on the line that says it."""
    try:
        return Spec.model_validate({**parts, "places": {what: item.where for what, item in places.items()}})
    except SpecError as error:
        with places.get(error.where, faults if error.where == "faults" else root).blamed():
            raise


def _unasked(spec: Spec) -> list[str]:
    """A note where ports are of a protocol that no probe speaks."""
    names = {box.service: None for box in spec.containers
             if not all(port.can_be_asked for port in (*box.ports, *box.expose))}
    names |= {each.key: None for each in spec.services if not all(port.can_be_asked for port in each.ports)}
    if not names:
        return []
    return [f"SCTP's ports are predicted as plumbing, and no question asks for them: {', '.join(names)}"]


def _said_once(
    ignored: dict[str, list[str]], disabled: list[str], order: list[Service], variables: Variables
) -> list[str]:
    """The notes: what was not read, what does not run, what was assumed."""
    notes = []
    if ignored:
        said = [f"{key} ({', '.join(names)})" if names else key for key, names in sorted(ignored.items())]
        notes.append(f"not read, for it can't change a packet's fate: {', '.join(said)}")
    if disabled:
        notes.append(f"left out, for their profiles are off: {', '.join(disabled)}")
    if idle := [s.name for s in order if s.replicas == 0]:
        notes.append(f"scaled to no container: {', '.join(idle)}")
    assumed = [
        s
        for s in order
        if not {"ports", "expose"} & set(s.fields)
        and image_listens(s)
        and "listens" not in (s.fields.get("x-hopcast") or s.item.emptied()).mapping()
    ]
    if assumed:
        said = [f"{s.name} on {', '.join(str(p.port) for p in image_listens(s))}" for s in assumed]
        notes.append(f"assumed from the image: {'; '.join(said)} (x-hopcast: {{listens: […]}} says otherwise)")
    if bare := [s.name for s in order if not {"image", "build", "provider"} & set(s.item.mapping())]:
        notes.append(f"neither an image nor a build, which docker compose refuses: {', '.join(bare)}")
    if variables.unset:
        notes.append(f"variables that are not set, taken as empty: {', '.join(variables.unset)}")
    return notes
