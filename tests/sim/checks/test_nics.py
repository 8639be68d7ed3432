"""What hosts' interfaces are called, as the file says it or as its networks name their parents."""

from __future__ import annotations

import pytest

from sim.build import topology
from sim.checks.nics import check_nics
from sim.compose import loads
from sim.errors import PlumbError, SpecError
from sim.predict import Prediction, predict
from sim.spec import Spec

MACVLAN = """
services:
  a: {image: nginx, networks: {mv: {ipv4_address: 192.168.99.50}}, x-hopcast: {listens: [80]}}
networks:
  mv: {driver: macvlan, driver_opts: {parent: %s}, ipam: {config: [{subnet: 192.168.99.0/24, gateway: 192.168.99.1}]}}
x-hopcast: {%s questions: [client -> a:80, host -> a:80]}
"""


def with_parent(parent: str, said: str = "") -> Spec:
    return loads(MACVLAN % (parent, said), environment={})


def outcomes(found: Prediction) -> list[str]:
    return [answer.outcome.value for answer in found.answers]


@pytest.mark.parametrize("parent", ["eno1", "ens18", "enp3s0", "eth1", "bond0", "enx001122334455", "enp3s0f0np0"])
def test_a_host_has_the_interface_that_a_network_names_as_its_parent(parent: str) -> None:
    spec = with_parent(parent)
    assert spec.hosts[0].nics == (parent,)
    assert any(f"the uplink {parent}" in note for note in spec.notes)
    found = predict(spec)
    assert outcomes(found) == ["reached", "timeout"]
    assert found.plumbing.namespaces["host"].interfaces[parent].addresses == ("192.168.99.101/24",)


def test_a_vlan_of_a_parent_is_made_on_the_interface_that_has_its_name() -> None:
    spec = with_parent("bond0.20")
    assert spec.hosts[0].nics == ("bond0",)
    assert {"bond0", "bond0.20"} <= predict(spec).plumbing.namespaces["host"].interfaces.keys()


def test_of_several_parents_eth0_is_the_uplink_and_the_others_have_no_address() -> None:
    text = """
services: {a: {image: nginx, networks: [one, two]}}
networks: {one: {driver: macvlan, driver_opts: {parent: eth1}}, two: {driver: ipvlan, driver_opts: {parent: eth0.7}}}
"""
    spec = loads(text, environment={})
    assert spec.hosts[0].nics == ("eth0", "eth1")
    assert predict(spec).plumbing.namespaces["host"].interfaces["eth1"].addresses == ()


def test_what_the_file_says_of_a_hosts_interfaces_stands() -> None:
    spec = with_parent("eno2", "hosts: {host: {nics: [eno1, eno2]}},")
    assert (spec.hosts[0].nics, [note for note in spec.notes if "interfaces" in note]) == (("eno1", "eno2"), [])
    # both interfaces are on the wire, so the host reaches a container that hangs on the other one
    assert outcomes(predict(spec)) == ["reached", "reached"]


@pytest.mark.parametrize("parent", ["br0", "etho", "wlan0", "eno1.10.5"])
def test_a_parent_that_no_host_has_is_refused_and_the_mend_says_what_there_is(parent: str) -> None:
    with pytest.raises(PlumbError) as caught:
        predict(with_parent(parent))
    if parent != "eno1.10.5":
        assert "the host has eth0; x-hopcast: {hosts: {host: {nics: […]}}}" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ((), "without an interface"), (("eth0", "eth0"), "two interfaces"), (("eno1.10",), "no name for"),
        (("br0",), "a bridge as a parent"), (("wlan0",), "wireless"), (("wlp2s0",), "wireless"), (("lo",), "loopback"),
        (("docker0",), "engine's bridge"), (("tun0",), "tunnel"), (("a" * 16,), "no name for"), (("br-lan",), "bridge"),
    ],
)
def test_what_can_be_no_interface_on_a_cable_is_refused(names: tuple[str, ...], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        check_nics(names)


@pytest.mark.parametrize("name", ["eth0", "eno1", "brain", "wan0", "lan", "enp0s31f6", "dock", "disk0"])
def test_other_names_are_anybodys_choice(name: str) -> None:
    assert check_nics((name,)) == (name,)


def test_the_hosts_of_a_swarm_may_call_their_uplinks_differently() -> None:
    spec = (topology().host("h1", nics=["eno1"]).host("h2", nics=["ens18", "ens19"]).network("ov", driver="overlay",
            attachable=True).container("one", networks=["ov"], host="h1").container("two", networks=["ov"], host="h2")
            .ask("one -> two ping").spec())
    assert outcomes(predict(spec)) == ["reached"]
