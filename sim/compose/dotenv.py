"""`.env` files, as Compose reads them: shell-like quotes, escapes, comments, and variables of variables.

    A=1            # a comment behind a blank
    export B='$A is not filled in'
    C="$A ${MISSING:-x}\\n"
    D: yaml-like
    E              taken from the environment, if it is there

Follows compose-go's dotenv package. An error names the line and never its text: secrets live in these files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sim.compose.interpolation import substitute
from sim.errors import SpecError
from sim.reading import read_text

_NAME = re.compile(r"[^\S\n]*(?:export[^\S\n]+)?((?:[^\W]|[_.\-\[\]]|[^\S\n])*)([=:\n]|\Z)")
_ESCAPE = re.compile(r'\\([abcfnrtv$"\\]|0[0-9]{0,3})')
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\",
            "$": "$$", "c": "\\c"}


def read_env_files(files: Iterable[Path], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of several files, each able to use those before it; `environment` wins inside `$…`. Raises
    SpecError."""
    values: dict[str, str] = {}
    for file in files:
        try:
            text = read_text(file)
        except FileNotFoundError:
            raise SpecError("no such file", where=str(file), mend="check --env-file and env_file") from None
        parse_env(text, str(file), values, environment)
    return values


def parse_env(text: str, file: str, values: dict[str, str], environment: Mapping[str, str]) -> None:
    """Adds the variables of a text to `values`. Raises SpecError."""
    at = 0

    def where(index: int) -> str:
        return f"{file}:{text.count(chr(10), 0, index) + 1}"

    def filled(word: str, index: int) -> str:
        try:
            return substitute(word, {**values, **environment}.get)
        except SpecError as error:
            problem = "a variable is required and has no value" if "required" in error.problem else "a `$` is misused"
            raise SpecError(problem, where=where(index), mend="write NAME=value, and $$ for a dollar sign") from None

    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at >= len(text):
            return
        if text[at] == "#":
            at = _line_end(text, at)
            continue
        start = at
        found = _NAME.match(text, at)
        name = found[1].rstrip() if found else ""
        if found is None or re.search(r"\s", name) or (not name and found[2] in ("\n", "")):
            raise SpecError("sets no variable", where=where(start), mend="write NAME=value")
        at = found.end()
        if found[2] in ("\n", ""):
            if name in environment or name in values:
                values[name] = environment.get(name, values.get(name, ""))
            continue
        while at < len(text) and text[at] in "\t\v\f\r \x85\xa0":
            at += 1
        if text[at:at + 1] in ("'", '"'):
            word, at = _quoted(text, at, where)
            values[name] = filled(_unescaped(word), start) if text[at - 1] == '"' else word
            continue
        end = _line_end(text, at)
        word = text[at:end].partition(" #")[0].rstrip()
        values[name] = filled(word, start)
        at = end


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _quoted(text: str, at: int, where: Callable[[int], str]) -> tuple[str, int]:
    """What stands between the quotes, and the index behind them; of escapes only those of the quote are resolved."""
    chars: list[str] = []
    quote, index = text[at], at + 1
    while index < len(text):
        char = text[index]
        if char == quote:
            return "".join(chars), index + 1
        if char == "\\" and index + 1 < len(text):
            following = text[index + 1]
            chars.append(following if following == quote else f"\\{following}")
            index += 2
            continue
        chars.append(char)
        index += 1
    raise SpecError("a quote is not closed", where=where(at), mend=f"end the value with {quote}")


def _unescaped(word: str) -> str:
    def one(found: re.Match[str]) -> str:
        escape = found[1]
        if escape[0] == "0":
            # Go's octal escapes have three digits; others stay as they are.
            return chr(int(escape[1:], 8)) if re.fullmatch(r"0[0-3][0-7]{2}", escape) else found[0]
        return _ESCAPES[escape]

    return _ESCAPE.sub(one, word)
