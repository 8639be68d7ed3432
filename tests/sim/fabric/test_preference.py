"""Which address of a name a program tries first (RFC 3484, as glibc does it for IPv4)."""

from hypothesis import given
from hypothesis import strategies as st

from sim.fabric.preference import by_preference
from sim.kernel.netns import Netns
from sim.packet import dotted, ip


def machine(*addresses: str, default: str = "") -> Netns:
    netns = Netns("c")
    for index, address in enumerate(addresses):
        netns.add_bridge(f"eth{index}", f"02:00:00:00:00:{index:02x}")
        netns.add_address(f"eth{index}", address)
    if default:
        netns.add_route("default", dev="eth0", via=default)
    return netns


def preferred(netns: Netns, *addresses: str) -> list[str]:
    return [dotted(address) for address in by_preference(netns, map(ip, addresses))]


def test_the_order_stays_among_addresses_that_are_equally_good() -> None:
    box = machine("172.18.0.9/16", default="172.18.0.1")
    assert preferred(box, "172.18.0.6", "10.0.0.1", "172.18.0.8") == ["172.18.0.6", "10.0.0.1", "172.18.0.8"]


def test_an_own_address_comes_before_others() -> None:
    box = machine("172.18.0.9/16", default="172.18.0.1")
    assert preferred(box, "172.18.0.6", "172.18.0.9", "172.18.0.8") == ["172.18.0.9", "172.18.0.6", "172.18.0.8"]


def test_what_can_not_be_reached_comes_last() -> None:
    box = machine("172.18.0.9/16")
    assert preferred(box, "10.0.0.1", "172.18.0.200") == ["172.18.0.200", "10.0.0.1"]


def test_own_addresses_are_equal_and_keep_their_order() -> None:
    box = machine("172.18.0.2/16", "172.19.0.2/16")
    assert preferred(box, "172.19.0.2", "172.18.0.2") == ["172.19.0.2", "172.18.0.2"]


def test_loopback_comes_before_others() -> None:
    box = machine("172.18.0.2/16", default="172.18.0.1")
    assert preferred(box, "10.0.0.1", "127.0.0.1") == ["127.0.0.1", "10.0.0.1"]


@given(st.lists(st.integers(1, 2**32 - 2), max_size=8))
def test_each_address_comes_once(addresses: list[int]) -> None:
    found = by_preference(machine("172.18.0.9/16", default="172.18.0.1"), addresses)
    assert sorted(found) == sorted(set(addresses))
