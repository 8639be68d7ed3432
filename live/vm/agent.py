"""The process in the guest that does what the host asks: one request at a time, over a serial line.

It runs the functions that it is given, in the main thread, as a command on a host would; a second thread says that it
is alive, so that the host can tell a long question from a hung guest. When this process ends, the guest does.
"""

from __future__ import annotations

import os
import termios
import threading
import time
import traceback
import tty
from collections.abc import Callable, Mapping
from typing import Any

from live.vm import wire
from live.vm.wire import Message
from sim.errors import HopcastError, LabError

ALIVE_EVERY = 2.0
"""Seconds of the guest's clock."""
BLOCK = 1 << 16

Say = Callable[[Any], None]
Handler = Callable[[Any, Say], Any]
"""(the request's body, what tells of progress) -> the answer, as JSON."""


class Line:
    """A serial line as a place to read and write messages."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd, termios.TCSANOW)
        self._turn = threading.Lock()

    def read(self) -> bytes:
        return os.read(self._fd, BLOCK)

    def send(self, message: Message) -> None:
        """The whole message, however long the host takes to read it."""
        data = memoryview(wire.encode(message))
        with self._turn:
            while data:
                data = data[os.write(self._fd, data[:BLOCK]):]


def serve(path: str, handlers: Mapping[str, Handler]) -> None:
    """Answers requests on the line at `path` until it closes."""
    line = Line(path)
    threading.Thread(target=_beat, args=[line], daemon=True).start()
    decoder, request = wire.Decoder(), wire.Request()
    while data := line.read():
        for message in decoder.feed(data):
            if message.kind != "ask":
                continue
            line.send(Message(message.ident, "got", message.body[0]))
            if asked := request.add(message):
                line.send(_answer(message.ident, *asked, handlers, line))


def _beat(line: Line) -> None:
    while True:
        line.send(Message("-", "alive"))
        time.sleep(ALIVE_EVERY)


def _answer(ident: str, name: str, body: Any, handlers: Mapping[str, Handler], line: Line) -> Message:
    try:
        if name not in handlers:
            raise LabError(f"the guest can't {name!r}", mend="hopcast lab image --fresh builds its image again")
        return Message(ident, "done", handlers[name](body, lambda said: line.send(Message(ident, "say", said))))
    except HopcastError as error:
        return Message(ident, "failed", describe(error))
    except BaseException as error:
        traceback.print_exc()  # to the console, whose end the host shows
        return Message(ident, "failed", describe(LabError(f"{type(error).__name__} in the guest: {error}")))


def describe(error: HopcastError) -> dict[str, str]:
    """An error as data."""
    known = {name: str(getattr(error, name, "")) for name in ("problem", "refusal", "where", "mend")}
    return {"error": type(error).__name__, "problem": known["problem"] or known["refusal"] or str(error),
            "where": known["where"], "mend": known["mend"]}
