"""What the settings below /proc/sys/net/ipv4 do to packets (Documentation/networking/ip-sysctl.rst)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.kernel.datagram import PingSocket, UdpSocket
from sim.kernel.sysctl import EPHEMERAL, Sysctls, numbers
from sim.kernel.tcp import TcpSocket
from sim.packet import Icmp, IcmpType, ip
from sim.trace import Kind, Outcome
from tests.sim.kernel.machines import drops, packets, pair, routed, settle

ALL = "net.ipv4.conf.all"
ETH0 = "net.ipv4.conf.eth0"


def ping(source, target):
    """The socket after ten seconds, and what happened."""
    sock = PingSocket(source, 1)
    return sock, settle(sock.send(ip(target), 1, b"", 0.0))


def sent_by(steps, label):
    """TTL -> what left eth0 of a machine with it."""
    seen = [s.packet for s in steps if s.kind is Kind.SEEN and (s.where, s.device, s.way) == (label, "eth0", "out")]
    return {p.ip.ttl: str(p) for p in seen if p.ip}


def test_whatever_starts_in_a_namespace_has_its_ttl():
    a, b = pair()
    b.sysctls["net.ipv4.ip_default_ttl"] = "5"
    _, steps = ping(a, "10.0.0.2")
    assert list(sent_by(steps, "b")) == [5] and list(sent_by(steps, "a")) == [64]
    for sock in (UdpSocket(a, 0, 20000), TcpSocket(a, 0, 20001)):
        if isinstance(sock, TcpSocket):
            steps = settle(sock.connect(ip("10.0.0.2"), 80, 0.0))
        else:
            sock.connect(ip("10.0.0.2"), 80)
            steps = settle(sock.send(b"x", 0.0))
        assert list(sent_by(steps, "b")) == [5]  # an ICMP error, a reset


def test_ttl_of_one_ends_at_the_first_router():
    left, _router, _right = routed()
    left.sysctls["net.ipv4.ip_default_ttl"] = "1"
    sock, steps = ping(left, "10.2.0.2")
    assert drops(steps) == ["TTL"] and sock.error is Outcome.HOST_UNREACHABLE


def test_pings_are_not_answered_where_echo_is_ignored():
    a, b = pair()
    b.sysctls["net.ipv4.icmp_echo_ignore_all"] = "1"
    sock, steps = ping(a, "10.0.0.2")
    assert drops(steps) == ["ECHO_IGNORED"] and not sock.inbox


@pytest.mark.parametrize(("ignored", "answers"), [("1", []), ("0", [ip("10.0.0.2")])])
def test_a_ping_to_everybody_is_answered_where_that_is_allowed(ignored, answers):
    a, b = pair()
    b.sysctls["net.ipv4.icmp_echo_ignore_broadcasts"] = ignored
    sock, _steps = ping(a, "10.0.0.255")
    assert list(sock.inbox) == answers


def test_strict_reverse_path_filter_drops_what_would_be_answered_by_another_device():
    left, router, _right = routed()
    router.routes.entries = [route for route in router.routes.entries if route.dev != "r1"]
    router.add_route("10.1.0.0/24", dev="r2")
    router.add_route("default", dev="r2")
    assert drops(ping(left, "10.2.0.2")[1]) != ["MARTIAN"]
    router.sysctls[f"{ALL}.rp_filter"] = "2"
    assert "MARTIAN" not in drops(ping(left, "10.1.0.1")[1])
    left.neighbours.add("eth0", ip("10.1.0.1"), "02:00:00:00:01:01")
    router.sysctls["net.ipv4.conf.r1.rp_filter"] = "1"
    assert "MARTIAN" not in drops(ping(left, "10.1.0.1")[1])  # the larger of the two counts: 2 is loose
    router.sysctls[f"{ALL}.rp_filter"] = "0"
    assert drops(ping(left, "10.1.0.1")[1]) == ["MARTIAN"]


def test_loose_reverse_path_filter_drops_what_has_no_way_back():
    left, _router, right = routed()
    right.routes.entries = [route for route in right.routes.entries if route.mask]
    right.sysctls[f"{ALL}.rp_filter"] = "2"
    assert drops(ping(left, "10.2.0.2")[1]) == ["MARTIAN"]


def test_a_namespace_takes_packets_from_its_own_address_only_if_told_to():
    a, b = pair()
    a.add_address("eth0", "10.0.0.3/32")
    b.add_address("lo", "10.0.0.3/32")
    a.routes.entries.clear()
    a.add_route("10.0.0.0/24", dev="eth0", src="10.0.0.3")
    a.neighbours.add("eth0", ip("10.0.0.2"), "02:00:00:00:00:02")
    assert drops(ping(a, "10.0.0.2")[1]) == ["MARTIAN"]
    b.sysctls[f"{ETH0}.accept_local"] = "1"
    assert drops(ping(a, "10.0.0.2")[1]) == []


def test_what_came_in_is_forwarded_by_the_setting_of_that_device():
    left, router, _right = routed()
    router.sysctls["net.ipv4.conf.r1.forwarding"] = "0"
    _, steps = ping(left, "10.2.0.2")
    assert drops(steps) == ["FORWARDING_OFF"]
    assert "net.ipv4.conf.r1.forwarding is 0" in [s.detail for s in steps]
    router.sysctls["net.ipv4.ip_forward"] = "1"  # sets that of every device
    assert ping(left, "10.2.0.2")[0].inbox


@pytest.mark.parametrize(
    ("setting", "value", "asked", "answered"),
    [
        ("arp_ignore", "0", "10.9.9.9", True),
        ("arp_ignore", "1", "10.9.9.9", False),
        ("arp_ignore", "1", "10.0.0.2", True),
        ("arp_ignore", "2", "10.0.0.2", True),
        ("arp_ignore", "2", "10.3.0.2", False),
        ("arp_ignore", "8", "10.0.0.2", False),
        ("arp_filter", "1", "10.0.0.2", True),
    ],
)
def test_who_asks_for_an_address_by_arp_is_answered_as_arp_ignore_says(setting, value, asked, answered):
    a, b = pair()
    b.add_address("lo", "10.9.9.9/32")
    b.add_address("eth0", "10.3.0.2/24")
    b.sysctls[f"{ALL}.{setting}"] = value
    for target in ("10.9.9.9/32", "10.3.0.2/32"):
        a.add_route(target, dev="eth0")
    sock, _steps = ping(a, asked)
    assert bool(sock.inbox) is answered


def test_arp_filter_answers_on_the_device_by_which_the_answer_would_go():
    left, _router, right = routed()
    right.sysctls[f"{ALL}.arp_filter"] = "1"
    right.add_route("10.2.0.1/32", dev="lo")
    assert not ping(left, "10.2.0.2")[0].inbox


@pytest.mark.parametrize(("announce", "teller"), [("0", "10.7.7.7"), ("1", "10.0.0.1"), ("2", "10.0.0.1")])
def test_arp_announce_says_whose_address_a_request_tells(announce, teller):
    a, _b = pair()
    a.add_address("lo", "10.7.7.7/32")
    a.routes.entries.clear()
    a.add_route("10.0.0.0/24", dev="eth0", src="10.7.7.7")
    a.sysctls[f"{ETH0}.arp_announce"] = announce
    _, steps = ping(a, "10.0.0.2")
    assert packets(steps, "a:eth0")[0] == f"ARP who-has 10.0.0.2 tell {teller}"


def test_local_ports_are_drawn_from_the_range_and_begin_anew_at_its_end():
    a, _b = pair()
    a.sysctls["net.ipv4.ip_local_port_range"] = "40000 40002"
    socks = [UdpSocket(a) for _ in range(3)]
    for sock in socks:
        sock.connect(ip("10.0.0.2"), 53)
    assert [sock.port for sock in socks] == [40000, 40001, 40002]
    a.sockets.forget(socks[1])
    again = UdpSocket(a)
    again.connect(ip("10.0.0.2"), 53)
    assert again.port == 40001


def test_a_syn_is_repeated_as_often_as_the_settings_say():
    a, b = pair()
    b.iptables("-P INPUT DROP")
    a.sysctls.update({"net.ipv4.tcp_syn_retries": "1", "net.ipv4.tcp_syn_linear_timeouts": "1"})
    sock = TcpSocket(a, 0, 20000)
    steps = settle(sock.connect(ip("10.0.0.2"), 80, 0.0), 60.0)
    assert len([p for p in packets(steps, "a:eth0") if "[SYN]" in p]) == 3
    assert sock.error is Outcome.TIMEOUT


def test_nobody_complains_about_a_datagram_to_everybody():
    a, _b = pair()
    sock = UdpSocket(a, 0, 20000)
    sock.connect(ip("10.0.0.255"), 9)
    steps = settle(sock.send(b"x", 0.0))
    errors = [s for s in steps if s.packet and isinstance(s.packet.l4, Icmp)
              and s.packet.l4.type == IcmpType.DEST_UNREACH]
    assert "NO_SOCKET" in drops(steps) and not errors


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("net.ipv4.ip_forward", " 5 ", [5]),
        ("net.ipv4.ip_default_ttl", "0x10", [16]),
        ("net.ipv4.ip_default_ttl", "010", [8]),
        ("net.ipv4.ip_default_ttl", "", []),
        ("net.ipv4.conf.all.rp_filter", "1 2", [1]),
        ("net.ipv4.conf.all.arp_ignore", "-1", [-1]),
        ("net.ipv4.ip_local_port_range", "30000 40000", [30000, 40000]),
    ],
)
def test_the_kernel_reads_whole_numbers(name, text, read):
    assert numbers(name, text) == read


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("net.ipv4.ip_default_ttl", "0"), ("net.ipv4.ip_default_ttl", "256"), ("net.ipv4.ip_default_ttl", "7x"),
        ("net.ipv4.ip_forward", "true"), ("net.ipv4.ip_forward", "99999999999"), ("net.ipv4.ip_forward", "²"),
        ("net.ipv4.icmp_echo_ignore_all", "2"), ("net.ipv4.tcp_syn_retries", "0"),
        ("net.ipv4.ip_local_port_range", "40000 30000"),
    ],
)
def test_the_kernel_refuses_what_a_setting_can_not_be(name, text):
    with pytest.raises(ValueError, match="net"):
        Sysctls()[name] = text


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_a_range_of_ports_is_kept_as_it_was_written(first, last):
    sysctls = Sysctls()
    try:
        sysctls["net.ipv4.ip_local_port_range"] = f"{first}\t{last}"
    except ValueError:
        assert first > last and sysctls.ports == EPHEMERAL
    else:
        assert sysctls.ports == range(first, last + 1)
