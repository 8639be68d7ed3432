"""A Compose file -> a Spec: what the file says about networking, and nothing that it doesn't.

Follows the Compose specification as `docker compose up` (v2) reads it: interpolation from the environment and `.env`,
`x-` extensions, anchors, profiles, scale, the project's name (COMPOSE_PROJECT_NAME, else `name`, else the folder's).
Networks are made in this order: external ones, which exist before; the project's default network, if a service is on
it; the others that are used, as the file lists them. (Compose ranges over a Go map there, so its own order differs from
run to run; one had to be chosen, for the subnets of the pool depend on it.) Services start in the order of
`sim/compose/services.py`. Keys that can't change a packet's fate are not read, and said once in `Spec.notes`; a key
that Compose doesn't know, or that the model doesn't cover, is a SpecError with file, line and key.

    load("compose.yaml").questions      # x-hopcast's, or a default set
    loads("services: {web: {image: nginx}}").networks

A file for `docker stack deploy` is read as that (`stack`).

The parts: `document` (YAML with lines), `interpolation`, `keys` (which key matters), `ports`, `networks`, `services`,
`containers`, `stack`, `extension`, `asked` and `with_files` (x-hopcast).
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.compose import keys
from sim.compose.asked import read_questions
from sim.compose.containers import check_replicas, containers_of, image_listens, one_listener_a_port
from sim.compose.document import Item, parse
from sim.compose.extension import TOP_KEYS, read_faults, read_machines
from sim.compose.files import STDIN, Found, find, text_of
from sim.compose.interpolation import Variables
from sim.compose.networks import read_network
from sim.compose.ports import HostPortRanges
from sim.compose.services import Service, in_start_order, read_service
from sim.compose.stack import decide, deploy
from sim.compose.surroundings import gateways_of_nobody
from sim.compose.underlay import addresses_at_risk
from sim.compose.with_files import brought, of_command_line, read_with
from sim.errors import SpecError, did_you_mean
from sim.placement import Scheduler
from sim.questions import parse_target
from sim.questions.default import default_questions
from sim.spec import Container, Fault, Network, Spec
from sim.spec import Service as SwarmService

__all__ = ["default_questions", "load", "loads", "parse_target"]

PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def load(
    *files: str | Path,
    profiles: Sequence[str] = (),
    name: str = "",
    directory: str | Path | None = None,
    env_files: Sequence[str | Path] = (),
    environment: Mapping[str, str] | None = None,
    beside: Sequence[str | Path] = (),
    stack: bool = False,
    questions: Sequence[str] = (),
) -> Spec:
    """The Spec of a project: of the one in a folder, of a Compose file, or of several that are merged in their order
    (`-` is stdin); without any, of the one that Compose would find from here.

    The options are Compose's: `profiles` that are on (--profile), the project's `name` (-p), its `directory`
    (--project-directory), `env_files` instead of `.env`. `environment` is os.environ when not given. `beside` (--with),
    `stack` and `questions` (-q) say what could stand in the project's x-hopcast, and lie over it (`with_files`). Raises
    SpecError.
    """
    given = dict(os.environ if environment is None else environment)
    found = find(files, directory=directory, env_files=env_files, environment=given)
    if len(found.files) > 1:
        raise SpecError("several files", where=found.files[1], mend="give one")
    (file,) = found.files
    said = [*read_with(beside, Variables(found.variables)), of_command_line(stack=stack, questions=questions)]
    return _spec(brought(parse(text_of(file), file), said), file, found, profiles, name)


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
    found = find([STDIN], directory=directory, environment=given) if directory else Found((file,), None, given)
    return _spec(brought(parse(text, file)), file, found, (), "")


def _spec(root: Item, file: str, found: Found, profiles: Sequence[str], name: str) -> Spec:
    variables = Variables(found.variables)
    top = _top(root)
    project = _project_name(top, variables, found.directory, name)
    ignored: dict[str, list[str]] = {key: [] for key in keys.IGNORED_TOP if key in top}
    notes = list(found.notes)
    services, disabled = _services(top.get("services"), root, variables, profiles, ignored)
    extension = variables.fill(top["x-hopcast"]).fields(TOP_KEYS, of="x-hopcast") if "x-hopcast" in top else {}
    declared = variables.fill(top["networks"]).mapping() if "networks" in top else {}
    stacked = decide(extension.get("stack"), services, declared, notes)
    order = in_start_order(services, disabled)
    networks = _networks(declared, root, services, project, notes, stacked)
    plain = [service for service in order if not service.swarm]
    names = [s.container_name(project, n + 1) for s in plain for n in range(s.replicas)]
    machines = read_machines(extension, [*names, *services])
    ranges = HostPortRanges()
    boxes: list[Container] = []
    for service in plain:
        for box in containers_of(service, project, networks, services, ranges, machines.hosts[0].name):
            with service.fields.get("container_name", service.item).blamed():
                if any(box.name == other.name for other in boxes):
                    raise SpecError(f"two containers are named {box.name!r}", mend="each needs its own container_name")
            boxes.append(box)
    boxes = one_listener_a_port(boxes, services, notes)
    scheduler = Scheduler.of(machines.hosts, networks.values(), boxes)
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
            "hosts": machines.hosts,
            "clients": machines.clients,
            "underlay": machines.underlay,
            "names": machines.names,
            "networks": tuple(networks.values()),
            "containers": tuple(boxes),
            "services": tuple(swarm),
            "faults": tuple(fault for fault, _ in faults),
            "file": file,
        },
    )
    check_replicas(spec, services)
    asked = read_questions(extension["questions"], spec) if "questions" in extension else []
    questions = tuple(question for question, _ in asked) if "questions" in extension else default_questions(spec)
    said = {f"question {question}": item.where for question, item in asked}
    notes += addresses_at_risk(spec) + gateways_of_nobody(spec)
    notes += _said_once(ignored, disabled, order, variables)
    return Spec.model_validate({
        **{key: getattr(spec, key) for key in Spec.model_fields},
        "questions": questions,
        "notes": tuple(notes),
        "places": {**spec.places, **said},
    })


def _top(root: Item) -> dict[str, Item]:
    known = keys.READ_TOP | keys.IGNORED_TOP | set(keys.REFUSED_TOP)
    top = root.mapping()
    for key, item in top.items():
        if key in keys.REFUSED_TOP:
            item.fail(f"{key!r} is not modelled", keys.REFUSED_TOP[key])
        if key not in known and not key.startswith("x-"):
            item.fail(f"unknown key {key!r}", did_you_mean(key, {*known, "x-hopcast"}))
        if key.startswith("x-") and key != "x-hopcast" and difflib.get_close_matches(key, ["x-hopcast"], cutoff=0.85):
            item.fail(f"unknown key {key!r}", "did you mean 'x-hopcast'?")
    return top


def _project_name(top: dict[str, Item], variables: Variables, folder: Path | None, wanted: str) -> str:
    """As Compose: -p, COMPOSE_PROJECT_NAME, else `name` made to fit, else the folder's name made to fit."""
    mend = "use small letters, digits, - and _, a letter or digit first"
    for given, where in ((wanted, "--project-name"),
                         (variables.values.get("COMPOSE_PROJECT_NAME"), "COMPOSE_PROJECT_NAME")):
        if given:
            if not PROJECT_NAME.fullmatch(given):
                raise SpecError(f"{given!r} is no name for a project", where=where, mend=mend)
            return given
    if "name" in top and (given := variables.fill(top["name"]).text()):
        if not PROJECT_NAME.fullmatch(given):
            top["name"].fail(f"{given!r} is no name for a project", mend)
        return given
    return _fitting(folder.resolve().name if folder is not None else "") or "hopcast"


def _fitting(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", name.lower()).lstrip("_-")


def _services(
    item: Item | None,
    root: Item,
    variables: Variables,
    profiles: Sequence[str],
    ignored: dict[str, list[str]],
) -> tuple[dict[str, Service], list[str]]:
    """The services that run, and the names of those whose profiles are off."""
    if item is None or not item.mapping():
        (item or root).fail("no services", "declare at least one under `services:`")
    active = set(profiles) or {name.strip() for name in variables.values.get("COMPOSE_PROFILES", "").split(",")}
    services, disabled = {}, []
    for name, entry in item.mapping().items():
        entry_ignored: dict[str, list[str]] = {}
        service = read_service(name, entry, variables, entry_ignored)
        wanted = {profile.value for profile in service.texts("profiles")}
        if wanted and "*" not in active and not wanted & active:
            disabled.append(name)
            continue
        services[name] = service
        for key, names in entry_ignored.items():
            ignored.setdefault(key, []).extend(names)
    if not services:
        item.fail("every service has a profile that is off", "set COMPOSE_PROFILES to the one that you mean")
    return services, disabled


def _networks(
    declared: dict[str, Item],
    root: Item,
    services: dict[str, Service],
    project: str,
    notes: list[str],
    stacked: bool,
) -> dict[str, Network]:
    """The networks that are used, by key, in the order in which they are made."""
    declared = {key: entry for key, entry in declared.items() if not key.startswith("x-")}
    used: set[str] = set()
    for service in services.values():
        for key, entry in service.networks:
            if key not in declared and key != "default":
                entry.fail(
                    f"unknown network {key!r}",
                    did_you_mean(key, [*declared, "default"])
                    if declared
                    else "declare it under the top-level `networks:`",
                )
            used.add(key)
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

    def external(key: str) -> bool:
        return key in declared and "external" in declared[key].mapping()

    return dict(sorted(made.items(), key=lambda pair: not external(pair[0])))


def _blamed_spec(places: dict[str, Item], faults: Item, root: Item, parts: dict[str, Any]) -> Spec:
    """The Spec; what its own checks object to is blamed on the line that says it."""
    try:
        return Spec.model_validate({**parts, "places": {what: item.where for what, item in places.items()}})
    except SpecError as error:
        with places.get(error.where, faults if error.where == "faults" else root).blamed():
            raise


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
    if variables.unset:
        notes.append(f"variables that are not set, taken as empty: {', '.join(variables.unset)}")
    return notes
