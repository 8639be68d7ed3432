"""What the engine gives containers: addresses, MAC addresses, namespaces, warnings."""

from __future__ import annotations

import pytest

from sim import spec
from sim.dockerd.profile import profile_of
from sim.errors import PlumbError, SpecError
from tests.sim.dockerd.engines import engine, network, on, port


def test_containers_on_docker0_count_up_from_two() -> None:
    daemon = engine()
    for name in ("one", "two"):
        daemon.container_run(on(name=name))
    assert daemon.address_of("one", "bridge") == "172.17.0.2"
    assert daemon.address_of("two", "bridge") == "172.17.0.3"
    assert daemon.address_of("two", "other") is None
    assert daemon.address_of("three", "bridge") is None


def test_mac_address_is_made_of_the_address() -> None:
    daemon = engine()
    daemon.container_run(on(name="one"))
    assert daemon.sandboxes["one"].devices["eth0"].mac == "02:42:ac:11:00:02"


def test_mac_address_of_a_container_is_for_the_network_it_was_created_on() -> None:
    daemon = engine()
    for name in ("zeta", "alpha"):
        daemon.network_create(network(name))
    daemon.container_run(on("zeta", "alpha", name="one", mac_address="02:00:00:00:00:05"))
    devices = daemon.sandboxes["one"].devices
    assert (devices["eth0"].mac, devices["eth1"].mac) == ("02:42:ac:13:00:02", "02:00:00:00:00:05")


def test_mac_address_of_the_first_attachment_is_the_containers_and_those_of_others_are_dropped_by_20_10() -> None:
    """Compose tells an engine that has no such option of an endpoint the main network's as the container's own."""
    daemon = engine()
    for name in ("a", "b"):
        daemon.network_create(network(name))
    daemon.container_run(spec.Container(name="one", attachments=(
        spec.Attachment(network="a", mac_address="02:00:00:00:00:05"),
        spec.Attachment(network="b", mac_address="02:00:00:00:00:06"))))
    devices = daemon.sandboxes["one"].devices
    assert (devices["eth0"].mac, devices["eth1"].mac) == ("02:00:00:00:00:05", "02:42:ac:13:00:02")


def test_interfaces_are_named_by_the_networks_names_with_internal_ones_last() -> None:
    daemon = engine()
    for name in ("zeta", "alpha"):
        daemon.network_create(network(name))
    daemon.network_create(network("aaa", internal=True))
    daemon.container_run(on("zeta", "aaa", "alpha", name="one"))
    routes = {str(route) for route in daemon.sandboxes["one"].routes.entries}
    assert routes == {
        "172.19.0.0/16 dev eth0", "172.18.0.0/16 dev eth1", "172.20.0.0/16 dev eth2", "default via 172.19.0.1 dev eth0"}


def test_container_in_host_mode_lives_in_the_hosts_namespace_and_is_warned_of_its_ports() -> None:
    daemon = engine()
    daemon.container_run(spec.Container(name="one", mode="host", ports=(port(80, 8080),)))
    assert daemon.sandboxes["one"] is daemon.netns
    assert daemon.warnings == ["Published ports are discarded when using host network mode"]
    assert daemon.published_port("one", 80, "tcp") is None
    assert daemon.netns.daemon_listeners == []


def test_container_in_mode_none_has_loopback_only_and_no_warning() -> None:
    daemon = engine()
    daemon.container_run(spec.Container(name="one", mode="none", ports=(port(80, 8080),)))
    assert list(daemon.sandboxes["one"].devices) == ["lo"]
    assert daemon.warnings == []


def test_container_may_share_anothers_namespace() -> None:
    daemon = engine()
    daemon.container_run(on(name="one"))
    daemon.container_run(spec.Container(name="two", mode="container:one"))
    assert daemon.sandboxes["two"] is daemon.sandboxes["one"]
    assert daemon.address_of("two", "bridge") is None


def test_sysctls_of_a_container_are_its_own() -> None:
    daemon = engine()
    daemon.container_run(on(name="one", sysctls={"net.ipv4.ip_forward": "1"}))
    daemon.container_run(on(name="two"))
    assert daemon.sandboxes["one"].sysctls["net.ipv4.ip_forward"] == "1"
    assert daemon.sandboxes["two"].sysctls["net.ipv4.ip_forward"] == "0"


def test_forwarding_that_was_on_before_keeps_the_policy() -> None:
    daemon = engine(ip_forward=False)
    assert ":FORWARD ACCEPT" in daemon.netns.netfilter.save()["filter"]


def test_networks_with_the_same_subnet_and_different_ranges_conflict_in_the_driver() -> None:
    daemon = engine()
    daemon.network_create(network("one", subnet="10.1.0.0/16", ip_range="10.1.1.0/24"))
    with pytest.raises(PlumbError, match="networks have overlapping IPv4"):
        daemon.network_create(network("two", subnet="10.1.0.0/16", ip_range="10.1.2.0/24"))


def test_patch_releases_belong_to_their_generation() -> None:
    assert profile_of("20.10.24") is profile_of("20.10")


def test_engine_version_that_is_not_modelled_is_named() -> None:
    with pytest.raises(SpecError, match=r"engine version '19\.03' is not modelled"):
        profile_of("19.03")
