from sim.kernel.datagram import PingSocket
from sim.packet import BROADCAST, ZERO_MAC, Arp, Ethernet, EtherType, Packet, ip
from sim.trace import Kind, Outcome
from tests.sim.kernel.machines import drops, packets, pair, routed, seen, settle, switched


def test_unknown_neighbour_is_asked_by_broadcast_and_the_packet_waits_for_the_answer():
    a, _b = pair()
    steps = settle(PingSocket(a, 1).send(ip("10.0.0.2"), 1, b"", 0.0))
    assert packets(steps, "a:eth0") == [
        "ARP who-has 10.0.0.2 tell 10.0.0.1", "ARP 10.0.0.2 is-at 02:00:00:00:00:02",
        "ICMP echo-request 10.0.0.1 > 10.0.0.2", "ICMP echo-reply 10.0.0.2 > 10.0.0.1",
    ]


def test_whoever_is_asked_learns_the_asker():
    a, b = pair()
    settle(PingSocket(a, 1).send(ip("10.0.0.2"), 1, b"", 0.0))
    assert b.neighbours.entries["eth0", ip("10.0.0.1")].mac == "02:00:00:00:00:01"


def test_arp_is_repeated_three_times_a_second_apart_then_the_host_is_unreachable():
    a, _b = pair()
    sock = PingSocket(a, 1)
    steps = settle(sock.send(ip("10.0.0.9"), 1, b"", 0.0))
    asked = [s.at for s in steps if s.kind is Kind.SEEN and s.point == "a:eth0"]
    assert [round(t) for t in asked] == [0, 1, 2]
    assert drops(steps) == ["NO_NEIGHBOUR"]
    assert sock.error is Outcome.HOST_UNREACHABLE
    assert seen(steps, "ICMP host-unreachable") == ["a:lo out", "a:lo in"]


def test_router_tells_the_sender_that_the_host_is_unreachable():
    left, _router, _right = routed()
    sock = PingSocket(left, 1)
    steps = settle(sock.send(ip("10.2.0.99"), 1, b"", 0.0))
    assert "ICMP host-unreachable 10.1.0.1 > 10.1.0.2" in packets(steps, "left:eth0")
    assert sock.error is Outcome.HOST_UNREACHABLE


def test_unsolicited_arp_answer_makes_no_entry():
    a, b = pair()
    answer = Packet(eth=Ethernet("02:00:00:00:00:02", "02:00:00:00:00:01", EtherType.ARP),
                    arp=Arp(2, "02:00:00:00:00:02", ip("10.0.0.2"), "02:00:00:00:00:01", ip("10.0.0.1")))
    settle(b.device("eth0").xmit(answer, 0.0))
    assert not a.neighbours.entries


def test_permanent_entry_survives_a_flush_and_needs_no_arp():
    a, _b = pair()
    a.neighbours.add("eth0", ip("10.0.0.2"), "02:00:00:00:00:02")
    a.neighbours.flush()
    steps = settle(PingSocket(a, 1).send(ip("10.0.0.2"), 1, b"", 0.0))
    assert packets(steps, "a:eth0")[0] == "ICMP echo-request 10.0.0.1 > 10.0.0.2"


def two_at_one_address():
    """c1, and c2 and c3 that both have 10.0.0.2, on one bridge; what of c1 its ping made."""
    host, bridge, (c1, c2, c3) = switched(3)
    bridge.netns.sysctls["net.bridge.bridge-nf-call-iptables"] = "0"
    c3.add_address("eth0", "10.0.0.2/32")
    return host, c1, c2, c3


def test_of_two_machines_with_one_address_the_first_that_answers_arp_is_reached():
    _host, c1, c2, c3 = two_at_one_address()
    steps = settle(PingSocket(c1, 1).send(ip("10.0.0.2"), 1, b"", 0.0))
    assert len([p for p in packets(steps, "c1:eth0") if "is-at" in p]) == 2
    assert c1.neighbours.entries["eth0", ip("10.0.0.2")].mac == c2.devices["eth0"].mac
    assert "ICMP echo-request 10.0.0.1 > 10.0.0.2" not in packets(steps, "c3:eth0")
    assert c3.is_local(ip("10.0.0.2"))


def test_who_asks_turns_an_entry_at_once():
    _host, c1, _c2, c3 = two_at_one_address()
    settle(PingSocket(c1, 1).send(ip("10.0.0.2"), 1, b"", 0.0))
    asking = Packet(eth=Ethernet(c3.devices["eth0"].mac, BROADCAST, EtherType.ARP),
                    arp=Arp(1, c3.devices["eth0"].mac, ip("10.0.0.2"), ZERO_MAC, ip("10.0.0.1")))
    settle(c3.devices["eth0"].xmit(asking, 0.0))
    assert c1.neighbours.entries["eth0", ip("10.0.0.2")].mac == c3.devices["eth0"].mac


def test_who_asks_for_somebody_else_is_learnt_only_where_there_is_an_entry():
    _host, _bridge, (c1, c2, c3) = switched(3)
    settle(PingSocket(c1, 1).send(ip("10.0.0.2"), 1, b"", 0.0))
    c1.neighbours.entries["eth0", ip("10.0.0.2")].mac = "02:00:00:00:00:77"
    c1.neighbours.entries["eth0", ip("10.0.0.2")].updated = -5.0
    settle(PingSocket(c2, 1).send(ip("10.0.0.3"), 1, b"", 0.0))
    assert c1.neighbours.entries["eth0", ip("10.0.0.2")].mac == c2.devices["eth0"].mac
    assert ("eth0", ip("10.0.0.2")) in c3.neighbours.entries
    settle(PingSocket(c3, 1).send(ip("10.0.0.1"), 1, b"", 0.0))
    assert ("eth0", ip("10.0.0.3")) not in c2.neighbours.entries or c2.neighbours.entries["eth0", ip("10.0.0.3")].mac


def test_a_machine_does_not_answer_who_asks_with_its_own_address():
    _host, _c1, c2, _c3 = two_at_one_address()
    steps = settle(PingSocket(c2, 1).send(ip("10.0.0.3"), 1, b"", 0.0))
    assert not [p for p in packets(steps, "c3:eth0") if "is-at" in p]
