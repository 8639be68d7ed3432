"""The hooks: order, chains, verdicts, and what each match says of a packet."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from sim.kernel.hooks import REGISTERED
from sim.kernel.netfilter import Hook, Netfilter, Ruling, Verdict
from sim.packet import Icmp, IPv4, Packet, Proto, Tcp, TcpFlag, Udp, ip
from sim.trace import DropReason, Kind, Step

HOST = ip("192.168.99.101")


def netfilter(*commands: str) -> Netfilter:
    made = Netfilter("host", is_local=lambda a: a == HOST or a >> 24 == 127, address_of=lambda device: HOST,
                     is_broadcast=lambda a: a == ip("192.168.99.255"))
    for command in commands:
        made.iptables(command)
    return made


def run(made: Netfilter, hook: Hook, packet: Packet, **devices: str) -> tuple[Ruling, list[Step]]:
    ruling = Ruling(Verdict.DROP)

    def collect() -> Generator[Step, None, None]:
        nonlocal ruling
        ruling = yield from made.hook(hook, packet, now=0.0, **devices)

    steps = list(collect())
    return ruling, steps


def syn(dst: str = "172.17.0.2", dport: int = 80, src: str = "10.0.0.9", sport: int = 40000) -> Packet:
    return Packet(ip=IPv4(ip(src), ip(dst), Proto.TCP), l4=Tcp(sport, dport, TcpFlag.SYN))


def accepted(rule: str, packet: Packet, hook: Hook = Hook.FORWARD, **devices: str) -> bool:
    """Does a rule match? (the chain's policy is DROP)"""
    made = netfilter(f"-P {hook.value} DROP", f"-A {hook.value} {rule} -j ACCEPT")
    return run(made, hook, packet, **devices)[0].accepted


def test_a_namespace_without_rules_accepts_and_does_nothing() -> None:
    made, packet = netfilter(), syn()
    for hook in Hook:
        assert run(made, hook, packet) == (Ruling(Verdict.ACCEPT), [])
    assert packet.ct is None


def test_connections_are_tracked_only_where_a_rule_asks_for_them() -> None:
    packet = syn()
    run(netfilter("-A FORWARD -j ACCEPT", "-t nat -N EMPTY"), Hook.PREROUTING, packet)
    assert packet.ct is None
    run(netfilter("-A FORWARD -m conntrack --ctstate NEW -j ACCEPT"), Hook.PREROUTING, packet)
    assert packet.ct is not None


def test_each_hook_runs_in_the_order_of_priority() -> None:
    for registered in REGISTERED.values():
        assert list(registered) == sorted(registered)


def test_every_function_that_is_registered_at_a_hook_is_called_and_none_where_none_is() -> None:
    made = netfilter("-A FORWARD -m conntrack --ctstate NEW -j ACCEPT", "-t nat -N EMPTY")
    calls = {hook: [s.count for s in run(made, hook, syn())[1] if s.kind is Kind.NETFILTER] for hook in Hook}
    assert calls[Hook.FORWARD] == [1]  # filter
    assert calls[Hook.PREROUTING] == [2]  # conntrack, nat
    assert calls[Hook.INPUT] == [3]  # filter, nat, confirmation
    assert calls[Hook.POSTROUTING] == [2]  # nat, confirmation
    bare = netfilter()
    assert not [s for hook in Hook for s in run(bare, hook, syn())[1]]


def test_a_policy_drops_what_no_rule_took() -> None:
    ruling, steps = run(netfilter("-P FORWARD DROP"), Hook.FORWARD, syn())
    assert not ruling.accepted
    assert [(s.kind, s.detail) for s in steps] == [
        (Kind.NETFILTER, "FORWARD"), (Kind.HOOK, "filter/FORWARD"), (Kind.DROP, "filter FORWARD policy DROP")]
    assert steps[-1].reason is DropReason.POLICY and steps[-1].packet is not None


def test_a_drop_names_the_chain_and_the_rule_and_how_many_were_evaluated() -> None:
    made = netfilter("-N USER", "-A FORWARD -s 1.1.1.1 -j ACCEPT", "-A FORWARD -j USER",
                     "-A USER -p tcp --dport 80 -j DROP")
    _, steps = run(made, Hook.FORWARD, syn())
    detail = "filter USER: -p tcp -m tcp --dport 80 -j DROP"
    assert [(s.kind, s.detail, s.count) for s in steps[2:]] == [(Kind.RULE, detail, 3), (Kind.DROP, detail, 1)]
    assert steps[-1].reason is DropReason.RULE


def test_a_return_goes_on_after_the_jump() -> None:
    made = netfilter("-N A", "-A FORWARD -j A", "-A FORWARD -j DROP", "-A A -s 10.0.0.9 -j RETURN", "-A A -j ACCEPT")
    assert not run(made, Hook.FORWARD, syn())[0].accepted
    assert run(made, Hook.FORWARD, syn(src="10.0.0.8"))[0].accepted


def test_a_goto_does_not_come_back_to_the_chain_that_went_there() -> None:
    made = netfilter("-N A", "-N B", "-A FORWARD -j A", "-A FORWARD -s 10.0.0.9 -j ACCEPT", "-A FORWARD -j DROP",
                     "-A A -g B", "-A A -j DROP", "-A B -j LOG")
    assert run(made, Hook.FORWARD, syn())[0].accepted


def test_a_return_in_a_built_in_chain_ends_in_its_policy() -> None:
    made = netfilter("-P FORWARD DROP", "-A FORWARD -j RETURN", "-A FORWARD -j ACCEPT")
    ruling, steps = run(made, Hook.FORWARD, syn())
    assert not ruling.accepted
    assert (steps[-1].detail, steps[-1].reason) == ("filter FORWARD policy DROP", DropReason.POLICY)


def test_reject_tells_the_caller_which_answer_is_owed() -> None:
    ruling, steps = run(netfilter("-A INPUT -p tcp -j REJECT --reject-with tcp-reset"), Hook.INPUT, syn())
    assert ruling == Ruling(Verdict.DROP, "tcp-reset")
    assert steps[-1].reason is DropReason.REJECTED


def test_a_rule_that_drops_invalid_packets_says_so() -> None:
    made = netfilter("-A FORWARD -m conntrack --ctstate INVALID -j DROP")
    packet = Packet(ip=IPv4(1, 2, Proto.TCP), l4=Tcp(1, 2, TcpFlag.SYN | TcpFlag.ACK))
    run(made, Hook.PREROUTING, packet)
    assert run(made, Hook.FORWARD, packet)[1][-1].reason is DropReason.INVALID


def test_a_changed_chain_is_used_at_once() -> None:
    made = netfilter("-A FORWARD -j ACCEPT")
    assert run(made, Hook.FORWARD, syn())[0].accepted
    made.iptables("-I FORWARD -j DROP")
    assert not run(made, Hook.FORWARD, syn())[0].accepted


def test_a_mark_set_in_mangle_is_seen_in_filter() -> None:
    made = netfilter("-t mangle -A PREROUTING -j MARK --set-mark 7", "-A FORWARD -m mark --mark 7 -j DROP")
    packet = syn()
    run(made, Hook.PREROUTING, packet)
    assert packet.mark == 7
    assert not run(made, Hook.FORWARD, packet)[0].accepted


def test_notrack_keeps_a_packet_out_of_nat() -> None:
    made = netfilter("-t raw -A PREROUTING -s 10.0.0.9 -j NOTRACK",
                     "-A FORWARD -m conntrack --ctstate UNTRACKED -j DROP",
                     "-t nat -A PREROUTING -p tcp -j DNAT --to-destination 1.2.3.4")
    packet, other = syn(), syn(src="10.0.0.8")
    run(made, Hook.PREROUTING, packet)
    run(made, Hook.PREROUTING, other)
    assert packet.ip is not None and packet.ip.dst == ip("172.17.0.2")
    assert other.ip is not None and other.ip.dst == ip("1.2.3.4")
    assert not run(made, Hook.FORWARD, packet)[0].accepted


def test_a_packet_that_comes_back_over_loopback_keeps_its_connection() -> None:
    made, packet = netfilter("-t nat -A OUTPUT -p tcp -j DNAT --to-destination 127.0.0.1:90"), syn("127.0.0.1", 80)
    run(made, Hook.OUTPUT, packet, outdev="lo")
    entry = packet.ct.entry
    run(made, Hook.POSTROUTING, packet, outdev="lo")
    _, steps = run(made, Hook.PREROUTING, packet, indev="lo")
    assert packet.ct.entry is entry
    assert isinstance(packet.l4, Tcp) and packet.l4.dport == 90
    assert not [s for s in steps if s.kind in (Kind.CONNTRACK, Kind.CONNTRACK_NEW)]


PING = Packet(ip=IPv4(1, 2, Proto.ICMP), l4=Icmp(8, 0, 1, 1))
SCTP = Packet(ip=IPv4(1, 2, 132))
FRAGMENT = Packet(ip=IPv4(1, 2, Proto.TCP, offset=1480))


@pytest.mark.parametrize(("rule", "packet", "matches"), [
    ("-s 10.0.0.0/8", syn(), True), ("! -s 10.0.0.0/8", syn(), False), ("-d 172.17.0.3", syn(), False),
    ("-p tcp", syn(), True), ("! -p tcp", syn(), False), ("-p udp", syn(), False),
    ("-p tcp --dport 80", syn(), True), ("-p tcp ! --dport 80", syn(), False), ("-p tcp --dport 79:81", syn(), True),
    ("-p tcp --sport 1:1023", syn(), False), ("-p tcp --syn", syn(), True), ("-p tcp ! --syn", syn(), False),
    ("-p tcp -m multiport --dports 22,80", syn(), True), ("-p tcp -m multiport ! --ports 22,80", syn(), False),
    ("-p sctp", syn(), False), ("-p sctp --dport 80", syn(), False), ("-p sctp ! --dport 80", syn(), False),
    ("-p sctp", SCTP, True), ("-p sctp -m sctp", SCTP, True),
    ("-p icmp --icmp-type 8", PING, True), ("-p icmp --icmp-type 8/1", PING, False),
    ("-p icmp --icmp-type any", PING, True),
    ("-p tcp --dport 80", FRAGMENT, False), ("-p tcp ! --dport 80", FRAGMENT, False), ("-p tcp", FRAGMENT, True),
    ("-f", FRAGMENT, True), ("! -f", FRAGMENT, False), ("-m mark --mark 0", syn(), True),
    ("-m mark ! --mark 0", syn(), False),
    ("-m addrtype --dst-type LOCAL", syn("192.168.99.101"), True), ("-m addrtype --dst-type LOCAL", syn(), False),
    ("-m addrtype ! --dst-type LOCAL", syn(), True), ("-m addrtype --dst-type BROADCAST", syn("192.168.99.255"), True),
    ("-m addrtype --dst-type UNICAST --src-type UNICAST", syn(), True), ("-m comment --comment x", syn(), True),
    ("-m conntrack --ctstate INVALID", syn(), True), ("-m conntrack --ctdir ORIGINAL", syn(), False),
])
def test_a_match_is_true_of_the_packets_that_it_names(rule: str, packet: Packet, matches: bool) -> None:
    assert accepted(rule, packet.copy()) is matches


@pytest.mark.parametrize(("rule", "devices", "matches"), [
    ("-i docker0", {"indev": "docker0"}, True), ("-i docker0", {"indev": "docker01"}, False),
    ("-i br-+", {"indev": "br-0123456789ab"}, True), ("! -i br-+", {"indev": "eth0"}, True),
    ("! -o docker0", {"outdev": "eth0"}, True),
    ("-i docker0 ! -o docker0", {"indev": "docker0", "outdev": "docker0"}, False),
    ("-i +", {"indev": "any"}, True), ("! -i +", {"indev": "any"}, False),
    ("-m physdev --physdev-is-bridged", {"physin": "a", "physout": "b"}, True),
    ("-m physdev --physdev-is-bridged", {"physin": "a"}, False),
    ("-m physdev --physdev-in veth+", {"physin": "veth1"}, True),
    ("-m physdev ! --physdev-out veth1", {"physin": "x", "physout": "veth1"}, False),
])
def test_a_device_match_compares_names(rule: str, devices: dict[str, str], matches: bool) -> None:
    assert accepted(rule, syn(), Hook.FORWARD, **devices) is matches


def test_not_from_the_bridge_is_true_of_packets_that_start_here() -> None:
    """Docker's published ports are reached from the host itself by this."""
    made = netfilter("-t nat -N DOCKER", "-t nat -A OUTPUT -j DOCKER",
                     "-t nat -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80")
    packet = syn("192.168.99.101", 8080)
    run(made, Hook.OUTPUT, packet, outdev="lo")
    assert packet.ip is not None and packet.ip.dst == ip("172.17.0.2")


def test_arp_does_not_pass_iptables() -> None:
    assert run(netfilter("-P INPUT DROP"), Hook.INPUT, Packet())[0].accepted


def test_conntrack_knows_the_port_that_was_dialled_before_dnat() -> None:
    made = netfilter("-t nat -A PREROUTING -p udp --dport 53 -j DNAT --to-destination 172.17.0.2:5353",
                     "-A FORWARD -m conntrack --ctorigdstport 53 --ctstate DNAT -j DROP")
    packet = Packet(ip=IPv4(ip("10.0.0.9"), HOST, Proto.UDP), l4=Udp(1, 53))
    run(made, Hook.PREROUTING, packet, indev="eth0")
    assert not run(made, Hook.FORWARD, packet)[0].accepted


def test_ports_are_drawn_anew_from_the_start_once_connections_are_forgotten() -> None:
    made = netfilter("-t nat -A POSTROUTING -p tcp -j MASQUERADE --random")
    drawn = []
    for _ in range(2):
        packet = syn()
        run(made, Hook.PREROUTING, packet, indev="eth0")
        run(made, Hook.POSTROUTING, packet, outdev="eth1")
        assert packet.l4 is not None
        drawn.append(packet.l4.sport)
        made.flush_conntrack()
    assert drawn[0] == drawn[1] != 40000


def test_checksum_fills_in_what_the_sender_left_to_its_device() -> None:
    packet = syn()
    packet.csum = "partial"
    run(netfilter("-t mangle -A POSTROUTING -p udp -j CHECKSUM --checksum-fill"), Hook.POSTROUTING, packet)
    assert packet.csum == "partial"
    run(netfilter("-t mangle -A POSTROUTING -p tcp -j CHECKSUM --checksum-fill"), Hook.POSTROUTING, packet)
    assert packet.csum == "valid"
