"""`${VAR}` in a Compose file, as compose-go's template package reads it, and the `.env` file beside it.

    $VAR ${VAR}            the value, or nothing (said in the notes)
    ${VAR:-x} ${VAR-x}     x when VAR is unset or empty / unset
    ${VAR:+x} ${VAR+x}     x when VAR is set and not empty / set
    ${VAR:?why} ${VAR?why} an error
    $$                     a dollar sign

A default may itself contain variables. The environment wins over `.env`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sim.compose.document import Item
from sim.errors import SpecError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-+?]")
_ENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*[=:]\s*(.*)")


class Variables:
    """The variables that a file may use. `unset` collects those that were missing, in order."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.unset: list[str] = []

    def fill(self, item: Item) -> Item:
        """`item` with its variables replaced, all the way down. Raises SpecError."""
        return item.map_text(lambda leaf: self._text(leaf.value, leaf))

    def _text(self, text: str, item: Item) -> str:
        filled, at = [], 0
        while (dollar := text.find("$", at)) >= 0:
            filled.append(text[at:dollar])
            rest = text[dollar + 1 :]
            if rest.startswith("$"):
                filled.append("$")
                at = dollar + 2
            elif name := _VARIABLE.match(rest):
                filled.append(self._value(name.group()))
                at = dollar + 1 + name.end()
            elif rest.startswith("{"):
                end = _closing(text, dollar + 1)
                if end < 0:
                    item.fail(f"invalid interpolation {text!r}", "close the brace, or write $$ for a dollar sign")
                filled.append(self._braced(text[dollar + 2 : end], item))
                at = end + 1
            else:
                item.fail(f"invalid interpolation {text!r}", "write $$ for a dollar sign")
        return "".join([*filled, text[at:]])

    def _braced(self, inside: str, item: Item) -> str:
        name = _VARIABLE.match(inside)
        rest = inside[name.end() :] if name else ""
        operator = _OPERATOR.match(rest)
        if name is None or (rest and operator is None):
            item.fail(f"invalid interpolation '${{{inside}}}'", "write ${NAME} or ${NAME:-default}")
        if operator is None:
            return self._value(name.group())
        value, word = self.values.get(name.group()), rest[operator.end() :]
        present = bool(value) if operator.group().startswith(":") else value is not None
        match operator.group()[-1]:
            case "-":
                return value or "" if present else self._text(word, item)
            case "+":
                return self._text(word, item) if present else ""
        if not present:
            item.fail(
                f"the variable {name.group()} is required: {word or 'it is not set'}",
                f"set it in the environment or in a .env file beside the Compose file: {name.group()}=…",
            )
        return value or ""

    def _value(self, name: str) -> str:
        if name not in self.values and name not in self.unset:
            self.unset.append(name)
        return self.values.get(name, "")


def _closing(text: str, opening: int) -> int:
    """Index of the brace that closes the one at `opening`, -1 when none does."""
    depth = 0
    for index in range(opening, len(text)):
        if text[index] == "{" and (index == opening or text[index - 1] == "$"):
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    return -1


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a `.env` file; none when there is no such file. Raises SpecError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"can't be read: {error}", where=str(path)) from None
    values = {}
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = _ENV_LINE.fullmatch(line)
        if found is None:
            raise SpecError(f"{line!r} sets no variable", where=f"{path}:{number}", mend="write NAME=value")
        values[found[1]] = _unquoted(found[2])
    return values


def _unquoted(text: str) -> str:
    if text[:1] in ("'", '"') and (end := text.find(text[0], 1)) > 0:
        return text[1:end]
    return re.split(r"\s#", text, maxsplit=1)[0].strip()
