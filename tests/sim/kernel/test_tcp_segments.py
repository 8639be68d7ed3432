"""Writes that are larger than a segment: cut, and cut anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import SpecError
from sim.kernel.tcp_segments import check_length, cut, cut_anew
from sim.packet import TcpFlag

DATA = TcpFlag.PSH | TcpFlag.ACK


@given(st.binary(min_size=1, max_size=200), st.integers(1, 60), st.integers(0, 1000))
def test_segments_say_the_whole_one_after_the_other_and_the_last_is_pushed(data: bytes, mss: int, seq: int) -> None:
    segments = cut(seq, DATA, data, mss)
    assert b"".join(segment.payload for segment in segments) == data
    assert [segment.seq for segment in segments[1:]] == [segment.end for segment in segments[:-1]]
    assert max(len(segment.payload) for segment in segments) <= mss
    assert [bool(segment.flags & TcpFlag.PSH) for segment in segments] == [False] * (len(segments) - 1) + [True]
    assert [segment.follows for segment in segments] == [False] + [True] * (len(segments) - 1)


@given(st.binary(min_size=2, max_size=200), st.integers(2, 60), st.integers(1, 59), st.data())
def test_what_is_cut_anew_says_the_same_and_what_the_peer_has_is_left_alone(
    data: bytes, mss: int, less: int, draw: st.DataObject
) -> None:
    segments, smaller = cut(1, DATA, data, mss), max(1, mss - less)
    for segment in segments:
        segment.sacked = draw.draw(st.booleans())
    anew = list(cut_anew(segments, smaller))
    assert b"".join(segment.payload for segment, _ in anew) == data
    assert all(len(segment.payload) <= smaller for segment, again in anew if again)
    assert [segment for segment, _ in anew if segment.sacked] == [segment for segment in segments if segment.sacked]
    assert not any(again for segment, again in anew if segment.sacked)


def test_a_fin_is_no_data_and_is_not_sent_again_for_a_smaller_mtu() -> None:
    data, fin = cut(1, DATA, bytes(100), 100)[0], cut(101, TcpFlag.FIN | TcpFlag.ACK, b"", 100)[0]
    anew = [(segment.seq, again) for segment, again in cut_anew([data, fin], 60)]
    assert anew == [(1, True), (61, True), (101, False)]


def test_more_than_leaves_at_once_is_refused() -> None:
    check_length(bytes(500), 100)
    with pytest.raises(SpecError, match="501 bytes are more than 5 segments of 100"):
        check_length(bytes(501), 100)
