"""The door of every command: what goes wrong behind it is one line on stderr, and an exit code that says what it was.

Whatever nobody foresaw ends here as well, with a code of its own: never a traceback, which looks like an answer and
whose code would be that of a disagreement. `--debug` (or HOPCAST_DEBUG) shows it.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from experiments.printable import one_line
from sim.errors import HopcastError, LabError, SpecError

UNFORESEEN = 70
"""EX_SOFTWARE of sysexits.h."""
INTERRUPTED = 130
PIPE_CLOSED = 141
DEBUG = "HOPCAST_DEBUG"
NARROWEST, WIDEST = 20, 1000
"""Columns for which lines are made: a terminal that says more, or less, is not believed."""
PLAIN = {"µ": "u", "…": "...", "·": ".", "→": "->", "–": "-", "—": "-", "×": "x", "±": "+-", "\N{NO-BREAK SPACE}": " "}
"""What a terminal without these characters gets in their place; others as escapes."""

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises of a mistyped command line: its own in newer versions, click's in older ones."""


class Commands(TyperGroup):
    """Turns mistakes into one line on stderr and the exit code that they carry."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """A mistyped command line is one line as well, instead of typer's box."""
        believe_no_terminal()
        try:
            code = super().main(*args, **extra | {"standalone_mode": False})
            sys.stdout.flush()
        except Exception as error:
            code = ending(error)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, UsageError):
            raise
        except (Exception, KeyboardInterrupt) as error:  # before typer makes something else of it
            raise typer.Exit(ending(error)) from None


def ending(error: BaseException) -> int:
    """Says in one line what went wrong; the exit code."""
    if debugging():
        traceback.print_exception(error)
    if isinstance(error, UsageError):
        if type(error).__name__ == "NoArgsIsHelpError":  # raised by newer versions only
            print(error, file=sys.stderr)
        else:
            complain(_of_usage(error))
        return SpecError.exit_code
    match error:
        case HopcastError():
            complain(str(error))
            return error.exit_code
        case KeyboardInterrupt() | typer.Abort():
            complain("interrupted")
            return INTERRUPTED
        case BrokenPipeError():
            # `hopcast predict … | head`: neither an agreement nor a disagreement. What is still buffered goes nowhere.
            _silence(sys.stdout)
            return PIPE_CLOSED
        case OSError():
            _silence(sys.stdout)
            said = "stdout is closed" if error.errno == errno.EBADF else error.strerror or str(error)
            complain(f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else said)
            return LabError.exit_code
    complain(f"unforeseen {type(error).__name__}{_where(error)}: {_short(str(error))}; this is a mistake of Hopcast's: "
             "please report it with the input and what `hopcast --debug …` prints")
    return UNFORESEEN


def complain(text: str) -> None:
    """One line on stderr, whatever the error's text looked like. Where nobody reads that, the exit code has to do."""
    try:
        print("hopcast:", one_line(text), file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """What is still buffered goes nowhere, so the interpreter's own end finds nothing to complain about."""
    with contextlib.suppress(OSError, ValueError):  # a test's has no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


def _of_usage(error: Any) -> str:
    """What is wrong with the command line, and where to read what would be right."""
    said = error.format_message().rstrip(".?")
    mark = "?" if error.format_message().endswith("?") else ""
    if getattr(error, "option_name", "") == "--debug":
        said += ", it stands before the command: hopcast --debug …"
    return f"{said}{mark} ({error.ctx.command_path} --help)" if error.ctx else said


def debugging() -> bool:
    return os.environ.get(DEBUG, "") not in ("", "0")


def debug(on: bool) -> None:
    """What `--debug` does."""
    if on:
        os.environ[DEBUG] = "1"


# the terminal, and the streams of the process


def believe_no_terminal() -> None:
    """COLUMNS, LINES and TERMINAL_WIDTH as rich and typer can take them: a number within reason, or none."""
    for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        said = os.environ.get(name)
        if said is None:
            continue
        digits = said.strip().lstrip("0")
        if not digits.isascii() or not digits.isdigit():
            del os.environ[name]
        else:
            number = WIDEST if len(digits) > 9 else int(digits)
            os.environ[name] = str(min(max(number, NARROWEST if name != "LINES" else 1), WIDEST))


def open_streams() -> None:
    """Standard streams that are there, and that take every text. To be called before any file is opened: who is started
    with a closed one (`>&-`) would open the next file in its place.

    A complaint to a closed one is lost; a result is an error, as on a full disk.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
    codecs.register_error("hopcast", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if utf(stream) else "hopcast")


def utf(stream: TextIO) -> bool:
    """Does it take every character?"""
    return (stream.encoding or "").lower().startswith("utf")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start:error.end]
    return "".join(PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode() for each in text), error.end
