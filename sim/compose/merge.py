"""Merging one Compose file into another, key by key, and removing what is said twice.

What comes later wins; mappings are merged, lists are appended. Keys with rules of their own are in MERGED. In lists
whose entries have a name (UNIQUE) the later entry takes the place of the earlier one of that name. What `!reset` and
`!override` name is removed from what came before (`without`).

Follows compose-go's override/merge.go and override/uncity.go. Each value keeps its own place in its own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sim.compose.document import Item
from sim.compose.patterns import Place, table

Entries = dict[str, Item]


def merge(base: Item, over: Item, place: Place[Merge] | None = None) -> Item:
    """`over` merged into `base`; both are mappings. Raises SpecError."""
    return _mappings(base, over, place or MERGES)


def extend(base: Item, service: Item) -> Item:
    """A service merged into the one that it extends. Raises SpecError."""
    return _mappings(base, service, SERVICE)


def unique(item: Item, place: Place[Indexer] | None = None) -> Item:
    """The same without what is said twice in the lists of UNIQUE. Raises SpecError."""
    place = place or UNIQUES
    if isinstance(item.value, dict):
        return item.holding({key: _below(unique, entry, place, key) for key, entry in item.value.items()})
    if isinstance(item.value, list) and place.rule is not None:
        kept: dict[object, Item] = {}
        for entry in item.value:
            kept[place.rule(entry)] = entry  # a dict keeps the earlier one's turn
        return item.holding(list(kept.values()))
    return item


def without(item: Item, removed: Iterable[tuple[str, ...]]) -> Item:
    """The same without these places, where they are."""
    for keys in removed:
        item = _without(item, keys)
    return item


def _without(item: Item, keys: tuple[str, ...]) -> Item:
    if not keys or not isinstance(item.value, dict) or keys[0] not in item.value:
        return item
    if len(keys) == 1:
        return item.holding({key: entry for key, entry in item.value.items() if key != keys[0]})
    return item.holding({**item.value, keys[0]: _without(item.value[keys[0]], keys[1:])})


def _below(
    walk: Callable[[Item, Place[Indexer]], Item], item: Item, place: Place[Indexer], key: str
) -> Item:
    inner = place.below(key)
    return walk(item, inner) if inner is not None else item


Merge = Callable[[Item, Item, "Place[Merge]"], Item]
Indexer = Callable[[Item], object]


def _merge(base: Item, over: Item, place: Place[Merge] | None) -> Item:
    if place is not None and place.rule is not None:
        return place.rule(base, over, place)
    if over.value is None:
        return base
    if isinstance(base.value, dict):
        if not isinstance(over.value, dict):
            _clash(base, over, "a mapping")
        return _mappings(base, over, place)
    if isinstance(base.value, list):
        if not isinstance(over.value, list):
            _clash(base, over, "a list")
        return base.holding([*base.value, *over.value])
    return over


def _clash(base: Item, over: Item, kind: str) -> None:
    over.fail(f"can't be merged into {kind} ({base.file}:{base.line})", f"write {kind}, or !override before the value")


def _mappings(base: Item, over: Item, place: Place[Merge] | None) -> Item:
    merged = dict(base.mapping())
    for key, entry in over.mapping().items():
        inner = place.below(key) if place is not None else None
        merged[key] = _merge(merged[key], entry, inner) if key in merged else entry
    return base.holding(merged)


def _override(base: Item, over: Item, place: Place[Merge]) -> Item:
    return over


def _append(base: Item, over: Item, place: Place[Merge]) -> Item:
    return base.holding([*as_list(base), *as_list(over)])


def _append_new(base: Item, over: Item, place: Place[Merge]) -> Item:
    first = as_list(base)
    said = {entry.value for entry in first}
    return base.holding([*first, *(entry for entry in as_list(over) if entry.value not in said)])


def as_list(item: Item) -> list[Item]:
    """`KEY=VALUE` texts of a mapping, sorted as Compose does; a list as it is; one text as a list."""
    if not isinstance(item.value, dict):
        return [item] if isinstance(item.value, str) else item.sequence()
    texts = []
    for key, entry in item.value.items():
        for each in entry.value if isinstance(entry.value, list) else [entry]:
            texts.append(each.holding(key if each.value is None else f"{key}={each.text()}"))
    return sorted(texts, key=lambda text: str(text.value))


def _as_mapping(item: Item) -> Item:
    if not isinstance(item.value, list):
        return item.holding(item.mapping())
    return item.holding({entry.text(): entry.emptied() for entry in item.value})


def depends_on(item: Item) -> Item:
    """`depends_on` in its long form."""
    if not isinstance(item.value, list):
        return item.holding(item.mapping())
    return item.holding({
        entry.text(): entry.holding({"condition": entry.holding("service_started"), "required": entry.holding(True)})
        for entry in item.value
    })


def _in_long_form(long: Callable[[Item], Item]) -> Merge:
    return lambda base, over, place: _mappings(long(base), long(over), place)


def _logging(base: Item, over: Item, place: Place[Merge]) -> Item:
    drivers = [each.mapping().get("driver") for each in (base, over)]
    other = None not in drivers and drivers[0].value != drivers[1].value  # type: ignore[union-attr]
    return over if other else _mappings(base, over, place)


def _build(item: Item) -> Item:
    return item.holding({"context": item}) if isinstance(item.value, str) else item.holding(item.mapping())


def _ipam_config(base: Item, over: Item, place: Place[Merge]) -> Item:
    """Entries of the same subnet are merged, with compose-go's order."""
    found: list[Item] = []

    def subnet(item: Item) -> object:
        entry = item.mapping().get("subnet")
        return entry.value if entry is not None else None

    for original in base.sequence():
        for override in over.sequence():
            other = subnet(override) != subnet(original)
            if other and all(subnet(each) != subnet(override) for each in found):
                found.append(override)
                continue
            # Another subnet that is there already is merged like the same one, in compose-go as well.
            original = _mappings(original, override, None)
            at = next((i for i, each in enumerate(found) if subnet(each) == subnet(original)), None)
            if at is None:
                found.append(original)
            else:
                found[at] = original
    return base.holding(found)


MERGED: dict[str, Merge] = {
    "networks.*.ipam.config": _ipam_config,
    "networks.*.labels": _append,
    "volumes.*.labels": _append,
    "services.*.annotations": _append,
    "services.*.build": _in_long_form(_build),
    "services.*.build.args": _append,
    "services.*.build.additional_contexts": _append,
    "services.*.build.extra_hosts": _append_new,
    "services.*.build.labels": _append,
    "services.*.command": _override,
    "services.*.depends_on": _in_long_form(depends_on),
    "services.*.deploy.labels": _append,
    "services.*.dns": _append,
    "services.*.dns_opt": _append,
    "services.*.dns_search": _append,
    "services.*.entrypoint": _override,
    "services.*.env_file": _append,
    "services.*.label_file": _append,
    "services.*.environment": _append,
    "services.*.extra_hosts": _append_new,
    "services.*.healthcheck.test": _override,
    "services.*.labels": _append,
    "services.*.logging": _logging,
    "services.*.models": _in_long_form(_as_mapping),
    "services.*.networks": _in_long_form(_as_mapping),
    "services.*.sysctls": _append,
    "services.*.tmpfs": _append,
    "services.*.ulimits.*": _override,
}
MERGES: Place[Merge] = table(MERGED)
SERVICE: Place[Merge] = MERGES.named["services"].named["*"]


def _name(item: Item) -> object:
    """What stands before the `=`."""
    return item.text().partition("=")[0]


def _text(item: Item) -> object:
    return item.text()


def _port(item: Item) -> object:
    if not isinstance(item.value, dict):
        return item.text()
    fields = {key: entry.value for key, entry in item.value.items()}
    if "target" not in fields:
        item.fail("a port needs a target", "give the container's port as `target: 80`")
    # Of `published` a number and a text are two things here, as they are in compose-go.
    return (fields.get("host_ip", "0.0.0.0"), fields.get("published"), type(fields.get("published")).__name__,
            str(fields["target"]), fields.get("protocol", "tcp"))


def _key(key: str) -> Indexer:
    def of(item: Item) -> object:
        return item.mapping()[key].value if isinstance(item.value, dict) and key in item.value else item.value

    return of


def _target(item: Item) -> object:
    """Where a volume or a device appears in the container."""
    if isinstance(item.value, dict):
        return item.value["target"].value if "target" in item.value else id(item)
    parts = item.text().split(":")
    return (parts[0] if len(parts) == 1 else parts[1]).rstrip("/") or "/"


def _mount(folder: str) -> Indexer:
    def of(item: Item) -> object:
        if not isinstance(item.value, dict):
            return f"{folder}/{item.text()}"
        fields = item.value
        return fields["target"].value if "target" in fields else f"{folder}/{_key('source')(item)}"

    return of


UNIQUE: dict[str, Indexer] = {
    "networks.*.labels": _name,
    "networks.*.ipam.options": _name,
    "services.*.annotations": _name,
    "services.*.build.args": _name,
    "services.*.build.additional_contexts": _name,
    "services.*.build.tags": _name,
    "services.*.build.labels": _name,
    "services.*.cap_add": _name,
    "services.*.cap_drop": _name,
    "services.*.configs": _mount(""),
    "services.*.deploy.labels": _name,
    "services.*.dns": _name,
    "services.*.dns_opt": _name,
    "services.*.dns_search": _name,
    "services.*.environment": _name,
    "services.*.env_file": _key("path"),
    "services.*.expose": _text,
    "services.*.labels": _name,
    "services.*.links": _name,
    "services.*.networks.*.aliases": _name,
    "services.*.networks.*.link_local_ips": _name,
    "services.*.ports": _port,
    "services.*.profiles": _name,
    "services.*.secrets": _mount("/run/secrets"),
    "services.*.sysctls": _name,
    "services.*.tmpfs": _name,
    "services.*.volumes": _target,
    "services.*.devices": _target,
}
UNIQUES: Place[Indexer] = table(UNIQUE)
