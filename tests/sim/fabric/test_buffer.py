import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.fabric.buffer import ReceiveBuffer, SendBuffer, truesize


@pytest.mark.parametrize(("payload", "memory"), [
    (0, 832), (14, 832), (197, 832), (198, 1280), (645, 1280), (646, 2304), (1472, 2304),
    (2000, 3584), (4000, 6912), (8000, 12800),
])
def test_memory_of_a_datagram_is_what_linux_6_18_says_it_is(payload, memory):
    assert truesize(payload) == memory


def test_datagram_on_the_loopback_device_is_one_head_whatever_its_size():
    assert [truesize(size, 65536) for size in (1473, 2000, 4000, 8000)] == [2304, 4352, 8448, 16640]


def test_default_buffer_holds_256_small_datagrams():
    buffer = ReceiveBuffer()
    assert sum(buffer.put(n, truesize(14)) for n in range(1000)) == len(buffer) == 256


def test_full_buffer_takes_nothing_until_a_quarter_of_it_is_read():
    buffer = ReceiveBuffer()
    while buffer.put(0, 832):
        pass
    taken = []
    for _ in range(256):
        buffer.get()
        taken.append(buffer.allocated)
    steps = [n for n in range(256) if n == 0 or taken[n] != taken[n - 1]]
    assert [(n, taken[n]) for n in steps] == [(0, 212992), (63, 159744), (127, 106496), (191, 53248), (255, 0)]


def test_empty_buffer_takes_a_datagram_that_is_larger_than_it():
    buffer = ReceiveBuffer(1000)
    assert buffer.put("large", 5000) and not buffer.put("next", 1)


@given(st.lists(st.one_of(st.just(0), st.integers(1, 400)), max_size=200))
def test_what_is_read_is_what_was_taken_in_its_order_and_no_memory_stays_behind(steps):
    buffer, taken, read = ReceiveBuffer(1000), [], []
    for number, size in enumerate(steps):
        if size:
            if buffer.put(number, size):
                taken.append(number)
        elif buffer:
            read.append(buffer.get())
        assert 0 <= buffer.allocated <= 1000
    while buffer:
        read.append(buffer.get())
    assert read == taken and buffer.allocated == 0


def test_sending_socket_takes_a_datagram_while_there_is_any_room():
    buffer = SendBuffer(1000)
    buffer.charge(5.0, 600)
    assert buffer.free_at(1.0) == 1.0
    buffer.charge(6.0, 600)
    assert buffer.free_at(1.0) == 5.0


def test_sending_socket_is_not_charged_for_what_has_left():
    buffer = SendBuffer(1000)
    buffer.charge(5.0, 2000)
    assert buffer.free_at(5.0) == 5.0
    assert buffer.free_at(5.0) == 5.0
