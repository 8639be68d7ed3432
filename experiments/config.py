"""`hopcast config`: a project as it was read, after merging, with the file and the line of each value.

Only what a packet can depend on is shown, of the services that run and of the networks that they are on, as Compose
completes it: default networks, names, the long forms of ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from sim.compose import Project
from sim.compose.document import Item
from sim.compose.keys import IGNORED_NETWORK, IGNORED_SERVICE


def what_was_read(read: Project) -> Item:
    """The part of the project that matters: `services`, `networks` and `x-hopcast`."""
    top = read.root.mapping()
    services = {name: _without(item, IGNORED_SERVICE) for name, item in read.services.items() if read.runs(name)}
    used = {key for item in services.values() for key in _entries(item.mapping(), "networks")}
    networks = {key: _without(item, IGNORED_NETWORK) for key, item in _entries(top, "networks").items() if key in used}
    found = {"services": read.root.holding(services), "networks": read.root.holding(networks)}
    if "x-hopcast" in top:
        found["x-hopcast"] = top["x-hopcast"]
    return read.root.holding({key: item for key, item in found.items() if item.value})


def _entries(top: dict[str, Item], key: str) -> dict[str, Item]:
    return top[key].mapping() if key in top else {}


def _without(item: Item, keys: set[str]) -> Item:
    return item.holding({key: entry for key, entry in item.mapping().items() if key not in keys})


def place(item: Item) -> str:
    """`compose.yaml:7`"""
    return f"{item.file}:{item.line}" if item.line else item.file


def as_dict(read: Project) -> dict[str, Any]:
    """`project`: the values; `where`: the place of each, by its path."""
    item = what_was_read(read)
    off = [name for name in read.services if not read.runs(name)]
    return {"files": list(read.files), "name": read.name, "project": item.plain(), "profiles_off": off,
            "where": {path: place(leaf) for path, leaf in _leaves(item, "")}, "notes": list(read.notes)}


def _leaves(item: Item, path: str) -> Iterator[tuple[str, Item]]:
    if isinstance(item.value, dict) and item.value:
        for key, entry in item.value.items():
            yield from _leaves(entry, f"{path}.{key}".removeprefix("."))
    elif isinstance(item.value, list) and item.value:
        for number, entry in enumerate(item.value):
            yield from _leaves(entry, f"{path}[{number}]")
    else:
        yield path, item


def table(read: Project) -> Table:
    """The values as YAML would have them, each with its place."""
    found = Table.grid(padding=(0, 3))
    found.add_row(Text(f"name: {read.name}"))
    for text, item in _lines(what_was_read(read), 0):
        found.add_row(Text(text), Text(place(item) if item is not None else "", "dim"))
    return found


def _lines(item: Item, depth: int, before: str = "") -> Iterator[tuple[str, Item | None]]:
    """Lines of YAML; where several values share one, the place is the first one's."""
    indent = "  " * depth
    if isinstance(item.value, dict) and item.value:
        if before:
            yield f"{indent}{before}", None
        for key, entry in item.value.items():
            yield from _lines(entry, depth + bool(before), f"{key}:")
    elif isinstance(item.value, list) and item.value:
        yield f"{indent}{before}", None
        for entry in item.value:
            yield f"{indent}  - {_flow(entry)}", entry
    else:
        yield f"{indent}{before} {_flow(item)}".rstrip(), item


def _flow(item: Item) -> str:
    """A value on one line."""
    if isinstance(item.value, dict):
        return "{" + ", ".join(f"{key}: {_flow(entry)}" for key, entry in item.value.items()) + "}"
    if isinstance(item.value, list):
        return "[" + ", ".join(map(_flow, item.value)) + "]"
    if isinstance(item.value, bool):
        return str(item.value).lower()
    return "" if item.value is None else str(item.value)
