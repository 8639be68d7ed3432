"""Shapes of values: a text, a list of numbers, a mapping with these keys. `schema.py` describes a Compose file so.

A shape is called with an Item and the words for what it is, and raises SpecError where the value has another form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from sim.compose.document import Decimal, Item
from sim.errors import did_you_mean

Shape = Callable[[Item], None]
TEXT, NUMBER, WHOLE, FLAG, NOTHING = "a text", "a number", "a whole number", "true or false", "nothing"


def kind_of(value: object) -> str:
    """The word for a scalar's type; a whole number is a number as well."""
    match value:
        case None:
            return NOTHING
        case bool():
            return FLAG
        case int():
            return WHOLE
        case Decimal():
            return NUMBER
        case str():
            return TEXT
    return ""


def one(*kinds: str, called: str = "") -> Shape:
    """A scalar of one of these types; `called` in errors."""
    known = {*kinds, *([WHOLE] if NUMBER in kinds else [])}

    def check(item: Item) -> None:
        kind = kind_of(item.value)
        if kind not in known:
            wanted = called or " or ".join(kind for kind in kinds if kind != NOTHING)
            if item.value is None:
                mend = "give it a value, or remove the key"
            elif TEXT in kinds and kind:
                mend = f'put it in quotes: "{item.text()}"'
            else:
                mend = "write one value behind the key"
            item.fail(f"should be {wanted}, is {item.said()}", mend)

    return check


def among(*texts: str) -> Shape:
    """One of these texts."""
    text = one(TEXT)

    def check(item: Item) -> None:
        text(item)
        if item.value not in texts:
            item.fail(f"{item.value!r} is none of its values", did_you_mean(item.value, texts))

    return check


def matching(pattern: str, mend: str) -> Shape:
    """A text in which the pattern is found."""
    text = one(TEXT)

    def check(item: Item) -> None:
        text(item)
        if not re.search(pattern, item.value):
            item.fail(f"{item.value!r} is not possible here", mend)

    return check


def within(low: int, high: int | None = None) -> Shape:
    """A whole number between these, or any text."""
    scalar = one(TEXT, WHOLE)

    def check(item: Item) -> None:
        scalar(item)
        if isinstance(item.value, int) and not low <= item.value <= (item.value if high is None else high):
            item.fail(f"{item.value} is out of range", f"use {low} or more" if high is None else f"use {low}-{high}")

    return check


def listed(of: Shape, *, unique: bool = False) -> Shape:
    def check(item: Item) -> None:
        if item.value is None:
            item.fail("should be a list, is empty", "write `- value` lines under it, or remove the key")
        entries = item.sequence()
        for entry in entries:
            of(entry)
        if unique:
            seen: dict[tuple[str, object], Item] = {}
            for entry in entries:
                key = (kind_of(entry.value), str(entry.plain()))
                if key in seen:
                    entry.fail(f"{entry.said()} is listed twice", "keep one of the two")
                seen[key] = entry

    return check


def mapping(
    of: str, known: Mapping[str, Shape], *, required: Iterable[str] = (), mends: Mapping[str, str] | None = None,
    extensions: bool = True,
) -> Shape:
    """A mapping with these keys and no others, but for `x-` keys. `of` is what it is, in words."""

    def check(item: Item) -> None:
        if item.value is None:
            item.fail("should be a mapping, is empty", "write `key: value` lines under it, or remove the key")
        entries = item.mapping()
        for key, entry in entries.items():
            shape = known.get(key)
            if shape is not None:
                shape(entry)
            elif not (extensions and key.startswith("x-")):
                mend = (mends or {}).get(key) or did_you_mean(key, known)
                if mend.startswith("known:") and len(known) > 8:
                    mend = "Compose has no such key: remove it, or begin it with x-"
                entry.fail(f"unknown key {key!r} in {of}", mend)
        for key in required:
            if key not in entries:
                item.fail(f"{of} needs {key!r}", "give it")

    return check


def named(of: Shape, *, names: str = "", what: str = "", others: bool = False) -> Shape:
    """A mapping of names to values of one shape. `names`: what they must match, else, with `others`, anything goes."""
    pattern = re.compile(names)

    def check(item: Item) -> None:
        if item.value is None:
            item.fail("should be a mapping, is empty", "write `key: value` lines under it, or remove the key")
        for key, entry in item.mapping().items():
            if not pattern.search(key):
                if others:
                    continue
                entry.fail(f"{key!r} is no name for {what}", "use letters, digits and ._-")
            of(entry)

    return check


def either(*, scalar: Shape | None = None, listing: Shape | None = None, table: Shape | None = None) -> Shape:
    """One of several forms, told apart by the kind of value."""
    forms = [words for words, shape in (("one value", scalar), ("a list", listing), ("a mapping", table)) if shape]

    def check(item: Item) -> None:
        shape = table if isinstance(item.value, dict) else listing if isinstance(item.value, list) else scalar
        if shape is None:
            item.fail(f"should be {' or '.join(forms)}, is {item.said()}", "write it in one of these forms")
        shape(item)

    return check


def anything(item: Item) -> None:
    """No shape at all."""
