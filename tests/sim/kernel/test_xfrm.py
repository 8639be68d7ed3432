"""IPsec between two machines: what goes into ESP, what comes out, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PlumbError
from sim.kernel.netns import Netns
from sim.kernel.xfrm import Policy, State, decapsulate, encapsulate
from sim.packet import Icmp, IPv4, Packet, Proto, Tcp, Udp, Vxlan, ip
from sim.trace import DropReason, Kind, Step
from tests.sim.kernel.machines import drops, pair, settle

MARK = 0xD0C4E3
A, B = ip("10.0.0.1"), ip("10.0.0.2")
THERE, BACK = State(A, B, "0x4e4f0d38", MARK), State(B, A, "0xc8d8a88c", MARK)
POLICY = Policy(A, B, Proto.UDP, 4789, MARK, 0xFFFFFFFF, THERE.spi, MARK)


def secured(*states: State) -> tuple[Netns, Netns]:
    """a and b; a marks what it sends to port 4789, and encrypts what is marked."""
    a, b = pair()
    a.xfrm.policy_add(POLICY)
    for state in states:
        a.xfrm.state_add(state)
        b.xfrm.state_add(state)
    a.iptables(f"-t mangle -A OUTPUT -p udp --dport 4789 -j MARK --set-mark {MARK}")
    return a, b


def datagram(size: int = 106, dport: int = 4789, **more: object) -> Packet:
    return Packet(ip=IPv4(A, B, Proto.UDP), l4=Udp(40000, dport), payload=bytes(size), **more)  # type: ignore[arg-type]


def send(a: Netns, packet: Packet) -> list[Step]:
    return settle(a.ip.output(packet, 0.0))


def seen(steps: list[Step], point: str) -> list[Packet]:
    return [s.packet for s in steps if s.kind is Kind.SEEN and s.point == point and s.packet and s.packet.ip]


def test_a_marked_datagram_travels_in_esp_and_reaches_its_port() -> None:
    a, _ = secured(THERE)
    steps = send(a, datagram())
    crossing, error = seen(steps, "b:eth0")
    assert crossing.ip is not None and crossing.esp is not None and crossing.l4 is None
    assert (crossing.ip.proto, crossing.esp.spi, crossing.esp.seq) == (Proto.ESP, THERE.spi, 1)
    assert [s.detail for s in steps if s.reason is DropReason.NO_SOCKET] == ["nobody listens on port 4789"]
    assert isinstance(error.l4, Icmp)  # which says so, in clear text: no policy of b selects it
    assert [s.where for s in steps if s.kind in (Kind.ENCRYPT, Kind.DECRYPT)] == ["a", "b"]


@pytest.mark.parametrize(("payload", "esp"), [(106, 140), (107, 144), (110, 144), (111, 148)])
def test_esp_adds_iv_padding_and_check_value_as_captured(payload: int, esp: int) -> None:
    """A ping of 56 bytes through VXLAN is 114 bytes of UDP: tcpdump called its ESP `length 140`."""
    packet = encapsulate(datagram(payload), THERE, 1)
    assert packet.size() - 20 == esp


@given(st.integers(0, 3000), st.booleans(), st.integers(1, 255), st.integers(0, 255))
def test_what_is_decrypted_is_what_was_encrypted(size: int, df: bool, ttl: int, tos: int) -> None:
    packet = datagram(size)
    assert packet.ip is not None
    packet.ip.df, packet.ip.ttl, packet.ip.tos = df, ttl, tos
    sealed = encapsulate(packet, THERE, 7)
    assert sealed.sealed is not None and sealed.esp is not None and sealed.ip is not None
    assert decapsulate(sealed, sealed.sealed).fields() == packet.fields()
    assert (sealed.ip.df, sealed.ip.ttl, sealed.ip.tos) == (df, ttl, tos)
    assert (sealed.size() - 20) % 4 == 0 and 24 < sealed.size() - packet.size() <= 30


def test_checksums_left_to_a_device_are_computed_before_encryption() -> None:
    inner = Packet(ip=IPv4(1, 2, Proto.TCP), l4=Tcp(1, 2, 2), csum="partial")
    outer = datagram(0, vxlan=Vxlan(4097), inner=inner, csum="valid")
    sealed = encapsulate(outer, THERE, 1).sealed
    assert sealed is not None and sealed.inner is not None and sealed.inner.csum == "valid"
    assert inner.csum == "partial"


def test_each_packet_of_an_association_has_the_next_number_and_a_question_counts_from_one() -> None:
    a, _ = secured(THERE)
    numbers = [p.esp.seq for _ in range(3) for p in seen(send(a, datagram()), "a:eth0") if p.esp]
    a.flush()
    numbers += [p.esp.seq for p in seen(send(a, datagram()), "a:eth0") if p.esp]
    assert numbers == [1, 2, 3, 1]


def test_other_ports_and_unmarked_packets_stay_in_clear_text() -> None:
    a, _ = secured(THERE)
    assert not [p for p in seen(send(a, datagram(dport=53)), "a:eth0") if p.esp]
    a.iptables("-t mangle -F OUTPUT")
    assert not [p for p in seen(send(a, datagram()), "a:eth0") if p.esp]


def test_a_policy_without_a_state_drops_in_silence() -> None:
    a, _ = secured()
    steps = send(a, datagram())
    assert drops(steps) == ["NO_STATE"] and not seen(steps, "a:eth0")


def test_an_unknown_spi_is_dropped_without_an_answer() -> None:
    a, b = secured(THERE)
    b.xfrm.states.clear()
    steps = send(a, datagram())
    assert drops(steps) == ["NO_STATE"] and not [p for p in seen(steps, "b:eth0") if p.l4]


def test_esp_larger_than_the_mtu_is_cut_and_put_together_before_it_is_decrypted() -> None:
    """As captured of a ping of 1397 bytes, which is 1447 bytes of VXLAN: 1475 with headers fit, but not in ESP."""
    a, _ = secured(THERE)
    steps = send(a, datagram(1447))
    parts = seen(steps, "b:eth0")[:2]
    assert [(p.size(), p.esp is not None, p.ip.mf, p.ip.offset) for p in parts if p.ip] == [
        (1500, True, True, 0), (24, False, False, 1480)]
    assert [s.where for s in steps if s.kind is Kind.DECRYPT] == ["b"]


def test_the_hooks_see_a_packet_twice_on_either_side() -> None:
    a, b = secured(THERE)
    for netns, chains in ((a, ("OUTPUT", "POSTROUTING")), (b, ("PREROUTING", "INPUT"))):
        for chain in chains:
            for proto in ("udp", "esp"):
                netns.iptables(f"-t mangle -A {chain} -p {proto}")
    hooks = [f"{s.where} {s.detail}" for s in send(a, datagram()) if s.kind is Kind.HOOK][:8]
    assert hooks == [f"{where} mangle/{chain}" for where, chains in (
        ("a", ["OUTPUT", "POSTROUTING"] * 2), ("b", ["PREROUTING", "INPUT"] * 2)) for chain in chains]


def test_the_policy_match_tells_what_came_encrypted() -> None:
    a, b = secured(THERE)
    b.iptables("-A INPUT -p udp -m policy --dir in --pol none -j DROP")
    assert drops(send(a, datagram()))[:1] == ["NO_SOCKET"]
    a.iptables("-t mangle -F OUTPUT")
    assert drops(send(a, datagram())) == ["RULE"]
    b.iptables("-F INPUT")
    b.iptables("-A INPUT -p udp -m policy --dir in --pol ipsec -j DROP")
    assert drops(send(a, datagram()))[:1] == ["NO_SOCKET"]


def test_a_kernel_without_the_cipher_takes_no_state() -> None:
    a, _ = pair()
    a.xfrm.esp = False
    with pytest.raises(PlumbError, match="Requested AEAD algorithm not found"):
        a.xfrm.state_add(THERE)


def test_a_namespace_shows_policies_and_states_in_the_words_of_ip_xfrm() -> None:
    a, _ = secured(THERE, BACK)
    assert a.snapshot().policies == [
        "policy src 10.0.0.1/32 dst 10.0.0.2/32 proto udp dport 4789 dir out priority 0 mark 0xd0c4e3/0xffffffff "
        "tmpl src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x4e4f0d38 reqid 13681891 mode transport",
        "state src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x4e4f0d38 reqid 13681891 mode transport aead "
        "rfc4106(gcm(aes)) 160 bits icv 64",
        "state src 10.0.0.2 dst 10.0.0.1 proto esp spi 0xc8d8a88c reqid 13681891 mode transport aead "
        "rfc4106(gcm(aes)) 160 bits icv 64",
    ]
