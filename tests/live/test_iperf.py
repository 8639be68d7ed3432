"""iperf3 between two namespaces of the test's own, joined by a veth pair: no engine needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from live import iperf, netns, pinned, where
from sim.errors import LabError

NAMES = (f"hciperf-a-{os.getpid()}", f"hciperf-b-{os.getpid()}")
THERE = "10.9.7.2"

TCP: dict[str, Any] = {
    "start": {"test_start": {"protocol": "TCP", "num_streams": 2, "blksize": 131072}},
    "intervals": [{"sum": {"bits_per_second": 8e9}}, {"sum": {"bits_per_second": 12e9}}],
    "end": {
        "streams": [
            {"sender": {"bits_per_second": 6e9, "max_snd_cwnd": 350416, "mean_rtt": 37}, "receiver": {}},
            {"sender": {"bits_per_second": 4e9, "max_snd_cwnd": 460464, "mean_rtt": 43}, "receiver": {}},
        ],
        "sum_sent": {"seconds": 1.0, "bytes": 1250000000, "bits_per_second": 10e9, "retransmits": 7},
        "sum_received": {"seconds": 1.0, "bytes": 1240000000, "bits_per_second": 9.92e9},
        "cpu_utilization_percent": {"host_total": 81.5, "host_user": 1.5, "remote_total": 40.0},
        "sender_tcp_congestion": "cubic", "receiver_tcp_congestion": "cubic",
    },
}
UDP: dict[str, Any] = {
    "start": {"test_start": {"protocol": "UDP", "num_streams": 1, "blksize": 500}},
    "intervals": [{"sum": {"bits_per_second": 4e6}}],
    "end": {
        "streams": [{"udp": {"packets": 1000}}],
        "sum": {"packets": 1000, "lost_packets": 300, "lost_percent": 31.25},
        "sum_sent": {"seconds": 1.0, "bytes": 500000, "bits_per_second": 4e6, "packets": 1000, "lost_packets": 0},
        "sum_received": {"seconds": 1.0, "bytes": 330000, "bits_per_second": 2.64e6, "packets": 960},
        "cpu_utilization_percent": {"host_total": 99.0, "remote_total": 50.0},
    },
}


def test_a_tcp_report_gives_what_was_received_and_what_the_senders_kernel_saw() -> None:
    run = iperf.parse(json.dumps(TCP))
    assert (run.bits_per_second, run.sent_bits_per_second) == (9.92e9, 10e9)
    assert (run.retransmits, run.max_snd_cwnd, run.congestion) == (7, 460464, "cubic")
    assert run.mean_rtt == pytest.approx(40e-6)
    assert [run.client_cpu_use, run.server_cpu_use] == pytest.approx([0.815, 0.4])
    assert run.ramp == (8e9, 12e9)
    assert (run.packets, run.lost) == (0, 0.0)


def test_datagrams_lost_after_the_last_that_arrived_are_lost_as_well() -> None:
    run = iperf.parse(json.dumps(UDP))
    assert run.packets == 1000
    assert run.lost == pytest.approx(0.34)
    assert (run.retransmits, run.mean_rtt, run.congestion) == (0, 0.0, "")


@pytest.mark.parametrize(("said", "complained", "words"), [
    (json.dumps({"start": {}, "end": {}, "error": "unable to connect to server: Connection refused"}), "",
     "unable to connect to server: Connection refused"),
    (json.dumps({"start": {}, "intervals": [], "end": {}}), "", "ended before"),
    ("", "nsenter: cannot open /run/netns/gone: No such file or directory\n", "cannot open /run/netns/gone"),
])
def test_a_report_without_a_result_is_an_error_in_iperf3s_words(said: str, complained: str, words: str) -> None:
    with pytest.raises(LabError, match=words):
        iperf.parse(said, complained)


def test_an_emulated_machine_has_no_throughput(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(where.VARIABLE, "micro-VM_(TCG)")
    with pytest.raises(LabError, match="throughput can't be measured in an emulated micro-VM"):
        iperf.stream(Path("/run/netns/none"), Path("/run/netns/none"), THERE)


def test_what_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "iperf3" else f"/usr/bin/{tool}")
    monkeypatch.setattr(where, "refuse_times", lambda what: None)
    with pytest.raises(LabError, match="throughput needs iperf3; apt-get install iperf3"):
        iperf.stream(Path("/run/netns/none"), Path("/run/netns/none"), THERE)


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Path, Path]]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    if missing := iperf.missing_tools():
        pytest.skip(f"needs {', '.join(missing)}")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs: sender and receiver have one each")
    try:
        one, other = (netns.create(name) for name in NAMES)
        netns.veth(one, "eth0", other, "eth0")
        netns.address(one, "eth0", "10.9.7.1/24")
        netns.address(other, "eth0", f"{THERE}/24")
        yield one, other
    finally:
        for name in NAMES:
            netns.delete(name)


def nothing_runs() -> bool:
    return not any(subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=True).stdout
                   for name in NAMES)


@pytest.mark.live
def test_a_tcp_stream_is_measured_with_the_congestion_control_asked_for(wire: tuple[Path, Path]) -> None:
    run = iperf.stream(*wire, THERE, seconds=1, congestion="reno", window=256 << 10)
    assert 1e6 < run.bits_per_second < 1e12
    assert run.congestion == "reno"
    assert run.max_snd_cwnd > 1448 and 1e-6 < run.mean_rtt < 0.1
    assert 0 < run.client_cpu_use <= 1.05 and 0 < run.server_cpu_use <= 1.05
    assert 0.9 < run.seconds < 2 and 1 <= len(run.ramp) <= 20
    assert nothing_runs()


@pytest.mark.live
def test_a_write_of_a_super_segments_size_leaves_as_one_frame(wire: tuple[Path, Path]) -> None:
    before = received(wire[1])
    iperf.stream(*wire, THERE, seconds=1, congestion="reno", window=1 << 20, size=iperf.super_segment())
    frames, size = (now - then for now, then in zip(received(wire[1]), before, strict=True))
    assert size / frames > 0.8 * iperf.super_segment()


def received(path: Path) -> tuple[int, int]:
    """(frames, bytes) that eth0 has received."""
    def count() -> tuple[int, int]:
        with IPRoute() as route:
            found = route.get_links(netns.index_of(route, "eth0"))[0].get_attr("IFLA_STATS64")
            return int(found["rx_packets"]), int(found["rx_bytes"])

    return netns.call(path, count)


@pytest.mark.live
def test_parallel_streams_have_a_rate_each_and_keep_to_it(wire: tuple[Path, Path]) -> None:
    run = iperf.stream(*wire, THERE, seconds=1, parallel=3, rate=20e6)
    assert 22e6 < run.bits_per_second < 66e6


@pytest.mark.live
def test_a_slow_udp_stream_loses_little_and_keeps_its_rate(wire: tuple[Path, Path]) -> None:
    run = iperf.stream(*wire, THERE, protocol="udp", size=500, rate=4e6, seconds=1)
    assert 200 < run.packets < 1050
    assert run.lost < 0.05
    assert run.bits_per_second < 4.2e6


@pytest.mark.live
def test_udp_without_a_rate_sends_as_fast_as_it_goes(wire: tuple[Path, Path]) -> None:
    run = iperf.stream(*wire, THERE, protocol="udp", size=64, seconds=1)
    assert run.packets > 2_000
    assert 0 <= run.lost < 1
    assert run.bits_per_second <= run.sent_bits_per_second


@pytest.fixture
def published(wire: tuple[Path, Path]) -> Iterator[int]:
    """A port of the receiver's that is another in front of it, as Docker publishes one: for tcp and for udp."""
    rules = [f"PREROUTING -p {protocol} --dport 8080 -j DNAT --to-destination {THERE}:5201"
             for protocol in ("tcp", "udp")]
    try:
        for rule in rules:
            iptables("-A", rule)
        yield 8080
    finally:
        for rule in rules:
            iptables("-D", rule)


def iptables(what: str, rule: str) -> None:
    subprocess.run(["nsenter", f"--net={netns.path_of(NAMES[1])}", "iptables", "-w", "-t", "nat", what, *rule.split()],
                   check=True, capture_output=True, timeout=20)


@pytest.mark.live
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_published_port_is_dialled_and_the_server_listens_on_its_own(
    wire: tuple[Path, Path], published: int, protocol: str,
) -> None:
    run = iperf.stream(*wire, THERE, port=published, listen=5201, protocol=protocol, size=500, rate=4e6, seconds=1)
    assert 0.5e6 < run.bits_per_second < 4.2e6
    began = time.monotonic()
    with pytest.raises(LabError, match="Connection refused"):
        iperf.stream(*wire, THERE, port=published + 1, listen=5201, protocol=protocol, rate=4e6, seconds=1)
    assert time.monotonic() - began < 5
    assert nothing_runs()


@pytest.mark.live
def test_an_address_where_nobody_is_ends_in_time(wire: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iperf, "CONNECT_LIMIT", 0.3)
    with pytest.raises(LabError, match=r"iperf3 measured nothing: .*unable to connect"):
        iperf.stream(*wire, "10.9.7.77")
    assert nothing_runs()


@pytest.mark.live
def test_a_stream_that_takes_too_long_is_ended(wire: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iperf, "GRACE", -0.5)
    with pytest.raises(LabError, match=r"no throughput from 10\.9\.7\.2:5201 within 0 s"):
        iperf.stream(*wire, THERE, seconds=1, rate=1e6)
    assert nothing_runs()


@pytest.mark.live
def test_a_port_that_is_taken_is_an_error_in_the_servers_words(wire: tuple[Path, Path]) -> None:
    serving = pinned.start(wire[1], 0, ["iperf3", "--server", "--one-off"])
    try:
        pinned.await_listening(serving, "iperf3", iperf.PORT, "here")
        with pytest.raises(LabError, match=f"port {iperf.PORT} in {NAMES[1]}: .*Address already in use"):
            iperf.stream(*wire, THERE)
    finally:
        pinned.end(serving)
    assert nothing_runs()


@pytest.mark.live
def test_an_unknown_protocol_is_refused_and_no_server_stays(wire: tuple[Path, Path]) -> None:
    with pytest.raises(LabError, match="can't measure 'sctp'; use tcp or udp"):
        iperf.stream(*wire, THERE, protocol="sctp")
    assert nothing_runs()
