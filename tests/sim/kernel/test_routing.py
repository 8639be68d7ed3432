from hypothesis import given
from hypothesis import strategies as st

from sim.kernel.routing import RouteEntry, RoutingTable
from sim.packet import cidr, ip, mask_of


def table(*routes: str) -> RoutingTable:
    made = RoutingTable()
    for n, route in enumerate(routes):
        address, mask = cidr(route)
        made.add(RouteEntry(address & mask, mask, f"dev{n}"))
    return made


def test_longest_prefix_wins_whatever_the_order():
    routes = table("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16")
    assert [routes.lookup(ip(a)).dev for a in ("10.1.2.3", "10.2.0.1", "8.8.8.8")] == ["dev2", "dev1", "dev0"]


def test_without_a_default_route_an_unknown_network_is_unreachable():
    assert table("10.0.0.0/8").lookup(ip("11.0.0.1")) is None


def test_lower_metric_wins_among_equal_prefixes():
    routes = RoutingTable()
    routes.add(RouteEntry(0, 0, "slow", metric=100))
    routes.add(RouteEntry(0, 0, "fast", metric=10))
    assert routes.lookup(ip("1.1.1.1")).dev == "fast"


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), min_size=1, max_size=20),
    st.integers(0, 2**32 - 1),
)
def test_lookup_equals_the_most_specific_of_all_matches(prefixes, address):
    routes = RoutingTable()
    for n, (network, length) in enumerate(prefixes):
        routes.add(RouteEntry(network & mask_of(length), mask_of(length), str(n)))
    matching = [length for network, length in prefixes if (network ^ address) & mask_of(length) == 0]
    found = routes.lookup(address)
    assert (found.prefix_length if found else None) == (max(matching) if matching else None)
