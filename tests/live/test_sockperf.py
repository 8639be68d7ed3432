"""sockperf between two namespaces of the test's own, joined by a veth pair: no engine needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from live import netns, pinned, sockperf, under_load
from live.ping_pong import asking, ping_pong
from live.sockperf import Mode, Server
from live.turns import in_turn
from sim.errors import LabError

NAMES = (f"hcsp-a-{os.getpid()}", f"hcsp-b-{os.getpid()}")
THERE = "10.9.9.2"
NOBODY = Server(0, rests=False)
SHORT = 0.15
"""Seconds: enough for whether it works, not for a figure."""


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Path, Path]]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    if missing := sockperf.missing_tools():
        pytest.skip(f"needs {', '.join(missing)}")
    try:
        one, other = (netns.create(name) for name in NAMES)
        netns.veth(one, "eth0", other, "eth0")
        netns.address(one, "eth0", "10.9.9.1/24")
        netns.address(other, "eth0", f"{THERE}/24")
        yield one, other
    finally:
        for name in NAMES:
            netns.delete(name)


@pytest.fixture
def two_cpus() -> None:
    if len(sockperf.cpus()) < 2:
        pytest.skip("needs two CPUs")


def processes() -> list[str]:
    return [pid for name in NAMES for pid in subprocess.run(
        ["ip", "netns", "pids", name], capture_output=True, text=True, check=True).stdout.split()]


def at_rest(pid: int) -> bool:
    """A stop is noticed at the next return to user space, which may be on another CPU."""
    deadline = time.monotonic() + 1
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_both_ends_that_block_share_a_cpu() -> None:
    mode = Mode.blocking("udp")
    assert mode.client_cpu == mode.server_cpu and not mode.spin


def test_a_machine_with_one_cpu_has_none_for_each_end_to_poll_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockperf, "cpus", lambda: [3])
    assert Mode.blocking("tcp") == Mode("tcp", False, 3, 3)
    with pytest.raises(LabError, match="two CPUs"):
        Mode.spinning("tcp")


def test_a_machine_without_sockperf_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "missing", lambda program: [program])
    with pytest.raises(LabError, match="latency needs sockperf") as error:
        ping_pong(Path("/run/netns/nowhere"), THERE, 1, Mode.blocking("tcp"), NOBODY)
    assert "apt-get install sockperf" in str(error.value.mend)


@pytest.mark.live
def test_round_trips_are_timed_across_a_veth_and_at_home(wire: tuple[Path, Path]) -> None:
    one, other = wire
    mode = Mode.blocking("tcp")
    with sockperf.answering(other, 11111, mode) as server:
        across = [ping_pong(one, THERE, 11111, mode, server, seconds=0.3) for _ in range(2)]
        home = [ping_pong(other, "127.0.0.1", 11111, mode, server, seconds=0.3) for _ in range(2)]
    assert all(1e-6 < run.p50 < 1e-3 for run in (*home, *across))
    assert all(run.observations > 500 and run.percentiles[25.0] <= run.p50 <= run.percentiles[99.9] for run in across)
    assert not processes()


@pytest.mark.live
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_both_ends_may_poll_and_the_server_rests_meanwhile(
    wire: tuple[Path, Path], two_cpus: None, protocol: str,
) -> None:
    one, other = wire
    mode = Mode.spinning(protocol)
    with sockperf.answering(other, 11111, mode, rests=True) as server:
        assert at_rest(server.pid)
        with asking(one, THERE, 11111, mode, server) as client:
            client.turn(SHORT)
            assert at_rest(server.pid) and at_rest(client.client.process.pid)
            [run] = in_turn([client], SHORT)
        assert at_rest(server.pid)
    assert 1e-6 < run.p50 < 1e-3
    assert not processes()


@pytest.mark.live
def test_clients_are_measured_in_turns_each_by_its_own_server_and_no_round_trip_has_a_pause_in_it(
    wire: tuple[Path, Path],
) -> None:
    one, other = wire
    modes = [Mode.blocking(protocol) for protocol in ("tcp", "udp", "tcp", "udp")]
    with ExitStack() as stack:
        servers = [stack.enter_context(sockperf.answering(other, port, mode)) for port, mode in enumerate(modes, 12001)]
        clients = [stack.enter_context(asking(one, THERE, port, mode, servers[port - 12001], size=100))
                   for port, mode in enumerate(modes, 12001)]
        runs = in_turn(clients, SHORT)
        for client, run in zip(clients, runs, strict=True):
            assert SHORT <= client.counted < 2 * SHORT and client.counted / run.mean > 0.3 * run.observations
            assert run.mean * run.observations < 1.2 * client.counted, "a pause is longer than all turns together"
    assert all(1e-6 < run.p50 < 1e-3 for run in runs)
    assert not processes()


@pytest.mark.live
def test_clients_of_one_udp_server_are_measured_in_turns(wire: tuple[Path, Path], two_cpus: None) -> None:
    one, other = wire
    mode = Mode.spinning("udp")
    with sockperf.answering(other, 11111, mode, rests=True) as server, ExitStack() as stack:
        clients = [stack.enter_context(asking(one, THERE, 11111, mode, server)) for _ in range(3)]
        runs = in_turn(clients, SHORT)
        assert at_rest(server.pid)
    assert all(1e-6 < run.p50 < 1e-3 for run in runs)


@pytest.mark.live
def test_connections_to_one_tcp_server_are_served_in_the_order_in_which_they_were_made(
    wire: tuple[Path, Path],
) -> None:
    one, other = wire
    mode = Mode.blocking("tcp")
    with sockperf.answering(other, 11111, mode) as server, ExitStack() as stack:
        clients = [stack.enter_context(asking(one, THERE, 11111, mode, server)) for _ in range(3)]
        assert all(1e-6 < in_turn([client], SHORT)[0].p50 < 1e-3 for client in clients)
    assert not processes()


@pytest.mark.live
def test_below_saturation_every_message_is_answered_and_beyond_it_some_are_lost(
    wire: tuple[Path, Path], two_cpus: None,
) -> None:
    one, other = wire
    with sockperf.answering(other, 11111, Mode.spinning("udp"), rests=True) as server:
        loads = []
        for rate in (2_000, under_load.MOST):
            with under_load.loading(one, THERE, 11111, rate=rate, seconds=SHORT) as client:
                loads.append(client.measure(server))
    light, heavy = loads
    assert light.offered == 2_000 and light.rate == pytest.approx(2_000, rel=0.2) and light.lost < 0.2
    assert heavy.lost > 0.05 and heavy.goodput < heavy.rate < heavy.offered
    assert heavy.goodput > light.goodput and heavy.percentiles[50.0] > light.percentiles[50.0]
    assert not processes()


@pytest.mark.live
def test_the_receiver_preempts_the_server_and_the_sender_has_a_cpu_of_its_own(
    wire: tuple[Path, Path], two_cpus: None,
) -> None:
    one, other = wire
    mode = Mode.spinning("udp")
    seen: list[tuple[bool, set[int], int]] = []

    def begin(pid: int) -> None:
        pinned.receiver_first(pid, mode.server_cpu, under_load.FIRST)
        seen.extend((thread == pid, os.sched_getaffinity(thread), os.sched_getscheduler(thread))
                    for thread in (int(entry) for entry in os.listdir(f"/proc/{pid}/task")))

    with (sockperf.answering(other, 11111, mode, rests=True) as server,
          under_load.loading(one, THERE, 11111, rate=1000, seconds=SHORT) as client):
        replace(client, begin=begin).measure(server)
    assert sorted(seen) == [(False, {mode.server_cpu}, os.SCHED_FIFO), (True, {mode.client_cpu}, os.SCHED_OTHER)]


@pytest.mark.live
def test_sender_and_server_are_real_time_programs_while_a_load_is_counted_and_ordinary_ones_after_it(
    wire: tuple[Path, Path], two_cpus: None,
) -> None:
    one, other = wire
    with (sockperf.answering(other, 11111, Mode.spinning("udp"), rests=True) as server,
          under_load.loading(one, THERE, 11111, rate=1000, seconds=SHORT) as client):
        both = client.client.process.pid, server.pid
        with client.undisturbed(server):
            assert [os.sched_getscheduler(pid) for pid in both] == [os.SCHED_FIFO, os.SCHED_FIFO]
        assert [os.sched_getscheduler(pid) for pid in (*both, 0)] == [os.SCHED_OTHER] * 3
        assert client.measure(server).lost < 0.2


@pytest.mark.live
def test_a_tcp_port_where_nobody_listens_is_refused_in_sockperfs_words(wire: tuple[Path, Path]) -> None:
    one, _ = wire
    with pytest.raises(LabError, match=rf"{THERE}:9: .*refused"):
        ping_pong(one, THERE, 9, Mode.blocking("tcp"), NOBODY)
    assert not processes()


@pytest.mark.live
def test_a_udp_port_where_nobody_answers_is_an_error_in_time(wire: tuple[Path, Path]) -> None:
    one, _ = wire
    began = time.monotonic()
    with pytest.raises(LabError, match="No messages were received from the server"):
        ping_pong(one, THERE, 9, Mode.blocking("udp"), NOBODY, seconds=SHORT)
    assert time.monotonic() - began < sockperf.PAUSE + sockperf.GRACE
    assert not processes()


@pytest.mark.live
def test_a_port_that_is_taken_is_an_error_that_names_it(wire: tuple[Path, Path]) -> None:
    _, other = wire
    mode = Mode.blocking("udp")
    with (sockperf.answering(other, 11111, mode), pytest.raises(LabError, match="port 11111"),
          sockperf.answering(other, 11111, mode)):
        pass
    assert not processes()


@pytest.mark.live
@pytest.mark.parametrize("rate", [0, under_load.MOST + 1])
def test_a_load_that_sockperf_cant_be_asked_for_is_refused(wire: tuple[Path, Path], two_cpus: None, rate: int) -> None:
    with (pytest.raises(LabError, match="messages a second"),
          under_load.loading(wire[0], THERE, 9, rate=rate)):
        pass


@pytest.mark.live
def test_a_message_shorter_than_sockperfs_header_is_refused(wire: tuple[Path, Path]) -> None:
    with pytest.raises(LabError, match="smallest has 14"):
        ping_pong(wire[0], THERE, 9, Mode.blocking("tcp"), NOBODY, size=13)


@pytest.mark.live
def test_no_server_outlives_who_started_it(wire: tuple[Path, Path]) -> None:
    code = ("from pathlib import Path; from live import sockperf; import time\n"
            f"with sockperf.answering(Path({str(wire[1])!r}), 11111, sockperf.Mode.blocking('udp')) as server:\n"
            "    print(server.pid, flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout and int(owner.stdout.readline())
        assert len(processes()) == 1
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while processes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not processes()
