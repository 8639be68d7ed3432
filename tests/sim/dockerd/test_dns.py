"""The embedded DNS of user-defined networks: what it knows, and whom it asks."""

from __future__ import annotations

from sim import spec
from sim.dockerd.daemon import Daemon
from sim.dockerd.dns import splits
from sim.dockerd.process import NameAnswer, ResolverProcess
from tests.sim.dockerd.engines import NAMESERVER, engine, network, on


def resolver(daemon: Daemon, label: str) -> ResolverProcess:
    return next(p for p in daemon.processes if isinstance(p, ResolverProcess) and p.netns_label == label)


def two_networks() -> Daemon:
    daemon = engine()
    for name in ("front", "back"):
        daemon.network_create(network(name))
    daemon.container_run(spec.Container(name="web", service="shop", hostname="storefront", attachments=(
        spec.Attachment(network="front", aliases=("www",)),)))
    daemon.container_run(on("front", "back", name="app"))
    daemon.container_run(on("back", name="data"))
    return daemon


def test_container_is_known_by_name_service_alias_and_hostname() -> None:
    ask = resolver(two_networks(), "app").answer
    for name in ("web", "shop", "www", "storefront", "WEB", "web."):
        assert ask(name) == NameAnswer(addresses=("172.18.0.2",)), name


def test_name_may_carry_its_network() -> None:
    ask = resolver(two_networks(), "app").answer
    assert ask("web.front").addresses == ("172.18.0.2",)
    assert ask("web.back").addresses == ()


def test_container_on_no_shared_network_is_unknown() -> None:
    ask = resolver(two_networks(), "web").answer
    assert ask("data") == NameAnswer(upstream=(NAMESERVER,))


def test_container_on_two_networks_is_found_at_the_one_that_is_shared() -> None:
    daemon = two_networks()
    assert resolver(daemon, "web").answer("app").addresses == ("172.18.0.3",)
    assert resolver(daemon, "data").answer("app").addresses == ("172.19.0.2",)


def test_own_name_resolves_on_the_first_network_by_name() -> None:
    assert resolver(two_networks(), "app").answer("app").addresses == ("172.19.0.2",)


def test_alias_of_two_containers_has_both_addresses() -> None:
    daemon = engine()
    daemon.network_create(network("front"))
    for name in ("web1", "web2"):
        daemon.container_run(on("front", name=name, service="web"))
    assert resolver(daemon, "web1").answer("web").addresses == ("172.18.0.2", "172.18.0.3")


def test_unknown_name_without_a_dot_is_asked_upstream_too() -> None:
    assert resolver(two_networks(), "web").answer("nosuch") == NameAnswer(upstream=(NAMESERVER,))


def test_name_without_a_dot_stays_when_the_user_set_ndots() -> None:
    daemon = engine()
    daemon.network_create(network("front"))
    daemon.container_run(on("front", name="web", dns_opt=("ndots:2",)))
    assert resolver(daemon, "web").answer("nosuch") == NameAnswer()
    assert resolver(daemon, "web").answer("no.such").upstream == (NAMESERVER,)


def test_dns_option_names_whom_to_ask_three_at_most() -> None:
    daemon = engine()
    daemon.network_create(network("front"))
    daemon.container_run(on("front", name="web", dns=("9.9.9.1", "9.9.9.2", "9.9.9.3", "9.9.9.4")))
    assert resolver(daemon, "web").answer("nosuch").upstream == ("9.9.9.1", "9.9.9.2", "9.9.9.3")


def test_name_server_on_the_hosts_loopback_is_asked_from_the_host() -> None:
    daemon = engine(resolv_conf=["nameserver 127.0.0.1"])
    daemon.network_create(network("front"))
    daemon.container_run(on("front", name="web"))
    assert resolver(daemon, "web").answer("nosuch").upstream == ("127.0.0.1",)
    assert resolver(daemon, "web").host_loopback == {"127.0.0.1"}


def test_default_bridge_has_no_resolver() -> None:
    daemon = engine()
    daemon.container_run(on(name="web"))
    assert daemon.processes == []
    assert daemon.sandboxes["web"].nameservers == [NAMESERVER]


def test_default_bridge_beside_a_user_defined_network_knows_no_names() -> None:
    daemon = engine()
    daemon.network_create(network("front"))
    daemon.container_run(on(name="web"))
    daemon.container_run(on("front", "bridge", name="both"))
    assert resolver(daemon, "both").answer("web") == NameAnswer(upstream=(NAMESERVER,))


def test_name_is_read_as_container_and_network_in_every_way() -> None:
    assert list(splits("a.b.c")) == [("a.b.c", ""), ("a.b", "c"), ("a", "b.c")]
