"""Tables to stdout, progress and complaints to stderr; a mistake is one line, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from typer.core import TyperGroup

from experiments import results
from sim.errors import HopcastError, LabError, SpecError

INTERRUPTED = 130
PIPE_CLOSED = 141


UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises of a mistyped command line: its own in newer versions, click's in older ones."""


class Commands(TyperGroup):
    """Turns mistakes into one line on stderr and the exit code that they carry."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """A mistyped command line is one line as well, instead of typer's box."""
        try:
            code = super().main(*args, **extra | {"standalone_mode": False})
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # raised by newer versions only
                print(error, file=sys.stderr)
            else:
                complain(_of_usage(error))
            code = SpecError.exit_code
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HopcastError as error:
            complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # `hopcast predict … | head`: neither an agreement nor a disagreement. What is still buffered goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        except OSError as error:
            complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            raise typer.Exit(LabError.exit_code) from None


def complain(text: str) -> None:
    """One line on stderr, whatever the error's text looked like."""
    print("hopcast:", " ".join(text.split()), file=sys.stderr)


def _of_usage(error: Any) -> str:
    """What is wrong with the command line, and where to read what would be right."""
    said = error.format_message().rstrip(".?")
    mark = "?" if error.format_message().endswith("?") else ""
    return f"{said}{mark} ({error.ctx.command_path} --help)" if error.ctx else said


class Output(Console):
    """rich would end a program whose reader has gone with 1, which means something else here."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def terminal() -> Console:
    """stdout, as wide as the terminal or as COLUMNS says; a pipe has room for a long rule."""
    return Output(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160, highlight=False)


def show(*parts: RenderableType) -> None:
    console = terminal()
    for part in parts:
        console.print(part)


def show_json(data: Any) -> None:
    sys.stdout.write(results.to_json(data))


@contextmanager
def on_stderr() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr, gone when it is done; nothing where stderr is no terminal."""
    columns = (SpinnerColumn(), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.description}", markup=False))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def say_notes(notes: Iterable[str]) -> None:
    """What was not read, or assumed. Said when nothing else is wrong: a mistake is one line, and this is not it."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
