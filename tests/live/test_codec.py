"""Frames to packets and back: by hypothesis, and on bytes that a real kernel sent."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from live.codec import decode, decode_datagram, encode
from live.relative import Relative, relative
from sim.packet import (
    Esp,
    Ethernet,
    Icmp,
    IPv4,
    Packet,
    Proto,
    Tcp,
    TcpFlag,
    Udp,
    Vlan,
    Vxlan,
    ip,
)
from sim.trace import Kind, Step, Trace
from tests.live.drawn_frames import addresses, arps, datagrams, frames, icmp_errors, macs, payloads, tcp, tunnelled, udp


@given(st.one_of(frames(), arps, frames(icmp_errors()), frames(tunnelled())))
def test_what_is_encoded_decodes_to_the_same_fields(packet: Packet) -> None:
    innermost = packet.inner if packet.vxlan and packet.inner else packet
    decoded = decode(encode(packet), unfinished=innermost.csum == "partial")
    assert decoded is not None
    if isinstance(packet.l4, Icmp) and packet.inner and decoded.inner and may_be_both(packet.inner):
        # Of a quote nobody says which it is, and it counts as partial.
        assert decoded.inner.csum == "partial"
        decoded.inner.csum = packet.inner.csum
    assert decoded.fields() == packet.fields()
    assert decoded.payload == packet.payload
    assert decoded.size() == packet.size()


def may_be_both(packet: Packet) -> bool:
    """Is this a right sum that happens to be the pseudo-header's too?"""
    return isinstance(packet.l4, Tcp | Udp) and packet.csum != "bad" and len(
        {encode(replace(packet, csum=state)) for state in ("valid", "partial")}) == 1


@given(datagrams(tcp), st.booleans(), st.booleans(), macs, macs)
def test_a_pseudo_headers_sum_that_is_right_by_chance_is_what_the_kernel_says_that_it_is(
    packet: Packet, inside: bool, unfinished: bool, src: str, dst: str,
) -> None:
    """Seen of a SYN, whose sequence number is drawn."""
    assert isinstance(packet.l4, Tcp)
    packet.l4.seq &= 0xFFFF0000
    # The lower half of the sequence number is a word of the sum: what is missing goes there.
    packet.l4.seq += (checksum_of(packet, "valid") - checksum_of(packet, "partial")) % 0xFFFF
    assert checksum_of(packet, "valid") == checksum_of(packet, "partial")
    packet.csum = "partial"
    packet.eth = Ethernet(src, dst)
    if inside:
        packet = Packet(eth=packet.eth, ip=IPv4(1, 2, Proto.UDP), l4=Udp(3, 4789), vxlan=Vxlan(7), inner=packet)
    decoded = decode(encode(packet), unfinished=unfinished)
    assert decoded is not None
    innermost = decoded.inner or decoded
    assert innermost.csum == ("partial" if unfinished else "valid") and (not inside or decoded.csum == "valid")


def checksum_of(packet: Packet, state: str) -> int:
    """What stands in the TCP header's field where the checksum is in that state."""
    raw = encode(replace(packet, csum=state))
    at = len(raw) - len(packet.payload) - 4
    return int.from_bytes(raw[at:at + 2], "big")


@given(datagrams(st.one_of(tcp, udp), csum="valid"), macs, macs)
def test_scapy_finds_the_checksum_right_that_we_call_valid(packet: Packet, src: str, dst: str) -> None:
    packet.eth = Ethernet(src, dst)
    raw = encode(packet)
    again = Ether(raw)
    for layer in (IP, TCP, UDP):
        if layer in again:
            del again[layer].chksum
    assert bytes(again) == raw


@given(st.binary(max_size=120))
def test_noise_never_breaks_the_decoder(noise: bytes) -> None:
    decode(noise)
    decode(bytes(12) + b"\x08\x00" + noise)
    decode_datagram(b"\x45" + noise)


@given(datagrams(st.one_of(tcp, udp)), st.integers(28, 60))
def test_an_icmp_quote_may_hold_no_more_than_eight_bytes_of_the_transport(packet: Packet, length: int) -> None:
    quote = decode_datagram(encode(packet)[:length])
    assert quote is not None
    assert isinstance(quote.l4, type(packet.l4)) and isinstance(packet.l4, Tcp | Udp)
    assert isinstance(quote.l4, Tcp | Udp)
    assert (quote.l4.sport, quote.l4.dport) == (packet.l4.sport, packet.l4.dport)
    if isinstance(packet.l4, Tcp) and isinstance(quote.l4, Tcp):
        assert quote.l4.seq == packet.l4.seq


@pytest.mark.parametrize("frame", [
    Ether(src="02:00:00:00:00:01", dst="33:33:00:00:00:02") / IPv6() / UDP(),
    Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=5) / Dot1Q(vlan=6) / IP() / UDP(),
])
def test_ipv6_and_doubly_tagged_frames_are_not_decoded(frame: Ether) -> None:
    assert decode(bytes(frame)) is None


@given(st.one_of(frames(), arps), st.integers(1, 4094))
def test_a_tagged_frame_decodes_to_the_same_packet_with_a_tag(packet: Packet, number: int) -> None:
    plain = decode(encode(packet))
    packet.vlan = Vlan(number)
    decoded = decode(encode(packet))
    assert plain is not None and decoded is not None
    assert decoded.fields() == {**plain.fields(), "vlan.id": number}
    assert len(encode(packet)) == len(encode(plain)) + 4


def test_ethernet_padding_is_no_payload() -> None:
    packet = Packet(eth=Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"), ip=IPv4(1, 2, Proto.UDP), l4=Udp(7, 8),
                    payload=b"x")
    decoded = decode(encode(packet) + bytes(17))
    assert decoded is not None and (decoded.payload, decoded.csum) == (b"x", "valid")


def test_options_of_ip_and_tcp_are_skipped() -> None:
    raw = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2",
                options=b"\x01\x01\x01\x00") / TCP(sport=5, dport=6, options=[("MSS", 1460)]) / b"hopcast?\n")
    decoded = decode(raw)
    assert decoded is not None and (decoded.payload, decoded.csum) == (b"hopcast?\n", "valid")


def test_a_later_fragment_has_no_transport_header() -> None:
    whole = Packet(ip=IPv4(1, 2, Proto.UDP, mf=True, offset=1480), payload=bytes(range(64)))
    decoded = decode_datagram(encode(whole))
    assert decoded is not None and decoded.fields() == whole.fields() and decoded.l4 is None


CAPTURED = {
    "SYN":
        "62df7fbe9cf54ae1797679f508004500003cd2734000400654340a0900010a0900024e210050b4e4"
        "6acd00000000a002faf014430000020405b40402080a2ad6ee06000000000103030a",
    "question":
        "62df7fbe9cf54ae1797679f508004500003dd2754000400654310a0900010a0900024e210050b4e4"
        "6ace6927fd678018003f144400000101080a2ad6ee063e0644b3686f70636173743f0a",
    "refusal":
        "4ae1797679f562df7fbe9cf508004500002800004000400626bc0a0900020a09000100514e250000"
        "0000050fbe535014000089e30000",
    "port unreachable":
        "4ae1797679f562df7fbe9cf5080045c000416ebd00004001f72a0a0900020a0900010303e1d40000"
        "000045000025f815400040112e9e0a0900010a0900024e24003600111437686f70636173743f0a",
    "who-has":
        "ffffffffffff4ae1797679f5080600010800060400014ae1797679f50a0900010000000000000a09"
        "0002",
}
"""Taken from the veth of a machine 10.9.0.2 that 10.9.0.1 asked for ports 80 (open), 81 and 54 (closed); Linux 6.18."""


@pytest.mark.parametrize(("frame", "text", "csum"), [
    ("SYN", "TCP 10.9.0.1:20001 > 10.9.0.2:80 [SYN]", "partial"),
    ("question", "TCP 10.9.0.1:20001 > 10.9.0.2:80 [PSH|ACK]", "partial"),
    ("refusal", "TCP 10.9.0.2:81 > 10.9.0.1:20005 [RST|ACK]", "valid"),
    ("port unreachable", "ICMP port-unreachable 10.9.0.2 > 10.9.0.1", "valid"),
    ("who-has", "ARP who-has 10.9.0.2 tell 10.9.0.1", "valid"),
])
def test_the_kernel_leaves_its_sockets_checksums_to_the_device_but_not_its_own_refusals(
    frame: str, text: str, csum: str,
) -> None:
    decoded = decode(bytes.fromhex(CAPTURED[frame]))
    assert decoded is not None and (str(decoded), decoded.csum) == (text, csum)


def test_a_port_unreachable_quotes_the_whole_small_datagram() -> None:
    decoded = decode(bytes.fromhex(CAPTURED["port unreachable"]))
    assert decoded is not None and decoded.inner is not None and decoded.ip is not None
    assert str(decoded.inner) == "UDP 10.9.0.1:20004 > 10.9.0.2:54"
    assert (decoded.inner.payload, decoded.payload) == (b"hopcast?\n", b"")
    assert (decoded.ip.tos, decoded.ip.df) == (0xC0, False)


def test_decoding_keeps_up_with_thousands_of_frames_a_second() -> None:
    raw = encode(Packet(eth=Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"), ip=IPv4(1, 2, Proto.TCP),
                        l4=Tcp(1, 2, TcpFlag.ACK), payload=b"hopcast?\n"))
    # Processor time, for the machines are shared.
    start = time.process_time()
    for _ in range(500):
        decode(raw)
    assert time.process_time() - start < 0.5


A, B, PROXY = ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3")


def segment(src: int, dst: int, flags: int, seq: int, ack: int = 0, *, point: str = "a:eth0",
            data: bytes = b"") -> Step:
    sport, dport = (20001, 80) if dst in (B, PROXY) else (80, 20001)
    where, _, device = point.partition(":")
    return Step(Kind.SEEN, where, device,
                Packet(ip=IPv4(src, dst, Proto.TCP), l4=Tcp(sport, dport, flags, seq, ack), payload=data))


def numbers(trace: Trace) -> list[tuple[int, int]]:
    return [(s.packet.l4.seq, s.packet.l4.ack) for s in trace if s.packet and isinstance(s.packet.l4, Tcp)]


def test_tcp_numbers_count_from_the_syn_of_their_direction_and_wrap() -> None:
    syn, ack = TcpFlag.SYN, TcpFlag.ACK
    last = 0xFFFFFFFF
    assert numbers(relative(Trace([
        segment(A, B, syn, last), segment(B, A, syn | ack, 700, 0), segment(A, B, ack, 0, 701),
        segment(A, B, ack, 0, 701, data=b"hopcast?\n"), segment(B, A, ack, 701, 9),
    ]))) == [(0, 0), (0, 1), (1, 1), (1, 1), (1, 10)]


def test_each_side_of_a_nat_learns_its_own_start() -> None:
    trace = relative(Trace([
        segment(A, B, TcpFlag.SYN, 1000), segment(A, PROXY, TcpFlag.SYN, 5000, point="b:eth0"),
        segment(A, B, TcpFlag.ACK, 1001, 1), segment(A, PROXY, TcpFlag.ACK, 5001, 1, point="b:eth0"),
    ]))
    assert [seq for seq, _ in numbers(trace)] == [0, 0, 1, 1]


def test_a_refusal_has_sequence_number_zero_and_acknowledges_the_syn() -> None:
    assert numbers(relative(Trace([
        segment(A, B, TcpFlag.SYN, 1000), segment(B, A, TcpFlag.RST | TcpFlag.ACK, 0, 1001),
    ]))) == [(0, 0), (0, 1)]


def test_a_point_that_missed_the_handshake_uses_what_another_point_learned() -> None:
    learned = Relative()
    syn, later = segment(A, B, TcpFlag.SYN, 1000), segment(A, B, TcpFlag.ACK, 1042, 0, point="b:eth0")
    for step in (syn, later):
        assert step.packet
        learned.rewrite(step.point, step.packet)
    assert numbers(Trace([later]))[0][0] == 42


def test_the_syn_that_an_icmp_error_quotes_is_relative_too() -> None:
    syn = segment(A, B, TcpFlag.SYN, 1000)
    assert syn.packet
    error = Packet(ip=IPv4(B, A, Proto.ICMP), l4=Icmp(3, 10), inner=syn.packet.copy())
    trace = relative(Trace([syn, Step(Kind.SEEN, "a", "eth0", error)]))
    assert error.inner and isinstance(error.inner.l4, Tcp) and error.inner.l4.seq == 0
    assert len(trace) == 2


@given(addresses, addresses, addresses, addresses, payloads)
def test_esp_shows_its_header_and_how_much_follows(src: int, dst: int, spi: int, seq: int, sealed: bytes) -> None:
    packet = Packet(eth=Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"), ip=IPv4(src, dst, Proto.ESP),
                    esp=Esp(f"{spi:#010x}", seq), payload=sealed)
    decoded = decode(encode(packet))
    assert decoded is not None and decoded.fields() == packet.fields()
    assert decoded.fields()["payload.length"] == len(sealed) and decoded.l4 is None


def test_esp_numbers_are_counted_from_the_first_packet_of_each_association() -> None:
    def seen(point: str, spi: str, number: int) -> Step:
        packet = Packet(ip=IPv4(1, 2, Proto.ESP), esp=Esp(spi, number))
        return Step(Kind.SEEN, point, "eth0", packet)

    trace = relative(Trace([seen("h1", "0x1", 70), seen("h2", "0x1", 70), seen("h1", "0x2", 9), seen("h1", "0x1", 72),
                            seen("h2", "0x1", 71)]))
    assert [s.packet.esp.seq for s in trace if s.packet and s.packet.esp] == [1, 1, 1, 3, 2]
