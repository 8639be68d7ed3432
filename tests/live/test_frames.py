"""Frames go over a wire as they are, and their segments are told without dissecting them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from live.codec import decode, encode
from live.frames import Frame, Frames
from sim.packet import Packet, Tcp
from tests.live.drawn_frames import arps, frames, icmp_errors, tunnelled

SHARED = st.integers(0, 3)
"""So few ports that some are met by chance."""


def segment(packet: Packet | None, port: int) -> tuple[int, int] | None:
    """As `Frames.segments` says it, of a decoded frame."""
    if packet is None:
        return None
    if packet.vxlan is not None:
        return segment(packet.inner, port)
    if isinstance(packet.l4, Tcp) and port in (packet.l4.sport, packet.l4.dport):
        return packet.l4.flags, len(packet.payload)
    return None


@given(st.one_of(frames(), frames(), arps, frames(icmp_errors()), frames(tunnelled())), SHARED, st.booleans())
def test_a_tcp_segment_is_told_from_its_bytes_as_from_its_headers(packet: Packet, port: int, ours: bool) -> None:
    inside = packet.inner if packet.vxlan is not None else packet
    if ours and inside and isinstance(inside.l4, Tcp):
        inside.l4.sport = port
    raw = encode(packet)
    found = [row[1:] for row in Frames([Frame(0.0, "a", "eth0", "in", raw)]).segments(port)]
    wanted = segment(decode(raw), port)
    assert found == ([wanted] if wanted else [])


@given(st.binary(max_size=90), st.integers(0, 0xFFFF))
def test_noise_is_nobodys_segment_or_has_a_length(noise: bytes, port: int) -> None:
    for raw in (noise, bytes(12) + b"\x08\x00\x45" + noise):
        for _, flags, length in Frames([Frame(0.0, "a", "eth0", "in", raw)]).segments(port):
            assert 0 <= flags <= 0xFF and length >= 0


taken_frames = st.builds(
    Frame, st.floats(0, 9), st.sampled_from("ab"), st.just("eth0"), st.sampled_from(["in", "out"]),
    st.sampled_from([b"", b"one frame", b"another"]), st.integers(0, 4094), st.booleans(), st.booleans())


@given(st.lists(taken_frames), st.integers(0, 9))
def test_frames_are_the_same_behind_a_wire(rows: list[Frame], lost: int) -> None:
    taken = Frames(rows, lost, {"02:00:00:00:00:01": "mac(a:eth0)"}, {"0x1": "spi(a>b#0)"})
    sent = json.loads(json.dumps(taken.as_dict()))
    assert Frames.from_dict(sent) == taken
    assert len(sent["bytes"]) == len({row.raw for row in rows})
