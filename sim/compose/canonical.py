"""Each key of a Compose file in one form: the long one. And texts where numbers or booleans are wanted become those.

Follows compose-go's transform package and loader/interpolate.go. A short port becomes one mapping or several; what is
made of a text stands where the text stands, so its `path` is the entry's own.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.compose.document import FALSE, TRUE, Decimal, Item
from sim.compose.merge import depends_on
from sim.compose.patterns import Place, table
from sim.compose.short_ports import in_long_form

Form = Callable[[Item], Item]


def canonical(item: Item) -> Item:
    """The same in its long forms. Raises SpecError."""
    return walk(item, FORMS_AT)


def cast(item: Item) -> Item:
    """The same with numbers and booleans where texts stood for them. Raises SpecError."""
    return walk(item, CASTS_AT)


def walk(item: Item, place: Place[Form]) -> Item:
    """The same with each place in the form of its rule: what stands below first, then the whole."""
    if isinstance(item.value, dict) and place.named:
        entries = {}
        for key, entry in item.value.items():
            below = place.below(key)
            entries[key] = entry if below is None else walk(entry, below)
        item = item.holding(entries)
    elif isinstance(item.value, list) and (below := place.below("[]")) is not None:
        item = item.holding([walk(entry, below) for entry in item.value])
    return place.rule(item) if place.rule is not None else item


def _list(item: Item) -> Item:
    return item.holding([item]) if isinstance(item.value, str) else item


def _dns(item: Item) -> Item:
    """Without empty entries, which a variable that is not set leaves."""
    item = _list(item)
    if not isinstance(item.value, list):
        return item
    return item.holding([entry for entry in item.value if entry.value not in (None, "")])


def _networks(item: Item) -> Item:
    if not isinstance(item.value, list):
        return item
    return item.holding({entry.text(): entry.emptied() for entry in item.value})


def _depends_on(item: Item) -> Item:
    entries = {}
    for key, entry in depends_on(item).value.items():
        given = entry.mapping()
        defaults = {"condition": entry.holding("service_started"), "required": entry.holding(True)}
        entries[key] = entry.holding({**defaults, **given})
    return item.holding(entries)


def _env_file(item: Item) -> Item:
    entries = [item] if isinstance(item.value, str) else item.sequence()
    return item.holding([_one_env_file(entry) for entry in entries])


def _one_env_file(entry: Item) -> Item:
    if isinstance(entry.value, dict):
        return entry.holding({"required": entry.holding(True), **entry.value})
    return entry.holding({"path": entry.holding(entry.text()), "required": entry.holding(True)})


def _extends(item: Item) -> Item:
    return item.holding({"service": item}) if isinstance(item.value, str) else item


def _external(item: Item) -> Item:
    """`external: {name: X}`, the old form, is `external: true` with a name."""
    fields = item.mapping()
    external = fields.get("external")
    if external is None or not isinstance(external.value, dict):
        return item
    found = {**fields, "external": external.holding(True)}
    name = external.value.get("name")
    if name is not None:
        if "name" in fields and fields["name"].value != name.value:
            fields["name"].fail("name and external.name differ", "keep name only")
        found["name"] = name
    return item.holding(found)


def _resource(item: Item) -> Item:
    return item if item.value is None else _external(item)


FORMS: dict[str, Form] = {
    "services.*.depends_on": _depends_on,
    "services.*.env_file": _env_file,
    "services.*.label_file": _list,
    "services.*.extends": _extends,
    "services.*.networks": _networks,
    "services.*.models": _networks,
    "services.*.dns": _dns,
    "services.*.ports": in_long_form,
    "volumes.*": _resource,
    "networks.*": _resource,
    "secrets.*": _resource,
    "configs.*": _resource,
}
FORMS_AT: Place[Form] = table(FORMS)


def _integer(item: Item) -> Item:
    if not isinstance(item.value, str) or isinstance(item.value, Decimal):
        return item
    return item.holding(item.number())


def _float(item: Item) -> Item:
    if not isinstance(item.value, str) or isinstance(item.value, Decimal):
        return item
    try:
        number = float(item.value)
    except ValueError:
        item.fail(f"{item.value!r} is not a number", "write digits alone")
    return item.holding(int(number) if number.is_integer() else Decimal(item.value))


def boolean(item: Item) -> Item:
    """True or false, where a text says it. Raises SpecError."""
    if not isinstance(item.value, str):
        return item
    if item.value.lower() not in TRUE | FALSE:
        item.fail(f"{item.value!r} is neither true nor false", "write true or false")
    return item.holding(item.value.lower() in TRUE)


_SERVICE = "services.*."
CASTS: dict[str, Form] = {
    **{_SERVICE + key: _integer for key in (
        "cpu_count", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "deploy.replicas",
        "deploy.update_config.parallelism", "deploy.rollback_config.parallelism", "deploy.restart_policy.max_attempts",
        "deploy.placement.max_replicas_per_node", "healthcheck.retries", "oom_score_adj", "pids_limit",
        "ports.[].target", "scale", "ulimits.*", "ulimits.*.hard", "ulimits.*.soft")},
    **{_SERVICE + key: _float for key in (
        "cpu_percent", "cpus", "deploy.update_config.max_failure_ratio", "deploy.rollback_config.max_failure_ratio")},
    **{_SERVICE + key: boolean for key in (
        "init", "healthcheck.disable", "oom_kill_disable", "privileged", "read_only", "stdin_open", "tty",
        "volumes.[].read_only", "volumes.[].volume.nocopy")},
    **{f"networks.*.{key}": boolean for key in (
        "external", "internal", "attachable", "enable_ipv4", "enable_ipv6")},
    "volumes.*.external": boolean,
    "secrets.*.external": boolean,
    "configs.*.external": boolean,
}
CASTS_AT: Place[Form] = table(CASTS)
