"""How the lab reads the answers of an engine's DNS."""

from __future__ import annotations

from live import swarm


def test_an_answers_records_are_read_whether_it_repeats_the_name_or_points_to_it() -> None:
    fixed = bytes.fromhex("0001 0001 00000258 0004")
    whole, pointer = b"\x03web\x00" + fixed + bytes([10, 0, 1, 3]), b"\xc0\x0c" + fixed + bytes([10, 0, 1, 5])
    assert [record[-4:] for record in swarm._records(whole + pointer, 0, 2)] == [whole[-4:], pointer[-4:]]
