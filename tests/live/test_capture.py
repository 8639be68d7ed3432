"""Real packets between two machines on a switch, seen at seven points."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Literal

import pytest

from experiments.measure import MORE_ATTEMPTS
from live import netns
from live.capture import Capture, Point
from live.codec import decode, encode
from live.frames import Frames
from live.lateness import late
from live.probe import probe
from live.responder import ListenerAt, Responders
from sim.errors import LabError
from sim.packet import Ethernet, Icmp, IPv4, Packet, Proto, Tcp, Vlan, flag_names, ip
from sim.spec import Dial
from sim.trace import Kind, Outcome, Trace
from tests.live.two_machines import ADDRESS, TwoMachines, two_machines

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def machines() -> Iterator[TwoMachines]:
    with two_machines("capture") as pair:
        yield pair


@pytest.fixture(scope="module")
def capture(machines: TwoMachines) -> Iterator[Capture]:
    with Capture(machines.points()) as cap:
        yield cap


@pytest.fixture(scope="module")
def servers(machines: TwoMachines) -> Iterator[Responders]:
    with Responders([ListenerAt("b", machines.netns["b"], 80), ListenerAt("a", machines.netns["a"], 80)]) as running:
        yield running


def ping(machines: TwoMachines, target: str) -> None:
    dial = Dial(source="a", probe="ping", address=ADDRESS[target])
    assert probe(dial, machines.netns["a"]).outcome is Outcome.REACHED


def hops(trace: Trace, kind: type) -> list[str]:
    return [f"{s.point} {s.way}" for s in trace if s.packet and isinstance(s.packet.l4 or s.packet.arp, kind)]


def asked_in_time(
    machines: TwoMachines, capture: Capture, kind: Literal["tcp", "udp"], port: int, source_port: int,
) -> Frames:
    """What a question from a to b put on the wire, with cold caches; asked again where the hypervisor made a program
    late for the kernel's timers, as other segments come of that."""
    dial = Dial(source="a", probe=kind, address=ADDRESS["b"], port=port, source_port=source_port)
    for _ in range(MORE_ATTEMPTS):
        machines.forget_neighbours()
        capture.mark()
        answer = probe(dial, machines.netns["a"])
        assert answer.outcome is (Outcome.REACHED if kind == "tcp" else Outcome.REFUSED)
        frames = capture.take()
        if not late(dial, answer, frames):
            return frames
    pytest.fail(f"{dial} was late {MORE_ATTEMPTS} times")


FORTH = ["a:eth0 out", "w:va in", "w:br0 in", "w:vb out", "b:eth0 in"]
BACK = ["b:eth0 out", "w:vb in", "w:br0 in", "w:va out", "a:eth0 in"]


def test_a_ping_is_seen_at_every_point_in_the_order_in_which_it_passed(
    machines: TwoMachines, capture: Capture,
) -> None:
    for _ in range(10):
        capture.mark()
        ping(machines, "b")
        trace = capture.take().trace()
        assert hops(trace, Icmp) == FORTH + BACK
        assert trace.lost == 0
        assert all(s.kind is Kind.SEEN and 0 < s.at < 5 for s in trace)
        assert [s.at for s in trace] == sorted(s.at for s in trace)


def test_a_bridge_shows_the_frames_that_it_forwards_and_the_reply_of_its_own_address_as_out(
    machines: TwoMachines, capture: Capture,
) -> None:
    ping(machines, "w")
    capture.mark()
    ping(machines, "w")
    trace = capture.take().trace()
    assert hops(trace, Icmp) == ["a:eth0 out", "w:va in", "w:br0 in", "w:br0 out", "w:va out", "a:eth0 in"]


def test_loopback_shows_each_packet_going_out_and_coming_in(machines: TwoMachines, capture: Capture) -> None:
    capture.mark()
    ping(machines, "a")
    trace = capture.take().trace()
    assert hops(trace, Icmp) == ["a:lo out", "a:lo in"] * 2


def test_a_cold_neighbour_cache_asks_before_the_packet_leaves(machines: TwoMachines, capture: Capture) -> None:
    machines.forget_neighbours()
    capture.mark()
    ping(machines, "b")
    at_source = [str(s.packet) for s in capture.take().trace() if s.point == "a:eth0"]
    assert at_source[0] == "ARP who-has 10.9.0.2 tell 10.9.0.1"
    assert at_source[1].startswith("ARP 10.9.0.2 is-at ")
    assert at_source[2:] == ["ICMP echo-request 10.9.0.1 > 10.9.0.2", "ICMP echo-reply 10.9.0.2 > 10.9.0.1"]


def test_a_tcp_question_is_the_same_ten_segments_each_time(
    machines: TwoMachines, capture: Capture, servers: Responders,
) -> None:
    for _ in range(5):
        trace = asked_in_time(machines, capture, "tcp", 80, 21000).trace()
        segments = [s for s in trace if s.point == "a:eth0" and s.packet and isinstance(s.packet.l4, Tcp)]
        assert [(s.way, flag_names(s.packet.l4.flags), s.packet.l4.seq, s.packet.l4.ack, len(s.packet.payload))
                for s in segments if s.packet and isinstance(s.packet.l4, Tcp)] == [
            ("out", "SYN", 0, 0, 0), ("in", "SYN|ACK", 0, 1, 0), ("out", "ACK", 1, 1, 0),
            ("out", "PSH|ACK", 1, 1, 9), ("in", "ACK", 1, 10, 0),
            ("in", "PSH|ACK", 1, 10, 11), ("out", "ACK", 10, 12, 0),
            ("out", "FIN|ACK", 10, 12, 0), ("in", "FIN|ACK", 12, 11, 0), ("out", "ACK", 11, 13, 0)]
        assert {s.packet.csum for s in segments if s.packet} == {"partial"}


def test_the_kernel_says_beside_each_frame_whether_its_checksum_is_left_to_the_device(
    machines: TwoMachines, capture: Capture,
) -> None:
    """A socket's is, a refusal's and an echo's are not: as their bytes say, but for chance."""
    ping(machines, "b")
    capture.mark()
    ping(machines, "b")
    assert probe(Dial(source="a", probe="tcp", address=ADDRESS["b"], port=81, source_port=21002),
                 machines.netns["a"]).outcome is Outcome.REFUSED
    said: dict[str, set[bool]] = {}
    for frame in capture.take():
        packet = decode(frame.raw, unfinished=frame.unfinished)
        if packet and packet.ip:
            assert (packet.csum == "partial") == frame.unfinished
            kind = str(packet).split()[-1] if isinstance(packet.l4, Tcp) else "ICMP"
            said.setdefault(kind, set()).add(frame.unfinished)
    assert said == {"ICMP": {False}, "[SYN]": {True}, "[RST|ACK]": {False}}


def test_every_segment_and_datagram_passes_the_points_in_the_same_order(
    machines: TwoMachines, capture: Capture, servers: Responders,
) -> None:
    for kind, port in (("tcp", 80), ("udp", 9)):
        paths: dict[str, list[str]] = {}
        for s in asked_in_time(machines, capture, kind, port, 21001).trace():
            assert s.packet
            seen = dict(s.packet.fields(), payload=s.packet.payload)
            paths.setdefault(f"{s.packet} {sorted(map(str, seen.items()))}", []).append(f"{s.point} {s.way}")
        assert len(paths) == (12 if kind == "tcp" else 4)  # ARP asks and answers first
        for name, path in paths.items():
            # the bridge's own tap comes after the port in, and of TCP even after the other port's out
            assert path.index("w:br0 in") > 1, name
            path.remove("w:br0 in")
            assert path in ([p for p in way if p != "w:br0 in"] for way in (FORTH, BACK)), name


def test_what_happened_before_the_mark_is_forgotten(machines: TwoMachines, capture: Capture) -> None:
    ping(machines, "b")
    capture.mark()
    assert len(capture.take(settle=0.01)) == 0


def test_take_waits_for_quiet_but_not_for_ever(machines: TwoMachines, capture: Capture) -> None:
    enough = threading.Event()

    def chatter() -> None:
        while not enough.wait(0.02):
            flood(machines, 1)

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        capture.mark()
        start = time.monotonic()
        trace = capture.take(settle=0.5, limit=0.4).trace()
        assert 0.3 < time.monotonic() - start < 0.8
        assert len(trace) > 5
    finally:
        enough.set()
        thread.join()


def test_an_interface_that_goes_away_ends_its_own_frames_only(machines: TwoMachines) -> None:
    machines.run("b", "ip link add gone type veth peer name gone-too")
    machines.run("b", "ip link set gone up")
    with Capture([*machines.points(), Point("b", "gone", machines.netns["b"], "gone")]) as cap:
        cap.mark()
        machines.run("b", "ip link del gone")
        ping(machines, "b")
        assert hops(cap.take().trace(), Icmp) == FORTH + BACK


class Named(dict[str, str]):
    """Has a name for whatever it is asked for, and remembers what that was."""

    def get(self, mac: str, otherwise: str = "") -> str:  # type: ignore[override]
        return self.setdefault(mac, f"mac({mac[-2:]})")


def test_real_mac_addresses_are_named_and_broadcast_is_not_asked_about(machines: TwoMachines) -> None:
    with Capture(machines.points()) as cap:
        machines.forget_neighbours()
        cap.mark()
        ping(machines, "b")
        frames = cap.take()
    frames.macs = Named()
    trace = frames.trace()
    assert len(frames.macs) == 2 and "ff:ff:ff:ff:ff:ff" not in frames.macs
    first = trace.steps[0].packet
    assert first and first.eth and first.arp
    assert first.eth.dst == "ff:ff:ff:ff:ff:ff" and first.eth.src == first.arp.sender_mac
    assert first.eth.src.startswith("mac(") and first.arp.target_mac == "00:00:00:00:00:00"


def test_frames_that_the_kernel_had_no_room_for_are_counted(
    machines: TwoMachines, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("live.tap.BUFFER_BYTES", 4096)
    with Capture([Point("b", "eth0", machines.netns["b"], "eth0")]) as cap:
        cap.mark()
        flood(machines, 200)
        trace = cap.take().trace()
        assert trace.lost > 0
        assert len(trace) + trace.lost == 200
        cap.mark()
        assert cap.take(settle=0.01).lost == 0


def test_forty_sockets_lose_nothing_of_a_thousand_frames(machines: TwoMachines) -> None:
    with Capture([*machines.points()] * 6) as cap:
        cap.mark()
        flood(machines, 200)
        trace = cap.take().trace()
    assert trace.lost == 0
    # Out of a, in at va and at br0, out of vb, into b: five points, six sockets on each.
    assert len(trace) == 200 * 5 * 6


def flood(machines: TwoMachines, count: int) -> None:
    """Frames from a to b that b drops without a word: to its MAC address, for a host that it is not."""
    mac_of_b = netns.call(machines.netns["b"], mac_address)

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind(("eth0", 0x0800))
            source = sock.getsockname()[4].hex(":")
            packet = Packet(eth=Ethernet(source, mac_of_b), ip=IPv4(ip("10.9.0.1"), ip("10.77.0.1"), Proto.UDP),
                            payload=bytes(8))
            frame = encode(packet)
            for _ in range(count):
                sock.send(frame)

    netns.call(machines.netns["a"], send)
    time.sleep(0.05)


def mac_address() -> str:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("eth0", 0))
        raw: bytes = sock.getsockname()[4]
        return raw.hex(":")


def test_a_point_that_does_not_exist_is_named(machines: TwoMachines) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(LabError, match=r"b:docker0 \(docker0 in "):
        Capture([*machines.points(), Point("b", "docker0", machines.netns["b"], "docker0")])
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_callers_own_namespace_stays_the_same(machines: TwoMachines, capture: Capture) -> None:
    before = os.readlink("/proc/self/ns/net"), os.readlink("/proc/thread-self/ns/net")
    with Capture(machines.points()):
        ping(machines, "b")
    assert (os.readlink("/proc/self/ns/net"), os.readlink("/proc/thread-self/ns/net")) == before


def test_the_tag_of_a_frame_is_seen_where_it_is_among_the_bytes_and_where_the_kernel_took_it_off(
    machines: TwoMachines, capture: Capture,
) -> None:
    """The sender's program put it there; from the first reception on it travels beside the frame."""
    mac_of_b = netns.call(machines.netns["b"], mac_address)

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind(("eth0", 0x8100))
            packet = Packet(eth=Ethernet(sock.getsockname()[4].hex(":"), mac_of_b), vlan=Vlan(10),
                            ip=IPv4(ip("10.9.0.1"), ip("10.9.0.2"), Proto.ICMP), l4=Icmp(8, 0, 77, 1))
            sock.send(encode(packet))

    ping(machines, "b")  # so that the switch knows where b is
    capture.mark()
    netns.call(machines.netns["a"], send)
    seen = [s for s in capture.take().trace() if s.packet and isinstance(s.packet.l4, Icmp)]
    assert [f"{s.point} {s.way}" for s in seen] == ["a:eth0 out", "w:va in", "w:br0 in", "w:vb out", "b:eth0 in"]
    assert {s.packet.vlan.id for s in seen if s.packet and s.packet.vlan} == {10}
    assert all(s.packet and s.packet.vlan for s in seen)
