"""Address pools and addresses, as libnetwork's allocator gives them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.dockerd.ipam import Ipam, NoAvailableAddress, Pool, Subnets, parse_cidr
from sim.dockerd.profile import PROFILES
from sim.errors import PlumbError

DEFAULTS = PROFILES["20.10"].default_pools


def free() -> list[IPv4Network]:
    return []


def test_default_pools_are_sixteens_then_twenties() -> None:
    pools = [str(network) for network in Subnets(DEFAULTS)]
    assert pools[:3] == ["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16"]
    assert pools[14:17] == ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]
    assert len(pools) == 31


def test_default_pools_run_out_after_thirty_one() -> None:
    ipam = Ipam(DEFAULTS, free)
    for _ in range(31):
        ipam.request_pool()
    with pytest.raises(PlumbError, match="could not find an available, non-overlapping IPv4 address pool"):
        ipam.request_pool()


def test_pool_that_the_host_uses_is_passed_over_for_good() -> None:
    ipam = Ipam(DEFAULTS, lambda: [IPv4Network("172.18.5.0/24")])
    assert [str(ipam.request_pool().network) for _ in range(3)] == ["172.17.0.0/16", "172.19.0.0/16", "172.20.0.0/16"]


def test_a_pool_of_millions_of_subnets_is_not_written_out() -> None:
    ipam = Ipam([("10.0.0.0/8", 30), ("172.16.0.0/12", 16)], lambda: [IPv4Network("10.0.0.0/9")])
    assert len(ipam.predefined) == 2**22 + 16
    assert str(ipam.first_available()) == "10.128.0.0/30"
    assert [str(ipam.request_pool().network) for _ in range(2)] == ["10.128.0.0/30", "10.128.0.4/30"]
    ipam.request_pool("10.192.0.0/10")
    assert str(ipam.request_pool().network) == "10.128.0.8/30"


networks = st.tuples(st.integers(0, 2**8 - 1), st.integers(24, 30)).map(
    lambda drawn: IPv4Network((drawn[0], drawn[1]), strict=False))


@given(st.lists(networks.flatmap(lambda net: st.tuples(st.just(str(net)), st.integers(net.prefixlen, 32))), max_size=3),
       st.lists(networks, max_size=4), st.integers(0, 9))
def test_the_first_free_subnet_is_found_as_if_all_were_written_out(
    pools: list[tuple[str, int]], taken: list[IPv4Network], start: int
) -> None:
    subnets = Subnets(pools)
    whole = [each for base, size in pools for each in IPv4Network(base).subnets(new_prefix=size)]
    assert [subnets[index] for index in range(len(subnets))] == whole
    start = min(start, len(whole))
    order = [*range(start, len(whole)), *range(start)]
    assert subnets.free(start, taken) == next(
        (index for index in order if not any(whole[index].overlaps(other) for other in taken)), None)


def test_subnet_that_was_asked_for_takes_a_default_pool_out() -> None:
    ipam = Ipam(DEFAULTS, free)
    ipam.request_pool("172.17.3.0/24")
    assert str(ipam.request_pool().network) == "172.18.0.0/16"


def test_subnet_may_overlap_a_route_of_the_host_when_it_was_asked_for() -> None:
    ipam = Ipam(DEFAULTS, lambda: [IPv4Network("0.0.0.0/0")])
    assert str(ipam.request_pool("192.168.99.0/24").network) == "192.168.99.0/24"


def test_host_bits_of_a_subnet_are_dropped() -> None:
    assert str(parse_cidr("10.1.2.3/24")) == "10.1.2.0/24"


def test_freed_nothing_so_the_next_address_is_the_lowest_free_one() -> None:
    pool = Pool(IPv4Network("10.0.0.0/24"))
    pool.request("10.0.0.2")
    assert [str(pool.request()) for _ in range(3)] == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]


def test_range_gives_addresses_that_end_in_zero() -> None:
    pool = Pool(IPv4Network("10.5.0.0/16"), IPv4Network("10.5.7.0/24"))
    assert str(pool.request()) == "10.5.7.0"


def test_range_that_is_used_up_gives_nothing_more() -> None:
    pool = Pool(IPv4Network("10.5.0.0/16"), IPv4Network("10.5.7.0/31"))
    assert [str(pool.request()) for _ in range(2)] == ["10.5.7.0", "10.5.7.1"]
    with pytest.raises(NoAvailableAddress):
        pool.request()


@given(st.integers(16, 30), st.lists(st.integers(0, 2**16 - 1), max_size=20), st.integers(1, 40))
def test_no_address_is_given_twice_nor_the_network_nor_the_broadcast(length: int, wanted: list[int], more: int) -> None:
    network = IPv4Network(f"10.7.0.0/{length}")
    pool = Pool(network)
    got: list[IPv4Address] = []
    for value in wanted:
        try:
            got.append(pool.request(str(IPv4Address(0x0A070000 + value))))
        except PlumbError:
            continue
    for _ in range(more):
        try:
            got.append(pool.request())
        except NoAvailableAddress:
            assert len(got) == network.num_addresses - 2
            break
    assert len(got) == len(set(got))
    assert all(address in network for address in got)
    assert network.network_address not in got
    assert network.broadcast_address not in got


@given(st.sampled_from(["", "10.7.0.16/29", "10.7.0.0/28"]),
       st.lists(st.one_of(st.none(), st.integers(0, 31), st.tuples(st.integers(0, 31))), max_size=60))
def test_an_address_that_was_given_back_is_the_lowest_free_one_again(ip_range: str, wishes: list[Any]) -> None:
    """Drawn: nothing (any address), a number (that address), or a number in brackets (that one is given back)."""
    network, narrow = IPv4Network("10.7.0.0/27"), IPv4Network(ip_range) if ip_range else IPv4Network("10.7.0.0/27")
    pool, taken = Pool(network, narrow if ip_range else None), {network[0], network[31]}
    for wish in wishes:
        match wish:
            case (number,):
                if number not in (0, 31):
                    pool.release(network[number])
                    taken.discard(network[number])
            case int():
                if network[wish] not in taken:
                    assert pool.request(str(network[wish])) == network[wish]
                    taken.add(network[wish])
            case None:
                lowest = next((address for address in narrow if address not in taken), None)
                if lowest is None:
                    with pytest.raises(NoAvailableAddress):
                        pool.request()
                else:
                    assert pool.request() == lowest
                    taken.add(lowest)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(8, 28)), max_size=12), st.integers(0, 10))
def test_pools_of_one_engine_never_overlap(asked: list[tuple[int, int]], drawn: int) -> None:
    ipam = Ipam(DEFAULTS, free)
    for second, length in asked:
        try:
            ipam.request_pool(f"172.{second}.0.0/{length}")
        except PlumbError as error:
            assert error.refusal == "Pool overlaps with other one on this address space"
    for _ in range(drawn):
        try:
            ipam.request_pool()
        except PlumbError:
            break
    networks = [pool.network for pool in ipam.pools]
    assert not any(a.overlaps(b) for i, a in enumerate(networks) for b in networks[:i])
