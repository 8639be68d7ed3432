"""QEMU's monitor: what stops, saves and continues a guest. QMP (docs/interop/qmp-spec.txt), as far as it is needed."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from live.vm import sockets
from sim.errors import LabError

CALL_LIMIT = 60.0
MIGRATE_LIMIT = 300.0
UNLIMITED = 1 << 40
"""Bytes a second: QEMU would save 128 MB a second, to leave a network to others."""


class Monitor:
    """A connection. LabError when QEMU refuses, hangs up, or takes too long."""

    def __init__(self, path: Path) -> None:
        try:
            self._sock = sockets.connect(path)
        except OSError as error:
            raise LabError(f"QEMU's monitor is not there: {error.strerror}") from error
        self._sock.settimeout(CALL_LIMIT)
        self._lines = self._sock.makefile("rb")
        self._read()  # the greeting
        self.call("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._sock.close()

    def call(self, command: str, *, descriptor: int | None = None, **arguments: Any) -> Any:
        """A command's answer; `descriptor` goes along with it."""
        data = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        try:
            if descriptor is None:
                self._sock.sendall(data)
            else:
                socket.send_fds(self._sock, [data], [descriptor])
            while True:
                answer = self._read()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise LabError(f"QEMU refuses {command}: {answer['error'].get('desc', '')}")
        except OSError as error:
            raise LabError(f"QEMU does not answer to {command}: {error or 'time limit'}") from error

    def save(self, descriptor: int) -> None:
        """Stops the guest and writes its state to an open file; the guest stays stopped."""
        self.call("stop")
        self.call("migrate-set-parameters", **{"max-bandwidth": UNLIMITED})
        self.call("getfd", descriptor=descriptor, fdname="state")
        self.call("migrate", uri="fd:state")
        self._until("completed", "saving")

    def restored(self) -> None:
        """Waits until the state that QEMU was started with is there, and lets the guest go on."""
        self._until("completed", "restoring")
        self.call("cont")

    def _until(self, wanted: str, what: str) -> None:
        deadline = time.monotonic() + MIGRATE_LIMIT
        while (found := self.call("query-migrate")).get("status") != wanted:
            if found.get("status") == "failed":
                raise LabError(f"{what} the guest failed: {found.get('error-desc', 'QEMU does not say why')}")
            if time.monotonic() > deadline:
                raise LabError(f"{what} the guest took longer than {MIGRATE_LIMIT:.0f} s")
            time.sleep(0.02)

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise LabError("QEMU has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer
