"""One TCP connection between two CPUs: who pays for which of its packets (net/ipv4/tcp_ipv4.c, net/core/sock.c).

A softirq that brings a packet to a socket serves it there and then, on the CPU that sent the packet. A socket that its
program is just in (`sock_owned_by_user`) takes it on its own backlog instead, and the program serves that on its own
CPU before it goes. So acknowledgements cost now the one CPU and now the other, and what an acknowledgement lets go is
sent by whoever served it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random

import simpy

from sim.kernel.tbf import TokenBucket

from .chrono import BUFFER, PACING, PROGRAM, QUEUE, Chrono
from .cpu import after
from .flight import Piece, Span
from .receiver import DELAYED_ACK, Receiver
from .segments import cut, departures, merge, wire_bytes
from .sender import Sender
from .softnet import Softnet, Work
from .way import Price, Way

BATCH = 8
"""Segments of one super-packet that the model carries on together, where they are packets of their own."""
SMALL_QUEUE = 2 * 65536
"""Bytes of a connection that wait in its own machine's queueing discipline at most, or what the pacing rate sends in a
millisecond (`tcp_small_queue_check`)."""

Answer = tuple[int, int, tuple[Span, ...]]


class Connection:
    """`cables`: the token buckets forth and back; `wake`: who writes and who reads wakes, if it sleeps.

    `sent_bytes` and `dropped` (segments, by the cable) count what left, repeats included."""

    def __init__(
        self, env: simpy.Environment, way: Way, prices: Mapping[str, Price], sender: Sender, receiver: Receiver,
        cables: tuple[TokenBucket | None, TokenBucket | None], random: Random,
        wake: tuple[Callable[[], None], Callable[[], None]],
    ) -> None:
        self.env, self.way, self.prices, self.random = env, way, prices, random
        self.sender, self.receiver = sender, receiver
        self.delay = way.cable.delay if way.cable else 0.0
        self.forth, self.back = cables
        self.wake_writer, self.wake_reader = wake
        self.sent_bytes = self.dropped = 0
        self.chrono = Chrono(env)
        self.reading = False
        self._sending = False
        self._released: simpy.Event | None = None
        self._deferred = False
        self._acks: list[tuple[Answer, int]] = []
        self._packets: list[Span] = []
        self._waiting_in_queue = 0
        self._answered = 0.0
        self._timers: set[str] = set()

    def cost(self, name: str, count: float = 1.0) -> float:
        """A draw of what `count` of something take, seconds."""
        return self.prices[name].draw(self.random, count)

    # the sending socket

    def _enter(self, lane: Softnet) -> Work:
        """The program gets the socket's lock; while a softirq has it on another CPU, it spins."""
        since = self.env.now
        while self._sending:
            if self._released is None:
                self._released = self.env.event()
            yield self._released
        lane.spun += self.env.now - since
        self._sending = True

    def write(self, size: int, lane: Softnet) -> Work:
        """send(2) of so many bytes that does not wait for room: copies what there is room for, and sends."""
        yield from self._enter(lane)
        yield from lane.run(self.cost("write"), program=True)
        sender = self.sender
        while size > 0 and sender.room > 0:
            part = min(size, sender.filling)
            yield from lane.run(self.cost("in", part), program=True)
            sender.written(part)
            size -= part
            if sender.filling == sender.goal or not size:
                yield from self._push(lane)
        yield from self._leave(lane)

    def _push(self, lane: Softnet) -> Work:
        """Send what may be sent (`tcp_write_xmit`), by whoever has the socket."""
        while True:
            if self._waiting_in_queue > max(SMALL_QUEUE, self.sender.congestion.pacing_rate / 1024):
                self.chrono.hold(QUEUE)
                return
            if not self.sender.flight:
                self._answered = self.env.now
            piece = self.sender.take(self.env.now)
            if piece is None:
                self.chrono.hold(BUFFER if self.sender.held == PROGRAM and self.sender.room <= 0 else self.sender.held)
                if self.sender.held == PACING:
                    self._timer(PACING, self.sender.next_send - self.env.now, partial(self._resume, lane))
                return
            self.chrono.hold("")
            yield from lane.run(self.cost("send"))
            self._transmit(piece, lane)
            self._arm(lane)
            yield from lane.drain()

    def _serve(self, lane: Softnet) -> Work:
        """What came meanwhile for the sending socket, by its program."""
        while self._acks:
            yield from self._acknowledged(*self._acks.pop(0), lane)

    def _leave(self, lane: Softnet) -> Work:
        """Give the socket back when nothing more came and nothing more can go."""
        while True:
            self._deferred = False
            yield from self._serve(lane)
            yield from self._push(lane)
            if not self._acks and not self._deferred:
                break
        self._sending = False
        if self._released is not None:
            self._released.succeed()
            self._released = None
        if self.sender.writable:
            self.wake_writer()

    def _acknowledged(self, answer: Answer, count: int, lane: Softnet) -> Work:
        yield from lane.run(self.cost("acked", count))
        self._answered = self.env.now
        self.sender.on_ack(self.env.now, *answer)

    def _answer_comes(self, answer: Answer, count: int, lane: Softnet) -> Work:
        self._acks.append((answer, count))
        if not self._sending:
            yield from self._resume(lane)

    def _resume(self, lane: Softnet) -> Work:
        """A softirq takes the sending socket, unless its program has it."""
        if self._sending:
            self._deferred = True
            return
        self._sending = True
        yield from self._leave(lane)

    def _timer(self, name: str, delay: float, work: Callable[[], Work]) -> None:
        """One of each name."""
        if name in self._timers:
            return
        self._timers.add(name)

        def expire() -> None:
            self._timers.discard(name)
            self.env.process(work())

        after(self.env, max(delay, 0.0), expire)

    def _arm(self, lane: Softnet) -> None:
        """The retransmission timer runs from the last answer on."""
        if not self.forth:
            return  # nothing can get lost
        self._timer("retransmission", self._answered + self.sender.rto - self.env.now, partial(self._expire, lane))

    def _expire(self, lane: Softnet) -> Work:
        if not self.sender.flight:
            return
        if self.env.now < self._answered + self.sender.rto - 1e-9:
            self._arm(lane)
            return
        self.sender.on_timeout(self.env.now)
        self._answered = self.env.now
        yield from self._resume(lane)
        self._arm(lane)

    # the way

    def _transmit(self, piece: Piece, lane: Softnet) -> None:
        self.sent_bytes += piece.size
        packet, mss, header = (piece.seq, piece.end), self.sender.mss, self.way.header
        # a token bucket cuts what is larger than itself
        small = self.forth is None or wire_bytes(packet, mss, header) <= self.forth.burst
        packets = [packet] if small and not self.way.cut else cut(packet, mss)
        if self.forth is None:
            for first in range(0, len(packets), BATCH):
                self._carry(self.delay, lane, packets[first:first + BATCH])
            return
        now = self.env.now
        leaving, dropped = departures(self.forth, now, packets, mss, header)
        self.dropped += dropped
        for gone, together in leaving:
            self._depart(gone - now, lane, together)

    def _depart(self, wait: float, lane: Softnet, parts: list[Span]) -> None:
        """From the queue of the cable; a socket on the same machine hears of it."""
        if self.way.cable is not None and self.way.cable.own and wait > 0:
            size = sum(end - seq for seq, end in parts)
            self._waiting_in_queue += size

            def gone() -> None:
                self._waiting_in_queue -= size
                if self.chrono.why == QUEUE:
                    self.env.process(self._resume(lane))

            after(self.env, wait, gone)
        self._carry(wait + self.delay, lane, parts)

    def _carry(self, delay: float, lane: Softnet, parts: Sequence[Span]) -> None:
        work = partial(self._arrive, parts, lane)
        if delay > 0:
            lane.interrupt(delay, work)
        else:
            lane.put(work)

    def _arrive(self, parts: Sequence[Span], lane: Softnet) -> Work:
        yield from lane.run(self.cost("after", len(parts)))
        packets = merge(parts) if self.way.merged else list(parts)
        if self.reading:
            self._packets.extend(packets)
        else:
            yield from self._deliver(packets, lane)

    # the receiving socket

    def _deliver(self, packets: Sequence[Span], lane: Softnet) -> Work:
        yield from lane.run(self.cost("deliver", len(packets)))
        answer, count = None, 0
        for packet in packets:
            if self.receiver.accept(*packet):
                answer, count = self.receiver.acknowledge(), count + 1
        if self.receiver.queued:
            self.wake_reader()
        if answer is not None:
            yield from self._answer(answer, count, lane)
        elif self.receiver.unacked:
            self._timer("delayed", DELAYED_ACK, partial(self._late, lane))

    def _late(self, lane: Softnet) -> Work:
        if self.receiver.unacked and not self.reading:
            yield from self._answer(self.receiver.acknowledge(), 1, lane)

    def _answer(self, answer: Answer, count: int, lane: Softnet) -> Work:
        yield from lane.run(self.cost("ack", count))
        gone: float | None = self.env.now
        for _ in range(count):
            gone = self.back.offer(self.env.now, self.way.header) if self.back else gone
        if gone is None:
            return  # no room in the cable's queue: a later one says as much
        work = partial(self._answer_comes, answer, count, lane)
        delay = gone - self.env.now + self.delay
        if delay > 0:
            lane.interrupt(delay, work)
        else:
            lane.put(work)
            yield from lane.drain()

    def read(self, most: int, lane: Softnet) -> Work:
        """recvmsg(2) for up to `most` bytes: copies what is there, serves what came meanwhile, acknowledges."""
        self.reading = True
        yield from lane.run(self.cost("read"), program=True)
        left = most
        while left > 0 and (self.receiver.queued or self._packets):
            if not self.receiver.queued:
                yield from self._catch_up(lane)
            size = min(self.receiver.queued, left, 1 << 16)
            if size:
                yield from lane.run(self.cost("out", size), program=True)
                self.receiver.read(size, self.env.now, self.sender.srtt)
                left -= size
        if self.receiver.owes():
            yield from self._answer(self.receiver.acknowledge(), 1, lane)
        yield from self._catch_up(lane)
        self.reading = False

    def _catch_up(self, lane: Softnet) -> Work:
        """The socket's backlog (`release_sock`)."""
        while self._packets:
            packets, self._packets = self._packets, []
            yield from self._deliver(packets, lane)
