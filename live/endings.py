"""SIGTERM and SIGHUP as SystemExit, so that `with` blocks end and whatever was started is taken down.

For commands that hold something outside of this process. A program's own handlers stay.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


def as_exceptions() -> dict[signal.Signals, object]:
    """Sets the handlers where there are none, and returns what was there before: signal -> handler."""
    before: dict[signal.Signals, object] = {}
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _exit)
    return before


def as_before(handlers: dict[signal.Signals, object]) -> None:
    """Undoes `as_exceptions`, and forgets what it returned."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
    handlers.clear()


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
