"""The guest's agent and the host's end of its line, over a pseudo-terminal and a socket in place of QEMU's."""

from __future__ import annotations

import os
import pty
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from live import state
from live.vm import agent, guest, qemu, runs
from live.vm.guest import Guest
from sim.errors import LabError, PlumbError, SpecError


def refuse(body: Any, say: agent.Say) -> Any:
    raise {"plumb": PlumbError("Pool overlaps", where="network a", mend="another subnet"),
           "spec": SpecError("no such", where="x", mend="y"), "bug": ZeroDivisionError("by zero")}[body]


def count(body: Any, say: agent.Say) -> Any:
    for number in range(body):
        say(["counting", number, body])
    return body


def hang(body: Any, say: agent.Say) -> Any:
    time.sleep(body)
    return "late"


HANDLERS: dict[str, agent.Handler] = {"echo": lambda body, say: body, "refuse": refuse, "count": count, "hang": hang}


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    """A guest whose agent is a thread: a socket joined to a pseudo-terminal, as QEMU joins it to a UART."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    host_end, line = pty.openpty()
    record = runs.new(kept=False)
    record.qemu, record.qemu_started = os.getpid(), state.started(os.getpid())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(record.folder / qemu.AGENT))
    listener.listen(1)
    threading.Thread(target=agent.serve, args=[os.ttyname(line), HANDLERS], daemon=True).start()
    threading.Thread(target=join, args=[listener, host_end], daemon=True).start()
    talking = Guest(record, None)
    talking._connect()
    talking._listen(10, lambda message: message.kind == "alive")
    record.ready = True
    yield talking
    talking._line.close()
    listener.close()


def join(listener: socket.socket, terminal: int) -> None:
    line, _ = listener.accept()

    def outwards() -> None:
        with suppress(OSError):  # the host has hung up
            while data := os.read(terminal, 4096):
                line.sendall(data)

    threading.Thread(target=outwards, daemon=True).start()
    with suppress(OSError):
        while data := line.recv(4096):
            os.write(terminal, data)


def test_a_large_answer_comes_whole(there: Guest) -> None:
    body = {"text": "frame" * 40_000}
    assert there.ask("echo", body, limit=30) == body


def test_progress_is_heard_before_the_answer(there: Guest) -> None:
    heard: list[Any] = []
    assert there.ask("count", 3, heard.append, limit=30) == 3
    assert heard == [["counting", 0, 3], ["counting", 1, 3], ["counting", 2, 3]]


@pytest.mark.parametrize(("what", "error", "text"), [
    ("plumb", PlumbError, "network a: Pool overlaps; another subnet"), ("spec", SpecError, "x: no such; y"),
    ("bug", LabError, "ZeroDivisionError in the guest: by zero")])
def test_an_error_in_the_guest_is_the_same_error_on_the_host(
    there: Guest, what: str, error: type[Exception], text: str,
) -> None:
    with pytest.raises(error) as raised:
        there.ask("refuse", what, limit=30)
    assert str(raised.value) == text


def test_after_an_error_the_guest_goes_on_answering(there: Guest) -> None:
    with pytest.raises(LabError, match="can't 'dance'"):
        there.ask("dance", limit=30)
    assert there.ask("echo", 1, limit=30) == 1


def test_a_guest_that_takes_too_long_ends_in_its_consoles_last_words(there: Guest) -> None:
    (there.record.folder / qemu.CONSOLE).write_text("Kernel panic\n---[ end ]---\n")
    with pytest.raises(LabError, match=r"no answer within 1 s.*Kernel panic"):
        there.ask("hang", 5, limit=1)


def test_a_silent_guest_counts_as_hung_long_before_the_questions_time_is_up(
    there: Guest, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guest, "SILENCE_LIMIT", 0.5)
    monkeypatch.setattr(agent, "ALIVE_EVERY", 60.0)
    time.sleep(2.5)  # the beat that is under way
    begun = time.monotonic()
    with pytest.raises(LabError, match="no answer within"):
        there.ask("hang", 20, limit=100)
    assert time.monotonic() - begun < 10


def test_a_guest_whose_line_closes_has_ended(there: Guest) -> None:
    there._line.shutdown(socket.SHUT_RDWR)
    with pytest.raises(LabError, match=r"ended|gone"):
        there.ask("echo", 1, limit=30)


