"""What is said of a project beside its Compose files: `--with FILE`, `--stack` and `-q`, laid over its `x-hopcast`.

A file of `--with` holds what else stands under `x-hopcast`, at its top or under that key, so that nobody's Compose file
need be edited:

    hosts: {host: {engine: {icc: false}}}
    services: {web: {listens: [8000], host: h2}}
    networks: {lan: {driver: macvlan, parent: eno1, subnet: 192.168.1.0/24}}
    questions: [client -> web:8000]

What is said later is laid over what was said before: mappings are merged key by key, everything else (a list, too)
takes the place of what stood there. First comes the Compose file's own x-hopcast, then each file of `--with` in its
order, then the command line. `services` and `networks` say by name what can also stand in the x-hopcast of a service
or a network, and lie over that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.compose.document import Item, parse_one
from sim.compose.files import text_of
from sim.compose.interpolation import Variables
from sim.errors import did_you_mean

KEY = "x-hopcast"
NAMED = {"services": "service", "networks": "network"}
"""Keys of x-hopcast that say something of the project's own objects, by name."""


def read_with(files: Sequence[str | Path], variables: Variables) -> list[Item]:
    """What the files of `--with` say, each as an x-hopcast. Raises SpecError."""
    said = []
    for file in map(str, files):
        root = variables.fill(parse_one(text_of(file), file))
        wrapped = root.mapping()
        if any({"image", "build"} & each.mapping().keys() for each in _entries(wrapped.get("services"))):
            root.fail("a Compose file, and no file for --with", "give it as FILE or with -f")
        if KEY in wrapped:
            for key, item in wrapped.items():
                if key != KEY:
                    item.fail(f"{key!r} beside {KEY}", f"write it under {KEY}, or leave that key out")
            root = wrapped[KEY]
        said.append(root)
    return said


def _entries(item: Item | None) -> list[Item]:
    return [each for each in item.value.values() if isinstance(each.value, dict)] if (
        item is not None and isinstance(item.value, dict)) else []


def of_command_line(*, stack: bool, questions: Sequence[str]) -> Item:
    """`--stack` and `-q`, as an x-hopcast."""
    said: dict[str, Item] = {}
    if stack:
        said["stack"] = Item(True, "--stack", 0)
    if questions:
        said["questions"] = Item([Item(line, "-q", 0, line) for line in questions], "-q", 0)
    return Item(said, "the command line", 0)


def laid_over(below: Item | None, above: Item) -> Item:
    """`above` over `below`: mappings are merged key by key, of all else the upper one stays."""
    if below is None or not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    return below.holding({**below.value, **{key: laid_over(below.value.get(key), item)
                                            for key, item in above.value.items()}})


def brought(root: Item, said: Sequence[Item] = ()) -> Item:
    """The project with all that is said of it laid over its x-hopcast, and what is said of its services and networks by
    name laid over theirs. Raises SpecError."""
    top = dict(root.mapping())
    for item in said:
        if item.mapping():
            top[KEY] = laid_over(top.get(KEY), item)
    if KEY not in top:
        return root
    extension = dict(top[KEY].mapping())
    for key, kind in NAMED.items():
        if key in extension:
            top[key] = _named(top.get(key), kind, extension.pop(key))
    top[KEY] = top[KEY].holding(extension)
    return root.holding(top)


def _named(declared: Item | None, kind: str, said: Item) -> Item:
    entries = dict(declared.mapping()) if declared is not None else {}
    for name, item in said.mapping().items():
        if name not in entries:
            item.fail(f"unknown {kind} {name!r}", did_you_mean(name, entries) if entries else f"there is no {kind}")
        own = entries[name]
        entries[name] = own.holding({**own.mapping(), KEY: laid_over(own.mapping().get(KEY), item)})
    return (declared or said).holding(entries)
