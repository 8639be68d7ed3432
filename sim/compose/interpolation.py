"""`${VAR}` in a Compose file and in `.env`, as compose-go's template package reads it.

    $VAR ${VAR}            the value, or nothing (said in the notes)
    ${VAR:-x} ${VAR-x}     x when VAR is unset or empty / unset
    ${VAR:+x} ${VAR+x}     x when VAR is set and not empty / set
    ${VAR:?why} ${VAR?why} an error
    $$                     a dollar sign

A default may itself contain variables, and is filled in whether it is used or not. A dollar sign before anything else
stays one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sim.compose.document import Item
from sim.errors import SpecError

_PATTERN = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<named>[_a-zA-Z][_a-zA-Z0-9]*)"
    r"|\{(?:(?P<braced>[_a-zA-Z][_a-zA-Z0-9]*(?::?[-+?].*)?)\}|(?P<invalid>)))"
)
_OPERATOR = re.compile(r":?[-+?]")
MAX_DEPTH = 50
"""Of variables in defaults of variables."""

Lookup = Callable[[str], str | None]


class Variables:
    """The variables that a file may use. `unset` collects those that were missing, in order."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.unset: list[str] = []

    def fill(self, item: Item) -> Item:
        """`item` with its variables replaced, all the way down. Raises SpecError."""
        return item.map_text(self._text)

    def _text(self, leaf: Item) -> str:
        text: str = leaf.value
        if "$" not in text:
            return text
        with leaf.blamed():
            return substitute(text, self.values.get, self._missing)

    def _missing(self, name: str) -> None:
        if name not in self.unset:
            self.unset.append(name)


def substitute(text: str, lookup: Lookup, missing: Callable[[str], None] = lambda name: None, depth: int = 0) -> str:
    """`text` with its variables replaced; `missing` hears of those that have neither a value nor an operator. Raises
    SpecError.

    >>> substitute("${A:-${B}}/$C$$", {"B": "b"}.get)
    'b/$'
    """
    if depth > MAX_DEPTH:
        raise SpecError(f"variables nested more than {MAX_DEPTH} deep", mend="name the inner ones in a .env file")
    return _PATTERN.sub(lambda found: _replacement(found, text, lookup, missing, depth), text)


def _replacement(
    found: re.Match[str], text: str, lookup: Lookup, missing: Callable[[str], None], depth: int
) -> str:
    if found["escaped"]:
        return "$"
    if found["named"]:
        return _plain(found["named"], lookup, missing)
    whole = found[0]
    end = _closing(whole)
    inside, rest = (whole[2:end], whole[end + 1 :]) if end > 0 else (whole[2:-1], "")
    operator = _OPERATOR.search(inside)
    name = inside[: operator.start()] if operator else inside
    if found["invalid"] is not None or not name.isidentifier():
        raise SpecError(f"invalid interpolation {text!r}", mend="close the brace, or write $$ for a dollar sign")
    if operator is None:
        return _plain(name, lookup, missing) + substitute(rest, lookup, missing, depth + 1)
    word = substitute(inside[operator.end() :], lookup, missing, depth + 1)
    value = lookup(name)
    present = bool(value) if operator[0].startswith(":") else value is not None
    match operator[0][-1]:
        case "-" if not present:
            value = word
        case "+" if present:
            value = word
        case "?" if not present:
            raise SpecError(
                f"the variable {name} is required: {word or 'it is not set'}",
                mend=f"set it in the environment or in a .env file beside the Compose file: {name}=…",
            )
    return (value or "") + substitute(rest, lookup, missing, depth + 1)


def _plain(name: str, lookup: Lookup, missing: Callable[[str], None]) -> str:
    value = lookup(name)
    if value is None:
        missing(name)
    return value or ""


def _closing(text: str) -> int:
    """Index of the brace that closes the first one, -1 when none does. (compose-go's count, which passes over the
    character behind each opening brace.)"""
    depth = index = 0
    while index < len(text):
        if text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
        elif text[index] == "{":
            depth += 1
            index += 1
        index += 1
    return -1
