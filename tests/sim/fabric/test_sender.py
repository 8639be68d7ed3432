import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.fabric.bbr import Bbr
from sim.fabric.chrono import CONGESTION, PROGRAM, RECEIVER
from sim.fabric.congestion import Cubic, Progress, Reno
from sim.fabric.flight import Flight, Piece
from sim.fabric.receiver import Receiver
from sim.fabric.segments import cut, departures, merge, wire_bytes
from sim.fabric.sender import Sender
from sim.kernel.tbf import TokenBucket

MSS = 1000


def sent(*sizes):
    flight, at = Flight(MSS), 0
    for order, size in enumerate(sizes, 1):
        flight.add(Piece(at, at + size, order))
        at += size
    return flight


def test_an_acknowledgement_inside_a_super_packet_takes_its_first_segments():
    flight = sent(5000, 5000)
    newest, fresh = flight.acknowledge(2000, ())
    assert (newest.order, fresh, flight.segments) == (1, 2000, 8)
    assert flight.pieces[0].seq == 2000


def test_what_left_before_something_that_arrived_is_lost_after_three_segments():
    flight = sent(2000, 2000, 2000)
    newest, _ = flight.acknowledge(0, [(2000, 4000)])
    assert not flight.find_lost(newest), "two segments may be out of order"
    newest, _ = flight.acknowledge(0, [(2000, 6000)])
    assert flight.find_lost(newest) and flight.segments == 0
    again = flight.again(1000)
    assert (again.seq, again.end, again.again) == (0, 1000, True)
    assert flight.again(9000).seq == 1000 and flight.again(9000) is None


@settings(max_examples=150)
@given(
    sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=6),
    steps=st.lists(st.tuples(st.integers(0, 60000), st.integers(0, 60000), st.sampled_from("akle")), max_size=12),
)
def test_segments_on_their_way_are_those_neither_arrived_nor_lost(sizes, steps):
    flight, total, order = sent(*sizes), sum(sizes), 10
    news = 0
    for low, high, what in steps:
        low, high = sorted((min(low, total), min(high, total)))
        if what == "a":
            news += flight.acknowledge(low, ())[1]
        elif what == "k":
            newest, fresh = flight.acknowledge(0, [(low, high)] if low < high else ())
            news += fresh
            if newest is not None:
                flight.find_lost(newest)
        elif what == "l":
            flight.lose_all()
        elif (piece := flight.again(max(high - low, 1))) is not None:
            order += 1
            piece.order = order
        alive = [p for p in flight.pieces if not p.arrived and not p.lost]
        assert flight.segments == sum(flight.count(p.size) for p in alive)
        assert news + sum(p.size for p in flight.pieces if not p.arrived) == total


def test_a_sender_says_what_holds_it_up():
    sender = Sender(Reno(MSS), window=60_000)
    assert sender.take(0.0) is None and sender.held == PROGRAM
    sender.written(100_000)
    first = sender.take(0.0)
    assert first.size == 10_000, "ten segments, the initial window"
    assert sender.take(0.0) is None and sender.held == CONGESTION
    sender.congestion.cwnd = 1000.0
    while sender.take(0.0):
        pass
    assert sender.nxt == 60_000 and sender.held == RECEIVER


def test_the_end_of_a_message_waits_while_another_small_segment_is_on_its_way():
    sender = Sender(Reno(MSS))
    sender.written(500)
    assert sender.take(0.0).size == 500
    sender.written(500)
    assert sender.take(0.0) is None and sender.held == PROGRAM
    sender.on_ack(0.01, 500, 60_000)
    assert sender.take(0.01).size == 500


def test_a_time_out_sends_again_from_the_first_byte_and_waits_twice_as_long():
    sender = Sender(Reno(MSS))
    sender.written(20_000)
    sender.take(0.0)
    before = sender.rto
    sender.on_timeout(1.0)
    assert sender.take(1.0).seq == 0 and sender.retransmits == 1 and sender.congestion.cwnd == 1
    assert sender.rto == 2 * before


def progress(acked, now=1.0, rtt=0.02, **more):
    return Progress(now, acked, rtt, True, 10, **more)


@pytest.mark.parametrize("algorithm", [Reno, Cubic])
def test_a_loss_takes_the_share_of_the_window_that_the_algorithm_says(algorithm):
    control = algorithm(MSS)
    for _ in range(9):
        control.on_ack(progress(10))
    assert control.cwnd == 100
    control.on_loss(1.0)
    control.after_recovery()
    assert control.cwnd == pytest.approx(100 * algorithm.beta)


def test_reno_grows_by_a_segment_a_round_trip_and_cubic_comes_back_to_where_it_lost():
    reno, cubic = Reno(MSS), Cubic(MSS)
    for control in (reno, cubic):
        control.cwnd = 200.0
        control.on_loss(0.0)
        control.after_recovery()
    before = reno.cwnd
    reno.on_ack(progress(before))
    assert reno.cwnd == pytest.approx(before + 1)
    back = (200 * (1 - Cubic.beta) / Cubic.scale) ** (1 / 3)
    now = 0.0
    while now < back:
        now += 0.2  # on a shorter way Reno would be there first, and CUBIC is never slower
        cubic.on_ack(progress(cubic.cwnd, now, rtt=0.2))
    assert cubic.cwnd == pytest.approx(200, rel=0.05)


def test_bbr_leaves_startup_when_the_rate_grows_no_more():
    control, delivered = Bbr(MSS), 0
    for number in range(12):
        delivered += 100_000
        control.on_ack(progress(100, now=number * 0.02, rate=5e6, delivered=delivered, round_began=True))
    assert not control.slow_start
    assert control.pacing_rate < 1.25 * 5e6


def test_a_receiver_acknowledges_at_once_only_what_moves_its_window():
    receiver = Receiver(MSS)
    for n in range(16):
        assert receiver.accept(n * MSS, (n + 1) * MSS), "a young connection does so for each segment"
        receiver.acknowledge()
        receiver.read(MSS, 0.0, 0.0)
    at = 16 * MSS
    receiver.accept(at, at + 10 * MSS)
    assert not receiver.accept(at + 10 * MSS, at + 20 * MSS), "nothing was read, so the edge does not move"
    receiver.read(20 * MSS, 0.0, 0.0)
    assert receiver.owes() and receiver.acknowledge()[0] == at + 20 * MSS


def test_a_hole_is_reported_and_filled():
    receiver = Receiver(MSS)
    assert receiver.accept(2000, 4000) and receiver.accept(6000, 7000)
    assert receiver.acknowledge()[0] == 0 and receiver.gaps == [(2000, 4000), (6000, 7000)]
    assert receiver.accept(0, 2000) and receiver.nxt == 4000 and receiver.gaps == [(6000, 7000)]


def test_a_buffer_grows_with_what_is_read_in_a_round_trip_up_to_its_limit():
    receiver, at = Receiver(MSS, rmem_most=1 << 20), 0
    for number in range(20):
        receiver.accept(at, at + 60_000 * (number + 1))
        at += 60_000 * (number + 1)
        receiver.read(receiver.queued, 0.02 * (number + 1), 0.02)
    assert receiver.buffer == 1 << 20


@given(st.integers(1, 100_000), st.integers(500, 9000))
def test_a_super_packet_that_is_cut_and_merged_is_whole(size, mss):
    parts = cut((7, 7 + size), mss)
    assert merge(parts) == [(7, 7 + size)] and all(end - start <= mss for start, end in parts)
    assert sum(wire_bytes(part, mss, 66) for part in parts) == wire_bytes((7, 7 + size), mss, 66)


def test_what_leaves_a_cable_within_an_interrupt_arrives_together():
    parts = cut((0, 10_000), MSS)
    fast, slow = (departures(TokenBucket(rate, burst=2000), 0.0, parts, MSS, 66)[0] for rate in (1e10, 1e7))
    assert len(fast) == 1 and len(slow) > 5
    assert [p for _, together in slow for p in together] == parts
