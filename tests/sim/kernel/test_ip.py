from sim.kernel.datagram import PingSocket, UdpSocket
from sim.kernel.icmp import error_about
from sim.packet import Icmp, IPv4, Packet, Proto, Udp, ip
from sim.trace import Kind, Outcome
from tests.sim.kernel.machines import drops, packets, pair, routed, seen, settle


def ping(netns, address):
    sock = PingSocket(netns, 9)
    return sock, settle(sock.send(ip(address), 1, b"", 0.0))


def test_forwarding_takes_one_from_the_ttl():
    left, _, _ = routed()
    _, steps = ping(left, "10.2.0.2")
    ttl = {s.point: s.packet.ip.ttl for s in steps if s.kind is Kind.SEEN and "echo-request" in str(s.packet)}
    assert (ttl["left:eth0"], ttl["right:eth0"]) == (64, 63)


def test_router_with_ip_forward_off_drops_what_is_not_its_own():
    left, router, _ = routed()
    router.sysctls["net.ipv4.ip_forward"] = "0"
    sock, steps = ping(left, "10.2.0.2")
    assert drops(steps) == ["FORWARDING_OFF"] and sock.error is None


def test_ttl_one_ends_at_the_router_with_time_exceeded():
    left, _, _ = routed()
    packet = Packet(ip=IPv4(0, ip("10.2.0.2"), Proto.ICMP, 1), l4=Icmp(8, 0, 9, 1))
    steps = settle(left.ip.output(packet, 0.0))
    assert drops(steps) == ["TTL", "ICMP_IGNORED"]
    assert "ICMP time-exceeded 10.1.0.1 > 10.1.0.2" in packets(steps, "left:eth0")


def test_no_route_on_the_own_host_is_network_unreachable_at_once():
    a, _ = pair()
    sock, steps = ping(a, "11.0.0.1")
    assert sock.error is Outcome.NET_UNREACHABLE and seen(steps) == []


def test_router_without_a_route_answers_network_unreachable():
    left, _, _ = routed()
    sock, steps = ping(left, "11.0.0.1")
    assert "ICMP net-unreachable 10.1.0.1 > 10.1.0.2" in packets(steps, "left:eth0")
    assert sock.error is Outcome.NET_UNREACHABLE


def test_packet_to_an_own_address_goes_by_the_loopback():
    a, _ = pair()
    sock, steps = ping(a, "10.0.0.1")
    assert {s.split(":")[1].split()[0] for s in seen(steps)} == {"lo"} and list(sock.inbox) == [ip("10.0.0.1")]


def test_loopback_address_from_outside_is_martian():
    a, b = pair()
    a.add_route("127.0.0.53/32", dev="eth0", via="10.0.0.2")
    packet = Packet(ip=IPv4(ip("10.0.0.1"), ip("127.0.0.53"), Proto.UDP), l4=Udp(1, 2))
    from sim.packet import Ethernet

    packet.eth = Ethernet(a.device("eth0").mac, b.device("eth0").mac)
    assert drops(settle(a.device("eth0").xmit(packet, 0.0))) == ["MARTIAN"]


def test_own_source_address_coming_in_is_martian():
    a, _b = pair()
    from sim.packet import Ethernet

    spoofed = Packet(eth=Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),
                     ip=IPv4(ip("10.0.0.2"), ip("10.0.0.2"), Proto.UDP), l4=Udp(1, 2))
    assert drops(settle(a.device("eth0").xmit(spoofed, 0.0))) == ["MARTIAN"]


def test_packet_larger_than_the_next_mtu_with_df_set_is_answered_with_frag_needed():
    left, router, _ = routed()
    router.device("r2").mtu = 1400
    sock = UdpSocket(left, 0, 5000)
    sock.connect(ip("10.2.0.2"), 80)
    steps = settle(sock.send(bytes(1400), 0.0))
    assert drops(steps)[0] == "MTU"
    assert "ICMP frag-needed-unreachable 10.1.0.1 > 10.1.0.2" in packets(steps, "left:eth0")


def test_rule_in_output_that_drops_a_ping_is_operation_not_permitted():
    a, _ = pair()
    a.iptables("-A OUTPUT -p icmp -j DROP")
    sock, steps = ping(a, "10.0.0.2")
    assert sock.error is Outcome.PROHIBITED and drops(steps) == ["RULE"]


def test_reject_answers_with_the_named_icmp_error():
    left, router, _ = routed()
    router.iptables("-A FORWARD -j REJECT --reject-with icmp-admin-prohibited")
    sock, steps = ping(left, "10.2.0.2")
    assert "ICMP admin-prohibited-unreachable 10.1.0.1 > 10.1.0.2" in packets(steps, "left:eth0")
    assert sock.error is Outcome.PROHIBITED


def test_dnat_in_output_routes_the_packet_again():
    left, _router, _right = routed()
    left.iptables("-t nat -A OUTPUT -d 192.0.2.1 -p icmp -j DNAT --to-destination 10.2.0.2")
    sock, steps = ping(left, "192.0.2.1")
    assert list(sock.inbox) == [ip("192.0.2.1")], "the answer comes back with the address that was dialled"
    assert "ICMP echo-request 10.1.0.2 > 10.2.0.2" in packets(steps, "right:eth0")


def test_masquerade_gives_the_router_address_and_takes_it_back():
    left, router, _right = routed()
    router.iptables("-t nat -A POSTROUTING -s 10.1.0.0/24 -j MASQUERADE")
    sock, steps = ping(left, "10.2.0.2")
    assert packets(steps, "right:eth0")[-1] == "ICMP echo-reply 10.2.0.2 > 10.2.0.1"
    assert packets(steps, "left:eth0")[-1] == "ICMP echo-reply 10.2.0.2 > 10.1.0.2"
    assert list(sock.inbox) == [ip("10.2.0.2")]


def test_icmp_error_through_nat_quotes_what_the_sender_sent():
    left, router, _right = routed()
    router.iptables("-t nat -A POSTROUTING -s 10.1.0.0/24 -j MASQUERADE")
    sock = UdpSocket(left, 0, 5000)
    sock.connect(ip("10.2.0.2"), 81)
    steps = settle(sock.send(b"x", 0.0))
    error = [s.packet for s in steps if s.kind is Kind.SEEN and s.point == "left:eth0"][-1]
    assert str(error) == "ICMP port-unreachable 10.2.0.2 > 10.1.0.2"
    assert (error.inner.ip.src, error.inner.l4.sport) == (ip("10.1.0.2"), 5000)
    assert sock.error is Outcome.REFUSED


def test_no_icmp_error_about_an_icmp_error_or_a_broadcast():
    error = Packet(ip=IPv4(1, 2, Proto.ICMP), l4=Icmp(3, 1))
    broadcast = Packet(ip=IPv4(1, 2, Proto.UDP), l4=Udp(1, 2), pkt_type="broadcast")
    assert error_about(error, 3, 0) is None and error_about(broadcast, 3, 3) is None
