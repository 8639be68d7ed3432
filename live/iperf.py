"""Throughput between two network namespaces: iperf3, a client in one and a one-shot server in the other.

Sender and receiver are pinned, each to a CPU of its own unless told otherwise: the sender's CPU also does the softirq
work of the whole path (a veth hands over on the sending CPU), the receiver's copies to user space.

The first part of a stream is not left out (iperf3's -O): over paths of microseconds slow start is over within
milliseconds, and -O costs whole seconds. What was sent in each tenth of a second is in `ramp`, for paths with queues.

iperf3 talks about the test over a TCP connection to the same port number. Through a published port a UDP test needs
that port published twice, as tcp and as udp.

Releases before 3.16 serve all parallel streams with one thread, later ones have a thread each. Pinned they share one
CPU either way.

Sender and receiver on two CPUs may reorder segments: what the process writes takes the backlog of its own CPU, what an
acknowledgement sets free that of the CPU where the acknowledgement was delivered. The retransmissions seen then are
needless (DSACK), on one CPU there are none.

Which congestion control a namespace has depends on the machine: BBR paces, and its figure is often the pacing's and not
the path's. Say `congestion` where figures of different machines, or a model's, are to be compared.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live import pinned, where
from live.patience import patient
from sim.errors import LabError

PORT = 5201
"""iperf3's own default."""
GRACE = 10.0
"""Seconds beyond the measured ones that a run may take: connections, the exchange of results."""
CONNECT_LIMIT = 5.0
INTERVAL = 0.1
"""Seconds for each figure of `ramp`: the shortest that iperf3 takes."""
PACING = 100
"""Microseconds between two looks at whether more may be sent, where there is a rate. iperf3's own is a thousand, and a
burst of a millisecond can be more than a receive buffer holds."""


GSO_BYTES = 65536 - 320 - 1
"""The payload that TCP allows in a super-segment: GSO_LEGACY_MAX_SIZE less MAX_TCP_HEADER (tcp_bound_to_half_wnd and
sk_setup_caps, net/core/sock.c)."""
HEADERS = 20 + 20 + 12
"""IPv4, TCP, and its time stamps."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """One run. Bits are the payload's, without any header."""

    bits_per_second: float
    """As received."""
    sent_bits_per_second: float
    packets: int
    """UDP: datagrams sent. 0 with TCP, which does not know."""
    lost: float
    """UDP: the fraction of them that the receiver did not read before the end."""
    retransmits: int
    client_cpu_use: float
    """Of one CPU, 0 to 1: the process itself, with the softirq work that it does on its way."""
    server_cpu_use: float
    max_snd_cwnd: int
    """TCP: bytes, the largest over all streams."""
    mean_rtt: float
    """TCP: seconds as the sender's kernel saw them, over all streams."""
    seconds: float
    congestion: str
    """TCP: the sender's congestion control."""
    ramp: tuple[float, ...]
    """Bits per second sent in each tenth of a second."""


def missing_tools() -> list[str]:
    """The programs that a measurement needs and this machine lacks."""
    return pinned.missing("iperf3")


def super_segment(mtu: int = 1500) -> int:
    """Payload bytes of TCP's largest super-segment: a `size` with which every write leaves as exactly one.

    iperf3's own writes of 128 KiB leave as two and a rest of some hundred bytes, which takes as many steps as they do.

    >>> super_segment(), super_segment(1450)
    (65160, 64308)
    """
    segment = mtu - HEADERS
    return GSO_BYTES // segment * segment


def stream(client: Path, server: Path, address: str, *, port: int = PORT, listen: int = 0, protocol: str = "tcp",
           parallel: int = 1, size: int = 0, rate: float = 0.0, window: int = 0, congestion: str = "",
           seconds: int = 2, client_cpu: int = 0, server_cpu: int = 1) -> Throughput:
    """Send from namespace `client` to `address`:`port` for some seconds, received in namespace `server`.

    `listen` is the port on which the server listens, where a published one is dialled. `size` is the bytes of a write:
    with UDP, of a datagram (0: iperf3's own); `rate` bits per second for each stream (0: as fast as it goes); `window`
    the bytes of the socket buffers, at both ends (0: the kernel's own, which TCP tunes); `congestion` TCP's control
    (empty: the namespace's own).

    LabError in iperf3's words when it fails, or when a time limit passes. Both processes have ended when this returns
    or raises.
    """
    where.refuse_times("throughput")
    if missing := missing_tools():
        raise LabError(f"throughput needs {', '.join(missing)}", mend="apt-get install iperf3 util-linux")
    options = _options(protocol, parallel, size, rate, window, congestion)
    with pinned.above_others(), _receiving(server, server_cpu, listen or port):
        sending = pinned.start(client, client_cpu, [
            "iperf3", "--client", address, "--port", str(port), "--json", "--interval", str(INTERVAL),
            "--connect-timeout", str(math.ceil(patient(CONNECT_LIMIT) * 1000)), "--time", str(seconds), *options])
        try:
            said, complained = sending.communicate(timeout=patient(seconds + GRACE))
        except subprocess.TimeoutExpired:
            raise LabError(f"no throughput from {address}:{port} within {seconds + GRACE:.0f} s: "
                           f"nothing comes back from there") from None
        finally:
            pinned.end(sending)
    return parse(said, complained)


@contextmanager
def _receiving(namespace: Path, cpu: int, port: int) -> Iterator[None]:
    """An iperf3 server for one test; listening when the body starts, gone when it ends."""
    serving = pinned.start(namespace, cpu, ["iperf3", "--server", "--one-off", "--port", str(port)])
    try:
        pinned.await_listening(serving, "iperf3", port, namespace.name)
        yield
    finally:
        pinned.end(serving)


def _options(protocol: str, parallel: int, size: int, rate: float, window: int, congestion: str) -> list[str]:
    if protocol not in ("tcp", "udp"):
        raise LabError(f"iperf3 can't measure {protocol!r}", mend="use tcp or udp")
    options = ["--parallel", str(parallel)]
    if protocol == "udp":
        options += ["--udp", "--bitrate", f"{rate:.0f}", "--udp-counters-64bit"]
    elif rate:
        options += ["--bitrate", f"{rate:.0f}"]
    if rate:
        options += ["--pacing-timer", str(PACING)]
    if size:
        options += ["--length", str(size)]
    if window:
        options += ["--window", str(window)]
    if congestion and protocol == "tcp":
        options += ["--congestion", congestion]
    return options


def parse(said: str, complained: str = "") -> Throughput:
    """Read what `iperf3 --json` wrote. LabError with its own words when there is no result in it."""
    try:
        report = json.loads(said)
    except json.JSONDecodeError:
        raise LabError(f"iperf3 measured nothing: {pinned.last_words(complained or said)}") from None
    if error := report.get("error"):
        raise LabError(f"iperf3 measured nothing: {error}")
    try:
        return _throughput(report)
    except (KeyError, ZeroDivisionError):
        raise LabError("iperf3 measured nothing: it ended before the server had its results") from None


def _throughput(report: Mapping[str, Any]) -> Throughput:
    end = report["end"]
    sent, received, cpu = end["sum_sent"], end["sum_received"], end["cpu_utilization_percent"]
    udp = report["start"]["test_start"]["protocol"] == "UDP"
    senders = [] if udp else [stream["sender"] for stream in end["streams"]]
    return Throughput(
        bits_per_second=received["bits_per_second"], sent_bits_per_second=sent["bits_per_second"],
        packets=sent["packets"] if udp else 0,
        # iperf3's own figure counts gaps up to the last datagram that arrived, and not what was lost after it.
        lost=max(0.0, 1 - received["bytes"] / sent["bytes"]) if udp else 0.0,
        retransmits=sent.get("retransmits", 0),
        client_cpu_use=cpu["host_total"] / 100, server_cpu_use=cpu["remote_total"] / 100,
        max_snd_cwnd=max((sender["max_snd_cwnd"] for sender in senders), default=0),
        mean_rtt=_mean(sender["mean_rtt"] for sender in senders) * 1e-6,
        seconds=sent["seconds"], congestion=end.get("sender_tcp_congestion", ""),
        ramp=tuple(interval["sum"]["bits_per_second"] for interval in report["intervals"]))


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
