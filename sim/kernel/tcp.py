"""TCP: the real handshake, data, orderly close, resets, retransmission (net/ipv4/tcp_input.c, tcp_output.c; RFC 9293).

Sequence numbers are relative: each side's SYN is 0. What a state does with a segment is `receive`; who may go where is
a table in `tcp_states.py`.
<<<<<<< HEAD
Data is acknowledged at once, as a young connection does (quickack mode), a FIN by the own FIN or after 40 ms.
Where no device takes a write whole (`Netns.tso` False), it leaves in segments of the MSS (`tcp_segments.py`), which a
smaller path MTU that ICMP tells makes smaller, and what is lost is sent again as `tcp_recovery.py` says.
Left out: windows and congestion control, urgent data, simultaneous open.
=======
Data is acknowledged at once, as a young connection does (quickack mode), a FIN by the own FIN or after 40 ms; where no
data came before it, by the own FIN or by the timer's next tick, whichever is first: that is drawn.
Left out: windows and congestion control, selective acknowledgements, urgent data, simultaneous open.
>>>>>>> e999f09 (What engines refuse is refused in their words; a FIN before data may be acknowledged by a tick)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator

from sim.kernel.effects import CoarseTimer, Effect, Effects, Lock, Timer
from sim.kernel.netns import Netns
from sim.kernel.socket import Socket
from sim.kernel.tcp_recovery import RETRIES, Recovery
from sim.kernel.tcp_segments import check_length, cut, cut_anew
from sim.kernel.tcp_states import ON_CLOSE, ON_FIN, ON_FIN_ACKED, RESET_BY_ABORT, Segment, State
from sim.packet import IPv4, Packet, Proto, Tcp, TcpFlag
from sim.trace import Kind, Outcome, Step

SYN_RTO = 1.0
"""TCP_TIMEOUT_INIT, seconds."""
SYN_LINEAR_TIMEOUTS = "net.ipv4.tcp_syn_linear_timeouts"
"""So many SYNs are repeated every SYN_RTO before the wait doubles."""
MIN_RTO = 0.2
"""TCP_RTO_MIN, seconds."""
DELAYED_ACK = 0.04
"""TCP_DELACK_MIN, seconds."""
TICK = 0.004  # seconds, with CONFIG_HZ=250
SYN_OPTIONS, OPTIONS = 20, 12
"""Bytes: MSS, SACK permitted, time stamp and window scale in a SYN, the time stamp in all that follows (tcp_output.c);
a reset for nobody's segment has none."""
SYN_RETRIES = "net.ipv4.tcp_syn_retries"
"""How often a SYN is repeated, besides those with linear timeouts."""
HEADERS = 20 + 20
"""IPv4's and TCP's, without options: what the MSS of a SYN leaves out."""


class TcpSocket(Socket):
    """`inbox` holds bytes read, or accepted sockets of a listener; `eof` that the peer has closed."""

    proto = Proto.TCP

    def __init__(self, netns: Netns, address: int = 0, port: int = 0) -> None:
        super().__init__(netns, address, port)
        self.state = State.CLOSED
        self.snd_nxt = self.rcv_nxt = self.acked = 0
        self.unacked: deque[Segment] = deque()
        self.recovery = Recovery(self)
        """Of writes that are cut into segments."""
        self.held = TcpFlag(0)
        """A FIN that waits until what was lost is acknowledged."""
        self.early: dict[int, bytes] = {}
        """Data behind a hole, by its sequence number."""
        self.peer_mss = 0
        self.path_mtu = 0
        """As ICMP told; 0: nothing."""
        self.told_mtu = 0
        """By an error that came while a system call had the socket."""
        self.eof = False
        self.rtt = 0.0
        """Of the handshake, in seconds; 0 until it is known."""
        self.quickack = True
        """Acknowledge data at once. False: the acknowledgement rides on the own next data (pingpong mode)."""
        self.heard = False  # data: only then a delayed acknowledgement has a delay (`icsk_ack.ato`)
        self.listener: TcpSocket | None = None
        self.orphan = False
        """Nobody has it any more (close), and the kernel sees to its end."""
        self.locked = False
        """A system call has it (`sock_owned_by_user`): what comes waits in `backlog`."""
        self.backlog: deque[Packet] = deque()
        self.minisock = False
        """Only a time-wait socket is left of it (`tcp_time_wait`): its acknowledgements are the kernel's own, with
        their checksum complete (`tcp_v4_send_ack`)."""

    # system calls

    def listen(self) -> None:
        self.state = State.LISTEN
        self.netns.sockets.bind(self)

    def connect(self, address: int, port: int, now: float) -> Effects:
        """Non-blocking connect(2): the socket wakes when it is ESTABLISHED or has an error."""
        address = self.netns.ip.destination(address)
        route = self.netns.ip.route(address)
        if route is None:
            self.error = Outcome.NET_UNREACHABLE
            return
        self.address = self.address or route.src or self.netns.source_for(route.via or address, route.dev)
        self.remote = (address, port)
        self.netns.sockets.connect(self)
        self.state = State.SYN_SENT
        yield self._lock()
        yield from self._send(TcpFlag.SYN, b"", now)

    def send(self, payload: bytes, now: float) -> Effects:
        yield self._lock()
        yield from self._send(TcpFlag.PSH | TcpFlag.ACK, payload, now)

    def close(self, now: float, *, abort: bool = False) -> Effects:
        """close(2), orderly: a FIN after what was sent. A listener, or a connection not yet made, just goes. `abort`:
        with SO_LINGER and no seconds, which resets what is left of the connection (`tcp_disconnect`)."""
        self.orphan = True
        # of unread data the peer must learn that it was thrown away (tcp_close, RFC 2525 2.17)
        unread = self.state is State.ESTABLISHED and self.inbox and not self.eof
        if unread or (abort and self.state in RESET_BY_ABORT):
            yield from self._emit(self.snd_nxt, TcpFlag.RST | TcpFlag.ACK, b"", now)
            self._gone()
            return
        yield from self.shutdown(now)

    def shutdown(self, now: float) -> Effects:
        """shutdown(2), SHUT_WR: a FIN, and whoever has the socket goes on reading."""
        yield self._lock()
        following = ON_CLOSE.get(self.state)
        if following is None:
            if self.state in (State.SYN_SENT, State.LISTEN):
                self._gone()
            return
        self.state = following
        yield from self._send(TcpFlag.FIN | TcpFlag.ACK, b"", now)

    def _lock(self) -> Lock:
        self.locked = True
        return Lock(self)

    def release(self, now: float) -> Effects:
        """The system call is over: what came meanwhile (`release_sock`)."""
        self.locked = False
        while self.backlog:
            yield from self.receive(self.backlog.popleft(), now)
        yield from self._mtu_reduced(now)

    # sending

    def _send(self, flags: TcpFlag, payload: bytes, now: float) -> Effects:
        if self.netns.tso or flags & TcpFlag.SYN:
            segment = Segment(self.snd_nxt, flags, payload)
            self.snd_nxt = segment.end
            self.unacked.append(segment)
            yield from self._transmit(segment, now)
        elif self.recovery.blocked:
            self.held = flags
        else:
            check_length(payload, self._mss())
            for segment in cut(self.snd_nxt, flags, payload, self._mss()):
                self.snd_nxt = segment.end
                self.unacked.append(segment)
                yield from self.put_out(segment, now)
            yield from self.recovery.sent(self.rtt)

    def _mtu(self) -> int:
        """Of the way to the peer, as far as it is known here."""
        assert self.remote is not None
        route = self.netns.ip.route(self.remote[0])
        mtu = self.netns.device(route.dev).mtu if route else 0xFFFF
        return min(mtu, self.path_mtu or mtu)

    def _mss(self) -> int:
        """Bytes of data in a segment (`tcp_current_mss`)."""
        own = self._mtu() - HEADERS
        return min(own, self.peer_mss or own) - OPTIONS

    def _mtu_reduced(self, now: float) -> Effects:
        """`tcp_v4_mtu_reduced`: what is too large for the path goes out again, smaller."""
        told, self.told_mtu = self.told_mtu, 0
        if not told or self.netns.tso or self.remote is None or told >= self._mtu():
            return
        self.path_mtu = told
        anew = list(cut_anew(self.unacked, self._mss()))
        self.unacked = deque(segment for segment, _ in anew)
        for segment, again in anew:
            if again:
                yield from self.put_out(segment, now)
        yield from self.recovery.again()

    def put_out(self, segment: Segment, now: float) -> Effects:
        """A segment, once."""
        segment.tries += 1
        # what still waits for ARP in the own namespace is not sent again (`skb_still_in_host_queue`)
        if segment.packet is None or not self.netns.holds(segment.packet):
            segment.sent, segment.packet = now, self._packet(segment.seq, segment.flags, segment.payload)
            yield from self._output(segment.packet, now)

    def give_up(self) -> Effects:
        """Nobody has answered for too long."""
        self.error = Outcome.TIMEOUT
        self._gone()
        yield from self.wake()

    def first_timeout(self) -> float:
        """Of data, seconds: tcp_rtt_estimator's first sample."""
        return self.rtt + max(2 * self.rtt, MIN_RTO)

    def _transmit(self, segment: Segment, now: float) -> Effects:
        yield from self.put_out(segment, now)

        def again(later: float) -> Effects:
            if segment not in self.unacked or self.state is State.CLOSED:
                return
            if segment.tries > self._retries():
                yield from self.give_up()
                return
            yield from self._transmit(segment, later)

        yield CoarseTimer(self._rto(segment), again)

    def _retries(self) -> int:
        """`tcp_write_timeout`"""
        if self.state is not State.SYN_SENT:
            return RETRIES
        return self.netns.sysctls.number(SYN_RETRIES) + self.netns.sysctls.number(SYN_LINEAR_TIMEOUTS)

    def _rto(self, segment: Segment) -> float:
        if segment.flags & TcpFlag.SYN:
            return SYN_RTO * 2.0 ** self._backoff(segment)
        return self.first_timeout() * 2.0 ** (segment.tries - 1)

    def _backoff(self, segment: Segment) -> int:
        """How often a SYN's timeout has doubled."""
        linear = max(1, self.netns.sysctls.number(SYN_LINEAR_TIMEOUTS)) if self.state is State.SYN_SENT else 1
        return max(0, segment.tries - linear)

    def _packet(self, seq: int, flags: TcpFlag, payload: bytes) -> Packet:
        assert self.remote is not None
        return Packet(
            ip=IPv4(self.address, self.remote[0], Proto.TCP, self.netns.ip.ttl, df=True),
            l4=Tcp(self.port, self.remote[1], flags, seq, self.rcv_nxt if flags & TcpFlag.ACK else 0),
            payload=payload, csum="valid" if self.minisock else "partial", departs=not self.minisock,
            options=SYN_OPTIONS if flags & TcpFlag.SYN else OPTIONS,
            mss=self._mtu() - HEADERS if flags & TcpFlag.SYN else 0,
            sack=tuple((seq, seq + len(data)) for seq, data in sorted(self.early.items())),
        )

    def _emit(self, seq: int, flags: TcpFlag, payload: bytes, now: float) -> Effects:
        yield from self._output(self._packet(seq, flags, payload), now)

    def _output(self, packet: Packet, now: float) -> Effects:
        self.acked = self.rcv_nxt
        yield Step(Kind.SEND, self.netns.label, "", packet.snapshot(), self.state.value)
        yield from self.netns.ip.output(packet, now)

    def _ack(self, now: float) -> Effects:
        yield from self._emit(self.snd_nxt, TcpFlag.ACK, b"", now)

    def _delayed_ack(self, now: float) -> Effects:
        if self.acked < self.rcv_nxt and self.state is not State.CLOSED:
            yield from self._ack(now)

    # receiving

    def receive(self, packet: Packet, now: float) -> Effects:
        assert packet.ip is not None and isinstance(packet.l4, Tcp)
        if self.locked:
            self.backlog.append(packet)
            return
        tcp = packet.l4
        self.minisock = self.state is State.TIME_WAIT or (self.orphan and self.state is State.FIN_WAIT2)
        if self.state is State.LISTEN:
            if tcp.flags & (TcpFlag.SYN | TcpFlag.ACK | TcpFlag.RST) == TcpFlag.SYN:
                yield from self._accept(packet, tcp, now)
            return
        if tcp.flags & TcpFlag.RST:
            edge = max((seq + len(data) for seq, data in self.early.items()), default=self.rcv_nxt)
            if self.state not in (State.SYN_SENT, State.SYN_RECV) and tcp.seq not in (self.rcv_nxt, edge):
                yield from self._ack(now)  # "challenge ACK", RFC 5961: a reset behind a hole may be forged
                return
            yield from self._reset()
            return
        if self.state is State.SYN_SENT:
            if tcp.flags & TcpFlag.SYN and tcp.flags & TcpFlag.ACK:
                self.rcv_nxt, self.peer_mss = tcp.seq + 1, packet.mss
                self._acknowledged(tcp.ack, now)
                self.state = State.ESTABLISHED
                yield from self._ack(now)
                yield from self.wake()
            return
        if tcp.flags & TcpFlag.SYN:  # a repeated SYN or SYN/ACK: our answer was lost
            if self.unacked and self.unacked[0].flags & TcpFlag.SYN:
                yield from self._emit(0, self.unacked[0].flags, b"", now)
            else:
                yield from self._ack(now)
            return
        if packet.sack:
            for segment in self.unacked:
                segment.sacked |= any(first <= segment.seq and segment.end <= last for first, last in packet.sack)
            yield from self.recovery.selectively()
        if tcp.flags & TcpFlag.ACK:
            yield from self._on_ack(tcp.ack, now)
        yield from self._on_data(packet, tcp, now)

    def _accept(self, packet: Packet, tcp: Tcp, now: float) -> Effects:
        assert packet.ip is not None
        child = TcpSocket(self.netns, packet.ip.dst, self.port)
        child.remote, child.listener = (packet.ip.src, tcp.sport), self
        child.rcv_nxt, child.peer_mss = tcp.seq + 1, packet.mss
        child.state = State.SYN_RECV
        self.netns.sockets.connect(child)
        yield from child._send(TcpFlag.SYN | TcpFlag.ACK, b"", now)

    def _acknowledged(self, ack: int, now: float) -> bool:
        """Drop what is acknowledged; True when that includes the own FIN."""
        fin = False
        while self.unacked and self.unacked[0].end <= ack:
            segment = self.unacked.popleft()
            fin |= bool(segment.flags & TcpFlag.FIN)
            if segment.flags & TcpFlag.SYN and segment.tries == 1:
                self.rtt = now - segment.sent
        return fin

    def _on_ack(self, ack: int, now: float) -> Effects:
        before = len(self.unacked)
        fin_acked = self._acknowledged(ack, now)
        if not self.netns.tso and len(self.unacked) < before:
            yield from self.recovery.acknowledged()
            if self.held and not self.unacked:
                flags, self.held = self.held, TcpFlag(0)
                yield from self._send(flags, b"", now)
        if self.state is State.SYN_RECV and not self.unacked:
            self.state = State.ESTABLISHED
            if self.listener is not None:
                self.listener.inbox.append(self)
                yield from self.listener.wake()
        if fin_acked and self.state in ON_FIN_ACKED:
            self.state = ON_FIN_ACKED[self.state]
            if self.state is State.CLOSED:
                self._gone()

    def _on_data(self, packet: Packet, tcp: Tcp, now: float) -> Generator[Step | Effect, None, None]:
        fin = bool(tcp.flags & TcpFlag.FIN)
        if not packet.payload and not fin:
            return
        if tcp.seq != self.rcv_nxt:  # a repeat, or a hole: say what we have
            if tcp.seq > self.rcv_nxt and packet.payload and not fin:
                self.early[tcp.seq] = packet.payload
            yield from self._ack(now)
            return
        self.rcv_nxt += len(packet.payload) + fin
        if packet.payload:
            self.heard = True
            self.inbox.append(packet.payload)
        while self.rcv_nxt in self.early:
            self.inbox.append(self.early.pop(self.rcv_nxt))
            self.rcv_nxt += len(self.inbox[-1])
        if fin:
            self.eof = True
            self.state = ON_FIN.get(self.state, self.state)
        if fin and self.state is State.CLOSE_WAIT:
            yield from self._acknowledge_end(now)
        elif self.quickack or fin:
            yield from self._ack(now)
        yield from self.wake()

    def _acknowledge_end(self, now: float) -> Effects:
        """The own FIN, mostly sent at once, has it (`tcp_fin` enters pingpong mode). But without data `icsk_ack.ato`
        is 0 and the timer of `tcp_send_delayed_ack` due at the next tick, maybe before the own FIN."""
        if self.heard:
            yield Timer(DELAYED_ACK, self._delayed_ack)
        elif self.netns.draws.draw(2):
            yield from self._ack(now)
        else:
            yield Timer(TICK, self._delayed_ack)

    def _reset(self) -> Effects:
        self.error = Outcome.REFUSED if self.state is State.SYN_SENT else Outcome.RESET
        self._gone()
        yield from self.wake()

    def icmp_error(self, outcome: Outcome, fatal: bool, now: float, *, mtu: int = 0) -> Effects:
        """In SYN-SENT any unreachable ends the connect; later only retransmission decides (`tcp_v4_err`). A smaller
        path MTU is no error, the next segments are smaller. But first, where host or network can't be reached, one
        doubling of the timeout is taken back, and a SYN that is then overdue goes out (`tcp_ld_RTO_revert`, RFC 6069).
        """
        if outcome is Outcome.TOO_LARGE:
            self.told_mtu = mtu
            if not self.locked:
                yield from self._mtu_reduced(now)
        elif self.state is State.SYN_SENT:
            syn = self.unacked[0]
            late = now - syn.sent - SYN_RTO * 2.0 ** (self._backoff(syn) - 1)
            if outcome in (Outcome.HOST_UNREACHABLE, Outcome.NET_UNREACHABLE) and self._backoff(syn) and late >= 0:
                yield from self._transmit(syn, now)
            self.error = outcome
            self._gone()
            yield from self.wake()

    def _gone(self) -> None:
        self.state = State.CLOSED
        self.unacked.clear()
        self.netns.sockets.forget(self)
