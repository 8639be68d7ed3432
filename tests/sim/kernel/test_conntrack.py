"""Connection tracking: states, directions, time-outs, and what NAT rests on: the two tuples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.kernel.connection import CtInfo, Entry, Status, Tracked, Tuple, tuple_of
from sim.kernel.conntrack import Conntrack, attach
from sim.kernel.conntrack_tcp import TIMEOUTS, TRANSITIONS, Segment, TcpState
from sim.packet import Icmp, IcmpType, IPv4, Packet, Proto, Tcp, TcpFlag, Udp, Unreach, ip

A, B, ROUTER = ip("10.1.0.2"), ip("10.2.0.2"), ip("10.1.0.1")
SYN, ACK, FIN, RST = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.RST


def tcp(flags: int, *, back: bool = False, seq: int = 0, ack: int = 0) -> Packet:
    src, dst, sport, dport = (B, A, 80, 40000) if back else (A, B, 40000, 80)
    return Packet(ip=IPv4(src, dst, Proto.TCP), l4=Tcp(sport, dport, flags, seq, ack))


def udp(*, back: bool = False) -> Packet:
    src, dst, sport, dport = (B, A, 53, 5000) if back else (A, B, 5000, 53)
    return Packet(ip=IPv4(src, dst, Proto.UDP), l4=Udp(sport, dport))


def ping(kind: int, src: int, dst: int, ident: int = 7) -> Packet:
    return Packet(ip=IPv4(src, dst, Proto.ICMP), l4=Icmp(kind, 0, ident, 1))


def passes(table: Conntrack, packet: Packet, now: float = 0.0) -> CtInfo | None:
    """A packet that crosses the whole namespace; None when it is INVALID."""
    table.track(packet, now)
    assert table.confirm(packet, now)
    tracked: Tracked | None = packet.ct
    return tracked.ctinfo if tracked else None


def only(table: Conntrack) -> Entry:
    (entry,) = table.entries()
    return entry


def test_a_tcp_connection_goes_through_the_states_that_conntrack_lists() -> None:
    table = Conntrack()
    story = [
        (tcp(SYN), CtInfo.NEW, TcpState.SYN_SENT),
        (tcp(SYN | ACK, back=True), CtInfo.ESTABLISHED_REPLY, TcpState.SYN_RECV),
        (tcp(ACK), CtInfo.ESTABLISHED, TcpState.ESTABLISHED),
        (tcp(FIN | ACK), CtInfo.ESTABLISHED, TcpState.FIN_WAIT),
        (tcp(ACK, back=True), CtInfo.ESTABLISHED_REPLY, TcpState.CLOSE_WAIT),
        (tcp(FIN | ACK, back=True), CtInfo.ESTABLISHED_REPLY, TcpState.LAST_ACK),
        (tcp(ACK), CtInfo.ESTABLISHED, TcpState.TIME_WAIT),
    ]
    for packet, info, state in story:
        assert passes(table, packet) is info
        assert only(table).tcp is state
        assert only(table).expires == TIMEOUTS[state]
    assert only(table).status & Status.ASSURED


def test_an_answer_without_a_connection_is_invalid() -> None:
    assert passes(Conntrack(), tcp(SYN | ACK, back=True)) is None
    assert passes(Conntrack(), tcp(RST)) is None
    assert passes(Conntrack(), tcp(SYN | FIN)) is None
    assert passes(Conntrack(), ping(IcmpType.ECHO_REPLY, B, A)) is None


def test_a_connection_that_was_going_on_already_is_picked_up() -> None:
    table = Conntrack()
    assert passes(table, tcp(ACK)) is CtInfo.NEW
    assert only(table).tcp is TcpState.ESTABLISHED
    assert only(table).expires == 300


def test_a_reset_as_the_first_answer_ends_the_connection_at_once() -> None:
    table = Conntrack()
    passes(table, tcp(SYN))
    reset = tcp(RST | ACK, back=True)
    assert passes(table, reset) is CtInfo.ESTABLISHED_REPLY
    assert len(table) == 0


def test_a_closed_port_pair_can_be_used_for_a_new_connection() -> None:
    table = Conntrack()
    for packet in (tcp(SYN), tcp(SYN | ACK, back=True), tcp(ACK), tcp(FIN | ACK), tcp(FIN | ACK, back=True), tcp(ACK)):
        passes(table, packet)
    old = only(table)
    assert passes(table, tcp(SYN)) is CtInfo.NEW
    assert only(table) is not old
    assert only(table).tcp is TcpState.SYN_SENT


def test_a_first_packet_that_was_dropped_leaves_no_entry() -> None:
    table = Conntrack()
    packet = tcp(SYN)
    assert table.track(packet, 0.0)
    assert len(table) == 0
    assert passes(table, tcp(SYN)) is CtInfo.NEW


def test_an_unanswered_udp_flow_is_forgotten_after_thirty_seconds() -> None:
    table = Conntrack()
    passes(table, udp())
    assert passes(table, udp(back=True), 29.9) is CtInfo.ESTABLISHED_REPLY
    table = Conntrack()
    passes(table, udp())
    assert passes(table, udp(back=True), 30.0) is CtInfo.NEW


def test_a_udp_exchange_that_goes_on_becomes_a_stream_with_a_longer_time_out() -> None:
    table = Conntrack()
    passes(table, udp())
    passes(table, udp(back=True), 1.0)
    assert only(table).expires == 31.0
    passes(table, udp(), 3.0)
    assert only(table).expires == 123.0
    assert only(table).status & Status.ASSURED


def test_a_udp_exchange_is_no_stream_within_its_first_two_seconds() -> None:
    table = Conntrack()
    passes(table, udp(), 10.0)
    passes(table, udp(back=True), 10.5)
    for now in (11.5, 12.0):
        passes(table, udp(), now)
        assert only(table).expires == now + 30
        assert not only(table).status & Status.ASSURED
    passes(table, udp(), 12.1)
    assert only(table).expires == 12.1 + 120
    assert only(table).status & Status.ASSURED


def test_a_udp_flow_that_nobody_answers_is_no_stream_however_long_it_lasts() -> None:
    table = Conntrack()
    for now in (0.0, 3.0, 6.0):
        assert passes(table, udp(), now) is CtInfo.NEW
        assert only(table).expires == now + 30
    assert not only(table).status & Status.ASSURED


def test_a_protocol_that_nobody_tracks_is_remembered_for_ten_minutes() -> None:
    table, sctp = Conntrack(), 132
    assert passes(table, Packet(ip=IPv4(A, B, sctp)), 5.0) is CtInfo.NEW
    assert only(table).expires == 605.0
    assert passes(table, Packet(ip=IPv4(B, A, sctp)), 6.0) is CtInfo.ESTABLISHED_REPLY


def test_a_tcp_connection_is_assured_when_its_handshake_is_acknowledged_and_not_before() -> None:
    table = Conntrack()
    for packet in (tcp(SYN), tcp(SYN | ACK, back=True)):
        passes(table, packet)
        assert not only(table).status & Status.ASSURED
    passes(table, tcp(ACK))
    assert only(table).status & Status.ASSURED
    table = Conntrack()
    for packet in (tcp(SYN), tcp(SYN | ACK, back=True), tcp(RST)):
        passes(table, packet)
    assert not only(table).status & Status.ASSURED


def established() -> Conntrack:
    table = Conntrack()
    for packet in (tcp(SYN), tcp(SYN | ACK, back=True), tcp(ACK)):
        passes(table, packet)
    return table


def test_a_port_pair_whose_client_sent_a_reset_can_be_used_again_at_once() -> None:
    table = established()
    old = only(table)
    passes(table, tcp(RST))
    assert passes(table, tcp(SYN)) is CtInfo.NEW
    assert only(table) is not old


def test_a_port_pair_whose_server_sent_a_reset_is_not_reopened_by_the_next_syn() -> None:
    table = established()
    old = only(table)
    passes(table, tcp(RST, back=True))
    assert passes(table, tcp(SYN)) is CtInfo.ESTABLISHED
    assert only(table) is old and old.tcp is TcpState.CLOSE


def test_a_handshake_on_a_stale_entry_brings_conntrack_back_into_step() -> None:
    table = established()
    opening = tcp(SYN, seq=1000)
    opening.payload = b"hello"
    assert passes(table, opening) is CtInfo.ESTABLISHED
    assert only(table).tcp is TcpState.ESTABLISHED
    assert passes(table, tcp(SYN | ACK, back=True, ack=1006)) is CtInfo.ESTABLISHED_REPLY
    assert only(table).tcp is TcpState.SYN_RECV
    assert only(table).expires == TIMEOUTS[TcpState.SYN_RECV]


def test_a_syn_ack_that_answers_no_syn_seen_leaves_the_state_alone() -> None:
    table = established()
    assert passes(table, tcp(SYN, seq=1000)) is CtInfo.ESTABLISHED
    assert passes(table, tcp(SYN | ACK, back=True, ack=7)) is CtInfo.ESTABLISHED_REPLY
    assert only(table).tcp is TcpState.ESTABLISHED
    table = established()
    assert passes(table, tcp(SYN | ACK, back=True, ack=0)) is CtInfo.ESTABLISHED_REPLY
    assert only(table).tcp is TcpState.ESTABLISHED


def test_only_the_first_packet_of_a_connection_starts_one() -> None:
    table = Conntrack()
    assert table.track(udp(), 0.0)
    for packet in (
        Packet(ip=IPv4(A, B, Proto.UDP, offset=1480)),  # a later fragment has no tuple
        tcp(SYN | FIN),
        ping(IcmpType.ECHO_REPLY, B, A),
        unreachable(udp(), A),
    ):
        assert not table.track(packet, 0.0), packet


def test_an_icmp_error_that_quotes_nothing_or_a_later_fragment_is_invalid() -> None:
    table = Conntrack()
    passes(table, udp())
    bare = Packet(ip=IPv4(ROUTER, A, Proto.ICMP), l4=Icmp(IcmpType.DEST_UNREACH, Unreach.HOST))
    assert passes(table, bare) is None
    assert passes(table, unreachable(Packet(ip=IPv4(A, B, Proto.UDP, offset=1480)), A)) is None


def test_a_connection_that_was_removed_lets_its_last_packet_pass_and_is_not_listed_again() -> None:
    table, packet = Conntrack(), udp()
    passes(table, packet)
    entry = only(table)
    table.kill(entry)
    table.kill(entry)
    assert entry.status & Status.DYING and entry.status & Status.CONFIRMED
    assert table.confirm(packet, 0.0)
    assert len(table) == 0


def test_a_connection_that_was_removed_before_it_was_confirmed_is_dropped() -> None:
    table, packet = Conntrack(), udp()
    table.track(packet, 0.0)
    table.kill(packet.ct.entry)
    assert not table.confirm(packet, 0.0)
    assert len(table) == 0


def test_removing_a_connection_leaves_another_one_in_its_place_alone() -> None:
    table, packet = Conntrack(), udp()
    table.track(packet, 0.0)
    passes(table, udp())
    table.kill(packet.ct.entry)
    assert len(table) == 1


def test_the_newest_mapping_of_a_source_comes_first_and_goes_with_its_connection() -> None:
    table = Conntrack()
    one, two = (Entry(t, t.inverse()) for t in (Tuple(A, 5000, B, 53, 17), Tuple(A, 5000, ROUTER, 53, 17)))
    source = (A, 5000, 17)
    for entry in (one, two):
        table.remember_source(entry)
    assert table.mapped_from(source) == [two, one]
    table.kill(two)
    assert table.mapped_from(source) == [one]
    table.kill(one)
    assert table.mapped_from(source) == []


def test_answers_are_taken_by_another_connection_but_not_by_a_copy_of_the_same_packet() -> None:
    table, packet = Conntrack(), udp()
    passes(table, packet)
    entry = only(table)
    twin, other = Entry(entry.original, entry.reply), Entry(entry.original._replace(src=ROUTER), entry.reply)
    assert not table.taken(entry.reply, twin, 0.0)
    assert table.taken(entry.reply, other, 0.0)
    assert table.taken(entry.original, twin, 0.0)


def test_pings_are_told_apart_by_their_identifier() -> None:
    table = Conntrack()
    passes(table, ping(IcmpType.ECHO_REQUEST, A, B, 7))
    assert passes(table, ping(IcmpType.ECHO_REPLY, B, A, 8)) is None
    assert passes(table, ping(IcmpType.ECHO_REPLY, B, A, 7)) is CtInfo.ESTABLISHED_REPLY


def unreachable(about: Packet, to: int) -> Packet:
    return Packet(ip=IPv4(ROUTER, to, Proto.ICMP), l4=Icmp(IcmpType.DEST_UNREACH, Unreach.HOST), inner=about.snapshot())


def test_an_icmp_error_is_related_to_the_connection_that_it_quotes() -> None:
    table = Conntrack()
    first = udp()
    passes(table, first)
    assert passes(table, unreachable(first, A)) is CtInfo.RELATED_REPLY
    assert passes(table, unreachable(udp(back=True), B)) is CtInfo.RELATED


def test_an_icmp_error_about_nothing_known_or_to_somebody_else_is_invalid() -> None:
    table = Conntrack()
    assert passes(table, unreachable(udp(), A)) is None
    passes(table, udp())
    assert passes(table, unreachable(udp(), ip("10.9.9.9"))) is None


def test_an_error_made_here_belongs_to_a_connection_that_is_not_in_the_table_yet() -> None:
    table = Conntrack()
    first = udp()
    table.track(first, 0.0)
    error = unreachable(first, A)
    attach(error, first)
    assert error.ct == Tracked(first.ct.entry, CtInfo.RELATED_REPLY)
    assert not table.track(error, 0.0)


def test_a_later_fragment_has_no_connection() -> None:
    fragment = Packet(ip=IPv4(A, B, Proto.UDP, offset=1480))
    assert tuple_of(fragment.ip, fragment.l4) is None
    assert passes(Conntrack(), fragment) is None


def test_flushing_forgets_every_connection() -> None:
    table = Conntrack()
    passes(table, udp())
    passes(table, tcp(SYN))
    assert len(table) == 2
    table.flush()
    assert len(table) == 0


def test_an_entry_reads_as_conntrack_lists_it() -> None:
    table = Conntrack()
    passes(table, udp())
    assert str(only(table)) == (
        "udp src=10.1.0.2 dst=10.2.0.2 sport=5000 dport=53 [UNREPLIED] "
        "src=10.2.0.2 dst=10.1.0.2 sport=53 dport=5000 mark=0")


def test_expired_entries_do_not_pile_up() -> None:
    table = Conntrack()
    for n in range(5000):
        packet = Packet(ip=IPv4(A, B, Proto.UDP), l4=Udp(1 + n, 53))
        passes(table, packet, float(n))
    assert len(table) < 1100


def test_the_tcp_table_has_an_answer_for_every_state_and_segment() -> None:
    for direction in TRANSITIONS:
        assert set(direction) == set(Segment)
        assert all(len(row) == TcpState.IGNORE for row in direction.values())


segments = st.tuples(st.booleans(), st.integers(0, 31), st.integers(0, 3), st.integers(0, 3), st.floats(0, 400))


@given(st.lists(segments, max_size=30))
def test_no_sequence_of_segments_brings_tcp_into_an_unknown_state(
    story: list[tuple[bool, int, int, int, float]],
) -> None:
    table, now = Conntrack(), 0.0
    for back, flags, seq, ack, pause in story:
        now += pause
        passes(table, tcp(flags, back=back, seq=seq, ack=ack), now)
        for entry in table.entries():
            assert entry.tcp in TIMEOUTS
            assert entry.reply == entry.original.inverse()
        assert len(table) <= 1


@given(st.builds(Tuple, st.integers(0, 2**32 - 1), st.integers(0, 65535), st.integers(0, 2**32 - 1),
                 st.integers(0, 65535), st.sampled_from([6, 17])))
def test_the_inverse_of_an_inverse_is_the_tuple_itself(one: Tuple) -> None:
    assert one.inverse().inverse() == one
