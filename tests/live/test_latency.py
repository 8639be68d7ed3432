"""sockperf between two namespaces of the test's own, joined by a veth pair: no engine needed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import latency, netns
from sim.errors import LabError

SAID = """sockperf: == version #3.7-no.git ==
[ 0] IP = 10.9.9.2        PORT = 11111 # TCP
\x1b[2;35msockperf: ====> avg-rtt=8.834 (std-dev=1.480)\x1b[0m
sockperf: Total 112334 observations; each percentile contains 1123.34 observations
sockperf: ---> <MAX> observation =  203.131
sockperf: ---> percentile 99.999 =  101.001
sockperf: ---> percentile 99.000 =   11.940
sockperf: ---> percentile 90.000 =    9.000
sockperf: ---> percentile 75.000 =    8.700
sockperf: ---> percentile 50.000 =    8.638
sockperf: ---> percentile 25.000 =    8.588
sockperf: ---> <MIN> observation =    7.900
"""
NAMES = (f"hclat-a-{os.getpid()}", f"hclat-b-{os.getpid()}")


def test_sockperfs_microseconds_become_seconds() -> None:
    run = latency.parse(SAID)
    assert run.requests == 112334
    assert run.p50 == pytest.approx(8.638e-6)
    assert run.mean == pytest.approx(8.834e-6)
    assert run.percentiles[99.0] == pytest.approx(11.940e-6)


def test_sockperf_that_measured_nothing_is_an_error_with_its_own_words() -> None:
    with pytest.raises(LabError, match="Connection refused"):
        latency.parse("sockperf: ERROR: Can`t connect socket (errno=111 Connection refused)\n")


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Path, Path]]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    if missing := latency.missing_tools():
        pytest.skip(f"needs {', '.join(missing)}")
    try:
        one, other = (netns.create(name) for name in NAMES)
        netns.veth(one, "eth0", other, "eth0")
        netns.address(one, "eth0", "10.9.9.1/24")
        netns.address(other, "eth0", "10.9.9.2/24")
        yield one, other
    finally:
        for name in NAMES:
            netns.delete(name)


@pytest.mark.live
def test_crossing_a_veth_costs_more_than_loopback(wire: tuple[Path, Path]) -> None:
    one, other = wire
    across = [latency.ping_pong(one, other, "10.9.9.2") for _ in range(2)]
    home = [latency.ping_pong(other, other, "127.0.0.1") for _ in range(2)]
    assert 1e-6 < min(run.p50 for run in home) < min(run.p50 for run in across) < 1e-3
    assert all(run.requests > 1000 and run.percentiles[25.0] <= run.p50 <= run.percentiles[99.0] for run in across)


@pytest.mark.live
def test_a_port_where_nobody_answers_is_an_error_and_no_process_stays(wire: tuple[Path, Path]) -> None:
    one, other = wire
    began = time.monotonic()
    with pytest.raises(LabError):
        latency.ping_pong(one, other, "10.9.9.2", 9, listen=11111)
    assert time.monotonic() - began < 1 + latency.GRACE + 2
    inside = subprocess.run(["ip", "netns", "pids", NAMES[1]], capture_output=True, text=True, check=True)
    assert not inside.stdout.split()


@pytest.mark.live
def test_a_port_that_is_taken_is_an_error_that_names_it(wire: tuple[Path, Path]) -> None:
    one, other = wire
    with latency.answering(other, 11111, latency.first_cpu()), pytest.raises(LabError, match="port 11111"):
        latency.ping_pong(one, other, "10.9.9.2")
