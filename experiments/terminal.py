"""Tables to stdout, progress and notes to stderr; nothing goes out that is not `printable`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import rich.text
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from experiments import results
from experiments.door import utf
from experiments.printable import one_line, printable

EVERY = 0.1
"""Seconds between two looks of a progress bar that has no thread."""


class Text(rich.text.Text):
    """rich's text, of printable characters only."""

    def __init__(self, text: str = "", *arguments: Any, **options: Any) -> None:
        super().__init__(printable(text), *arguments, **options)

    def append(self, text: rich.text.Text | str, style: Any = None) -> Text:
        super().append(printable(text) if isinstance(text, str) else text, style)
        return self


class Output(Console):
    """Takes texts as they are: what looks like rich's markup in a name is part of the name.

    And rich would end a program whose reader has gone with 1, which means something else here.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> rich.text.Text:
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def terminal() -> Console:
    """stdout, as wide as the terminal or as COLUMNS says; a pipe has room for a long rule."""
    return Output(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)


def show(*parts: RenderableType) -> None:
    console = terminal()
    for part in parts:
        console.print(part)


def show_json(data: Any) -> None:
    """JSON, valid whatever characters the terminal takes."""
    text = results.to_json(data)
    if not utf(sys.stdout):
        text = json.dumps(json.loads(text), sort_keys=True, indent=1) + "\n"
    sys.stdout.write(text)


def say(what: str) -> None:
    """A line to whoever waits."""
    print(one_line(what), file=sys.stderr)


def tell(*lines: str) -> None:
    """Plain lines to stdout."""
    print(*map(printable, lines), sep="\n")


@contextmanager
def on_stderr(after: float = 0.0) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr, gone when it is done; nothing where stderr is no terminal. `after`: it comes when that
    many seconds are over, and has no thread that looks after it, so a program may fork."""
    columns = (SpinnerColumn(), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.description}", markup=False))
    console = Output(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal, auto_refresh=not after)
    task, begun, shown = bar.add_task(""), time.monotonic(), 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        bar.update(task, description=one_line(what), completed=done, total=total)
        if after and now >= max(begun + after, shown + EVERY):
            shown = now
            bar.refresh() if bar.live.is_started else bar.start()

    try:
        if not after:
            bar.start()
        yield progress
    finally:
        bar.stop()


def say_notes(notes: Iterable[str]) -> None:
    """What was not read, or assumed. Said when nothing else is wrong: a mistake is one line, and this is not it."""
    for note in notes:
        say(f"note: {note}")
