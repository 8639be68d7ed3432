"""A YAML document as a tree that remembers where everything stands, so that every complaint names file, line and key.

Scalars follow go-yaml as Compose uses it, not PyYAML's YAML 1.1: `22:22` is text and not a number in base 60, `yes` is
text, `20.10` keeps its zero. A key given twice is an error; anchors, aliases and `<<` merges work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import yaml

from sim.errors import SpecError, did_you_mean

MAX_ITEMS = 300_000
"""Values of a file, those counted again that an alias repeats: a file of ten thousand services has less."""
MAX_REPEATED = 20_000
"""Values that aliases may repeat, besides ten for each that is written."""
MAX_DEPTH = 100
PLACE = re.compile(r".+?:[0-9]+(?:: |$)")
"""Where an error is that names a file and a line."""
TRUE, FALSE = {"true", "yes", "y", "on"}, {"false", "no", "n", "off"}
"""What compose-go's toBoolean takes where a boolean is wanted."""


@dataclass(frozen=True, slots=True)
class Item:
    """A value with its place. `value`: None, bool, int, str, dict[str, Item] or list[Item]."""

    value: Any
    file: str
    line: int
    path: str = ""

    @property
    def where(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}" if self.path else place

    def fail(self, problem: str, mend: str = "") -> NoReturn:
        raise SpecError(problem, where=self.where, mend=mend)

    def emptied(self) -> Item:
        """Nothing, at this place."""
        return self.holding(None)

    def holding(self, value: Any) -> Item:
        """Another value, at this place."""
        return replace(self, value=value)

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Whatever SpecError is raised inside is this item's: its `where` becomes this place."""
        try:
            yield
        except SpecError as error:
            if PLACE.match(error.where):  # blamed already, and nearer
                raise
            raise SpecError(error.problem, where=self.where, mend=error.mend) from None

    def mapping(self) -> dict[str, Item]:
        """The entries of a mapping; nothing (`front:` alone) is an empty one."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            self.fail(f"should be a mapping, is {self.said()}", "write `key: value` lines under it")
        return self.value

    def fields(self, known: set[str], *, of: str) -> dict[str, Item]:
        """A mapping whose keys are among `known`; `x-` keys are left out, as Compose does."""
        entries = {key: item for key, item in self.mapping().items() if not key.startswith("x-")}
        for key, item in entries.items():
            if key not in known:
                item.fail(f"unknown key {key!r} in {of}", did_you_mean(key, known))
        return entries

    def sequence(self) -> list[Item]:
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            self.fail(f"should be a list, is {self.said()}", "write `- value` lines under it")
        return self.value

    def texts(self) -> list[Item]:
        """A list of texts, or one text alone."""
        items = self.sequence() if isinstance(self.value, list | None) else [self]
        return [replace(item, value=item.text()) for item in items]

    def pairs(self, separators: str = "=") -> list[tuple[str, Item]]:
        """`KEY: VALUE` entries, or a list of `KEY=VALUE` texts."""
        if not isinstance(self.value, list):
            return [(key, replace(item, value=item.text())) for key, item in self.mapping().items()]
        rows = []
        for item in self.texts():
            parts = re.split(f"[{separators}]", item.value, maxsplit=1)
            if len(parts) != 2 or not parts[0].strip():
                item.fail(f"{item.value!r} is no pair", f"write NAME{separators[0]}VALUE")
            rows.append((parts[0].strip(), replace(item, value=parts[1].strip())))
        return rows

    def text(self) -> str:
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, int | str):
            return str(self.value)
        return self._wanted("a text")

    def number(self) -> int:
        text = self.text() if isinstance(self.value, int | str) else self._wanted("a whole number")
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
            self.fail(f"{text!r} is not a whole number", "write digits alone")
        return int(text)

    def port(self) -> int:
        port = self.number()
        if not 1 <= port <= 65535:
            self.fail(f"port {port} is out of range", "use 1-65535")
        return port

    def flag(self) -> bool:
        text = self.text().lower() if isinstance(self.value, int | str) else self._wanted("true or false")
        if text not in TRUE | FALSE:
            self.fail(f"{text!r} is neither true nor false", "write true or false")
        return text in TRUE

    def map_text(self, change: Callable[[Item], str]) -> Item:
        """The same tree with every text replaced."""
        if isinstance(self.value, str):
            return replace(self, value=change(self))
        if isinstance(self.value, dict):
            return replace(self, value={key: item.map_text(change) for key, item in self.value.items()})
        if isinstance(self.value, list):
            return replace(self, value=[item.map_text(change) for item in self.value])
        return self

    def plain(self) -> Any:
        """The value without places: None, bool, int, str, dict or list."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def _wanted(self, kind: str) -> NoReturn:
        """One value is wanted, and here is none, or several."""
        mend = "give it a value, or remove the key" if self.value is None else "write one value behind the key"
        self.fail(f"should be {kind}, is {self.said()}", mend)

    def said(self) -> str:
        """The value in an error's words."""
        kinds = {dict: "a mapping", list: "a list", type(None): "empty"}
        return kinds.get(type(self.value), repr(self.value))


class Decimal(str):
    """A number with a fraction or an exponent, as it was written: `20.10` keeps its zero."""


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its tree, and the places (keys from the top) that `!reset` and `!override` remove from what
    was read before it."""

    root: Item
    removed: tuple[tuple[str, ...], ...] = ()


class _Loader(yaml.CSafeLoader):
    """SafeLoader with go-yaml's idea of what a plain scalar is; one that isn't listed stays text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_TAG = "tag:yaml.org,2002:"
for _kind, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), list(_first))


def parse(text: str, file: str) -> list[Document]:
    """The YAML documents in `text`, empty ones left out; at least one. Raises SpecError."""
    try:
        values = _count(text, file)
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or str(error)
        mend = (
            "indent with spaces, never with tabs"
            if mark and re.match(rf"(?:[^\n]*\n){{{mark.line}}} *\t", text)
            else "check the indentation and the colons there"
        )
        line = min(mark.line + 1, len(text.splitlines())) if mark else 1  # libyaml counts the end as a line
        raise SpecError(f"not valid YAML: {problem}", where=f"{file}:{line}", mend=mend) from None
    except yaml.YAMLError as error:
        raise SpecError(f"not valid YAML: {' '.join(str(error).split())}", where=file) from None
    except RecursionError:
        raise SpecError("not readable: nested too deeply", where=file) from None
    documents = []
    for node in nodes:
        tree = _Tree(file, most=min(MAX_ITEMS, 10 * values + MAX_REPEATED))
        root = tree.item(node, (), node.start_mark.line + 1, ())
        if root.value is None and len(nodes) > 1:
            continue
        if not isinstance(root.value, dict):
            root.fail("not a Compose file: its top level should be a mapping", "begin with `services:`")
        documents.append(Document(root, tuple(tree.removed)))
    if not documents:
        raise SpecError("the file is empty", where=file, mend="declare at least one service")
    return documents


def _count(text: str, file: str) -> int:
    """How many values a file has, before anything is made of it. SpecError where they are too many, or too deep."""
    values = depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        values += isinstance(event, yaml.NodeEvent)
        if values > MAX_ITEMS or depth > MAX_DEPTH:
            problem = f"has more than {MAX_ITEMS} values" if values > MAX_ITEMS else "is nested too deeply"
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise SpecError(problem, where=f"{file}:{line}", mend="take out what it does not need")
    return values


def parse_one(text: str, file: str) -> Item:
    """The one YAML document in `text`. Raises SpecError."""
    first, *others = parse(text, file)
    if others:
        others[0].root.fail("more than one YAML document", "keep one, remove the `---`")
    return first.root


class _Tree:
    """Turns YAML's nodes into Items; counts them, and remembers what `!reset` and `!override` remove."""

    def __init__(self, file: str, most: int) -> None:
        self.file, self.count, self.most = file, 0, most
        self.removed: list[tuple[str, ...]] = []

    def item(self, node: yaml.Node, keys: tuple[str, ...], line: int, above: tuple[int, ...]) -> Item:
        self.count += 1
        here = Item(None, self.file, line, "".join(keys).lstrip("."))
        if id(node) in above or self.count > self.most or len(above) > MAX_DEPTH:
            here.fail("an alias contains itself, or nesting goes too deep", "write it out without the alias")
        above = (*above, id(node))
        kind = node.tag.removeprefix(_TAG)
        if kind == "!override":
            self.removed.append(_names(keys))
            kind = _untagged(node)
        if isinstance(node, yaml.MappingNode) and kind in ("map", "!"):
            return replace(here, value=self._mapping(node, keys, above))
        if isinstance(node, yaml.SequenceNode) and kind in ("seq", "!"):
            return here.holding([
                self.item(child, (*keys, f"[{i}]"), child.start_mark.line + 1, above)
                for i, child in enumerate(node.value) if not self._reset(child, (*keys, f"[{i}]"))
            ])
        if isinstance(node, yaml.ScalarNode):
            match kind:
                case "str" | "!":
                    return replace(here, value=node.value)
                case "int" if re.fullmatch(r"[-+]?[0-9]{1,18}", node.value):
                    return replace(here, value=int(node.value))
                case "int" | "float":
                    return replace(here, value=Decimal(node.value))
                case "bool" if node.value.lower() in ("true", "false"):
                    return replace(here, value=node.value.lower() == "true")
                case "null":
                    return here
        return here.fail(f"the tag {node.tag.replace(_TAG, '!!')!r} is not modelled", "write the value without a tag")

    def _reset(self, node: yaml.Node, keys: tuple[str, ...]) -> bool:
        """Whether a value is `!reset`: it is as if it weren't there, and what was there before goes."""
        if node.tag == "!reset":
            self.removed.append(_names(keys))
        return node.tag == "!reset"

    def _mapping(self, node: yaml.MappingNode, keys: tuple[str, ...], above: tuple[int, ...]) -> dict[str, Item]:
        own: dict[str, Item] = {}
        merged: dict[str, Item] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            here = Item(None, self.file, line, "".join(keys).lstrip("."))
            if not isinstance(key_node, yaml.ScalarNode):
                here.fail("a key should be a text")
            if key_node.tag == _TAG + "merge":
                sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for source in sources:
                    item = self.item(source, keys, line, above)
                    merged = {**item.mapping(), **merged}
                continue
            key = key_node.value
            if key_node.tag != _TAG + "str":
                here.fail(f"the key {key!r} is not a text", f'put it in quotes: "{key}"')
            if key in lines:
                replace(here, line=lines[key], path=f"{here.path}.{key}".lstrip(".")).fail(
                    f"the key {key!r} is given again on line {line}", "keep one of the two")
            lines[key] = line
            if not self._reset(value_node, (*keys, f".{key}")):
                own[key] = self.item(value_node, (*keys, f".{key}"), line, above)
        return {**merged, **own}


def _untagged(node: yaml.Node) -> str:
    """What a value is by its looks, whatever its tag."""
    if isinstance(node, yaml.ScalarNode):
        tag: str = _Loader("").resolve(yaml.ScalarNode, node.value, (not node.style, True))  # type: ignore[no-untyped-call]
        return tag.removeprefix(_TAG)
    return "map" if isinstance(node, yaml.MappingNode) else "seq"


def _names(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys of a place; an index of a list stays as it is."""
    return tuple(key.removeprefix(".") for key in keys)
