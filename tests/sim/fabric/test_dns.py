from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.fabric import dns
from sim.fabric.fabric import Fabric
from sim.kernel.datagram import UdpSocket
from sim.kernel.draws import Draws
from sim.kernel.netns import Netns
from sim.packet import ip
from sim.trace import Outcome
from tests.sim.kernel.machines import pair, switched

label = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)


@given(st.lists(label, min_size=1, max_size=4).map(".".join), st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_response_carries_the_question_and_the_addresses(name, addresses):
    question = dns.query(name)
    assert dns.asked_name(question) == name
    assert dns.parse(dns.response(question, dns.Reply(tuple(addresses)))) == (dns.NOERROR, addresses)


def resolve(name, lookup=None, netns=None):
    a, b = pair()
    if netns:
        netns(a)
    a.nameservers = a.nameservers or ["10.0.0.2"]
    fabric = Fabric()
    if lookup:
        fabric.spawn(dns.name_server(fabric, b, 0, dns.PORT, lookup))
    return fabric.run(fabric.spawn(dns.resolve(fabric, a, name, a.files)), 0.0), fabric


def test_name_is_resolved_by_the_nameserver_of_resolv_conf():
    assert resolve("web", lambda name: dns.Reply((ip("10.9.9.9"),)))[0] == ip("10.9.9.9")


def test_hosts_file_comes_before_dns():
    def hosts(netns: Netns) -> None:
        netns.hosts.append((ip("10.0.0.7"), ("web",)))

    assert resolve("web", netns=hosts)[0] == ip("10.0.0.7")


def test_nxdomain_is_no_such_name():
    assert resolve("web", lambda name: dns.Reply(rcode=dns.NXDOMAIN))[0] is Outcome.NO_SUCH_NAME


@pytest.mark.parametrize("name", ["a" * 64, "a" * 63 + ".b" * 100, "a..b", "x." * 127 + "xx"])
def test_a_name_that_no_message_can_carry_is_unknown_and_nobody_is_asked(name):
    asked = []
    outcome, fabric = resolve(name, lambda asked_name: asked.append(asked_name) or dns.Reply((1,)))
    assert outcome is Outcome.NO_SUCH_NAME and not asked and fabric.now == 0


def test_the_longest_label_is_asked_for():
    assert resolve("a" * 63, lambda name: dns.Reply((ip("10.9.9.9"),)))[0] == ip("10.9.9.9")


@pytest.mark.parametrize(("option", "ndots"), [
    ("ndots:2", 2), ("ndots:", 0), ("ndots:x", 0), ("ndots:" + "9" * 400, 15)])
def test_ndots_is_read_as_atoi_does_and_at_most_fifteen(option, ndots):
    netns = Netns("c")
    netns.search, netns.resolv_options = ["d"], [option]
    name = ".".join("a" * (ndots + 1))
    assert dns.candidates(name, netns.files)[0] == name
    assert ndots == 0 or dns.candidates(name[2:], netns.files)[0] != name[2:]


def test_closed_dns_port_is_a_name_server_that_does_not_answer_and_is_known_at_once():
    outcome, fabric = resolve("web")
    assert outcome is Outcome.NAME_UNANSWERED and fabric.now < 0.1


def test_search_list_is_tried_first_for_names_with_fewer_dots_than_ndots():
    netns = Netns("c")
    netns.search = ["example.org"]
    assert dns.candidates("web", netns.files) == ["web.example.org", "web"]
    netns.resolv_options = ["ndots:0"]
    assert dns.candidates("web", netns.files) == ["web", "web.example.org"]
    assert dns.candidates("web.", netns.files) == ["web."]


def test_server_asks_upstream_what_it_does_not_know():
    a, b = pair()
    c = Netns("c")
    from sim.kernel.veth import veth_pair

    veth_pair(b, "eth1", "02:00:00:00:00:03", c, "eth0", "02:00:00:00:00:04")
    b.add_address("eth1", "10.1.0.1/24")
    c.add_address("eth0", "10.1.0.2/24")
    a.nameservers = ["10.0.0.2"]
    fabric = Fabric()
    fabric.spawn(dns.name_server(fabric, b, 0, dns.PORT, lambda name: dns.Reply(upstream=(ip("10.1.0.2"),))))
    fabric.spawn(dns.name_server(fabric, c, 0, dns.PORT, lambda name: dns.Reply((ip("10.5.5.5"),))))
    assert fabric.run(fabric.spawn(dns.resolve(fabric, a, "web", a.files)), 0.0) == ip("10.5.5.5")


def test_an_answer_that_is_packed_anew_says_the_same_in_fewer_bytes() -> None:
    long = dns.response(dns.query("example.org"), dns.Reply((0x01020304, 0x05060708)))
    short = dns.compressed(long)
    assert dns.parse(short) == dns.parse(long) == (0, [0x01020304, 0x05060708])
    assert len(long) - len(short) == 2 * (len("example.org") + 2 - 2)
    nobody = dns.response(dns.query("example.org"), dns.Reply(rcode=dns.NXDOMAIN))
    assert dns.compressed(nobody) == nobody


def talk(fabric: Fabric, netns: Netns, says: bytes):
    """A server on port 53 that speaks another protocol."""
    sock = UdpSocket(netns, 0, dns.PORT)
    netns.sockets.bind(sock)
    while True:
        while not sock.inbox:
            yield fabric.ready(sock)
        _, peer, port, _ = sock.inbox.popleft()
        yield fabric.call(sock.send(says, fabric.now, (peer, port)))


@pytest.mark.parametrize("says", [b"web 10.0.0.1\n", bytes(12), dns.response(dns.query("other"), dns.Reply())])
def test_what_is_no_answer_to_the_question_is_overlooked_until_the_time_is_over(says):
    a, b = pair()
    a.nameservers = ["10.0.0.2"]
    fabric = Fabric()
    fabric.spawn(talk(fabric, b, says))
    assert fabric.run(fabric.spawn(dns.resolve(fabric, a, "web", a.files)), 0.0) is Outcome.NAME_UNANSWERED
    assert fabric.now == pytest.approx(dns.ATTEMPTS * dns.TIMEOUT, abs=0.1)


def test_a_datagram_too_short_for_dns_is_as_good_as_none():
    a, b = pair()
    a.nameservers = ["10.0.0.2"]
    fabric = Fabric()
    fabric.spawn(talk(fabric, b, b"x"))
    assert fabric.run(fabric.spawn(dns.resolve(fabric, a, "web", a.files)), 0.0) is Outcome.NAME_UNANSWERED
    assert fabric.now < 0.1


@pytest.mark.parametrize(
    ("says", "then"),
    [(b"app 10.0.0.1\n", Outcome.NO_SUCH_NAME), (b"", Outcome.NO_SUCH_NAME),
     (b"shop-dns-1 10.0.0.1\n", Outcome.NAME_UNANSWERED)],  # an `o` there is the bit TC of a header
)
def test_the_embedded_dns_goes_on_to_the_next_server_where_one_speaks_no_dns(says, then):
    _host, _bridge, (asker, talker, server) = switched(3)
    asker.nameservers = ["127.0.0.11"]
    fabric = Fabric()
    upstream = dns.Reply(upstream=(ip("10.0.0.2"), ip("10.0.0.3")))
    fabric.spawn(dns.name_server(fabric, asker, ip("127.0.0.11"), dns.PORT, lambda name: upstream))
    fabric.spawn(talk(fabric, talker, says))
    fabric.spawn(dns.name_server(fabric, server, 0, dns.PORT, lambda name: dns.Reply(rcode=dns.NXDOMAIN)))
    found = fabric.run(fabric.spawn(dns.resolve(fabric, asker, "web", asker.files)), 0.0)
    assert found is then


@given(st.binary(max_size=60))
def test_no_bytes_from_a_server_make_the_resolver_stumble(says):
    assert dns.is_message(says) in (True, False)


def test_all_addresses_of_a_name_in_the_hosts_file_count_and_its_case_does_not():
    a, _b = pair()
    a.hosts = [(ip("10.9.9.9"), ("Web",)), (ip("10.0.0.2"), ("web", "www"))]
    fabric = Fabric()
    assert fabric.run(fabric.spawn(dns.resolve(fabric, a, "WEB", a.files)), 0.0) == ip("10.0.0.2")


def test_lines_of_the_hosts_file_whose_order_is_drawn_may_each_be_the_first():
    a, _b = pair()
    files = replace(a.files, hosts=((ip("10.0.0.1"), ("me",)), (ip("10.1.0.1"), ("me",))), drawn=2)
    a.add_address("eth0", "10.1.0.1/24")
    found = set()
    for way in (0, 1):
        a.draws = Draws([way])
        fabric = Fabric()
        found.add(fabric.run(fabric.spawn(dns.resolve(fabric, a, "me", files)), 0.0))
    assert found == {ip("10.0.0.1"), ip("10.1.0.1")}
