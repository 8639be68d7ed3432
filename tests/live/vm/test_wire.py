"""Messages on the serial line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.vm import wire
from live.vm.wire import Decoder, Message, Request

WORDS = st.from_regex(r"[A-Za-z0-9.-]{1,12}", fullmatch=True)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4))


@given(st.lists(st.builds(Message, WORDS, WORDS, JSON), max_size=5), st.integers(1, 50))
def test_messages_come_out_as_they_went_in_however_the_line_cuts_them(messages: list[Message], step: int) -> None:
    data = b"".join(map(wire.encode, messages))
    decoder = Decoder()
    assert [m for at in range(0, len(data), step) for m in decoder.feed(data[at:at + step])] == messages


@given(st.builds(Message, WORDS, WORDS, JSON), st.data())
def test_a_damaged_line_is_never_taken_for_another_message(message: Message, data: st.DataObject) -> None:
    line = bytearray(wire.encode(message)[:-1])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    found = wire.decode(bytes(line))
    assert found is None or found.body == message.body


def test_what_others_write_on_the_line_is_passed_over() -> None:
    message = Message("1", "done", {"ok": True})
    decoder = Decoder()
    noise = b"[ 12.3] random: crng\nhopcast 1 done\n" + b"hopcast 9 done 00000000 AAAA\n"
    assert list(decoder.feed(noise + wire.encode(message) + b"half a li")) == [message]


@pytest.mark.parametrize("message", [Message("", "ask"), Message("a b", "ask"), Message("1", "say\n")])
def test_an_id_that_would_break_the_line_is_refused(message: Message) -> None:
    with pytest.raises(ValueError, match="message"):
        wire.encode(message)


@given(JSON, st.text(max_size=3 * wire.PIECE))
def test_a_request_is_whole_after_its_last_piece_and_not_before(body: Any, text: str) -> None:
    request = Request()
    *first, last = wire.pieces("7", "ask", [body, text])
    assert all(request.add(piece) is None for piece in first)
    assert request.add(last) == ("ask", [body, text])


def test_a_request_that_was_given_up_does_not_spoil_the_next() -> None:
    request = Request()
    request.add(wire.pieces("1", "up", "x" * 3 * wire.PIECE)[0])
    assert request.add(wire.pieces("2", "ask", "y")[0]) == ("ask", "y")


def test_a_piece_that_comes_twice_counts_once() -> None:
    request, parts = Request(), wire.pieces("1", "up", "x" * wire.PIECE)
    assert request.add(parts[0]) is None and request.add(parts[0]) is None
    assert request.add(parts[1]) == ("up", "x" * wire.PIECE)


def test_lines_of_a_request_fit_what_a_tty_keeps_for_a_late_reader() -> None:
    noise = "".join(chr(33 + n * n * 7919 % 90) for n in range(9 * wire.PIECE))
    assert max(len(wire.encode(piece)) for piece in wire.pieces("1", "up", noise)) < 4096
