"""A cable with a rate and a delay, as a queueing discipline at its ends makes it."""

import pytest

from sim.fabric.costs import CostModel
from sim.fabric.fabric import Fabric
from sim.kernel.datagram import UdpSocket
from sim.kernel.netns import Netns
from sim.kernel.tbf import BURST, TokenBucket
from sim.kernel.veth import cable
from sim.packet import ip
from sim.trace import DropReason, Kind

PAYLOAD = bytes(1000)
FRAME = 1000 + 28 + 14


def sent(datagrams: int, rate: float = 1e6, delay: float = 0.0) -> Fabric:
    """That many datagrams at once over a cable of 1 Mbit/s, the neighbours known."""
    a, b = Netns("a"), Netns("b")
    cable(a, "eth0", "02:00:00:00:00:01", b, "eth0", "02:00:00:00:00:02", rate=rate, delay=delay)
    for netns, address in ((a, "10.0.0.1"), (b, "10.0.0.2")):
        netns.add_address("eth0", f"{address}/24")
    fabric = Fabric(CostModel({}))
    receiver = UdpSocket(b, 0, 53)
    b.sockets.bind(receiver)
    sock = UdpSocket(a)
    assert sock.connect(ip("10.0.0.2"), 53)
    fabric.walk(sock.send(b"", 0.0))
    fabric.env.run(until=5)
    for _ in range(datagrams):
        fabric.walk(sock.send(PAYLOAD, fabric.now))
    fabric.env.run(until=20)
    return fabric


def arrivals(fabric: Fabric) -> list[float]:
    return [s.at for s in fabric.trace() if s.kind is Kind.DELIVER and s.packet.payload]


def test_what_the_bucket_holds_passes_a_slow_cable_at_once():
    assert arrivals(sent(20)) == [5.0] * 20


def test_beyond_the_bucket_frames_wait_their_turn_at_the_rate_of_the_cable():
    held = BURST // FRAME
    times = arrivals(sent(held + 5))
    assert times[:held] == [5.0] * held
    assert times[held + 4] - times[held + 3] == pytest.approx(FRAME * 8 / 1e6)


def test_a_frame_that_finds_no_room_in_the_queue_is_dropped_there():
    fabric = sent(400)
    full = [s for s in fabric.trace() if s.reason is DropReason.QUEUE_FULL]
    bucket = TokenBucket(1e6)
    passed = sum(bucket.offer(0.0, FRAME) is not None for _ in range(400))
    assert len(full) == 400 - passed > 0 and len(arrivals(fabric)) == passed


def test_a_cable_delays_before_it_limits():
    assert arrivals(sent(3, delay=0.01)) == [pytest.approx(5.01)] * 3


def test_a_flushed_cable_has_its_bucket_full_again():
    a, b = Netns("a"), Netns("b")
    one, _ = cable(a, "eth0", "02:00:00:00:00:01", b, "eth0", "02:00:00:00:00:02", rate=1e6)
    assert one.bucket is not None
    while one.bucket.offer(0.0, FRAME) == 0.0:
        pass
    a.flush()
    assert one.bucket.offer(0.0, FRAME) == 0.0
