from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.fabric.costs import BYTE_SENT, CostModel
from sim.fabric.datagrams import udp_stream
from sim.fabric.way import Cable, Way
from sim.kernel.tbf import TokenBucket
from sim.trace import Kind

WAY = Way({"veth": 1.0}, send={}, header=42)


def costs(veth=2e-6, read=0.0, byte=0.0, fragment=0.0):
    return CostModel({"veth": veth, Kind.RECEIVE: read, BYTE_SENT: byte, "fragment": fragment})


def test_datagrams_a_second_are_the_same_for_all_sizes_until_bytes_matter():
    rates = {size: udp_stream(costs(byte=1e-10), WAY, size=size, seconds=0.03) for size in (64, 512, 1400)}
    assert rates[64].packets_per_second == pytest.approx(1 / 2e-6, rel=0.01)
    assert rates[1400].packets_per_second == pytest.approx(rates[64].packets_per_second, rel=0.08)
    assert rates[512].bits_per_second == pytest.approx(8 * rates[64].bits_per_second, rel=0.03)
    heavy = udp_stream(costs(byte=2e-9), WAY, size=1400, seconds=0.03)
    assert heavy.packets_per_second == pytest.approx(1 / (2e-6 + 1400 * 2e-9), rel=0.01)


def test_a_receiver_that_is_too_slow_loses_what_its_buffer_can_not_hold():
    ran = udp_stream(costs(veth=2e-6, read=5e-6), WAY, size=64)
    assert ran.packets_per_second == pytest.approx(2e5, rel=0.02)
    assert ran.lost == pytest.approx(1 - 2 / 5, abs=0.02) and ran.dropped_by_buffer > 0
    assert ran.cpu_server == pytest.approx(1, abs=0.01)


def test_an_overloaded_cable_loses_what_exceeds_its_rate():
    cable = replace(WAY, cable=Cable(1e8))
    ran = udp_stream(costs(), cable, size=1400, rate=2e8, seconds=0.3, omit=0.2)
    capacity = 1e8 * 1400 / 1442
    assert ran.bits_per_second == pytest.approx(capacity, rel=0.02)
    assert ran.lost == pytest.approx(1 - capacity / 2e8, abs=0.02) and ran.dropped_by_cable > 0


def test_a_socket_waits_for_the_queue_of_its_own_machine_instead_of_losing():
    cable = replace(WAY, cable=Cable(1e8, own=True))
    ran = udp_stream(costs(), cable, size=1400, rate=2e8, seconds=0.3, omit=0.2)
    assert ran.lost == 0 and ran.bits_per_second == pytest.approx(1e8 * 1400 / 1442, rel=0.02)


def test_a_paced_client_sends_its_rate():
    ran = udp_stream(costs(), WAY, size=1400, rate=1e8)
    assert ran.bits_per_second == pytest.approx(1e8, rel=0.02) and ran.lost == 0
    assert ran.cpu_client == pytest.approx(1e8 / 11200 * 2e-6, rel=0.05)


def test_each_fragment_of_a_large_datagram_pays_for_the_way_after_the_cut():
    way = Way({}, after={"fragment": 1.0}, send={}, header=42)
    model = costs(fragment=1e-6, byte=1e-12)
    small, large = (udp_stream(model, way, size=size, seconds=0.02) for size in (1400, 8000))
    assert small.packets_per_second == pytest.approx(6 * large.packets_per_second, rel=0.05)


@settings(max_examples=20)
@given(veth=st.floats(1e-6, 1e-5), read=st.floats(0, 1e-5), size=st.integers(1, 9000),
       rate=st.sampled_from([0.0, 1e7, 1e9]), cable=st.sampled_from([None, Cable(1e8), Cable(0, 0.001)]))
def test_every_datagram_sent_is_read_or_lost_or_on_its_way(veth, read, size, rate, cable):
    ran = udp_stream(costs(veth, read), replace(WAY, cable=cable), size=size, rate=rate, seconds=0.01, omit=0.005)
    waiting = ran.sent - ran.received - ran.dropped_by_buffer - ran.dropped_by_cable
    queued = TokenBucket(cable.rate).limit // (size + WAY.header) if cable and cable.rate else 0
    assert 0 <= waiting <= 2000 + queued
