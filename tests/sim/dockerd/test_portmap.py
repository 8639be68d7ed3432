"""Published ports: which host port, in which order, and who holds it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import spec
from sim.dockerd.portmap import binding_order
from sim.dockerd.process import BoundPort, ProxyProcess
from sim.errors import PlumbError
from sim.plumbing import unordered
from tests.sim.dockerd.engines import engine, network, on, port


def test_drawn_host_ports_count_up_from_the_kernels_range_for_each_protocol() -> None:
    daemon = engine()
    daemon.container_run(on(name="one", ports=(port(80), port(53, protocol="udp"))))
    daemon.container_run(on(name="two", ports=(port(80),)))
    assert daemon.published_port("one", 80, "tcp") == 32768
    assert daemon.published_port("one", 53, "udp") == 32768
    assert daemon.published_port("two", 80, "tcp") == 32769


def test_drawn_host_port_skips_one_that_is_given() -> None:
    daemon = engine()
    daemon.container_run(on(name="one", ports=(port(80, 32768),)))
    daemon.container_run(on(name="two", ports=(port(80),)))
    assert daemon.published_port("two", 80, "tcp") == 32769


def test_drawn_host_port_skips_one_on_which_a_process_of_the_host_listens() -> None:
    daemon = engine()
    daemon.container_run(spec.Container(name="server", mode="host", listens=(spec.Listener(port=32768),)))
    daemon.container_run(on(name="two", ports=(port(80),)))
    assert daemon.published_port("two", 80, "tcp") == 32769


def test_port_on_which_a_container_in_host_mode_listens_cant_be_published() -> None:
    daemon = engine()
    daemon.container_run(spec.Container(name="server", mode="host", listens=(spec.Listener(port=80),)))
    with pytest.raises(PlumbError, match=r"listen tcp4 0\.0\.0\.0:80: bind: address already in use"):
        daemon.container_run(on(name="two", ports=(port(80, 80),)))


def test_one_host_port_may_be_published_once_for_each_address_and_protocol() -> None:
    daemon = engine()
    daemon.container_run(on(name="one", ports=(
        port(80, 8080, host_ip="127.0.0.1"), port(80, 8080, host_ip="192.168.99.101"), port(80, 8080, protocol="udp"))))
    assert sorted(daemon.netns.daemon_listeners) == [
        ("tcp", "127.0.0.1", 8080), ("tcp", "192.168.99.101", 8080), ("udp", "0.0.0.0", 8080)]


def test_docker_proxy_knows_both_ends() -> None:
    daemon = engine()
    daemon.container_run(on(name="one", ports=(port(80, 8080),)))
    assert daemon.processes == [ProxyProcess("host", "tcp", "0.0.0.0", 8080, "172.17.0.2", 80)]


def test_without_userland_proxy_dockerd_itself_holds_the_port() -> None:
    daemon = engine(userland_proxy=False)
    daemon.container_run(on(name="one", ports=(port(80, 8080),)))
    assert daemon.processes == []
    assert daemon.bound_ports == [BoundPort("host", "tcp", "0.0.0.0", 8080)]


def test_ports_on_internal_networks_only_are_not_published() -> None:
    daemon = engine()
    daemon.network_create(network("inner", internal=True))
    daemon.container_run(on("inner", name="one", ports=(port(80, 8080),)))
    assert daemon.published_port("one", 80, "tcp") is None
    assert daemon.processes == [p for p in daemon.processes if not isinstance(p, ProxyProcess)]


def test_ports_are_published_at_the_network_of_the_default_route() -> None:
    daemon = engine()
    for name in ("zeta", "alpha"):
        daemon.network_create(network(name))
    daemon.container_run(on("zeta", "alpha", name="one", ports=(port(80, 8080),)))
    assert daemon.processes[0] == ProxyProcess("host", "tcp", "0.0.0.0", 8080, "172.19.0.2", 80)


def test_port_without_an_address_is_bound_where_the_network_says() -> None:
    daemon = engine()
    daemon.network_create(network("front", options={"com.docker.network.bridge.host_binding_ipv4": "192.168.99.101"}))
    daemon.container_run(on("front", name="one", ports=(port(80, 8080), port(81, 8081, host_ip="127.0.0.1"))))
    assert sorted(daemon.netns.daemon_listeners) == [("tcp", "127.0.0.1", 8081), ("tcp", "192.168.99.101", 8080)]


def test_larger_ports_are_mapped_first() -> None:
    ports = (port(53, 5053), port(80, 8080), port(443, 8443))
    assert [p.container_port for p in binding_order(ports)] == [443, 80, 53]


def test_tcp_is_mapped_before_udp() -> None:
    ports = (port(53, 5353, protocol="udp"), port(53, 5353))
    assert [p.protocol for p in binding_order(ports)] == ["tcp", "udp"]


published = st.builds(
    port, st.integers(1, 200), st.one_of(st.just(0), st.integers(1, 200)), protocol=st.sampled_from(["tcp", "udp"]))


listening = st.builds(lambda number: spec.Listener(port=number), st.integers(1, 200))


@given(st.lists(published, max_size=8), st.lists(listening, max_size=3))
def test_sorting_ports_loses_none(ports: list[spec.PublishedPort], exposed: list[spec.Listener]) -> None:
    ordered = binding_order(tuple(ports), tuple(exposed))
    assert sorted(map(str, ordered)) == sorted(map(str, ports))


@given(st.permutations([(80, 8080), (443, 8443), (22, 2222), (9000, 9000)]))
def test_order_of_ports_that_grow_together_does_not_depend_on_the_order_given(pairs: list[tuple[int, int]]) -> None:
    ordered = binding_order(tuple(port(inside, outside) for inside, outside in pairs))
    assert [p.container_port for p in ordered] == [9000, 443, 80, 22]


def test_comparison_ignores_the_order_of_one_containers_port_rules_only() -> None:
    one = ["-A DOCKER ! -i docker0 -p tcp -m tcp --dport 1 -j DNAT --to-destination 172.17.0.2:80",
           "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 2 -j DNAT --to-destination 172.17.0.2:81"]
    other = ["-A DOCKER ! -i docker0 -p tcp -m tcp --dport 0 -j DNAT --to-destination 172.17.0.3:80"]
    assert unordered(one[::-1] + other) == one + other
    assert unordered(other + one) == other + one
    isolation = ["-A DOCKER-ISOLATION-STAGE-2 -o b -j DROP", "-A DOCKER-ISOLATION-STAGE-2 -o a -j DROP"]
    assert unordered(isolation) == isolation


def test_port_that_is_published_no_more_leaves_nothing_behind() -> None:
    daemon = engine()
    before = daemon.netns.snapshot()
    daemon.container_run(on(name="one", ports=(port(80, 8080), port(53, protocol="udp"))))
    daemon.ports.unpublish("one", str(daemon.address_of("one", "bridge")))
    after = daemon.netns.snapshot()
    assert (after.rules, after.listeners) == (before.rules, before.listeners)
    assert daemon.processes == [] and daemon.published_port("one", 80, "tcp") is None
    daemon.container_run(on(name="two", ports=(port(80, 8080),)))
