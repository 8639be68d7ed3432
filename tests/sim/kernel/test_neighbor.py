from sim.kernel.datagram import PingSocket
from sim.packet import Arp, Ethernet, EtherType, Packet, ip
from sim.trace import Kind, Outcome
from tests.sim.kernel.machines import drops, packets, pair, routed, seen, settle


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
