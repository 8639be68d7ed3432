"""Real names to canonical ones, without an engine: a deployment's readings are given."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from live.links import Link
from live.names import Names, _fixed_macs

NAMES = Names(
    devices={"host": {"br-0a1b2c3d4e5f": "br(front)", "veth1234567": "veth(web@front)"}},
    macs={"02:42:aa:bb:cc:dd": "mac(host:docker0)"},
    links={"host": [Link(1, "lo", "loopback", "00:00:00:00:00:00", 65536, True),
                    Link(4, "br-0a1b2c3d4e5f", "bridge", "02:42:11:22:33:44", 1500, True),
                    Link(7, "down0", "veth", "02:00:00:00:00:01", 1500, False)]},
)


def test_a_rule_names_bridges_by_their_network() -> None:
    rule = "-A FORWARD -i br-0a1b2c3d4e5f ! -o br-0a1b2c3d4e5f -j ACCEPT"
    assert NAMES.text("host", rule) == "-A FORWARD -i br(front) ! -o br(front) -j ACCEPT"


def test_a_name_is_replaced_as_a_whole_word_only() -> None:
    assert NAMES.text("host", "-i br-0a1b2c3d4e5f0") == "-i br-0a1b2c3d4e5f0"
    assert NAMES.text("host", "-i xbr-0a1b2c3d4e5f") == "-i xbr-0a1b2c3d4e5f"


def test_a_name_means_something_in_its_own_namespace_only() -> None:
    assert NAMES.device("web", "veth1234567") == "veth1234567"
    assert NAMES.device("host", "veth1234567") == "veth(web@front)"


def test_random_macs_are_symbols_and_others_stay() -> None:
    assert NAMES.mac("02:42:AA:BB:CC:DD") == "mac(host:docker0)"
    assert NAMES.mac("02:42:ac:11:00:02") == "02:42:ac:11:00:02"


def test_a_canonical_name_leads_back_to_the_device() -> None:
    assert NAMES.real("host", "br(front)") == "br-0a1b2c3d4e5f"
    assert NAMES.real("host", "lo") == "lo"


def test_a_device_that_is_down_is_no_capture_point() -> None:
    assert NAMES.points() == [("host", "lo", "lo"), ("host", "br(front)", "br-0a1b2c3d4e5f")]


@given(st.text(alphabet=string.ascii_letters + string.digits + " -:/.!,", max_size=60))
def test_text_without_a_known_device_is_not_changed(line: str) -> None:
    if "br-0a1b2c3d4e5f" not in line and "veth1234567" not in line:
        assert NAMES.text("host", line) == line


def test_an_address_that_docker_derived_stays_even_where_the_parent_has_it_too() -> None:
    """macvlan in mode passthru: container and parent have one MAC address."""
    found = [Link(2, "eth0", "macvlan", "02:42:0a:08:00:02", 1500, True, addresses=("10.8.0.2/24",))]
    assert "02:42:0a:08:00:02" in _fixed_macs(None, found)


def test_a_device_that_borrows_its_parents_address_has_the_parents_symbol() -> None:
    for kind in ("ipvlan", "vlan"):
        assert NAMES.mac_of("web", Link(2, "eth0", kind, "02:42:aa:bb:cc:dd", 1500, True)) == "mac(host:docker0)"
    assert NAMES.mac_of("web", Link(2, "eth0", "veth", "02:42:aa:bb:cc:dd", 1500, True)) == "mac(web:eth0)"
