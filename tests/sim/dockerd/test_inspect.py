"""What engines say of their networks and services, in the lines that a real 20.10.24 gave."""

from __future__ import annotations

from typing import Any

from sim import spec
from sim.dockerd.inspect import inspected
from sim.world import build
from tests.sim.dockerd.engines import engine, network, on


def said(*boxes: spec.Container, networks: tuple[spec.Network, ...] = (), **more: Any) -> dict[str, list[str]]:
    """Host -> what its engine says, of two engines."""
    hosts = tuple(spec.Host(name=f"h{n}", address=f"192.168.99.10{n}/24") for n in (1, 2))
    return build(spec.Spec(hosts=hosts, networks=networks, containers=boxes, **more)).plumbing().inspected


def about(name: str, lines: list[str]) -> list[str]:
    return sorted(line.partition(": ")[2] for line in lines if line.startswith(f"{name}:"))


def overlay(name: str, **more: Any) -> spec.Network:
    return network(name, driver="overlay", attachable=True, **more)


def test_an_engine_has_three_networks_from_the_start() -> None:
    daemon = engine()
    lines = inspected(daemon, [daemon])
    assert about("network none", lines) == ["null local"]
    assert about("network host", lines) == ["host local"]
    assert about("network bridge", lines) == [
        "bridge local 172.17.0.0/16",
        "option com.docker.network.bridge.default_bridge=true",
        "option com.docker.network.bridge.enable_icc=true",
        "option com.docker.network.bridge.enable_ip_masquerade=true",
        "option com.docker.network.bridge.host_binding_ipv4=0.0.0.0",
        "option com.docker.network.bridge.name=docker0",
        "option com.docker.network.driver.mtu=1500"]


def test_docker0_shows_a_gateway_only_where_the_daemon_was_given_its_address() -> None:
    daemon = engine(bip="10.5.0.1/16")
    assert "network bridge: bridge local 10.5.0.0/16 gateway 10.5.0.1" in inspected(daemon, [daemon])


def test_a_network_shows_its_subnet_as_asked_for_and_else_as_given() -> None:
    daemon = engine()
    daemon.network_create(network("free"))
    daemon.network_create(network("chosen", subnet="10.9.0.0/16", ip_range="10.9.4.0/24", aux_addresses=["10.9.4.1"]))
    daemon.network_create(network("closed", internal=True, subnet="10.8.0.0/16", gateway="10.8.0.9"))
    lines = inspected(daemon, [daemon])
    assert about("network free", lines) == ["bridge local 172.18.0.0/16 gateway 172.18.0.1"]
    assert about("network chosen", lines) == ["bridge local 10.9.0.0/16 range 10.9.4.0/24 aux 10.9.4.1"]
    assert about("network closed", lines) == ["bridge local 10.8.0.0/16 gateway 10.8.0.9 internal"]


def test_containers_show_with_their_addresses_and_without_them_in_host_mode() -> None:
    lines = said(on(name="c1", host="h1"), spec.Container(name="c2", host="h1", mode="host"),
                 spec.Container(name="c3", host="h1", mode="container:c1"))["h1"]
    assert "container c1 172.17.0.2/16 02:42:ac:11:00:02" in about("network bridge", lines)
    assert "container c2" in about("network host", lines)
    assert not [line for line in lines if "c3" in line]


def test_a_node_tells_of_its_own_endpoints_and_of_the_nodes_that_are_on_the_network() -> None:
    lines = said(on("alpha", name="a1", host="h1"), on("alpha", name="a2", host="h2"), networks=(overlay("alpha"),))
    assert about("network alpha", lines["h2"]) == [
        "container a2 10.0.1.4/24 02:42:0a:00:01:04",
        "container alpha-endpoint 10.0.1.5/24 02:42:0a:00:01:05",
        "option com.docker.network.driver.overlay.vxlanid_list=4097",
        "overlay swarm 10.0.1.0/24 gateway 10.0.1.1 attachable",
        "peer 192.168.99.101", "peer 192.168.99.102"]
    assert [line for line in about("network docker_gwbridge", lines["h2"]) if line.startswith("container")] == [
        "container gateway_a2 172.18.0.3/16 02:42:ac:12:00:03",
        "container gateway_ingress-sbox 172.18.0.2/16 02:42:ac:12:00:02"]
    assert "container ingress-endpoint 10.0.0.3/24 02:42:0a:00:00:03" in about("network ingress", lines["h2"])


def test_the_manager_knows_networks_that_it_has_not_and_a_worker_only_its_own() -> None:
    lines = said(on("alpha", name="a2", host="h2"), networks=(overlay("alpha"), overlay("beta")))
    assert about("network alpha", lines["h1"]) == [
        "option com.docker.network.driver.overlay.vxlanid_list=4097",
        "overlay swarm 10.0.1.0/24 gateway 10.0.1.1 attachable"]
    assert about("network beta", lines["h1"]) and not about("network beta", lines["h2"])


def test_a_network_for_which_the_manager_finds_no_addresses_shows_neither_driver_nor_subnet() -> None:
    lines = said(networks=(overlay("one", subnet="10.7.0.0/16"), overlay("two", subnet="10.7.9.0/24")))
    assert about("network two", lines["h1"]) == ["swarm"]


def test_the_manager_tells_of_services_with_their_virtual_addresses_and_ports() -> None:
    service = spec.Service(name="web", attachments=({"network": "alpha"},),
                           ports=({"target": 80, "published": 8088}, {"target": 53, "protocol": "udp"}))
    plain = spec.Service(name="all", mode="global", endpoint_mode="dnsrr", attachments=({"network": "alpha"},))
    tasks = [spec.Container(name=f"{of}.{n}", task_of=of, host=f"h{n}", attachments=({"network": "alpha"},))
             for of in ("web", "all") for n in (1, 2)]
    lines = said(*tasks, networks=(overlay("alpha"),), services=(service, plain))
    assert about("service web", lines["h1"]) == [
        "endpoint vip", "port tcp 8088 -> 80 ingress", "port udp 30000 -> 53 ingress", "replicated 2",
        "vip alpha 10.0.1.2/24", "vip ingress 10.0.0.4/24"]
    assert about("service all", lines["h1"]) == ["endpoint dnsrr", "global"]
    assert not [line for line in lines["h2"] if line.startswith("service")]
