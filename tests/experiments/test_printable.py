"""What shows stays as it is; what acts on a terminal, a page or a reader's eye becomes an escape."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from experiments import results
from experiments.printable import one_line, printable
from experiments.terminal import Output, Text

ANY = st.text(st.characters(codec=None))


def acts(text: str) -> list[str]:
    """The characters of a text that do something, besides a new line."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@given(ANY)
@example("\x1b]0;title\x07\x9b2J\x7f\u202e\u2028\ufeff\ud800\udcff")
def test_no_character_that_acts_is_left(text: str) -> None:
    assert not acts(printable(text))
    assert printable(printable(text)) == printable(text)
    assert not acts(one_line(text)) and "\n" not in one_line(text)
    printable(text).encode()


@pytest.mark.parametrize("text", ["web -> db:5432", "42.0\N{NO-BREAK SPACE}µs", "naïve ☃ 網", "a\nb", ""])
def test_what_shows_stays(text: str) -> None:
    assert printable(text) == text


def test_a_byte_of_a_files_name_that_is_no_utf8_is_shown_as_that_byte() -> None:
    assert printable(b"a\xff\x9b".decode(errors="surrogateescape")) == r"a\xff\x9b"


@given(st.recursive(ANY | st.integers() | st.booleans() | st.none(),
                    lambda inner: st.lists(inner) | st.dictionaries(ANY, inner), max_leaves=8))
def test_json_shows_and_means_what_it_meant(data: object) -> None:
    text = results.to_json(data)
    assert not acts(text)
    text.encode()
    if "\\ud" not in json.dumps(data):  # halves of surrogate pairs are no text that JSON could carry
        assert json.loads(text) == data


@given(ANY, st.integers(1, 60))
def test_a_terminal_gets_names_as_they_are_and_within_its_width(text: str, width: int) -> None:
    for part in (text, Text(text), Text("a").append(text, "red")):
        console = Output(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(part)
        assert not acts(console.export_text())


def test_what_looks_like_markup_is_text() -> None:
    console: Console = Output(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print("[red]a[/red] [/] :smile: [link=x]b")
    assert console.export_text() == "[red]a[/red] [/] :smile: [link=x]b\n"
