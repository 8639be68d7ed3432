"""What Compose checks of a project as a whole: that all that is named is there, that files exist, that numbers agree.

Follows compose-go's loader/validate.go, validation/ and graph/. Only services that run are looked at; services whose
profiles are off may name what is not there. Left out: that a service has an image or is built, for no image is pulled
here (it is noted); limits of CPU and memory that are said twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sim.compose.document import Item
from sim.compose.dotenv import read_env_files
from sim.compose.project import Project
from sim.errors import did_you_mean

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
HEALTH = ("CMD", "CMD-SHELL", "NONE")


def check(read: Project, *, stack: bool = False) -> None:
    """Raises SpecError. A stack's tasks have names of their own, whatever container_name says."""
    top = read.root.mapping()
    for kind, keys in (("configs", ("file", "environment", "content")), ("secrets", ("file", "environment"))):
        for item in top[kind].mapping().values() if kind in top else ():
            _one_source(item, kind.removesuffix("s"), keys)
    running = {name: item for name, item in read.services.items() if read.runs(name)}
    names: dict[str, str] = {}
    for name, service in running.items():
        fields = service.mapping()
        _check_networks(fields, top)
        _check_dependencies(name, fields, running, read)
        _check_resources(fields, top)
        if not stack and "container_name" in fields and not NAME.search(fields["container_name"].text()):
            fields["container_name"].fail(
                f"{fields['container_name'].text()!r} is no name for a container",
                "it has two or more of letters, digits and _.-")
        _check_scale(fields, named="container_name" in fields and not stack)
        _check_health(fields)
        _check_build(fields, top)
        _check_files(fields, read.variables.values)
        called = fields["container_name"].text() if "container_name" in fields else ""
        if called and names.setdefault(called, name) != name:
            fields["container_name"].fail(f"two containers are named {called!r}", "each needs its own container_name")
    _no_circle(running)


def _one_source(item: Item, kind: str, keys: tuple[str, ...]) -> None:
    fields = item.mapping()
    given = [key for key in keys if key in fields]
    if len(given) > 1:
        fields[given[1]].fail(f"a {kind} with {' and '.join(given)}", "keep one of them")
    if not given and not {"driver", "external"} & set(fields):
        item.fail(f"a {kind} without {' or '.join(keys)}", "give one of them")


def _check_networks(fields: Mapping[str, Item], top: Mapping[str, Item]) -> None:
    networks = fields["networks"].mapping() if "networks" in fields else {}
    if networks and "network_mode" in fields and fields["network_mode"].value:
        fields["networks"].fail("networks and network_mode exclude each other", "keep one of the two")
    declared = top["networks"].mapping() if "networks" in top else {}
    for key, entry in networks.items():
        if key not in declared:
            entry.fail(
                f"unknown network {key!r}",
                did_you_mean(key, [*declared, "default"]) if declared
                else "declare it under the top-level `networks:`")


def _check_dependencies(name: str, fields: Mapping[str, Item], running: Mapping[str, Item], read: Project) -> None:
    for needed, entry in fields["depends_on"].mapping().items() if "depends_on" in fields else ():
        if needed in running:
            continue
        if needed not in read.services:
            entry.fail(f"unknown service {needed!r}", did_you_mean(needed, read.services))
        if entry.mapping()["required"].flag():
            entry.fail(
                f"service {needed!r} is needed by {name!r}, but its profiles are off",
                "set COMPOSE_PROFILES, or say `required: false`")
    mode = fields["network_mode"].text() if "network_mode" in fields else ""
    if mode.startswith("service:") and mode.removeprefix("service:") not in running:
        wanted = mode.removeprefix("service:")
        fields["network_mode"].fail(f"unknown service {wanted!r}", did_you_mean(wanted, running))


def _check_resources(fields: Mapping[str, Item], top: Mapping[str, Item]) -> None:
    """Volumes, secrets, configs and models that a service uses are declared."""
    for entry in fields["volumes"].sequence() if "volumes" in fields else []:
        source = _volume(entry)
        if source:
            _declared(top, "volumes", entry, source)
    for kind in ("secrets", "configs"):
        for entry in fields[kind].sequence() if kind in fields else []:
            _declared(top, kind, _source(entry))
    for key, entry in fields["models"].mapping().items() if "models" in fields else ():
        _declared(top, "models", entry, key)


def _declared(top: Mapping[str, Item], kind: str, item: Item, key: str = "") -> None:
    """`key`: what it names, where the item is not just that."""
    known, key = top[kind].mapping() if kind in top else {}, key or item.text()
    if key not in known:
        item.fail(f"unknown {kind.removesuffix('s')} {key!r}",
                  did_you_mean(key, known) if known else f"declare it under the top-level `{kind}:`")


def _source(entry: Item) -> Item:
    """What a secret or config of a service names."""
    if not isinstance(entry.value, dict):
        return entry
    return entry.mapping().get("source") or entry.holding("")


def _volume(entry: Item) -> str:
    """The named volume that an entry mounts; none of a folder of the host or an anonymous one."""
    if isinstance(entry.value, dict):
        said = entry.value.get("source")
        return said.text() if said is not None and entry.value["type"].value == "volume" else ""
    source, *target = _sections(entry)
    path = source[:1] in (".", "/", "~") or source.startswith("\\\\") or _drive(source[:1], source[1:2])
    return source if target and not path else ""


def _sections(entry: Item) -> list[str]:
    """What stands between the colons of a short volume (compose-go's format/volume.go). Raises SpecError."""
    text = entry.text()
    if not text:
        entry.fail("a volume is empty", "write it like data:/var/lib/data")
    if len(text.encode()) < 3:
        return [text]
    found, section = [], ""
    for char in (*text, ""):
        if char not in (":", "") or _drive(section, char):
            section += char
            continue
        if not section:
            entry.fail(f"{text!r} has an empty section between colons", "write it like data:/var/lib/data")
        found.append(section)
        section = ""
        if char and len(found) > 2:
            entry.fail(f"{text!r} has too many colons", "write it like data:/var/lib/data:ro")
    return found


def _drive(before: str, char: str) -> bool:
    """Does a colon belong to a drive of Windows? Compose takes every name of one letter for one."""
    return char == ":" and len(before) == 1 and before.isalpha()


def _check_build(fields: Mapping[str, Item], top: Mapping[str, Item]) -> None:
    build = fields.get("build")
    said = build.mapping() if build is not None and isinstance(build.value, dict) else {}
    if all(key in said and said[key].text() for key in ("dockerfile", "dockerfile_inline")):
        said["dockerfile_inline"].fail("a build with dockerfile and dockerfile_inline", "keep one of them")
    platforms = [item.text() for item in said["platforms"].texts()] if "platforms" in said else []
    wanted = fields["platform"].text() if "platform" in fields else ""
    if platforms and wanted and wanted not in platforms:
        said["platforms"].fail(f"the service's platform {wanted!r} is none that is built", f"add {wanted!r}")
    for entry in said["secrets"].sequence() if "secrets" in said else []:
        _declared(top, "secrets", _source(entry))
    develop = fields["develop"].mapping() if "develop" in fields and fields["develop"].value else {}
    for watched in develop["watch"].sequence() if "watch" in develop and develop["watch"].value else []:
        rule = watched.mapping()
        if rule["action"].text().startswith("sync") and ("target" not in rule or not rule["target"].text()):
            watched.fail(f"{rule['action'].text()!r} needs a target", "give one, or let it rebuild")


def _check_scale(fields: Mapping[str, Item], *, named: bool) -> None:
    deploy = fields["deploy"].mapping() if "deploy" in fields else {}
    counts = [item for item in (fields.get("scale"), deploy.get("replicas")) if item is not None]
    for item in counts:
        if item.number() < 0:
            item.fail(f"{item.number()} containers", "use 0 or more")
        if item.number() != counts[0].number():
            item.fail("scale and deploy.replicas differ", "keep one of the two")
        if item.number() > 1 and named:
            fields["container_name"].fail(
                f"{item.number()} containers can't share one name", "remove container_name, or run one container")


def _check_health(fields: Mapping[str, Item]) -> None:
    test = fields["healthcheck"].mapping().get("test") if "healthcheck" in fields else None
    if test is not None and isinstance(test.value, list) and test.value and test.value[0].text() not in HEALTH:
        test.fail(f"a healthcheck's test begins with {test.value[0].text()!r}", f"begin with {', '.join(HEALTH)}")


def _check_files(fields: Mapping[str, Item], variables: Mapping[str, str]) -> None:
    """Files of variables and labels are there, and can be read. What stands in them changes no packet."""
    for entry in fields["env_file"].sequence() if "env_file" in fields else []:
        path = entry.mapping()["path"]
        file = Path(path.text())
        if not file.exists():
            if entry.mapping()["required"].flag():
                path.fail(f"there is no env_file {str(file)!r}", "make it, or say `required: false`")
        elif "format" not in entry.mapping():
            read_env_files([file], variables)
    for path in fields["label_file"].texts() if "label_file" in fields else []:
        if not path.value or not Path(path.value).exists():
            path.fail(f"there is no label_file {path.value!r}", "make it, or remove the line")


def _no_circle(services: Mapping[str, Item]) -> None:
    """Each service is visited once, after those that it depends on; without recursion, for chains may be long."""
    done: set[str] = set()
    for first in services:
        path: list[str] = []
        waiting = [(first, services[first], False)]
        while waiting:
            name, cause, left = waiting.pop()
            if left:
                path.pop()
                done.add(name)
                continue
            if name in path:
                cause.fail(
                    f"services depend on each other in a circle: {' -> '.join([*path[path.index(name):], name])}",
                    "take one of them out")
            if name in done:
                continue
            path.append(name)
            waiting.append((name, cause, True))
            needs = services[name].mapping().get("depends_on")
            for needed, entry in reversed(list((needs.mapping() if needs is not None else {}).items())):
                if needed in services:
                    waiting.append((needed, entry, False))
