"""`x-hopcast: questions`: one-line or as mappings, alone or several under one heading.

    questions:
      - client -> web:80
      - {from: web, to: db, port: 5432, by: name, group: inside}
      - client -> web:8080 at h2 around cut
      - group: names
        around: [cut, crash]
        ask: [web -> db ping by name, {from: api, to: db, port: 5432}]

`around` a fault makes three questions of one: before, during and after it. (Around several faults "before" is asked
once.) `during` and `after` are one question each. What an entry with `ask` says holds for each of its questions, unless
that says otherwise.
"""

from __future__ import annotations

import re
from typing import Any

from sim.compose.budget import Budget
from sim.compose.document import Item
from sim.questions import around, ask, parse_lines
from sim.spec import Question, Spec

MOMENTS = {"during", "after", "around"}
SHARED_KEYS = MOMENTS | {"group", "comment", "timeout"}
QUESTION_KEYS = SHARED_KEYS | {"from", "to", "probe", "port", "by", "published", "at", "size", "df"}
LIST_KEYS = SHARED_KEYS | {"ask"}

Said = dict[str, Any]
"""Fields of a Question by name; `around` is a list of faults."""


def read_questions(item: Item, spec: Spec, budget: Budget) -> list[tuple[Question, Item]]:
    """The questions, in the file's order, and where each stands. Raises SpecError."""
    found: list[tuple[Question, Item]] = []
    for entry in item.sequence():
        asked = _entry(entry, spec, {})
        budget.spend("questions", asked, entry)
        found += asked
    return found


def _entry(item: Item, spec: Spec, shared: Said) -> list[tuple[Question, Item]]:
    """What one entry asks; `shared` is said by the list that it is in."""
    if not isinstance(item.value, dict):
        return [(question, item) for question in _line(item, spec, shared)]
    if "ask" in item.mapping():
        fields = item.fields(LIST_KEYS, of="a list of questions")
        said = _together(shared, _said(fields))
        return [asked for entry in fields["ask"].sequence() for asked in _entry(entry, spec, said)]
    fields = item.fields(QUESTION_KEYS, of="a question")
    for key in ("from", "to"):
        if key not in fields:
            item.fail(f"a question needs {key!r}", "write {from: web, to: db, port: 5432}")
    said = _together(shared, _said(fields))
    faults = said.pop("around", [])
    target = fields["to"].text()
    if "port" in fields:
        target += f":{fields['port'].port()}"
    for key in ("probe", "by", "at"):
        if key in fields:
            said[key] = fields[key].text()
    if "size" in fields:
        said["size"] = fields["size"].number()
    for key in ("df", "published"):
        if key in fields:
            said[key] = fields[key].flag()
    with item.blamed():
        asked = around(spec, ask(spec, fields["from"].text(), target, **said), faults)
        return [(question, item) for question in asked]


def _line(item: Item, spec: Spec, shared: Said) -> tuple[Question, ...]:
    """One line; when it is asked is as the list says, unless the line does."""
    with item.blamed():
        asked = parse_lines(spec, item.text())
        if len(asked) > 1 or asked[0].during or asked[0].after:
            shared = {key: value for key, value in shared.items() if key not in MOMENTS}
        faults = shared.get("around", [])
        said = {key: value for key, value in shared.items() if key != "around"}
        asked = tuple(Question.model_validate({**said, **each.model_dump(exclude_unset=True)}) for each in asked)
        return asked if len(asked) > 1 else around(spec, asked[0], faults)


def _together(shared: Said, own: Said) -> Said:
    """What a list says, and what is nearer: of the moments the nearer one alone."""
    if MOMENTS & set(own):
        shared = {key: value for key, value in shared.items() if key not in MOMENTS}
    return {**shared, **own}


def _said(fields: dict[str, Item]) -> Said:
    said: Said = {key: fields[key].text() for key in ("comment", "group", "during", "after") if key in fields}
    if "around" in fields:
        said["around"] = [fault.value for fault in fields["around"].texts()]
    if "timeout" in fields:
        text = fields["timeout"].text()
        if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
            fields["timeout"].fail(f"{text!r} is no number of seconds", "write it like 1.5")
        said["timeout"] = float(text)
    return said
