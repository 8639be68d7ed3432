"""What Compose adds to a project that was read: default networks, names, dependencies that follow from other keys; and
one form for what may be written as a list or as a mapping.

Follows compose-go's loader/normalize.go, and the types' own decoding (types/mapping.go, types/hostList.go). What is
added stands where its cause stands.
"""

from __future__ import annotations

import re

from sim.compose.canonical import Form, boolean, walk
from sim.compose.document import Decimal, Item
from sim.compose.patterns import Place, table

SHARED = ("network_mode", "ipc", "pid", "uts", "cgroup")
"""Namespaces that can be another service's."""


def normalized(root: Item, project: str) -> Item:
    """The same as Compose completes it for a project of this name. Raises SpecError."""
    services = {name: _service(item) for name, item in _entries(root, "services").items()}
    networks = dict(_entries(root, "networks"))
    first = next((item for item in services.values() if "default" in _entries(item, "networks")), None)
    if first is not None:
        networks.setdefault("default", first.emptied())
    found = dict(root.value)
    if services:
        found["services"] = root.value["services"].holding(services)
    if networks:
        named = {key: _named(key, item, project) for key, item in networks.items()}
        found["networks"] = root.value.get("networks", root).holding(named)
    return walk(root.holding(found), FORMS)


def _entries(item: Item, key: str) -> dict[str, Item]:
    return item.value[key].mapping() if isinstance(item.value, dict) and key in item.value else {}


def _service(item: Item) -> Item:
    fields = dict(item.mapping())
    if not {"provider", "network_mode"} & set(fields) and not _entries(item, "networks"):
        fields["networks"] = fields.get("networks", item).holding({"default": item.emptied()})
    needs = dict(_entries(item, "depends_on"))

    def need(name: str, cause: Item) -> None:
        values = {"condition": "service_started", "required": True}
        needs.setdefault(name, cause.holding({key: cause.holding(value) for key, value in values.items()}))

    for link in fields["links"].texts() if "links" in fields else []:
        need(link.value.partition(":")[0] if link.value.count(":") == 1 else link.value, link)
    for key in SHARED:
        if key in fields and (mode := fields[key].value or "").startswith("service:"):
            need(mode.removeprefix("service:"), fields[key])
    for volume in fields["volumes_from"].texts() if "volumes_from" in fields else []:
        if not volume.value.startswith("container:"):
            need(volume.value.partition(":")[0], volume)
    if needs:
        fields["depends_on"] = fields.get("depends_on", item).holding(needs)
    return item.holding(fields)


def _named(key: str, item: Item, project: str) -> Item:
    fields = item.mapping()
    if "name" in fields and fields["name"].value is not None:
        return item
    external = "external" in fields and fields["external"].flag()
    return item.holding({**fields, "name": item.holding(key if external else f"{project}_{key}")})


def _port(item: Item) -> Item:
    defaults = {"mode": item.holding("ingress"), "protocol": item.holding("tcp")}
    fields = {**defaults, **item.mapping()}
    if "published" in fields:
        fields["published"] = fields["published"].holding(fields["published"].text())
    return item.holding(fields)


def _text(item: Item) -> Item:
    """A text; of a number what Go's fmt makes of it."""
    if isinstance(item.value, Decimal):
        number = float(item.value)
        return item.holding(str(int(number)) if number.is_integer() and abs(number) < 1e21 else repr(number))
    return item.holding(item.text())


def _texts(item: Item) -> Item:
    return item.holding([_text(entry) for entry in (item.value if isinstance(item.value, list) else [item])])


def _pairs(item: Item) -> Item:
    """`NAME: VALUE`, whether it was a list of `NAME=VALUE` or a mapping; without a value it is empty."""
    if isinstance(item.value, list):
        cut = [(entry, *entry.text().partition("=")) for entry in item.value]
        for entry, name, _, _ in cut:
            if name != name.rstrip():
                entry.fail(f"{name!r} ends with a blank", "remove it")
        return item.holding({name: entry.holding(value) for entry, name, _, value in cut})
    return item.holding({
        name: entry.holding("") if entry.value is None else _text(entry) for name, entry in item.mapping().items()})


def _hosts(item: Item) -> Item:
    """`NAME: [ADDRESS, …]`"""
    found: dict[str, Item] = {}
    if isinstance(item.value, dict):
        for name, entry in item.value.items():
            found[name] = entry.holding(entry.texts() if entry.value is not None else [])
    else:
        for entry in item.texts():
            name, cut, address = entry.value.partition("=" if "=" in entry.value else ":")
            if not cut:
                entry.fail(f"{entry.value!r} is no pair", "write NAME=VALUE")
            before = found[name].value if name in found else []
            found[name] = entry.holding([*before, *(entry.holding(text) for text in address.split(","))])
    for name, entry in found.items():
        if not name or set(name) & set(":="):
            entry.fail(f"{name!r} is no name of a host", "write NAME=ADDRESS")
        plain = [each.holding(each.value[1:-1]) if each.value[:1] == "[" and each.value[-1:] == "]" else each
                 for each in entry.value]
        found[name] = entry.holding(plain)
    return item.holding(found)


def _size(item: Item) -> Item:
    """Bytes, as go-units' RAMInBytes reads them."""
    if isinstance(item.value, str) and not isinstance(item.value, Decimal) and not SIZE.fullmatch(item.value):
        item.fail(f"{item.value!r} is no amount of memory", "write it like 512m")
    return item


def _duration(item: Item) -> Item:
    """A time, as go-str2duration reads it."""
    if not DURATION.fullmatch(item.text()):
        item.fail(f"{item.value!r} is no duration", "write it like 1m30s")
    return item


SIZE = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+) ?(?:b|[kmgtp](?:i?b)?)?", re.IGNORECASE)
DURATION = re.compile(r"[-+]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h|d|w))+)")
FORMS: Place[Form] = table({
    **{f"services.*.{key}": _size for key in (
        "mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "shm_size", "build.shm_size",
        "deploy.resources.limits.memory", "deploy.resources.reservations.memory", "volumes.[].tmpfs.size")},
    **{f"services.*.{key}": _duration for key in (
        "stop_grace_period", "healthcheck.interval", "healthcheck.timeout", "healthcheck.start_period",
        "healthcheck.start_interval", "deploy.update_config.delay", "deploy.update_config.monitor",
        "deploy.rollback_config.delay", "deploy.rollback_config.monitor", "deploy.restart_policy.delay",
        "deploy.restart_policy.window")},
    **{f"services.*.{key}": boolean for key in ("attach", "depends_on.*.restart", "env_file.[].required")},
    "services.*.ports.[]": _port,
    "services.*.expose": _texts,
    "services.*.dns_search": _texts,
    "services.*.sysctls": _pairs,
    "services.*.extra_hosts": _hosts,
    "services.*.networks.*.driver_opts.*": _text,
    "networks.*.driver_opts.*": _text,
})
