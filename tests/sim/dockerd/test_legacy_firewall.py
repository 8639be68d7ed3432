"""The rules of engine 20.10: their order in FORWARD, and what is written once."""

from __future__ import annotations

import pytest

from sim.dockerd.firewall.api import BridgeRules, PortMapping
from sim.dockerd.firewall.legacy import LegacyFirewall
from sim.kernel.netns import Netns

MAPPING = PortMapping("br-a", "tcp", "0.0.0.0", 8080, "172.18.0.2", 80)


def bridge(name: str, number: int, **more: bool) -> BridgeRules:
    options = {"internal": False, "icc": True, "masquerade": True} | more
    return BridgeRules(name, f"172.{number}.0.0/16", **options)


def firewall(*, hairpin: bool = False) -> LegacyFirewall:
    made = LegacyFirewall(Netns("host"), hairpin)
    made.start()
    return made


def added(fw: LegacyFirewall, rules: BridgeRules) -> None:
    fw.bridge_added(rules)
    fw.network_added()


def chain(fw: LegacyFirewall, table: str, name: str) -> list[str]:
    """The rules of a chain as iptables-save prints them."""
    prefix = f"-A {name} "
    return [line.removeprefix(prefix) for line in fw.netns.netfilter.save()[table] if line.startswith(prefix)]


def test_docker_ingress_comes_right_behind_docker_user_when_a_port_of_the_mesh_is_published() -> None:
    fw = firewall()
    added(fw, bridge("docker0", 17))
    fw.mesh_published("docker_gwbridge", "172.19.0.2", [("tcp", 8088)])
    assert chain(fw, "filter", "FORWARD")[:3] == ["-j DOCKER-USER", "-j DOCKER-INGRESS", "-j DOCKER-ISOLATION-STAGE-1"]


def test_docker_ingress_stays_on_top_when_a_network_is_made_after_the_mesh() -> None:
    fw = firewall()
    added(fw, bridge("docker0", 17))
    fw.mesh_published("docker_gwbridge", "172.19.0.2", [("tcp", 8088)])
    added(fw, bridge("br-a", 18))
    assert chain(fw, "filter", "FORWARD")[:3] == ["-j DOCKER-USER", "-j DOCKER-INGRESS", "-j DOCKER-ISOLATION-STAGE-1"]


def test_each_jump_stands_in_forward_once_however_many_networks_are_made() -> None:
    fw = firewall()
    for number in range(18, 22):
        added(fw, bridge(f"br-{number}", number))
    forward = chain(fw, "filter", "FORWARD")
    assert forward.count("-j DOCKER-USER") == forward.count("-j DOCKER-ISOLATION-STAGE-1") == 1


def test_the_mesh_publishes_and_unpublishes_ports_and_its_chains_stay() -> None:
    fw = firewall()
    added(fw, bridge("docker0", 17))
    before = fw.netns.netfilter.save()
    fw.mesh_published("docker_gwbridge", "172.19.0.2", [("tcp", 8088), ("udp", 53)])
    assert chain(fw, "nat", "DOCKER-INGRESS") == [
        "-p udp -m udp --dport 53 -j DNAT --to-destination 172.19.0.2:53",
        "-p tcp -m tcp --dport 8088 -j DNAT --to-destination 172.19.0.2:8088", "-j RETURN"]
    assert len(chain(fw, "filter", "DOCKER-INGRESS")) == 5
    fw.mesh_unpublished("172.19.0.2", [("tcp", 8088), ("udp", 53)])
    assert chain(fw, "nat", "DOCKER-INGRESS") == chain(fw, "filter", "DOCKER-INGRESS") == ["-j RETURN"]
    assert before != fw.netns.netfilter.save()
    fw.mesh_published("docker_gwbridge", "172.19.0.2", [("tcp", 8088)])
    assert len(chain(fw, "nat", "DOCKER-INGRESS")) == 2
    assert chain(fw, "filter", "FORWARD").count("-j DOCKER-INGRESS") == 1


def test_a_port_that_is_unmapped_leaves_the_rules_of_before() -> None:
    fw = firewall()
    added(fw, bridge("br-a", 18))
    before = fw.netns.netfilter.save()
    fw.port_mapped(MAPPING)
    assert chain(fw, "nat", "DOCKER")[-1] == (
        "! -i br-a -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80")
    assert chain(fw, "filter", "DOCKER") == ["-d 172.18.0.2/32 ! -i br-a -o br-a -p tcp -m tcp --dport 80 -j ACCEPT"]
    assert chain(fw, "nat", "POSTROUTING")[-1] == (
        "-s 172.18.0.2/32 -d 172.18.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE")
    fw.port_unmapped(MAPPING)
    assert fw.netns.netfilter.save() == before
    fw.port_mapped(MAPPING)
    assert len(chain(fw, "filter", "DOCKER")) == 1


@pytest.mark.parametrize(("hairpin", "returns", "local"), [(False, 1, 0), (True, 0, 1)])
def test_without_docker_proxy_a_bridge_is_translated_for_its_own_containers_and_for_the_host(
    hairpin: bool, returns: int, local: int,
) -> None:
    fw = firewall(hairpin=hairpin)
    added(fw, bridge("br-a", 18))
    assert chain(fw, "nat", "DOCKER").count("-i br-a -j RETURN") == returns
    assert chain(fw, "nat", "POSTROUTING").count("-o br-a -m addrtype --src-type LOCAL -j MASQUERADE") == local
    assert chain(fw, "nat", "POSTROUTING").count("-s 172.18.0.0/16 ! -o br-a -j MASQUERADE") == 1
    jump = "-m addrtype --dst-type LOCAL -j DOCKER"
    assert chain(fw, "nat", "OUTPUT") == [jump if hairpin else f"! -d 127.0.0.0/8 {jump}"]
    assert chain(fw, "nat", "PREROUTING") == [jump]


@pytest.mark.parametrize("hairpin", [False, True])
def test_without_masquerade_nothing_that_leaves_the_bridge_is_translated(hairpin: bool) -> None:
    fw = firewall(hairpin=hairpin)
    added(fw, bridge("br-a", 18, masquerade=False))
    assert "-s 172.18.0.0/16 ! -o br-a -j MASQUERADE" not in chain(fw, "nat", "POSTROUTING")
    assert "-i br-a -j RETURN" not in chain(fw, "nat", "DOCKER")


def test_an_internal_bridge_lets_only_its_own_subnet_in_and_out_and_links_no_chain() -> None:
    fw = firewall()
    added(fw, bridge("br-a", 18, internal=True))
    assert chain(fw, "filter", "DOCKER-ISOLATION-STAGE-1") == [
        "! -s 172.18.0.0/16 -o br-a -j DROP", "! -d 172.18.0.0/16 -i br-a -j DROP", "-j RETURN"]
    assert chain(fw, "filter", "FORWARD") == [
        "-j DOCKER-USER", "-j DOCKER-ISOLATION-STAGE-1", "-i br-a -o br-a -j ACCEPT"]
    assert chain(fw, "nat", "POSTROUTING") == []


def test_without_icc_a_bridge_drops_between_its_containers_at_the_end_of_forward() -> None:
    fw = firewall()
    added(fw, bridge("br-a", 18, icc=False))
    assert chain(fw, "filter", "FORWARD")[-1] == "-i br-a -o br-a -j DROP"
    assert "-i br-a -o br-a -j ACCEPT" not in chain(fw, "filter", "FORWARD")


def test_a_bridge_with_an_address_of_the_host_for_what_leaves_is_translated_to_it() -> None:
    fw = firewall()
    added(fw, BridgeRules("br-a", "172.18.0.0/16", False, True, True, "192.168.99.101"))
    assert chain(fw, "nat", "POSTROUTING") == ["-s 172.18.0.0/16 ! -o br-a -j SNAT --to-source 192.168.99.101"]


def test_forwarding_that_dockerd_switched_on_is_dropped_where_no_rule_accepts() -> None:
    fw = firewall()
    fw.drop_forwarded()
    assert any(line.startswith(":FORWARD DROP") for line in fw.netns.netfilter.save()["filter"])


def test_a_published_port_of_sctp_has_its_checksum_filled_in_and_a_tcp_one_has_not() -> None:
    fw = firewall()
    added(fw, bridge("br-a", 18))
    fw.port_mapped(MAPPING)
    assert "mangle" not in fw.netns.netfilter.save()
    sctp = PortMapping("br-a", "sctp", "0.0.0.0", 2905, "172.18.0.2", 2906)
    fw.port_mapped(sctp)
    filled = "-p sctp -m sctp --sport 2906 -j CHECKSUM --checksum-fill"
    assert chain(fw, "mangle", "POSTROUTING") == [filled]
    assert "-d 172.18.0.2/32 ! -i br-a -o br-a -p sctp -m sctp --dport 2906 -j ACCEPT" in chain(fw, "filter", "DOCKER")
    there = "! -i br-a -p sctp -m sctp --dport 2905 -j DNAT --to-destination 172.18.0.2:2906"
    assert there in chain(fw, "nat", "DOCKER")
    fw.port_unmapped(sctp)
    assert chain(fw, "mangle", "POSTROUTING") == []
