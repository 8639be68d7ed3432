from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import SpecError
from sim.fabric.costs import BYTE_RECEIVED, BYTE_SENT, SEGMENT, CostModel, Interruption
from sim.fabric.stream import CABLE, CLIENT_CPU, SERVER_CPU, Sockets, tcp_stream
from sim.fabric.turns import Turn
from sim.fabric.way import Cable, Price, Way, prices, way_of
from sim.trace import Kind

MSS = 1448
WHOLE = 45 * MSS
"""Bytes of payload in a super-packet."""
PATH = {"veth": 1.0}
WAY = Way(PATH, ack={})


def costs(**more):
    """A path costs, and nothing else does unless it is said."""
    names = {"sent": BYTE_SENT, "received": BYTE_RECEIVED, "segment": SEGMENT, "wakeup": Kind.WAKEUP}
    return CostModel({"veth": 1e-6} | {names.get(name, name): price for name, price in more.items()})


def test_a_sender_whose_cpu_is_full_sends_a_super_packet_in_the_time_that_it_costs():
    ran = tcp_stream(costs(veth=20e-6, sent=0.2e-9), WAY, mss=MSS, block=2 * WHOLE)
    assert ran.bits_per_second == pytest.approx(WHOLE * 8 / (20e-6 + WHOLE * 0.2e-9), rel=0.02)
    assert ran.bottleneck == CLIENT_CPU and ran.cpu_client == pytest.approx(1, abs=0.01)


def test_the_end_of_a_block_that_is_acknowledged_at_once_is_a_packet_of_its_own():
    block = 2 * WHOLE + 752
    ran = tcp_stream(costs(veth=20e-6), WAY, mss=MSS, block=block)
    assert ran.bits_per_second == pytest.approx(block * 8 / 60e-6, rel=0.02)


def test_a_server_that_copies_slowly_is_the_limit():
    ran = tcp_stream(costs(received=1e-9), WAY, mss=MSS)
    assert ran.bits_per_second == pytest.approx(8e9, rel=0.02)
    assert ran.bottleneck == SERVER_CPU and ran.cpu_client < 0.5


def test_the_server_pays_for_acknowledging_when_it_is_the_slower_one():
    ran = tcp_stream(costs(received=1e-9, route=20e-6), replace(WAY, ack={"route": 1.0}), mss=MSS)
    assert ran.bottleneck == SERVER_CPU
    assert 0.7 * 8e9 < ran.bits_per_second < 0.95 * 8e9


@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_a_way_with_a_delay_carries_a_window_in_a_round_trip(congestion):
    ran = tcp_stream(costs(), replace(WAY, cable=Cable(delay=0.01)), mss=MSS, seconds=0.4, omit=0.6,
                     sockets=Sockets(rmem_most=1 << 20), congestion=congestion)
    assert ran.bits_per_second == pytest.approx((1 << 19) * 8 / 0.02, rel=0.1)
    assert ran.bottleneck == "receive window"
    assert ran.round_trip == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("congestion", ["reno", "cubic", "bbr"])
def test_a_cable_carries_its_rate_less_the_headers(congestion):
    ran = tcp_stream(costs(), replace(WAY, cable=Cable(1e8)), mss=MSS, seconds=0.5, omit=0.3, congestion=congestion)
    assert ran.bits_per_second == pytest.approx(1e8 * MSS / (MSS + 66), rel=0.02)
    assert ran.bottleneck == CABLE


def test_a_queue_that_is_full_makes_tcp_send_again_and_everything_arrives():
    ran = tcp_stream(costs(), replace(WAY, cable=Cable(1e8)), mss=MSS, seconds=0.8, omit=0.4, congestion="reno")
    assert ran.dropped > 0 and ran.retransmits == pytest.approx(ran.dropped, abs=50)
    lost = ran.dropped * MSS
    assert ran.received <= ran.sent - lost + MSS
    assert ran.sent - lost - ran.received < 1e8 * 0.06 / 8 + 3 * WHOLE, "what is neither read nor lost fits the queue"


def test_a_socket_does_not_fill_the_queue_of_its_own_machine():
    cable = Cable(1e8)
    far = tcp_stream(costs(), replace(WAY, cable=cable), mss=MSS, seconds=0.4, omit=0.4, congestion="reno")
    near = tcp_stream(costs(), replace(WAY, cable=replace(cable, own=True)), mss=MSS, seconds=0.4, omit=0.4,
                      congestion="reno")
    assert near.dropped == 0 and near.round_trip < far.round_trip
    assert near.bits_per_second == pytest.approx(far.bits_per_second, rel=0.02)


@pytest.mark.parametrize("congestion", ["reno", "cubic", "bbr"])
def test_slow_start_doubles_each_round_trip(congestion):
    ran = tcp_stream(costs(), replace(WAY, cable=Cable(delay=0.01)), mss=MSS, seconds=40 * 0.02, omit=0,
                     congestion=congestion)
    speeds = [speed for _, speed in ran.ramp[1:7]]
    ratios = [later / earlier for earlier, later in pairwise(speeds)]
    # who paces sends over all of the round trip, and so partly in the next one
    low, high = (1.2, 2.5) if congestion == "bbr" else (1.8, 2.2)
    assert all(low < ratio < high for ratio in ratios), speeds
    assert 16 < speeds[-1] / speeds[0] < 40


def test_nothing_is_lost_where_nothing_drops():
    ran = tcp_stream(costs(veth=5e-6, received=0.5e-9), WAY, mss=MSS, seconds=0.03)
    assert (ran.dropped, ran.retransmits) == (0, 0)
    assert 0 <= ran.sent - ran.received <= 6 << 20


def test_without_segmentation_offload_each_segment_pays_for_the_rest_of_its_way():
    block = 2 * WHOLE
    model = costs(veth=2e-6, sent=1e-12)
    whole = tcp_stream(model, Way({}, after=PATH, ack={}), mss=MSS, block=block, seconds=0.02)
    cut = tcp_stream(model, Way({}, after=PATH, ack={}, cut=True), mss=MSS, block=block, seconds=0.02)
    assert whole.bits_per_second == pytest.approx(WHOLE * 8 / (2e-6 + WHOLE * 1e-12), rel=0.02)
    assert cut.bits_per_second == pytest.approx(MSS * 8 / 2e-6, rel=0.02)


def test_gro_spares_the_receiver_what_segmentation_would_cost():
    price = costs(veth=0.1e-6, segment=1e-6, deliver=1e-6, sent=0.1e-9)
    cut = Way({}, after=PATH, ack={}, cut=True)
    apart, merged = (tcp_stream(price, replace(cut, merged=merged), mss=MSS, seconds=0.02) for merged in (False, True))
    assert merged.bits_per_second > 3 * apart.bits_per_second


def test_parallel_streams_share_two_cpus():
    one = tcp_stream(costs(veth=20e-6, sent=0.2e-9), WAY, mss=MSS)
    four = tcp_stream(costs(veth=20e-6, sent=0.2e-9), WAY, mss=MSS, parallel=4)
    assert four.bits_per_second == pytest.approx(one.bits_per_second, rel=0.05)
    assert min(four.each) > 0.7 * max(four.each)


def test_parallel_streams_share_a_cable():
    ran = tcp_stream(costs(), replace(WAY, cable=Cable(1e8)), mss=MSS, parallel=4, seconds=0.6, omit=0.4)
    assert ran.bits_per_second == pytest.approx(1e8 * MSS / (MSS + 66), rel=0.03)


def test_interruptions_take_their_share():
    quiet = costs(veth=20e-6)
    noisy = replace(quiet, interruptions=(Interruption(1000, 100e-6),))
    ran, disturbed = (tcp_stream(model, WAY, mss=MSS) for model in (quiet, noisy))
    assert disturbed.bits_per_second == pytest.approx(ran.bits_per_second / 1.1, rel=0.05)


def test_the_same_seed_gives_the_same_stream():
    model = replace(costs(veth=20e-6), variation=0.5)
    first, second, other = (tcp_stream(model, WAY, mss=MSS, seconds=0.02, seed=seed) for seed in (1, 1, 2))
    assert first == second != other


FIGURES = st.floats(5e-6, 2e-5)


@settings(max_examples=6)
@given(veth=FIGURES, ack=FIGURES, segment=FIGURES, received=st.floats(0, 1e-9), factor=st.floats(1.5, 4))
def test_on_a_slower_machine_nothing_is_faster_and_two_cpus_do_no_more_than_two(veth, ack, segment, received, factor):
    price = {"veth": veth, "sent": 0.1e-9, "received": received, "segment": segment, "route": ack}
    slower = {name: seconds * factor for name, seconds in price.items()}
    way = replace(WAY, ack={"route": 1.0})
    before, after = (tcp_stream(costs(**p), way, mss=MSS, seconds=0.01, omit=0.005) for p in (price, slower))
    assert after.bits_per_second <= before.bits_per_second * 1.05
    work = WHOLE * (0.1e-9 + received) + veth + 2 * segment
    assert before.bits_per_second <= 2 * WHOLE * 8 / work * 1.05
    assert before.received <= before.sent and after.received <= after.sent


def test_a_loopback_segment_is_a_super_packet_by_itself():
    ran = tcp_stream(costs(veth=20e-6), WAY, mss=65483, block=2 * 65483)
    assert ran.bits_per_second == pytest.approx(65483 * 8 / 20e-6, rel=0.03)


def test_a_way_is_made_of_two_turns_of_a_message():
    forth = Turn("client", {Kind.SEND: 1, SEGMENT: 2, BYTE_SENT: 14, "veth": 2, "route": 2, Kind.DELIVER: 1,
                            BYTE_RECEIVED: 14})
    back = Turn("server", {Kind.WAKEUP: 1, Kind.RECEIVE: 1, Kind.SEND: 1, SEGMENT: 2, BYTE_SENT: 14, "veth": 2,
                           "route": 1, Kind.DELIVER: 1, BYTE_RECEIVED: 14})
    way = way_of(forth, back, after={"veth": 1, Kind.DELIVER: 1})
    assert way.path == {"veth": 1, "route": 2} and way.after == {"veth": 1}
    assert way.ack == {"veth": 2, "route": 1, SEGMENT: 1}
    price = prices(CostModel({"veth": 1.0, "route": 10.0, SEGMENT: 100.0, Kind.DELIVER: 1000.0}), way)
    assert (price["send"].mean, price["after"].mean, price["deliver"].mean) == (121, 1, 1100)
    assert (price["ack"].mean, price["acked"].mean) == (112, 1100)
    assert price["in"] == Price(0.0, 0.0)


def test_the_parts_of_a_way_cost_together_what_the_message_cost():
    forth = Turn("client", {Kind.SEND: 1, SEGMENT: 2, BYTE_SENT: 14, Kind.VETH: 2, Kind.HOOK: 9, Kind.DELIVER: 1,
                            BYTE_RECEIVED: 14})
    back = Turn("server", {Kind.WAKEUP: 1, Kind.RECEIVE: 1, **forth.counts})
    model = CostModel()
    part = prices(model, way_of(forth, back, after={Kind.VETH: 1}))
    carried = sum(part[name].mean for name in ("write", "send", "after", "deliver"))
    assert carried + 14 * (part["in"].mean + part["out"].mean) == pytest.approx(model.total(forth.counts))
    answered = carried + part["wake"].mean + part["read"].mean + 14 * (part["in"].mean + part["out"].mean)
    assert answered == pytest.approx(model.total(back.counts))


def test_a_way_that_costs_nothing_and_an_unknown_algorithm_are_refused():
    with pytest.raises(SpecError, match="costs nothing"):
        tcp_stream(CostModel({}), WAY, mss=MSS)
    with pytest.raises(SpecError, match="vegas"):
        tcp_stream(costs(), WAY, mss=MSS, congestion="vegas")
