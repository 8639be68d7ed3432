from collections import deque
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import SpecError
from sim.kernel.tbf import TokenBucket


def byte_by_byte(packets, burst, limit):
    """net/sched/sch_tbf.c at one byte a second, second by second: when each packet leaves, None where it is dropped."""
    tokens, queue, left = burst, deque(), [None] * len(packets)
    coming = deque(enumerate(packets))
    now = 0

    def dequeue():
        nonlocal tokens
        while queue and queue[0][1] <= tokens:
            number, size = queue.popleft()
            tokens -= size
            left[number] = now

    while coming or queue:
        dequeue()
        while coming and coming[0][1][0] == now:
            number, (_, size) = coming.popleft()
            if size <= burst and sum(each for _, each in queue) + size <= limit:
                queue.append((number, size))
                dequeue()
        now, tokens = now + 1, min(burst, tokens + 1)
    return left


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 24)), max_size=40), st.integers(1, 20), st.integers(0, 30))
def test_every_packet_leaves_when_a_filter_that_counts_single_bytes_lets_it(gaps, burst, queue):
    packets, now = [], 0
    for gap, size in gaps:
        now += gap
        packets.append((now, size))
    bucket = TokenBucket(Fraction(8), burst, queue)
    assert bucket.limit == burst + queue
    assert [bucket.offer(at, size) for at, size in packets] == byte_by_byte(packets, burst, burst + queue)


@given(st.lists(st.tuples(st.floats(0, 1e-3), st.integers(60, 1514)), min_size=1, max_size=200))
def test_what_passes_in_any_span_is_at_most_the_burst_and_the_rate(gaps):
    bucket, now, passed = TokenBucket(10e6, 3000, 0.005), 0.0, []
    for gap, size in gaps:
        now += gap
        if (left := bucket.offer(now, size)) is not None:
            assert now <= left <= now + 0.005 + 3000 * 8 / 10e6
            passed.append((left, size))
    for first, (start, _) in enumerate(passed):
        total = 0
        for left, size in passed[first:]:
            total += size
            assert total <= 3000 + (left - start) * 10e6 / 8 + 1e-6


def test_burst_passes_at_once_and_the_next_packet_waits_for_its_own_bytes():
    bucket = TokenBucket(8000, 1000)
    assert [bucket.offer(0.0, 500) for _ in range(3)] == [0.0, 0.0, 0.5]


def test_idle_cable_fills_its_bucket_and_no_more():
    bucket = TokenBucket(8000, 1000)
    bucket.offer(0.0, 1000)
    assert [bucket.offer(100.0, 500) for _ in range(3)] == [100.0, 100.0, 100.5]


def test_queue_drops_what_would_wait_longer_than_its_limit():
    bucket = TokenBucket(8000, 1000, 0.5)
    answers = [bucket.offer(0.0, 500) for _ in range(7)]
    assert answers == [0.0, 0.0, 0.5, 1.0, 1.5, None, None]
    assert (bucket.backlog, bucket.dropped) == (1500, 2)


def test_packet_larger_than_the_bucket_never_passes():
    assert TokenBucket(8000, 1000).offer(0.0, 1001) is None


def test_overloaded_cable_loses_what_exceeds_its_rate():
    bucket = TokenBucket(1e6, 1500, 0.01)
    offered = [bucket.offer(n * 1e-3, 250) for n in range(10000)]  # 2 Mbit/s
    assert offered.count(None) / 10000 == pytest.approx(0.5, abs=0.01)


def test_cable_without_a_rate_is_no_token_bucket():
    with pytest.raises(SpecError, match="rate of 0 bit/s"):
        TokenBucket(0)
