"""How many datagrams UDP carries: iperf3 -u, its client on one CPU and its server on another (net/ipv4/udp.c).

The client's CPU pays for a datagram until it is in the server's socket, the server's for reading it. What comes when
the receive buffer is full is dropped there; what a cable's token bucket has no room for is dropped at the cable. With a
rate the client looks at its clock each millisecond and sends what it lacks, as iperf3 does.
A datagram that is larger than the MTU goes in fragments, and with one of them it is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random

import simpy

from sim.kernel.tbf import TokenBucket

from .buffer import RMEM_DEFAULT, ReceiveBuffer, truesize
from .costs import CostModel
from .cpu import after
from .softnet import Softnet, Work
from .way import IPV4, UDP, Way, prices

TICK = 0.001
"""iperf3's --pacing-timer, seconds."""
SNDBUF = 212992
"""net.core.wmem_default: bytes of memory that a socket's datagrams take in its own machine's queue; then it waits."""
MTU = 1500


@dataclass(frozen=True, slots=True)
class Datagrams:
    """In the time that counts: what the server read, in bits of payload and in datagrams a second; what the client
    sent, a second; the share of it that was lost, at the cable or at the receive buffer; the uses of the two CPUs.

    From the start on, in datagrams: `sent`, `received`, `dropped_by_buffer`, `dropped_by_cable`.
    """

    bits_per_second: float
    packets_per_second: float
    sent_per_second: float
    lost: float
    cpu_client: float
    cpu_server: float
    sent: int
    received: int
    dropped_by_buffer: int
    dropped_by_cable: int


def udp_stream(
    costs: CostModel, way: Way, *, size: int, rate: float = 0.0, mtu: int = MTU, seconds: float = 0.1,
    omit: float = 0.02, buffer: int = RMEM_DEFAULT, seed: int = 0,
) -> Datagrams:
    """Datagrams of `size` bytes of payload for `omit` seconds that don't count and `seconds` that do, at `rate` bits of
    payload a second or, with 0, as fast as the client can."""
    return _Run(costs, way, size, rate, mtu, buffer, seed).result(omit, seconds)


class _Run:
    """One simulation."""

    def __init__(self, costs: CostModel, way: Way, size: int, rate: float, mtu: int, buffer: int, seed: int) -> None:
        self.env = simpy.Environment()
        self.way, self.size, self.rate = way, size, rate
        self.client, self.server = (Softnet(self.env, costs.interruptions, Random(seed * 3 + cpu)) for cpu in (1, 2))
        self.prices, self.random = prices(costs, way), Random(seed * 3)
        self.cable = TokenBucket(way.cable.rate) if way.cable and way.cable.rate else None
        self.delay = way.cable.delay if way.cable else 0.0
        self.frames = _frames(size, mtu, way.header)
        self.memory = truesize(size, mtu)
        self.inbox: ReceiveBuffer[None] = ReceiveBuffer(buffer)
        self.queued = 0
        """Bytes of memory in the own machine's queue."""
        self.sent = self.received = self.full = self.lost = 0
        self.sleeper: simpy.Event | None = None
        self.blocked: simpy.Event | None = None
        self.env.process(self._write())
        self.env.process(self._read())

    def cost(self, name: str, count: float = 1.0) -> float:
        return self.prices[name].draw(self.random, count)

    def _write(self) -> Work:
        lane = self.client
        while True:
            if self.rate and self.sent * self.size * 8 >= self.rate * self.env.now:
                # its timer rounds up to the next tick
                yield self.env.timeout(TICK - self.env.now % TICK + 1e-9)
                yield from lane.run(self.cost("wake"), program=True)
                continue
            if self.queued >= SNDBUF:
                self.blocked = self.env.event()
                yield self.blocked
                yield from lane.run(self.cost("wake"), program=True)
            work = self.cost("in", self.size) + self.cost("write") + self.cost("send")
            yield from lane.run(work, program=True)
            self.sent += 1
            if not self._transmit(lane):
                self.lost += 1
            yield from lane.drain()
            if not work and not self.rate:
                yield self.env.timeout(1e-9)  # a client that costs nothing

    def _transmit(self, lane: Softnet) -> bool:
        """Whether all of a datagram is on its way."""
        now = self.env.now
        leaves = now
        for frame in self.frames if self.cable is not None else ():
            assert self.cable is not None
            gone = self.cable.offer(now, frame)
            if gone is None:
                return False
            leaves = gone
        if self.way.cable is not None and self.way.cable.own and leaves > now:
            self.queued += self.memory
            after(self.env, leaves - now, self._gone)
        if leaves + self.delay > now:
            lane.interrupt(leaves + self.delay - now, partial(self._deliver, lane))
        else:
            lane.put(partial(self._deliver, lane))
        return True

    def _gone(self) -> None:
        self.queued -= self.memory
        if self.blocked is not None and self.queued < SNDBUF:
            event, self.blocked = self.blocked, None
            event.succeed()

    def _deliver(self, lane: Softnet) -> Work:
        yield from lane.run(self.cost("after", len(self.frames)) + self.cost("deliver"))
        if not self.inbox.put(None, self.memory):
            self.full += 1
            return
        if self.sleeper is not None:
            event, self.sleeper = self.sleeper, None
            event.succeed()

    def _read(self) -> Work:
        lane = self.server
        while True:
            if not len(self.inbox):
                self.sleeper = self.env.event()
                yield self.sleeper
                yield from lane.run(self.cost("wake"), program=True)
            self.inbox.get()
            yield from lane.run(self.cost("read") + self.cost("out", self.size), program=True)
            self.received += 1

    def result(self, omit: float, seconds: float) -> Datagrams:
        if omit:
            self.env.run(until=omit)
        before = self.sent, self.received, self.full + self.lost
        busy = self.client.busy, self.server.busy
        self.env.run(until=omit + seconds)
        sent, received, lost = self.sent - before[0], self.received - before[1], self.full + self.lost - before[2]
        return Datagrams(
            bits_per_second=received * self.size * 8 / seconds, packets_per_second=received / seconds,
            sent_per_second=sent / seconds, lost=lost / sent if sent else 0.0,
            cpu_client=min((self.client.busy - busy[0]) / seconds, 1.0),
            cpu_server=min((self.server.busy - busy[1]) / seconds, 1.0),
            sent=self.sent, received=self.received, dropped_by_buffer=self.full, dropped_by_cable=self.lost)


def _frames(size: int, mtu: int, header: int) -> list[int]:
    """Bytes on the cable of each fragment of a datagram; `header` are those of a whole one, UDP's included."""
    left, room = size + UDP, mtu - IPV4
    if left > room:
        room -= room % 8  # all but the last are cut at multiples of 8
    frames = []
    while left > 0:
        part = min(left, room)
        frames.append(part + header - UDP)
        left -= part
    return frames
