"""Requests that each make a connection, between two namespaces of the test's own: no engine needed."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from live import connect, connections, netns, pinned, sockperf, where
from live.capture import Capture, Point
from live.turns import in_turn
from sim.build import topology
from sim.errors import LabError
from sim.packet import Tcp, flag_names
from sim.predict.roundtrip import latency
from sim.spec import Question
from sim.trace import Kind

NAMES = (f"hccn-a-{os.getpid()}", f"hccn-b-{os.getpid()}")
THERE = "10.9.9.2"
PORT = 7007


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Path, Path]]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    if missing := pinned.missing("setpriv"):
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


def processes() -> list[str]:
    return [pid for name in NAMES for pid in subprocess.run(
        ["ip", "netns", "pids", name], capture_output=True, text=True, check=True).stdout.split()]


def test_percentiles_are_ranks_as_sockperf_counts_them() -> None:
    found = connect.statistics([n * 1000 for n in range(100, 0, -1)], (25.0, 50.0, 99.0, 99.9))
    assert found["observations"] == 100 and found["mean"] == pytest.approx(50.5e-6)
    assert found["percentiles"] == pytest.approx({"25.0": 25e-6, "50.0": 50e-6, "99.0": 99e-6, "99.9": 100e-6})
    assert connect.statistics([1000], (25.0,))["percentiles"] == pytest.approx({"25.0": 1e-6})


def test_a_connection_a_request_is_refused_in_an_emulated_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(where.VARIABLE, "micro-VM_(TCG)")
    with pytest.raises(LabError, match="latency can't be measured"):
        connections.requests(Path("/run/netns/a"), THERE, PORT, seconds=0.1, cpu=0)


@pytest.mark.live
def test_a_connection_a_request_is_timed_across_a_veth_and_at_home(wire: tuple[Path, Path]) -> None:
    one, other = wire
    cpu = sockperf.cpus()[0]
    with connections.accepting(other, PORT, cpu):
        across = [connections.requests(one, THERE, PORT, seconds=0.2, cpu=cpu) for _ in range(2)]
        home = [connections.requests(other, "127.0.0.1", PORT, seconds=0.2, cpu=cpu) for _ in range(2)]
    assert all(5e-6 < run.p50 < 5e-3 for run in (*home, *across))
    assert all(100 < run.observations <= connections.MOST for run in across)
    assert not processes()


@pytest.mark.live
def test_clients_that_connect_for_each_request_are_measured_in_turns_by_one_responder(wire: tuple[Path, Path]) -> None:
    one, other = wire
    cpu = sockperf.cpus()[0]
    with connections.accepting(other, PORT, cpu), ExitStack() as stack:
        clients = [stack.enter_context(connections.asking(*end, PORT, cpu))
                   for end in ((one, THERE), (other, "127.0.0.1"))]
        runs = in_turn(clients, 0.1)
    assert all(5e-6 < run.p50 < 5e-3 and run.observations > 50 for run in runs)
    assert not processes()


@pytest.mark.live
def test_a_cycle_is_the_nine_packets_that_the_model_prices(wire: tuple[Path, Path]) -> None:
    spec = topology("t").client("a").client("b", listens=[PORT]).spec()
    trip = latency(spec, Question(source="a", target="b", probe="tcp", port=PORT), style="connect")
    predicted = [(flag_names(step.packet.l4.flags), len(step.packet.payload)) for step in trip.trace
                 if step.kind is Kind.SEND and step.packet and isinstance(step.packet.l4, Tcp)]
    cycles: dict[int, list[tuple[str, int]]] = {}
    one, other = wire
    with connections.accepting(other, PORT, 0), Capture([Point("a", "eth0", str(one), "eth0")]) as capture:
        capture.mark()
        connections.requests(one, THERE, PORT, seconds=0.01, cpu=0)
        for step in capture.take().trace():
            if step.packet and isinstance(step.packet.l4, Tcp):
                tcp = step.packet.l4
                client = tcp.sport if step.way == "out" else tcp.dport
                cycles.setdefault(client, []).append((flag_names(tcp.flags), len(step.packet.payload)))
    found = Counter(map(tuple, cycles.values())).most_common(1)[0]
    assert len(predicted) == 9 and found[0] == tuple(predicted)
    assert found[1] > 0.9 * len(cycles), "but for those in which somebody was late"


@pytest.mark.live
def test_no_connection_stays_in_time_wait_at_either_end(wire: tuple[Path, Path]) -> None:
    one, other = wire
    with connections.accepting(other, PORT, 0):
        connections.requests(one, THERE, PORT, seconds=0.1, cpu=0)
        for namespace in wire:
            said = subprocess.run(["nsenter", f"--net={namespace}", "cat", "/proc/net/sockstat"],
                                  capture_output=True, text=True, check=True).stdout
            assert " tw 0 " in said


@pytest.mark.live
def test_a_request_where_nobody_listens_is_refused(wire: tuple[Path, Path]) -> None:
    with pytest.raises(LabError, match=rf"no time from {THERE}:9: Connection refused"):
        connections.requests(wire[0], THERE, 9, seconds=0.1, cpu=0)
    assert not processes()


@pytest.mark.live
def test_a_port_that_is_taken_is_an_error_that_names_it(wire: tuple[Path, Path]) -> None:
    _, other = wire
    taken = rf"port {PORT} .*Address already in use"
    with (connections.accepting(other, PORT, 0), pytest.raises(LabError, match=taken),
          connections.accepting(other, PORT, 0)):
        pass
    assert not processes()
