"""Programs in namespaces, each on a CPU of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import netns, pinned
from sim.errors import LabError

NAME = f"hcpin-{os.getpid()}"
LISTEN = "import socket, time; s = socket.create_server(('', 7777)); time.sleep(30)"
BIND = "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 7777)); time.sleep(30)"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    try:
        yield netns.create(NAME)
    finally:
        netns.delete(NAME)


def test_the_line_that_speaks_of_an_error_is_what_a_program_said() -> None:
    said = "iperf3: error - unable to start listener for connections: Address already in use\niperf3: exiting\n"
    assert pinned.last_words(said).endswith("Address already in use")
    assert pinned.last_words("\x1b[2;35msockperf: Starting test\x1b[0m\n\n") == "sockperf: Starting test"
    assert pinned.last_words("") == "nothing was said"


def test_a_program_that_this_machine_lacks_is_missing() -> None:
    assert "no-such-tool" in pinned.missing("no-such-tool")


@pytest.mark.live
@pytest.mark.parametrize(("program", "protocol"), [(LISTEN, "tcp"), (BIND, "udp")])
def test_a_program_is_ready_when_it_listens_and_gone_when_it_was_ended(
    place: Path, program: str, protocol: str,
) -> None:
    cpu = min(os.sched_getaffinity(0))
    process = pinned.start(place, cpu, [sys.executable, "-c", program])
    try:
        pinned.await_listening(process, "python", 7777, place.name, protocol)
        assert os.sched_getaffinity(process.pid) == {cpu}
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == -20
        assert os.readlink(f"/proc/{process.pid}/ns/net") != os.readlink("/proc/self/ns/net")
        assert not pinned.listens(process.pid, 7778, protocol)
        assert not pinned.listens(os.getpid(), 7777, protocol)
    finally:
        pinned.end(process)
    assert not Path(f"/proc/{process.pid}").exists()


@pytest.mark.live
def test_a_program_that_ends_instead_of_listening_is_an_error_in_its_own_words(place: Path) -> None:
    process = pinned.start(place, 0, [sys.executable, "-c", "raise SystemExit('error: no luck today')"])
    try:
        with pytest.raises(LabError, match=rf"it can't serve on port 7777 in {NAME}: error: no luck today"):
            pinned.await_listening(process, "it", 7777, place.name)
    finally:
        pinned.end(process)


@pytest.mark.live
def test_a_program_that_never_listens_is_given_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "LISTEN_LIMIT", 0.2)
    process = pinned.start(place, 0, ["sleep", "30"])
    try:
        with pytest.raises(LabError, match="it does not listen on port 7777"):
            pinned.await_listening(process, "it", 7777, place.name)
    finally:
        pinned.end(process)


def test_a_process_that_has_gone_listens_on_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert pinned.listens(os.getpid(), listener.getsockname()[1])
        assert not pinned.listens(2 ** 22 + 1, listener.getsockname()[1])


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    """A process that is called as the engine's is, and our child as that is dockerd's."""
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "docker-proxy")
    with subprocess.Popen([program, "30"]) as process:
        while "docker-proxy" not in Path(f"/proc/{process.pid}/stat").read_text():
            time.sleep(0.01)
        yield process.pid
        process.kill()


def test_an_engines_proxies_are_moved_to_one_cpu(proxy: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: a higher nice level")
    cpu = max(os.sched_getaffinity(0))
    assert proxy in pinned.pin_proxies({os.getpid()}, cpu)
    assert os.sched_getaffinity(proxy) == {cpu}
    assert os.getpriority(os.PRIO_PROCESS, proxy) == pinned.NICE


def test_another_engines_proxies_stay_where_they_are(proxy: int) -> None:
    before = os.sched_getaffinity(proxy)
    assert proxy not in pinned.pin_proxies({os.getppid()}, min(before))
    assert os.sched_getaffinity(proxy) == before


AUTOGROUP = Path("/proc/self/autogroup")
WATCHED = """
from pathlib import Path
from live import pinned
group = Path("/proc/self/autogroup")
if not group.read_text():  # kernel/sched/autogroup.c: in no group
    raise SystemExit
print(group.read_text().split()[-1])
with pinned.above_others(), pinned.above_others():
    print(group.read_text().split()[-1])
print(group.read_text().split()[-1])
"""


def test_this_session_goes_first_while_something_is_measured_and_not_longer() -> None:
    if os.geteuid() != 0 or not AUTOGROUP.exists():
        pytest.skip("needs root and a kernel that schedules sessions as groups")
    said = subprocess.run([sys.executable, "-c", WATCHED], start_new_session=True, stdout=subprocess.PIPE, text=True,
                          check=True, timeout=30)
    if not said.stdout:
        pytest.skip("a new session is no group here: the kernel was started with noautogroup")
    assert said.stdout.split() == ["0", "-20", "0"]


def test_what_belongs_to_no_session_that_is_scheduled_as_a_group_is_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    (empty := tmp_path / "autogroup").write_text("")
    monkeypatch.setattr(pinned, "AUTOGROUP", empty)
    with pinned.above_others():
        assert empty.read_text() == ""
    assert empty.read_text() == ""
    monkeypatch.setattr(pinned, "AUTOGROUP", tmp_path / "nowhere")
    with pinned.above_others():
        assert not (tmp_path / "nowhere").exists()
