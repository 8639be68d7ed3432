from dataclasses import replace

import pytest

from experiments.performance.known import stretched
from experiments.performance.model import Model
from experiments.performance.streams import Flow, Prices, alone, datagram_way, largest, mtu, simulate, stream_way
from experiments.performance.topology import WAYS, spec
from sim.errors import SpecError
from sim.fabric.costs import CostModel
from sim.trace import Kind

BULK = Prices(byte=1e-10, path=1.0, segment=0.8, program=1e-7, fragment=5e-7)


@pytest.fixture(scope="module")
def model():
    return Model(spec())


def way(name):
    return next(way for way in WAYS if way.name == name)


LOOPBACK = way("loopback in a container")
NATIVE = way("client to client")
OVERLAY = way("overlay, container to container on two hosts")
BRIDGE = way("user bridge, container to container")


def test_a_stream_has_segments_of_the_smaller_mtu(model):
    assert [mtu(model, each) for each in (LOOPBACK, NATIVE, OVERLAY)] == [65535, 1500, 1450]
    assert largest(1450) % (1450 - 52) == 0


def test_with_offloads_a_super_packet_takes_each_step_once(model):
    found = stream_way(model, Flow(OVERLAY), BULK)
    assert not found.cut and not found.merged
    assert found.path.keys().isdisjoint({Kind.VETH.value}), "from the sender's device on it is after"
    assert found.after[Kind.ENCAP.value] == 1 and found.after[Kind.DECAP.value] == 1
    assert found.ack[Kind.ENCAP.value] == 1, "the acknowledgements' way back"


def test_without_offloads_the_sender_s_device_cuts_and_vxlan_joins_again(model):
    found = stream_way(model, Flow(OVERLAY, offloads=False), BULK)
    assert found.cut and found.merged
    assert found.after[Kind.ENCAP.value] == pytest.approx(0.8)
    assert Kind.DECAP.value not in found.after and found.deliver[Kind.DECAP.value] == 1
    bridge = stream_way(model, Flow(BRIDGE, offloads=False), BULK)
    assert bridge.cut and not bridge.merged and bridge.deliver[Kind.DELIVER.value] == pytest.approx(0.8)


def test_a_loopback_has_no_device_that_cuts(model):
    assert not stream_way(model, Flow(LOOPBACK, offloads=False), BULK).cut


def test_a_datagram_larger_than_the_mtu_pays_for_its_fragments(model):
    small, large = (datagram_way(model, Flow(NATIVE, "udp", size), BULK) for size in (1400, 8000))
    assert small.path.get(Kind.FRAGMENT.value, 0) == 0
    assert large.path[Kind.FRAGMENT.value] == 12, "six are cut off, and six put together"
    assert large.path[Kind.LINK.value] == pytest.approx(2 + 5 * 2 * 0.8)


def test_a_longer_way_carries_less(model):
    for flow in (Flow, lambda way: Flow(way, offloads=False), lambda way: Flow(way, "udp", 1400)):
        native, overlay = (simulate(model, flow(each), CostModel(), BULK) for each in (NATIVE, OVERLAY))
        assert 0 < overlay < native


def test_a_stream_through_docker_proxy_is_refused(model):
    with pytest.raises(SpecError, match="docker-proxy"):
        simulate(model, Flow(way("host to 127.0.0.1, docker-proxy")), CostModel(), BULK)


def test_streams_are_called_alike_on_all_ways():
    assert Flow(NATIVE).series == Flow(OVERLAY).series == "TCP, one stream"
    assert Flow(NATIVE, parallel=4, offloads=False).series == "TCP, 4 streams, offloads off"
    assert Flow(NATIVE, "udp", 64).series == "UDP, 64 bytes"


def test_a_slow_stream_is_simulated_for_as_many_packets_as_a_fast_one_so_that_small_prices_show(model):
    for flow, price in ((Flow(OVERLAY, "udp", 8000), "fragment"), (Flow(OVERLAY, offloads=False), "path")):
        slow = stretched(CostModel(), 5.0)
        plain, dearer = (simulate(model, flow, slow, replace(BULK, **{price: getattr(BULK, price) * factor}))
                         for factor in (1.0, 1.1))
        assert 0.9 < dearer / plain < 1.0, price


def test_a_stream_lasts_until_its_sender_has_sent_enough(model):
    way = stream_way(model, Flow(NATIVE), BULK)
    cut = stream_way(model, Flow(NATIVE, offloads=False), BULK)
    once, twice = (alone(CostModel(), way, size) for size in (10000, 20000))
    assert 0 < once < twice
    assert alone(CostModel(), cut, 65160, 45) > 5 * alone(CostModel(), cut, 65160, 1)
