"""`-m u32` as dockerd uses it, and as iptables reads and prints it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PlumbError
from sim.kernel.hooks import Hook, HookState
from sim.kernel.matches import View
from sim.kernel.matches_u32 import Location, U32Match
from sim.kernel.ruleset import Ruleset
from sim.packet import Ethernet, Icmp, IcmpType, IPv4, Packet, Proto, Udp, Vxlan

VIEW = View(lambda _: False, lambda _: False, lambda _: None)


def matches(expression: str, packet: Packet, *, inverted: bool = False) -> bool:
    match = U32Match()
    match.take("--u32", inverted, [expression])
    test = match.test(VIEW)
    assert test is not None
    return test(packet, HookState(Hook.INPUT))


def vxlan(vni: int) -> Packet:
    inner = Packet(eth=Ethernet("02:42:0a:00:01:02", "02:42:0a:00:01:04"), ip=IPv4(1, 2, Proto.ICMP),
                   l4=Icmp(IcmpType.ECHO_REQUEST))
    return Packet(ip=IPv4(1, 2, Proto.UDP), l4=Udp(40000, 4789), vxlan=Vxlan(vni), inner=inner)


def saved(arguments: str) -> str:
    rules = Ruleset()
    rules.execute(f"-A INPUT {arguments} -j DROP")
    return rules.save()["filter"][-1]


@given(st.integers(0, 0xFFFFFF), st.integers(0, 0xFFFFFF))
def test_dockers_expression_finds_the_vni(wanted: int, vni: int) -> None:
    expression = f"0>>22&0x3C@12&0xFFFFFF00={wanted << 8}"
    assert matches(expression, vxlan(vni)) is (wanted == vni)
    assert matches(expression, vxlan(vni), inverted=True) is (wanted != vni)


def test_dockers_rule_is_saved_as_a_real_engine_showed_it() -> None:
    assert saved('-p udp --dport 4789 -m u32 --u32 "0>>22&0x3C@12&0xFFFFFF00=1048832"') == (
        '-A INPUT -p udp -m udp --dport 4789 -m u32 --u32 "0x0>>0x16&0x3c@0xc&0xffffff00=0x100100" -j DROP')
    assert saved('-m policy --dir in --pol none -p udp --dport 4789 -m u32 --u32 "0>>22&0x3C@12&0xFFFFFF00=1048832"'
                 ) == ("-A INPUT -p udp -m policy --dir in --pol none -m udp --dport 4789 -m u32 --u32 "
                       '"0x0>>0x16&0x3c@0xc&0xffffff00=0x100100" -j DROP')


@pytest.mark.parametrize(("given_", "shown"), [
    ('--u32 "0=1,2:3&&4&7=5"', '--u32 "0x0=0x1,0x2:0x3&&0x4&0x7=0x5"'),
    ('--u32 " 0 = 5 : 3 "', '--u32 "0x0=0x5:0x3"'),
    ('! --u32 "010<<1=0"', '! --u32 "0x8<<0x1=0x0"'),
])
def test_an_expression_is_saved_in_hexadecimal(given_: str, shown: str) -> None:
    assert saved(f"-m u32 {given_}") == f"-A INPUT -m u32 {shown} -j DROP"


@pytest.mark.parametrize(("expression", "complaint"), [
    ("0>>22", "u32: abrupt end of input after location specifier"),
    ("a=1", "u32: at char 0: not a number or out of range"),
    ("0=", "u32: test ended with no value specified"),
    ("0>=1", "u32: at char 2: a second '>' was expected"),
    ("0>>22&0x3C@12=1:", "u32: at char 16: not a number or out of range"),
    ("1&&2=3", "u32: at char 2: not a number or out of range"),
    ("=1", "u32: at char 0: location spec missing"),
    ("0=1&2", "u32: at char 4: a second '&' was expected"),
])
def test_a_wrong_expression_is_refused_as_iptables_does(expression: str, complaint: str) -> None:
    with pytest.raises(PlumbError) as refusal:
        saved(f"-m u32 --u32 '{expression}'")
    assert complaint in str(refusal.value)


def test_a_place_outside_the_packet_matches_nothing() -> None:
    assert not matches("4096=0", vxlan(1))
    assert not matches("0&0xffffffff@0=0:0xffffffff", vxlan(1))
    assert matches("4096=0", vxlan(1), inverted=True)


def test_a_place_prints_as_it_was_read() -> None:
    assert str(Location(0, ((">>", 22), ("@", 12)), ((1, 1), (2, 3)))) == "0x0>>0x16@0xc=0x1,0x2:0x3"
