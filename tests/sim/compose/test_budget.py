"""What a few lines can ask for has an end, and ten thousand services have not reached it."""

from __future__ import annotations

import pytest

from sim.compose import loads
from sim.errors import SpecError

WEB = "services: {web: {image: nginx}}\n"
BOMB = "x-a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(
    f"x-{next_}: &{next_} [{','.join([f'*{one}'] * 9)}]\n" for one, next_ in zip("abcdef", "bcdefg", strict=True))


@pytest.mark.parametrize(("text", "said"), [
    (WEB + BOMB, "alias"), ("services: " + "[" * 100_000, "nest"), ("services: " + "{a: " * 900 + "}" * 900, "nest"),
    ("- " * 5000, "nest"), (WEB + "x-a: [" + "1," * 300_001 + "]", "more than 300000 values"),
    ("services:\n" + "".join(f"  s{n}: {{scale: 250}}\n" for n in range(49)), "more than 12000 containers"),
    ("services: {a: {image: x, ports: [" + ",".join(f"'{n}001-{n + 1}000'" for n in range(1, 9)) + "]}}", "4000 ports"),
    ("services: {a: {scale: 250, expose: ['1-999']}}", "more than 20000 ports"),
    (WEB + "x-hopcast: {clients: {" + ",".join(f"c{n}: {{}}" for n in range(251)) + "}}", "more than 250 clients"),
    (WEB + "x-hopcast:\n  faults: {" + ",".join(f"f{n}: link down host" for n in range(99)) + "}\n  questions:\n"
     "  - around: [" + ",".join(f"f{n}" for n in range(99)) + "]\n    ask: [" + ",".join(
         f"client -> web:{n}" for n in range(1, 120)) + "]", "more than 20000 questions"),
    ('services: {web: {image: nginx, hostname: "a\\ud800"}}', "Unicode"), ('services: {"a\\ud800": {}}', "Unicode"),
])
def test_what_asks_for_too_much_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        loads(text, environment={})


def test_equal_questions_are_asked_once() -> None:
    text = "x-hopcast: {questions: [client -> web:80, client -> web:80, {from: client, to: web, port: 80, group: g}]}"
    spec = loads(WEB + text, environment={})
    assert [question.group for question in spec.questions] == ["", "g"]
    assert "asked once, though said more often: 1 questions" in spec.notes


def test_in_a_stack_asking_again_is_another_question_for_answers_take_turns() -> None:
    spec = loads(WEB + "x-hopcast: {stack: true, questions: [client -> web:80, client -> web:80]}", environment={})
    assert len(spec.questions) == 2
