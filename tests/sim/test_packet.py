import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.packet import Esp, Ethernet, Icmp, IPv4, Packet, Proto, Tcp, TcpFlag, Udp, cidr, dotted, ip, mask_of


@given(st.integers(0, 2**32 - 1))
def test_dotted_and_int_addresses_are_each_other_s_inverse(address):
    assert ip(dotted(address)) == address


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "a.b.c.d", "1.2.3.-4", "::1"])
def test_text_that_is_no_ipv4_address_is_a_value_error(text):
    with pytest.raises(ValueError, match="not an IPv4 address"):
        ip(text)


def test_prefix_length_zero_matches_everything():
    assert mask_of(0) == 0 and mask_of(32) == 0xFFFFFFFF and cidr("10.1.2.3/8") == (0x0A010203, 0xFF000000)


def test_copy_has_headers_of_its_own():
    packet = Packet(eth=Ethernet("a", "b"), ip=IPv4(1, 2, Proto.UDP), l4=Udp(1, 2), mark=7)
    clone = packet.copy()
    clone.ip.ttl, clone.eth.dst = 1, "c"
    assert packet.ip.ttl == 64 and packet.eth.dst == "b" and (clone.mark, clone.uid) == (7, packet.uid)


def test_snapshot_has_no_skb_metadata():
    packet = Packet(ip=IPv4(1, 2, Proto.UDP), l4=Udp(1, 2), mark=7, ct=object())
    assert packet.snapshot().mark == 0 and packet.snapshot().ct is None


def test_size_is_that_of_the_ip_datagram():
    assert Packet(ip=IPv4(1, 2, 1), l4=Icmp(8), payload=bytes(56)).size() == 84
    assert Packet(ip=IPv4(1, 2, 6), l4=Tcp(1, 2, TcpFlag.SYN)).size() == 40


def test_fields_of_an_icmp_error_show_the_datagram_that_it_quotes():
    quoted = Packet(ip=IPv4(ip("10.0.0.1"), ip("10.0.0.2"), Proto.UDP), l4=Udp(5, 6))
    fields = Packet(ip=IPv4(1, 2, Proto.ICMP), l4=Icmp(3, 3), inner=quoted).fields()
    assert fields["inner.ip.src"] == "10.0.0.1" and fields["inner.udp.dport"] == 6


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 255), st.booleans(), st.integers(0, 65535), st.integers(0, 31),
    st.binary(max_size=40), st.sampled_from(["valid", "partial"]),
)
def test_packet_is_known_again_from_its_fields(address, ttl, df, port, flags, payload, csum):
    tcp = Packet(eth=Ethernet("a", "b"), ip=IPv4(address, 1, Proto.TCP, ttl, df), l4=Tcp(port, 80, flags, 3, 4),
                 payload=payload, csum=csum)
    error = Packet(ip=IPv4(1, address, Proto.ICMP), l4=Icmp(3, 1), inner=tcp)
    for packet in (tcp, error):
        assert Packet.from_fields(packet.fields()).fields() == packet.fields()


def test_esp_is_a_header_and_a_length_and_its_secret_shows_nowhere():
    sealed = Packet(ip=IPv4(1, 2, Proto.ESP), esp=Esp("spi(a>b#2)", 5), payload=bytes(132),
                    sealed=Packet(ip=IPv4(1, 2, Proto.UDP), l4=Udp(1, 4789)), secpath=True)
    assert sealed.size() == 20 + 140 and "udp.dport" not in sealed.fields()
    assert Packet.from_fields(sealed.fields()).fields() == sealed.fields()
    assert sealed.snapshot().sealed is None and sealed.copy().sealed is sealed.sealed and sealed.copy().secpath


def test_a_later_fragment_shows_how_long_it_is_and_is_known_again():
    later = Packet(ip=IPv4(1, 2, Proto.ICMP, offset=1480), payload=bytes(28))
    assert later.fields()["payload.length"] == 28 and len(Packet.from_fields(later.fields()).payload) == 28
