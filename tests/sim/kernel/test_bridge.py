from sim.kernel.datagram import PingSocket
from sim.packet import IPv4, Packet, Proto, Udp, dotted, ip
from sim.trace import Kind
from tests.sim.kernel.machines import drops, seen, settle, switched


def ping(box, address, ident=7):
    return PingSocket(box, ident).send(ip(address), 1, b"", 0.0)


def test_first_frame_to_an_unknown_address_is_flooded_to_every_other_port():
    _host, _bridge, (c1, c2, _) = switched()
    c1.neighbours.add("eth0", ip("10.0.0.2"), c2.device("eth0").mac)
    c2.neighbours.add("eth0", ip("10.0.0.1"), c1.device("eth0").mac)
    first = seen(settle(ping(c1, "10.0.0.2")), "ICMP echo-request")
    assert {"host:v2 out", "host:v3 out", "c2:eth0 in", "c3:eth0 in"} <= set(first)
    assert "host:v1 out" not in first


def test_second_frame_goes_only_where_the_bridge_learned_the_address():
    _host, _bridge, (c1, *_) = switched()
    settle(ping(c1, "10.0.0.2"))
    again = seen(settle(ping(c1, "10.0.0.2")), "ICMP")
    assert "host:v2 out" in again
    assert "host:v3 out" not in again


def test_fdb_entry_is_forgotten_after_the_ageing_time():
    host, bridge, (c1, *_) = switched()
    settle(ping(c1, "10.0.0.2"))
    mac = c1.device("eth0").mac
    learned = bridge.fdb.entries[mac].updated
    assert bridge.fdb.lookup(mac, learned + 299.9) is host.device("v1")
    assert bridge.fdb.lookup(mac, learned + 300.0) is None


def test_arp_broadcast_reaches_every_port_and_the_host():
    _, _, (c1, *_) = switched()
    asked = seen(settle(ping(c1, "10.0.0.2")), "ARP who-has")
    assert {"host:br0 in", "c2:eth0 in", "c3:eth0 in"} <= set(asked)


def test_frame_for_the_bridge_address_goes_up_and_not_out():
    _host, _bridge, (c1, *_) = switched()
    settle(ping(c1, "10.0.0.254"))
    way = seen(settle(ping(c1, "10.0.0.254")), "ICMP echo-request")
    assert way == ["c1:eth0 out", "host:v1 in", "host:br0 in"]


def test_sniffer_on_the_bridge_sees_frames_that_cross_it_only_when_promiscuous():
    _host, bridge, (c1, *_) = switched()
    settle(ping(c1, "10.0.0.2"))
    assert "host:br0 in" not in seen(settle(ping(c1, "10.0.0.2")), "ICMP")
    bridge.promiscuous = True
    assert "host:br0 in" in seen(settle(ping(c1, "10.0.0.2")), "ICMP")


def test_frame_is_not_sent_back_out_of_its_own_port_without_hairpin():
    host, bridge, (c1, c2, _) = switched()
    settle(ping(c1, "10.0.0.2"))
    bridge.fdb.learn(c2.device("eth0").mac, host.device("v1"), 0.0)
    assert drops(settle(ping(c1, "10.0.0.2"), 0.5)) == ["HAIRPIN_OFF"]


def test_hairpin_port_sends_a_frame_back_to_where_it_came_from():
    host, bridge, (c1, c2, _) = switched()
    settle(ping(c1, "10.0.0.2"))
    host.device("v1").hairpin = True
    bridge.fdb.learn(c2.device("eth0").mac, host.device("v1"), 0.0)
    assert "host:v1 out" in seen(settle(ping(c1, "10.0.0.2"), 0.5), "ICMP echo-request")


def test_bridged_ipv4_passes_the_forward_chain_when_bridge_nf_call_iptables_is_on():
    host, _, (c1, *_) = switched()
    host.iptables("-A FORWARD -i br0 -o br0 -j DROP")
    steps = settle(ping(c1, "10.0.0.2"))
    assert drops(steps) == ["RULE"]
    assert "filter FORWARD" in next(s.detail for s in steps if s.kind is Kind.DROP and s.reason.name == "RULE")


def test_bridged_ipv4_ignores_iptables_when_bridge_nf_call_iptables_is_off():
    host, _, (c1, *_) = switched()
    host.iptables("-A FORWARD -i br0 -o br0 -j DROP")
    host.sysctls["net.bridge.bridge-nf-call-iptables"] = "0"
    assert "c1:eth0 in" in seen(settle(ping(c1, "10.0.0.2")), "ICMP echo-reply")


def test_arp_is_never_filtered_by_iptables():
    host, _, (c1, *_) = switched()
    host.iptables("-P FORWARD DROP")
    assert "c1:eth0 in" in seen(settle(ping(c1, "10.0.0.2")), "ARP 10.0.0.2 is-at")


def test_frame_up_to_the_host_passes_prerouting_once():
    host, _, (c1, *_) = switched()
    host.iptables("-t raw -A PREROUTING -i br0 -j ACCEPT")
    steps = settle(ping(c1, "10.0.0.254"))
    up = [s for s in steps if s.kind is Kind.RULE and s.where == "host" and "raw" in s.detail]
    assert len(up) == 1


def hairpinned():
    """c1 and c2 on a sniffed bridge whose host turns UDP for itself on port 8080 to c2's port 80."""
    host, bridge, (c1, c2, _) = switched()
    bridge.promiscuous = True
    host.sysctls["net.ipv4.ip_forward"] = "1"
    host.iptables("-t nat -A PREROUTING -p udp -d 10.0.0.254 --dport 8080 -j DNAT --to-destination 10.0.0.2:80")
    for box in (c1, c2):
        settle(ping(box, "10.0.0.254"))
    return host, c1


def test_sniffed_bridge_doubles_a_hairpin_and_its_copy_belongs_to_no_connection():
    host, c1 = hairpinned()
    host.iptables("-t nat -A POSTROUTING -s 10.0.0.1 -d 10.0.0.2 -p udp -j MASQUERADE")
    steps = settle(c1.ip.output(Packet(ip=IPv4(ip("10.0.0.1"), ip("10.0.0.254"), Proto.UDP), l4=Udp(20000, 8080)), 0.0))
    arrived = [s.packet for s in steps if s.kind is Kind.SEEN and s.point == "c2:eth0" and s.way == "in"]
    assert sorted(dotted(p.ip.src) for p in arrived if isinstance(p.l4, Udp)) == ["10.0.0.1", "10.0.0.254"]
    assert len([e for e in host.netfilter.conntrack.entries() if e.original.proto == Proto.UDP]) == 1


def test_sniffed_bridge_doubles_nothing_that_was_for_a_container_from_the_start():
    _host, bridge, (c1, *_) = switched()
    bridge.promiscuous = True
    settle(ping(c1, "10.0.0.2"))
    steps = settle(ping(c1, "10.0.0.2"))
    assert seen(steps, "ICMP echo-request").count("c2:eth0 in") == 1
