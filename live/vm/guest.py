"""A running guest, as the host sees it: QEMU, the agent's serial line, the monitor, and the end of it all.

    with Guest.start(image, project) as guest:
        guest.ask("measure", {...})

A guest that hangs, crashes or takes too long ends in a LabError with the last lines of its console; QEMU and its folder
are gone then, as after every other end. The agent says every two seconds that it lives: what counts as hung is silence.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import select
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from live import endings, environment, state
from live.vm import qemu, runs, sockets, wire
from live.vm.image import Image
from live.vm.monitor import Monitor
from live.vm.project import Project
from live.vm.wire import Message
from sim.errors import HopcastError, LabError, PlumbError, SpecError

BOOT_LIMIT = 180.0
"""Seconds from QEMU's start to the agent's first word; 15 on two idle cores without KVM."""
SOCKET_LIMIT = 20.0
SILENCE_LIMIT = 60.0
"""Seconds without a word from the agent."""
ASK_LIMIT = 3600.0
CONSOLE_LINES = 8
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

Say = Callable[[Any], None]


class Hung(LabError):
    """The guest lives and says nothing. An emulated one can: its CPUs then wait for each other."""


class Guest:
    """Made by `start` or `attach`. `kept`: it stays after the `with` block, unless that raises."""

    def __init__(self, record: runs.Record, process: subprocess.Popen[bytes] | None) -> None:
        self.record, self.process = record, process
        self._idents = (f"{os.getpid()}.{number}" for number in itertools.count(1))
        self._handlers: dict[signal.Signals, object] = {}
        self._decoder = wire.Decoder()
        self._waiting: deque[Message] = deque()
        self._line = socket.socket(socket.AF_UNIX)

    @classmethod
    def start(cls, image: Image, project: Project, accelerator: str, *, keep: bool = False,
              incoming: Path | None = None, size: tuple[int, int] | None = None) -> Guest:
        """Boots a guest, or restores it from the file `incoming`; returns once its agent answers. `size`: memory in MiB
        and CPUs. LabError, and nothing left, where it can't."""
        runs.sweep()
        handlers = endings.as_exceptions()
        record = runs.new(kept=keep)
        record.where = qemu.where(accelerator)
        guest = cls(record, None)
        guest._handlers = handlers
        try:
            guest._launch(image, project, accelerator, size or (qemu.memory(), qemu.cpus()), incoming)
            guest._connect()
            if incoming is None:
                guest._listen(BOOT_LIMIT, lambda message: message.kind == "alive")
            else:
                with guest.monitor() as monitor:
                    monitor.restored()
            record.ready = True
            record.save()
        except BaseException as error:
            raise guest._ended(error) from None
        return guest

    @classmethod
    def attach(cls, run: str) -> Guest:
        """A guest that another command started and left. LabError when there is none."""
        record = runs.load(run)
        if record is None or not record.ready or not record.alive:
            raise LabError(f"no micro-VM {run} is up", mend="hopcast lab status shows those that are")
        guest = cls(record, None)
        guest._connect()
        return guest

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.record.kept and kind is None:
            self._release()
        else:
            self.end()

    def monitor(self) -> Monitor:
        return Monitor(self.record.folder / qemu.MONITOR)

    def ask(self, name: str, body: Any = None, say: Say | None = None, *, limit: float = ASK_LIMIT) -> Any:
        """The answer to a request. HopcastError as the guest raised it; LabError when it does not answer."""
        ident = next(self._idents)
        deadline = time.monotonic() + limit
        try:
            for piece in wire.pieces(ident, name, body):
                self._line.sendall(wire.encode(piece))
                index = piece.body[0]
                self._listen(min(SILENCE_LIMIT, limit), lambda m: m[:3] == (ident, "got", index))  # noqa: B023
            answer = self._listen(
                deadline - time.monotonic(), lambda m: m.ident == ident and m.kind in ("done", "failed"),
                lambda m: say(m.body) if say and m[:2] == (ident, "say") else None)
        except OSError as error:
            raise LabError(f"the micro-VM has gone: {error.strerror}{self.last_words()}") from error
        if answer.kind == "failed":
            raise told(answer.body)
        return answer.body

    def last_words(self) -> str:
        """The end of the console, to go behind an error's text."""
        try:
            text = (self.record.folder / qemu.CONSOLE).read_text(errors="replace")
        except OSError:
            text = ""
        lines = [line.rstrip() for line in text.splitlines() if line.strip()][-CONSOLE_LINES:]
        return "; its console says last: " + " | ".join(lines) if lines else "; its console is empty"

    def _release(self) -> None:
        self._line.close()
        endings.as_before(self._handlers)

    def end(self) -> None:
        """Ends QEMU and removes what it left. LabError when it does not end."""
        self._release()
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=runs.END_LIMIT)
        runs.end(self.record)

    def _launch(self, image: Image, project: Project, accelerator: str, size: tuple[int, int],
                incoming: Path | None) -> None:
        source = os.open(incoming, os.O_RDONLY) if incoming else None
        command = qemu.command(image, project, accelerator, *size, incoming=source)
        owner = os.getpid()

        def before() -> None:
            # Also when this process is killed: without it, an emulator would run on for nobody.
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != owner:
                os._exit(1)

        try:
            with (self.record.folder / "qemu.log").open("wb") as log:
                self.process = subprocess.Popen(
                    command, cwd=self.record.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    pass_fds=[source] if source is not None else [], start_new_session=True,
                    env=environment.minimal(),
                    preexec_fn=None if self.record.kept else before)
        except OSError as error:
            raise LabError(f"can't start QEMU: {error.strerror}", mend=qemu.GET) from error
        finally:
            if source is not None:
                os.close(source)
        self.record.qemu, self.record.qemu_started = self.process.pid, state.started(self.process.pid)
        self.record.save()

    def _connect(self) -> None:
        deadline = time.monotonic() + SOCKET_LIMIT
        while True:
            try:
                self._line = sockets.connect(self.record.folder / qemu.AGENT)
                return
            except OSError:
                self._check_alive()
                if time.monotonic() > deadline:
                    raise LabError(f"QEMU opens no socket within {SOCKET_LIMIT:.0f} s{self._complaint()}") from None
                time.sleep(0.02)

    def _listen(self, limit: float, wanted: Callable[[Message], bool], also: Callable[[Message], object] | None = None
                ) -> Message:
        """The first message that is `wanted`; `also` hears of the others."""
        deadline, heard = time.monotonic() + limit, time.monotonic()
        silence = min(limit, SILENCE_LIMIT if self.record.ready else limit)
        while True:
            while self._waiting:
                message, heard = self._waiting.popleft(), time.monotonic()
                if wanted(message):
                    return message
                if also is not None:
                    also(message)
            now = time.monotonic()
            if now > deadline or now > heard + silence:
                raise Hung(f"the micro-VM gave no answer within {min(limit, silence):.0f} s{self.last_words()}",
                           mend="try again; on a busy machine it is slow")
            if not select.select([self._line], [], [], min(1.0, deadline - now))[0]:
                self._check_alive()
                continue
            data = self._line.recv(1 << 16)
            if not data:
                raise LabError(f"the micro-VM has ended{self.last_words()}{self._complaint()}")
            self._waiting += self._decoder.feed(data)

    def _check_alive(self) -> None:
        ended = self.process.poll() is not None if self.process is not None else not self.record.alive
        if ended:
            raise LabError(f"the micro-VM has ended{self.last_words()}{self._complaint()}")

    def _complaint(self) -> str:
        """What QEMU itself said."""
        try:
            said = (self.record.folder / "qemu.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f"; QEMU says: {said[-1]}" if said else ""

    def _ended(self, error: BaseException) -> BaseException:
        """Ends everything, and what to raise then."""
        self.end()
        return error


def told(body: dict[str, str]) -> HopcastError:
    """The guest's error as the exception that it was."""
    match body["error"]:
        case "PlumbError":
            return PlumbError(body["problem"], where=body["where"], mend=body["mend"])
        case "SpecError":
            return SpecError(body["problem"], where=body["where"], mend=body["mend"])
    return LabError(body["problem"], mend=body["mend"])
