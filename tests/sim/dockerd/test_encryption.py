"""Encrypted overlays: what the driver programs on each engine, and what travels how."""

from __future__ import annotations

import pytest

from sim import spec
from sim.compose import loads
from sim.dockerd.drivers.encryption import largest
from sim.packet import Proto
from sim.predict import predict
from sim.trace import DropReason, Kind, Outcome, Trace
from sim.world import World, build
from tests.sim.dockerd.engines import network, on

U32 = '-m u32 --u32 "0x0>>0x16&0x3c@0xc&0xffffff00='


def encrypted(name: str, **options: str) -> spec.Network:
    return network(name, driver="overlay", attachable=True, options={"encrypted": "", **options})


def plain(name: str) -> spec.Network:
    return network(name, driver="overlay", attachable=True)


def topology(*boxes: spec.Container, networks: tuple[spec.Network, ...] = (encrypted("vault"),),
             questions: tuple[spec.Question, ...] = ()) -> spec.Spec:
    hosts = tuple(spec.Host(name=f"h{n}", address=f"192.168.99.10{n}/24") for n in (1, 2, 3))
    return spec.Spec(hosts=hosts, networks=networks, containers=boxes, questions=questions)


def swarm(*boxes: spec.Container, networks: tuple[spec.Network, ...] = (encrypted("vault"),)) -> World:
    return build(topology(*boxes, networks=networks))


def two(where: str = "vault") -> tuple[spec.Container, ...]:
    return on(where, name="a1", host="h1"), on(where, name="a2", host="h2")


def policies(world: World, host: str, kind: str) -> list[str]:
    return [line for line in world.namespaces[host].snapshot().policies if line.startswith(kind)]


def test_the_rules_of_an_encrypted_network_stand_as_a_real_engine_showed_them() -> None:
    rules = swarm(*two()).namespaces["h1"].snapshot().rules
    assert rules["mangle"][-1] == (
        f'-A OUTPUT -p udp -m udp --dport 4789 {U32}0x100100" -j MARK --set-xmark 0xd0c4e3/0xffffffff')
    assert [line for line in rules["filter"] if line.startswith("-A INPUT")] == [
        f'-A INPUT -p udp -m policy --dir in --pol none -m udp --dport 4789 {U32}0x100100" -j DROP',
        f'-A INPUT -p udp -m policy --dir in --pol ipsec -m udp --dport 4789 {U32}0x100100" -j ACCEPT',
    ]


def test_drops_of_several_networks_stand_above_and_accepts_below() -> None:
    boxes = on("vault", name="a1", host="h1"), on("safe", name="b1", host="h1")
    world = swarm(*boxes, networks=(encrypted("vault"), encrypted("safe")))
    lines = [line for line in world.namespaces["h1"].snapshot().rules["filter"] if line.startswith("-A INPUT")]
    assert [line.split()[-1] for line in lines] == ["DROP", "DROP", "ACCEPT", "ACCEPT"]
    assert ["0x100200" in line for line in lines] == [True, False, False, True]


def test_a_plain_overlay_writes_no_rule_and_no_policy() -> None:
    snapshot = swarm(*two("alpha"), networks=(plain("alpha"),)).namespaces["h1"].snapshot()
    assert "mangle" not in snapshot.rules and not snapshot.policies


def test_an_engine_has_one_association_out_and_three_in_for_each_peer() -> None:
    world = swarm(*two())
    assert [line.split(" mode")[0] for line in policies(world, "h1", "state")] == [
        f"state src {src} dst {dst} proto esp spi spi({src}>{dst}#{key}) reqid 13681891" for src, dst, keys in (
            ("192.168.99.101", "192.168.99.102", [2]), ("192.168.99.102", "192.168.99.101", [1, 2, 3]))
        for key in keys]
    assert policies(world, "h1", "policy") == [
        "policy src 192.168.99.101/32 dst 192.168.99.102/32 proto udp dport 4789 dir out priority 0 "
        "mark 0xd0c4e3/0xffffffff tmpl src 192.168.99.101 dst 192.168.99.102 proto esp "
        "spi spi(192.168.99.101>192.168.99.102#2) reqid 13681891 mode transport"]


def test_engines_with_two_encrypted_networks_in_common_share_their_associations() -> None:
    boxes = [on("vault", "safe", name=f"a{n}", host=f"h{n}") for n in (1, 2)]
    world = swarm(*boxes, networks=(encrypted("vault"), encrypted("safe")))
    assert (len(policies(world, "h2", "state")), len(policies(world, "h2", "policy"))) == (4, 1)


def test_an_engine_knows_only_the_peers_of_networks_that_it_has_itself() -> None:
    world = swarm(*two(), on("alpha", name="p1", host="h1"), on("alpha", name="p3", host="h3"),
                  networks=(encrypted("vault"), plain("alpha")))
    assert not policies(world, "h3", "")
    assert not [line for line in policies(world, "h1", "") if "192.168.99.103" in line]


@pytest.mark.parametrize(("option", "mtu"), [("", 1424), ("1400", 1324), ("1530", 1452), ("9000", 8924)])
def test_encryption_makes_the_mtu_smaller(option: str, mtu: int) -> None:
    options = {"com.docker.network.driver.mtu": option} if option else {}
    world = swarm(*two(), networks=(encrypted("vault", **options),))
    devices = world.namespaces["ov(vault)@h1"].devices, world.namespaces["a1"].devices
    assert (devices[0]["vxlan0"].mtu, devices[0]["br0"].mtu, devices[1]["eth0"].mtu) == (mtu, mtu, mtu)
    assert largest(1480) == 1452


def asked(question: spec.Question, *networks: spec.Network, lacking: frozenset[str] = frozenset()) -> tuple[
        Outcome, Trace]:
    prediction = predict(topology(*two(networks[0].name), networks=networks, questions=(question,)), lacking=lacking)
    return prediction.answers[0].outcome, prediction.traces[0]


def test_containers_reach_each_other_in_esp_and_nothing_crosses_the_wire_in_clear_text() -> None:
    outcome, trace = asked(spec.Question(source="a1", target="a2"), encrypted("vault"))
    wire = [s.packet for s in trace if s.kind is Kind.SEEN and s.point in ("h1:eth0", "h2:eth0") and s.packet]
    assert outcome is Outcome.REACHED
    assert {p.ip.proto for p in wire if p.ip} == {Proto.ESP}
    assert {p.size() for p in wire} == {160}  # tcpdump of a real one: ESP, length 140


def test_the_length_of_encrypted_segments_counts_their_tcp_options_as_captured() -> None:
    boxes = on("vault", name="a1", host="h1"), on("vault", name="a2", host="h2", listens=[{"port": 80}])
    question = spec.Question(source="a1", target="a2", probe="tcp", port=80)
    prediction = predict(topology(*boxes, questions=(question,)))
    sizes = [len(s.packet.payload) for s in prediction.traces[0]
             if s.kind is Kind.SEEN and s.point == "h1:eth0" and s.way == "out" and s.packet and s.packet.esp]
    assert sizes[:2] == [108, 100]  # of a SYN with 20 bytes of options, of an ACK with 12


def test_the_largest_packet_of_the_network_just_fits_the_underlay() -> None:
    _, trace = asked(spec.Question(source="a1", target="a2", size=1396), encrypted("vault"))
    assert {s.packet.size() for s in trace if s.point == "h1:eth0" and s.packet and s.packet.esp} == {1500}
    assert not [s for s in trace if s.kind is Kind.FRAGMENT]


def test_a_wider_tunnel_than_the_underlay_has_its_esp_in_fragments() -> None:
    wide = encrypted("vault", **{"com.docker.network.driver.mtu": "1530"})
    outcome, trace = asked(spec.Question(source="a1", target="a2", size=1397), wide)
    assert outcome is Outcome.REACHED
    assert {s.where for s in trace if s.kind is Kind.FRAGMENT and s.packet and s.packet.esp} >= {"h1", "h2"}


def test_a_checksum_is_complete_behind_the_tunnel() -> None:
    _, trace = asked(spec.Question(source="a1", target="a2", probe="tcp", port=80), encrypted("vault"))
    states = {s.point: s.packet.csum for s in reversed(trace.steps)
              if s.kind is Kind.SEEN and s.packet and s.packet.ip and s.point in ("a1:eth0", "a2:eth0")}
    assert states == {"a1:eth0": "partial", "a2:eth0": "valid"}


def test_clear_text_for_an_encrypted_network_is_dropped_at_input() -> None:
    world = swarm(*two())
    world.namespaces["h1"].iptables("-t mangle -F OUTPUT")  # h1 forgets to encrypt
    answer, trace = world.ask(world.dial(spec.Question(source="a1", target="a2"), 0))
    assert answer.outcome is Outcome.TIMEOUT
    assert {(s.where, s.reason) for s in trace.drops()} == {("h2", DropReason.RULE)}
    assert "--pol none" in trace.drops()[0].detail


def test_without_esp_in_the_kernel_the_engine_goes_on_and_its_policies_drop() -> None:
    outcome, trace = asked(spec.Question(source="a1", target="a2"), encrypted("vault"), lacking=frozenset({"esp"}))
    assert outcome is Outcome.TIMEOUT
    assert {(s.where, s.reason) for s in trace.drops()} == {("h1", DropReason.NO_STATE)}


@pytest.mark.parametrize("value", ["", "true", "yes", "1", "false"])
def test_the_option_encrypts_whatever_its_value_is(value: str) -> None:
    assert encrypted("vault", encrypted=value).options == {"encrypted": value}


def test_who_writes_that_it_is_off_is_told_that_it_is_on() -> None:
    text = """{services: {a: {image: busybox, networks: [n]}},
        networks: {n: {driver: overlay, attachable: true, driver_opts: {encrypted: %s}}}}"""
    notes = [[note for note in loads(text % value, environment={}).notes if "switches it on" in note]
             for value in ("'yes'", "'false'")]
    assert (notes[0], len(notes[1])) == ([], 1)
