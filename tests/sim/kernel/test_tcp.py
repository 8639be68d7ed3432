import pytest

from sim.fabric.fabric import Fabric
from sim.kernel.datagram import PingSocket
from sim.kernel.effects import Handoff
from sim.kernel.tcp import TcpSocket
from sim.kernel.tcp_states import State
from sim.packet import TcpFlag, flag_names, ip
from sim.trace import Kind, Outcome
from tests.sim.kernel.machines import pair


def flags_at(fabric, point):
    return [flag_names(s.packet.l4.flags) for s in fabric.trace()
            if s.kind is Kind.SEEN and s.point == point and str(s.packet).startswith("TCP")]


def connected(listening=True):
    """a has connected to b:80; the fabric, a's socket, b's listener (None when nobody listens)."""
    a, b = pair()
    listener = None
    if listening:
        listener = TcpSocket(b, 0, 80)
        listener.listen()
    fabric, sock = Fabric(), TcpSocket(a, 0, 20000)
    fabric.walk(sock.connect(ip("10.0.0.2"), 80, 0.0))
    fabric.env.run(until=0.1)
    return fabric, sock, listener


def test_handshake_is_syn_synack_ack():
    fabric, sock, listener = connected()
    assert flags_at(fabric, "a:eth0") == ["SYN", "SYN|ACK", "ACK"]
    assert sock.state is State.ESTABLISHED and listener.inbox[0].state is State.ESTABLISHED


def test_closed_port_answers_with_a_reset_and_the_connect_is_refused():
    fabric, sock, _ = connected(listening=False)
    assert flags_at(fabric, "a:eth0") == ["SYN", "RST|ACK"]
    assert sock.error is Outcome.REFUSED


def test_data_is_acknowledged_and_arrives_once():
    fabric, sock, listener = connected()
    child = listener.inbox[0]
    fabric.walk(sock.send(b"hello", fabric.now))
    fabric.env.run(until=1)
    assert list(child.inbox) == [b"hello"]
    assert not sock.unacked and flags_at(fabric, "a:eth0")[3:] == ["PSH|ACK", "ACK"]


def test_orderly_close_ends_in_time_wait_for_who_closed_first():
    fabric, sock, listener = connected()
    child = listener.inbox[0]
    fabric.walk(sock.close(fabric.now))
    fabric.env.run(until=0.2)
    assert (sock.state, child.state) == (State.FIN_WAIT2, State.CLOSE_WAIT) and child.eof
    fabric.walk(child.close(fabric.now))
    fabric.env.run(until=0.3)
    assert (sock.state, child.state) == (State.TIME_WAIT, State.CLOSED)


def test_close_with_unread_data_resets_the_connection():
    fabric, sock, listener = connected()
    child = listener.inbox[0]
    fabric.walk(sock.send(b"unread", fabric.now))
    fabric.env.run(until=0.2)
    fabric.walk(child.close(fabric.now))
    fabric.env.run(until=0.3)
    assert sock.error is Outcome.RESET


def test_syn_that_nobody_answers_is_repeated_each_second_first():
    a, b = pair()
    b.iptables("-A INPUT -p tcp -j DROP")
    fabric, sock = Fabric(), TcpSocket(a, 0, 20000)
    fabric.walk(sock.connect(ip("10.0.0.2"), 80, 0.0))
    fabric.env.run(until=3.5)
    seen = [s for s in fabric.trace() if s.kind is Kind.SEEN and s.point == "a:eth0"]
    times = [round(s.at) for s in seen if "SYN" in str(s.packet)]
    assert times == [0, 1, 2, 3]


def test_lost_data_is_sent_again_after_the_retransmission_timeout():
    fabric, sock, listener = connected()
    listener.netns.iptables("-A INPUT -p tcp --tcp-flags PSH PSH -j DROP")
    fabric.walk(sock.send(b"lost", fabric.now))
    fabric.env.run(until=0.25)
    listener.netns.iptables("-F INPUT")
    fabric.env.run(until=2)
    assert list(listener.inbox[0].inbox) == [b"lost"]


def test_reset_of_an_established_connection_is_told_to_the_reader():
    fabric, sock, listener = connected()
    child = listener.inbox[0]
    fabric.walk(child._emit(child.snd_nxt, TcpFlag.RST, b"", fabric.now))
    fabric.env.run(until=0.2)
    assert sock.error is Outcome.RESET and sock.state is State.CLOSED


def test_own_segments_leave_their_checksum_to_the_device_and_resets_do_not():
    fabric, _, _ = connected(listening=False)
    seen = [s for s in fabric.trace() if s.kind is Kind.SEEN and s.point == "a:eth0"]
    csum = [s.packet.csum for s in seen if "TCP" in str(s.packet)]
    assert csum == ["partial", "valid"]


@pytest.mark.parametrize(("linear", "asked"), [("0", 4), ("4", 3)], ids=["6.1", "6.5 and later"])
def test_a_syn_that_is_overdue_goes_out_once_more_when_the_host_is_unreachable(linear, asked):
    """RFC 6069: the news takes a doubling of the timeout back. Since 6.5 the first timeouts don't double."""
    a, _ = pair()
    a.sysctls["net.ipv4.tcp_syn_linear_timeouts"] = linear
    fabric, sock = Fabric(), TcpSocket(a, 0, 20000)
    fabric.walk(sock.connect(ip("10.0.0.77"), 80, 0.0))
    fabric.env.run(until=3.5)
    arp = [s for s in fabric.trace() if s.kind is Kind.SEEN and s.point == "a:eth0" and s.packet.arp]
    assert len(arp) == asked and sock.error is Outcome.HOST_UNREACHABLE


def test_what_comes_for_a_socket_during_its_system_call_is_served_when_that_gives_it_back():
    """connect(2) still has the socket when both copies of the SYN/ACK come: no answer is between them."""
    a, b = pair()
    listener = TcpSocket(b, 0, 80)
    listener.listen()
    fabric, sock = Fabric(), TcpSocket(a, 0, 20000)

    def twice(effects):
        for item in effects:
            yield item
            if isinstance(item, Handoff):
                yield Handoff(item.device, item.packet.copy(), item.port)

    fabric.walk(PingSocket(a, 1).send(ip("10.0.0.2"), 1, b"", 0.0))  # so that both know each other's MAC address
    fabric.env.run(until=0.1)
    fabric.walk(twice(sock.connect(ip("10.0.0.2"), 80, fabric.now)))
    fabric.env.run(until=0.2)
    assert flags_at(fabric, "a:eth0") == ["SYN", "SYN|ACK", "SYN|ACK", "ACK", "ACK"]
    assert not sock.locked and sock.state is State.ESTABLISHED


@pytest.mark.parametrize("peer_first", [False, True])
def test_so_linger_without_seconds_resets_what_is_left_of_a_connection(peer_first):
    fabric, sock, listener = connected()
    child = listener.inbox[0]
    if peer_first:
        fabric.walk(child.close(fabric.now))
        fabric.env.run(until=fabric.now + 0.01)
        assert sock.state is State.CLOSE_WAIT
    fabric.walk(sock.close(fabric.now, abort=True))
    fabric.env.run(until=fabric.now + 0.01)
    assert flags_at(fabric, "a:eth0")[-1] == "RST|ACK"
    assert (sock.state, child.state) == (State.CLOSED, State.CLOSED)


@pytest.mark.parametrize(("early", "acks"), [(0, ["FIN|ACK"]), (1, ["ACK", "FIN|ACK"])])
def test_a_fin_before_any_data_is_acknowledged_by_the_own_fin_or_by_a_tick_before_it(early, acks):
    """`icsk_ack.ato` is still 0: the delayed acknowledgement is due at the next tick, whenever that is."""
    fabric, sock, listener = connected()
    draws = sock.netns.draws
    draws.begin([early])
    fabric.walk(listener.inbox[0].close(fabric.now))
    fabric.env.run(until=0.1001)
    fabric.walk(sock.close(fabric.now))
    fabric.env.run(until=0.3)
    assert draws.made == [(early, 2)]
    assert [flag_names(s.packet.l4.flags) for s in fabric.trace() if s.kind is Kind.SEND and s.where == "a"][2:] == acks


def test_a_fin_before_any_data_waits_for_no_longer_than_a_tick():
    fabric, _, listener = connected()
    fabric.walk(listener.inbox[0].close(fabric.now))
    fabric.env.run(until=0.106)
    assert flags_at(fabric, "a:eth0")[3:] == ["FIN|ACK", "ACK"]


def test_a_fin_behind_data_waits_forty_milliseconds_for_the_own_fin_and_nothing_is_drawn():
    fabric, sock, listener = connected()
    child = listener.inbox[0]
    fabric.walk(child.send(b"hello", fabric.now))
    fabric.walk(child.close(fabric.now))
    fabric.env.run(until=0.13)
    assert flags_at(fabric, "a:eth0")[3:] == ["PSH|ACK", "ACK", "FIN|ACK"]
    fabric.env.run(until=0.15)
    assert flags_at(fabric, "a:eth0")[-1] == "ACK" and sock.netns.draws.made == []
