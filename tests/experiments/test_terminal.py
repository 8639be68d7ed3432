"""The progress bar: on a terminal only, and not before somebody waits."""

from __future__ import annotations

import io
import threading

import pytest

from experiments import terminal


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def seen_on(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> io.StringIO:
    """Called by the test itself: pytest puts its own stderr in place between a fixture and its test."""
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_what_is_done_soon_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_on(monkeypatch, Tty())
    with terminal.on_stderr(after=60.0) as progress:
        for done in range(10):
            progress("questions asked", done, 10)
    assert "questions" not in seen.getvalue()


def test_whoever_waits_long_enough_sees_how_far_it_is_and_no_thread_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = seen_on(monkeypatch, Tty())
    threads = threading.active_count()
    with terminal.on_stderr(after=1e-9) as progress:
        progress("questions asked", 3, 10)
        assert threading.active_count() == threads
    assert "3/10" in seen.getvalue() and "questions asked" in seen.getvalue()


def test_a_pipe_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_on(monkeypatch, io.StringIO())
    with terminal.on_stderr(after=1e-9) as progress:
        progress("questions asked", 3, 10)
    assert seen.getvalue() == ""
