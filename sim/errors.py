"""The three ways in which Hopcast says no.

A packet's fate is data (a `Step` with a `DropReason`); a mistake is one of these exceptions. The command line turns
each into one line on stderr and an exit code, so the text of an error is written for the person who reads it:
what is wrong, where, and how to mend it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from pydantic import BaseModel, ValidationError


class HopcastError(Exception):
    """Base of every error that Hopcast raises on purpose. `exit_code` is what the command ends with."""

    exit_code = 2


class SpecError(HopcastError):
    """The input is wrong: names the file, the key and the mend.

    >>> str(SpecError("port 70000 is out of range", where="compose.yaml: services.web.ports[0]", mend="use 1-65535"))
    'compose.yaml: services.web.ports[0]: port 70000 is out of range; use 1-65535'
    """

    def __init__(self, problem: str, *, where: str = "", mend: str = "") -> None:
        self.problem, self.where, self.mend = problem, where, mend
        super().__init__("".join([f"{where}: " if where else "", problem, f"; {mend}" if mend else ""]))


class NothingToDial(SpecError):
    """The file publishes a port that the engine does not: no mistake in the question, and nobody can dial it."""


class PlumbError(HopcastError):
    """The engine would refuse this: the text is close to what dockerd answers, `where` names the object.

    `mend` is Hopcast's own word about it: what is in the way, and what to do.
    """

    def __init__(self, refusal: str, *, where: str = "", mend: str = "") -> None:
        self.refusal, self.where, self.mend = refusal, where, mend
        super().__init__("".join([f"{where}: " if where else "", refusal, f"; {mend}" if mend else ""]))


class LabError(HopcastError):
    """The environment can't do what was asked: no root, no engine, a kernel feature missing, a time limit passed."""

    exit_code = 3

    def __init__(self, problem: str, *, mend: str = "") -> None:
        self.problem, self.mend = problem, mend
        super().__init__(f"{problem}; {mend}" if mend else problem)


MANY = 24
"""Words that one line can hold."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The mend for a word that nobody knows: the nearest known one, else all of them, or MANY (none: an empty text).

    >>> did_you_mean("fornt", ["front", "back"])
    "did you mean 'front'?"
    >>> did_you_mean("x", ["front", "back"])
    'known: back, front'
    """
    words = sorted(set(known))
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6) or [
        w for w in words if w.replace("-", "_").lower() == word.replace("-", "_").lower()]
    if near:
        return f"did you mean '{near[0]}'?"
    more = f", … ({len(words)} in all)" if len(words) > MANY else ""
    return f"known: {', '.join(words[:MANY])}{more}" if words else ""


def from_pydantic(error: ValidationError, model: type[BaseModel]) -> SpecError:
    """Pydantic's first complaint, as one line for a person."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    where, value, limits = f"{model.__name__}.{key}", first["input"], first.get("ctx", {})
    match first["type"]:
        case "extra_forbidden":
            return SpecError(f"{model.__name__} has no field {key!r}", mend=did_you_mean(key, model.model_fields))
        case "missing":
            return SpecError("is missing", where=where, mend="give it")
        case "less_than_equal" | "greater_than_equal" | "greater_than":
            if key.endswith("port"):
                return SpecError(f"port {value} is out of range", where=where, mend="use 1-65535")
            limit = next(iter(limits.values()))
            words = {"less_than_equal": "at most", "greater_than_equal": "at least", "greater_than": "more than"}
            problem = f"{key} {value} is out of range"
            return SpecError(problem, where=model.__name__, mend=f"use {words[first['type']]} {limit}")
        case "literal_error":
            known = re.findall(r"'([^']*)'", str(limits.get("expected", "")))
            return SpecError(f"unknown {key} {value!r}", where=model.__name__, mend=did_you_mean(str(value), known))
        case "int_parsing" | "int_type" | "int_from_float":
            return SpecError(f"{value!r} is not a whole number", where=where)
    return SpecError(f"{value!r}: {first['msg'][:1].lower()}{first['msg'][1:]}", where=where)
