"""NAT: what a connection looks like on either side of it, and that nobody's answers get mixed up.

Where a test says "as the kernel does" the numbers were measured with the real one (6.18) in namespaces.
"""

from __future__ import annotations

from collections.abc import Generator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.kernel.conntrack import attach
from sim.kernel.netfilter import Hook, Netfilter, Ruling, Verdict
from sim.packet import Icmp, IcmpType, IPv4, Packet, Proto, Tcp, TcpFlag, Udp, Unreach, dotted, ip
from sim.trace import DropReason, Kind, Step

CLIENT, SERVER = ip("10.1.0.2"), ip("10.2.0.2")
LEFT, RIGHT = ip("10.1.0.1"), ip("10.2.0.1")
ADDRESSES = {"left": LEFT, "right": RIGHT, "lo": ip("127.0.0.1")}


class Router:
    """A namespace that forwards between `left` and `right`, as far as netfilter sees it."""

    def __init__(self, *commands: str) -> None:
        self.netfilter = Netfilter(
            "router", is_local=lambda a: a in (LEFT, RIGHT) or a >> 24 == 127, address_of=ADDRESSES.get,
            random=Random(1))
        self.steps: list[Step] = []
        for command in commands:
            self.netfilter.iptables(command)

    def hook(self, hook: Hook, packet: Packet, now: float, **devices: str) -> Ruling:
        ruling = Ruling(Verdict.DROP)

        def collect() -> Generator[Step, None, None]:
            nonlocal ruling
            ruling = yield from self.netfilter.hook(hook, packet, now=now, **devices)

        self.steps.extend(collect())
        return ruling

    def forward(self, packet: Packet, into: str, out: str, now: float = 0.0) -> Ruling:
        """PREROUTING, FORWARD, POSTROUTING; the packet is as it is on the wire (no metadata)."""
        packet.ct = None
        for hook, devices in ((Hook.PREROUTING, {"indev": into}), (Hook.FORWARD, {"indev": into, "outdev": out}),
                              (Hook.POSTROUTING, {"outdev": out})):
            ruling = self.hook(hook, packet, now, **devices)
            if not ruling.accepted:
                return ruling
        return ruling

    def send(self, packet: Packet, device: str, now: float = 0.0) -> Ruling:
        """OUTPUT, POSTROUTING, of a packet that starts here."""
        ruling = self.hook(Hook.OUTPUT, packet, now, outdev=device)
        return self.hook(Hook.POSTROUTING, packet, now, outdev=device) if ruling.accepted else ruling


def udp(src: int, sport: int, dst: int, dport: int) -> Packet:
    return Packet(ip=IPv4(src, dst, Proto.UDP), l4=Udp(sport, dport))


def ends(packet: Packet) -> tuple[str, int, str, int]:
    assert packet.ip is not None and isinstance(packet.l4, Udp | Tcp)
    return dotted(packet.ip.src), packet.l4.sport, dotted(packet.ip.dst), packet.l4.dport


def answer(packet: Packet) -> Packet:
    assert packet.ip is not None and isinstance(packet.l4, Udp)
    return udp(packet.ip.dst, packet.l4.dport, packet.ip.src, packet.l4.sport)


def port_unreachable(source: int, about: Packet) -> Packet:
    return Packet(
        ip=IPv4(source, CLIENT, Proto.ICMP), l4=Icmp(IcmpType.DEST_UNREACH, Unreach.PORT), inner=about.snapshot())


PUBLISH = "-t nat -A PREROUTING -d 10.1.0.1 -p udp --dport 8080 -j DNAT --to-destination 10.2.0.2:80"
MASQUERADE = "-t nat -A POSTROUTING -s 10.1.0.0/24 -o right -j MASQUERADE"


def test_a_published_port_is_translated_there_and_back() -> None:
    router, packet = Router(PUBLISH), udp(CLIENT, 40000, LEFT, 8080)
    assert router.forward(packet, "left", "right").accepted
    assert ends(packet) == ("10.1.0.2", 40000, "10.2.0.2", 80)
    back = answer(packet)
    assert router.forward(back, "right", "left").accepted
    assert ends(back) == ("10.1.0.1", 8080, "10.1.0.2", 40000)
    assert [step.detail for step in router.steps if step.kind is Kind.NAT] == [
        "DNAT 10.1.0.1:8080 -> 10.2.0.2:80", "un-DNAT 10.2.0.2:80 -> 10.1.0.1:8080"]


def test_masquerade_gives_the_address_of_the_outgoing_device_and_keeps_the_port() -> None:
    router, packet = Router(MASQUERADE), udp(CLIENT, 40000, SERVER, 53)
    router.forward(packet, "left", "right")
    assert ends(packet) == ("10.2.0.1", 40000, "10.2.0.2", 53)
    back = answer(packet)
    router.forward(back, "right", "left")
    assert ends(back) == ("10.2.0.2", 53, "10.1.0.2", 40000)


def test_two_containers_with_the_same_source_port_are_told_apart_behind_masquerade() -> None:
    router = Router(MASQUERADE)
    one, two = udp(CLIENT, 40000, SERVER, 53), udp(CLIENT + 1, 40000, SERVER, 53)
    router.forward(one, "left", "right")
    router.forward(two, "left", "right")
    assert ends(one)[1] == 40000
    assert ends(two)[1] != 40000
    for packet, owner in ((one, "10.1.0.2"), (two, "10.1.0.3")):
        back = answer(packet)
        router.forward(back, "right", "left")
        assert ends(back)[2:] == (owner, 40000)


@pytest.mark.parametrize(("port", "low", "high"), [(400, 1, 511), (700, 600, 1023), (23000, 1024, 65535)])
def test_two_published_ports_of_one_server_get_a_source_port_of_the_same_class_as_the_kernel_does(
    port: int, low: int, high: int,
) -> None:
    router = Router(PUBLISH, PUBLISH.replace("8080", "8081"))
    one, two = udp(CLIENT, port, LEFT, 8080), udp(CLIENT, port, LEFT, 8081)
    router.forward(one, "left", "right")
    router.forward(two, "left", "right")
    assert ends(one)[1] == port
    assert ends(two)[1] != port and low <= ends(two)[1] <= high


def test_a_low_source_port_towards_a_high_one_is_kept_as_the_kernel_does() -> None:
    router, packet = Router(MASQUERADE), udp(CLIENT, 1000, SERVER, 40000)
    router.forward(packet, "left", "right")
    assert ends(packet) == ("10.2.0.1", 1000, "10.2.0.2", 40000)


def ping(src: int, dst: int, kind: IcmpType, ident: int) -> Packet:
    return Packet(ip=IPv4(src, dst, Proto.ICMP), l4=Icmp(kind, 0, ident, 1))


def identifier(packet: Packet) -> int:
    assert isinstance(packet.l4, Icmp)
    return packet.l4.ident


def test_two_pings_with_one_identifier_are_told_apart_and_each_hears_its_own_identifier() -> None:
    router = Router(MASQUERADE)
    outside = []
    for source in (CLIENT, CLIENT + 1):
        echo = ping(source, SERVER, IcmpType.ECHO_REQUEST, 7)
        assert router.forward(echo, "left", "right").accepted
        outside.append(identifier(echo))
    assert outside[0] == 7 and outside[1] != 7
    for source, ident in zip((CLIENT, CLIENT + 1), outside, strict=True):
        reply = ping(SERVER, RIGHT, IcmpType.ECHO_REPLY, ident)
        assert router.forward(reply, "right", "left").accepted
        assert reply.ip is not None and reply.ip.dst == source
        assert identifier(reply) == 7


def test_a_range_of_addresses_is_chosen_from_by_the_hash_of_the_kernel() -> None:
    router = Router("-t nat -A POSTROUTING -s 10.1.0.0/24 -j SNAT --to-source 10.2.0.10-10.2.0.19")
    chosen = []
    for port, server in ((21000, "10.2.0.2"), (21000, "10.2.0.102"), (21000, "10.2.0.103"), (21001, "10.2.0.104")):
        packet = udp(CLIENT, port, ip(server), 7)
        router.forward(packet, "left", "right")
        chosen.append(ends(packet)[0])
    assert chosen == ["10.2.0.14", "10.2.0.14", "10.2.0.14", "10.2.0.18"]


def test_dockers_name_server_answers_from_port_53() -> None:
    name_server = ip("127.0.0.11")
    router = Router("-t nat -A OUTPUT -d 127.0.0.11 -p udp --dport 53 -j DNAT --to-destination 127.0.0.11:45678",
                    "-t nat -A POSTROUTING -s 127.0.0.11 -p udp --sport 45678 -j SNAT --to-source :53")
    query = udp(ip("127.0.0.1"), 5000, name_server, 53)
    router.send(query, "lo")
    assert ends(query) == ("127.0.0.1", 5000, "127.0.0.11", 45678)
    reply = answer(query)
    router.send(reply, "lo")
    assert ends(reply) == ("127.0.0.11", 53, "127.0.0.1", 5000)


def test_redirect_sends_a_packet_to_the_device_that_it_came_in_by() -> None:
    router = Router("-t nat -A PREROUTING -p udp --dport 80 -j REDIRECT --to-ports 8080")
    packet = udp(CLIENT, 40000, SERVER, 80)
    router.hook(Hook.PREROUTING, packet, 0.0, indev="left")
    assert ends(packet) == ("10.1.0.2", 40000, "10.1.0.1", 8080)


def test_rules_are_asked_for_the_first_packet_only() -> None:
    router, packet = Router(PUBLISH), udp(CLIENT, 40000, LEFT, 8080)
    router.forward(packet, "left", "right")
    router.netfilter.iptables(PUBLISH.replace("-A", "-D"))
    router.netfilter.iptables("-t nat -A PREROUTING -d 10.9.9.9 -p udp -j DNAT --to-destination 10.2.0.9")
    router.steps.clear()
    back, again = answer(packet), udp(CLIENT, 40000, LEFT, 8080)
    router.forward(back, "right", "left")
    router.forward(again, "left", "right")
    assert ends(again) == ("10.1.0.2", 40000, "10.2.0.2", 80)
    assert not [step for step in router.steps if step.kind is Kind.RULE]


def test_an_icmp_error_from_behind_nat_quotes_what_the_sender_sent() -> None:
    router, packet = Router(PUBLISH), udp(CLIENT, 40000, LEFT, 8080)
    router.forward(packet, "left", "right")
    error = port_unreachable(SERVER, packet)
    router.forward(error, "right", "left")
    assert error.ip is not None and error.inner is not None
    assert (dotted(error.ip.src), dotted(error.ip.dst)) == ("10.1.0.1", "10.1.0.2")
    assert ends(error.inner) == ("10.1.0.2", 40000, "10.1.0.1", 8080)


def test_a_rejection_after_dnat_reaches_the_sender_as_about_his_own_packet_as_the_kernel_does() -> None:
    router, packet = Router(PUBLISH, "-A FORWARD -p udp -j REJECT"), udp(CLIENT, 40000, LEFT, 8080)
    ruling = router.forward(packet, "left", "right")
    assert ruling.reject == "icmp-port-unreachable"
    error = port_unreachable(LEFT, packet)
    attach(error, packet)
    assert router.send(error, "left").accepted
    assert error.inner is not None
    assert ends(error.inner) == ("10.1.0.2", 40000, "10.1.0.1", 8080)
    assert len(router.netfilter.conntrack) == 0


def test_a_reset_after_dnat_comes_from_the_address_that_was_dialled() -> None:
    router = Router(PUBLISH.replace("udp", "tcp"), "-A FORWARD -p tcp -j REJECT --reject-with tcp-reset")
    packet = Packet(ip=IPv4(CLIENT, LEFT, Proto.TCP), l4=Tcp(40000, 8080, TcpFlag.SYN))
    assert router.forward(packet, "left", "right").reject == "tcp-reset"
    reset = Packet(ip=IPv4(SERVER, CLIENT, Proto.TCP), l4=Tcp(80, 40000, TcpFlag.RST | TcpFlag.ACK))
    attach(reset, packet)
    assert router.send(reset, "left").accepted
    assert ends(reset) == ("10.1.0.1", 8080, "10.1.0.2", 40000)


def test_masquerade_on_a_device_without_an_address_drops_the_packet() -> None:
    router = Router("-t nat -A POSTROUTING -j MASQUERADE")
    assert not router.forward(udp(CLIENT, 1, SERVER, 2), "left", "nowhere").accepted


def test_when_every_port_of_a_rule_is_taken_the_packet_is_dropped() -> None:
    router = Router("-t nat -A POSTROUTING -p udp -j SNAT --to-source 10.2.0.1:1000-1001")
    rulings = [router.forward(udp(CLIENT + n, 40000, SERVER, 53), "left", "right").accepted for n in range(3)]
    assert rulings == [True, True, False]
    assert router.steps[-1].reason is DropReason.NAT_FULL


def test_the_same_seed_chooses_the_same_ports() -> None:
    def run() -> list[int]:
        router, ports = Router(MASQUERADE + " --random"), []
        for n in range(20):
            packet = udp(CLIENT, 40000 + n, SERVER, 53)
            router.forward(packet, "left", "right")
            ports.append(ends(packet)[1])
        return ports
    assert run() == run()


flows = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([1, 700, 40000, 40001]), st.sampled_from(["direct", "8080", "8081"])),
    min_size=1, max_size=25)


@given(flows, st.booleans(), st.integers(0, 2**16))
def test_every_answer_returns_to_exactly_the_tuple_that_was_sent(
    story: list[tuple[int, int, str]], masquerade: bool, seed: int,
) -> None:
    router = Router(PUBLISH, PUBLISH.replace("8080", "8081"), *([MASQUERADE] if masquerade else []))
    router.netfilter.nat.random = Random(seed)
    seen: dict[tuple[str, int, str, int], tuple[str, int, str, int]] = {}
    for client, port, how in story:
        packet = udp(CLIENT + client, port, *((SERVER, 80) if how == "direct" else (LEFT, int(how))))
        sent = ends(packet)
        assert router.forward(packet, "left", "right").accepted
        outside = ends(packet)
        assert seen.setdefault(outside, sent) == sent, "two connections look the same from outside"
        back = answer(packet)
        assert router.forward(back, "right", "left").accepted
        assert ends(back) == (sent[2], sent[3], sent[0], sent[1])
    replies = [entry.reply for entry in router.netfilter.conntrack.entries()]
    assert len(replies) == len(set(replies))
