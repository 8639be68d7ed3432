"""`.env` files, line by line, as Compose reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.compose.dotenv import parse_env, read_env_files
from sim.errors import SpecError


def read(text: str, **environment: str) -> dict[str, str]:
    values: dict[str, str] = {}
    parse_env(text, ".env", values, environment)
    return values


@pytest.mark.parametrize(("text", "expected"), [
    ("A=1", "1"), ("A = 1 ", "1"), ("export A=1", "1"), ("A: 1", "1"), ("A=", ""), ("A=a b # why", "a b"),
    ("A=a#b", "a#b"), ("A='a # b'", "a # b"), ("A='$B'", "$B"), ('A="$B"', "b"), ("A=$B-${C:-c}", "b-c"),
    (r'A="x\ny"', "x\ny"), (r"A='x\ny'", r"x\ny"), (r'A="\$B"', "$B"), ("A=$$B", "$B"), (r'A="a\"b"', 'a"b'),
    ("A='two\nlines'", "two\nlines"), ("# A=0\n\nA=1\nA=2", "2"), (r'A="\0101"', "A"),
])
def test_values_are_read_as_a_shell_would_nearly(text: str, expected: str) -> None:
    assert read("B=b\n" + text)["A"] == expected


def test_variables_of_the_shell_win_inside_values_and_a_name_alone_takes_the_shells_value() -> None:
    assert read("B=file\nA=$B\nC", B="shell", C="c") == {"B": "file", "A": "shell", "C": "c"}


@pytest.mark.parametrize(("text", "said"), [
    ("A=1\nsecret words here\n", ".env:2: sets no variable"), ("A='1\n\n", ".env:1: a quote is not closed"),
    ("\n\nA=${", ".env:3: a `$` is misused"), ("A=${B:?no B}", ".env:1: a variable is required and has no value"),
])
def test_an_error_names_the_line_and_never_its_text(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text)
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)


def test_a_file_uses_the_variables_of_those_before_it(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("A=1\n")
    two.write_text("B=$A$C\n")
    assert read_env_files([one, two], {"C": "c"}) == {"A": "1", "B": "1c"}
