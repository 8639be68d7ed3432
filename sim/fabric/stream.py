"""How much TCP carries: iperf3's client on one CPU and its server on another, and everything between them.

The client writes blocks, the server reads them (iperf3's loop: one thread, however many streams). In between are the
sockets of `connection.py` with a real window, the way of `way.py` priced by a cost model, and the cable's token bucket
where there is one. Nothing here says how fast a path is: it follows from what the CPUs can do, what the windows allow
and what the cable lets through.

A steady state needs no more than some thousand super-packets, so a tenth of a second stands for ten. A way with a delay
needs some of its round trips more; `ramp` shows them.
Left out: a proxy that copies between two connections, and other users of the two CPUs but `CostModel.interruptions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import simpy

from sim.errors import SpecError
from sim.kernel.tbf import TokenBucket

from .bbr import Bbr
from .chrono import PACING, PROGRAM
from .congestion import Cubic, Reno
from .connection import Connection
from .costs import CostModel
from .cpu import after
from .receiver import RMEM, RMEM_MOST, Receiver
from .sender import WMEM_MOST, Sender
from .softnet import Softnet, Work
from .way import Way, prices

BLOCK = 128 << 10
"""iperf3's -l for TCP, bytes."""
CONGESTION: dict[str, Callable[[int], Reno]] = {each.name: each for each in (Reno, Cubic, Bbr)}
"""`net.ipv4.tcp_available_congestion_control`."""
INTERVALS = 40
"""Points of a ramp."""
FULL = 0.97
"""A CPU or a cable that is busy for this share of the time is what limits."""
CLIENT_CPU, SERVER_CPU, CABLE = "client's CPU", "server's CPU", "cable"


@dataclass(frozen=True, slots=True)
class Sockets:
    """Limits of the buffers in bytes: `net.ipv4.tcp_rmem` (second and last figure) and `tcp_wmem` (last)."""

    rmem: int = RMEM
    rmem_most: int = RMEM_MOST
    wmem_most: int = WMEM_MOST


@dataclass(frozen=True, slots=True)
class Stream:
    """What the server read in the time that counts. CPU uses are shares of one CPU. `bottleneck`: what held it up most.

    From the start on: `sent` and `received` in bytes, `dropped` (by the cable) and `retransmits` in segments, `ramp` as
    (seconds, bits/s since the point before).
    """

    bits_per_second: float
    cpu_client: float
    cpu_server: float
    retransmits: int
    ramp: tuple[tuple[float, float], ...]
    bottleneck: str
    sent: int
    received: int
    dropped: int
    round_trip: float
    """Smoothed, in seconds, at the end."""
    each: tuple[float, ...]
    """Bits/s of each stream."""


def tcp_stream(
    costs: CostModel, way: Way, *, mss: int, seconds: float = 0.1, omit: float = 0.02, parallel: int = 1,
    block: int = BLOCK, congestion: str = "cubic", sockets: Sockets | None = None, seed: int = 0,
) -> Stream:
    """`parallel` connections from one client to one server for `omit` seconds that don't count and `seconds` that do.

    `mss`: payload of a segment in bytes (1448 on a way with an MTU of 1500). `costs` is the regime in which both ends
    have a CPU each.
    """
    if congestion not in CONGESTION:
        raise SpecError(f"no congestion control is called {congestion}", mend=f"one of {', '.join(CONGESTION)}")
    run = _Run(costs, way, mss, parallel, block, CONGESTION[congestion], sockets or Sockets(), seed)
    return run.result(omit, seconds)


class _Run:
    """One simulation."""

    def __init__(self, costs: CostModel, way: Way, mss: int, parallel: int, block: int,
                 congestion: Callable[[int], Reno], sockets: Sockets, seed: int) -> None:
        self.env = simpy.Environment()
        self.block = block
        self.lanes = tuple(Softnet(self.env, costs.interruptions, Random(seed * 3 + cpu)) for cpu in (1, 2))
        self.cables = tuple(TokenBucket(way.cable.rate) if way.cable and way.cable.rate else None for _ in "fb")
        self.prices = prices(costs, way)
        if not self.prices["in"].mean + self.prices["send"].mean + self.prices["write"].mean:
            raise SpecError("a stream whose sender costs nothing has no end", mend="give its steps a price")
        self.random = Random(seed * 3)
        self.asleep: dict[str, simpy.Event | None] = {"writer": None, "reader": None}
        self.connections = [self._connect(way, mss, congestion, sockets) for _ in range(parallel)]
        self.read = [0] * parallel
        self.env.process(self._write())
        self.env.process(self._read())

    def _connect(self, way: Way, mss: int, congestion: Callable[[int], Reno], sockets: Sockets) -> Connection:
        receiver = Receiver(mss, rmem=sockets.rmem, rmem_most=sockets.rmem_most)
        sender = Sender(congestion(mss), window=receiver.edge, wmem=sockets.wmem_most)
        return Connection(self.env, way, self.prices, sender, receiver, (self.cables[0], self.cables[1]), self.random,
                          (lambda: self._wake("writer"), lambda: self._wake("reader")))

    # the programs

    def _write(self) -> Work:
        lane = self.lanes[0]
        while True:
            ready = [each for each in self.connections if each.sender.writable]
            if not ready:
                yield from self._sleep("writer", lane)
            for connection in ready:
                yield from connection.write(self.block, lane)

    def _read(self) -> Work:
        lane = self.lanes[1]
        while True:
            ready = [n for n, each in enumerate(self.connections) if each.receiver.queued]
            if not ready:
                yield from self._sleep("reader", lane)
            for n in ready:
                receiver = self.connections[n].receiver
                before = receiver.copied
                yield from self.connections[n].read(self.block - self.read[n] % self.block, lane)
                self.read[n] += receiver.copied - before

    def _sleep(self, who: str, lane: Softnet) -> Work:
        event = self.asleep[who] = self.env.event()
        yield event
        yield from lane.run(self.prices["wake"].draw(self.random), program=True)

    def _wake(self, who: str) -> None:
        event, self.asleep[who] = self.asleep[who], None
        if event is not None:
            event.succeed()

    # what came of it

    def result(self, omit: float, seconds: float) -> Stream:
        ramp: list[tuple[float, float]] = []
        every = (omit + seconds) / INTERVALS

        def look(before: int) -> None:
            total = self._received()
            ramp.append((self.env.now, (total - before) * 8 / every))
            after(self.env, every, lambda: look(total))

        after(self.env, every, lambda: look(0))
        if omit:
            self.env.run(until=omit)
        read = [each.receiver.copied for each in self.connections]
        busy = [lane.busy for lane in self.lanes]
        limits = [each.chrono.seconds() for each in self.connections]
        self.env.run(until=omit + seconds * (1 + 1e-9))
        each = [(now.receiver.copied - then) * 8 / seconds for now, then in zip(self.connections, read, strict=True)]
        uses = [min((lane.busy - then) / seconds, 1.0) for lane, then in zip(self.lanes, busy, strict=True)]
        return Stream(
            bits_per_second=sum(each), cpu_client=uses[0], cpu_server=uses[1], ramp=tuple(ramp), each=tuple(each),
            retransmits=sum(c.sender.retransmits for c in self.connections),
            bottleneck=self._bottleneck(uses, limits, sum(each)),
            sent=sum(c.sent_bytes for c in self.connections), received=self._received(),
            dropped=sum(c.dropped for c in self.connections),
            round_trip=max(c.sender.srtt for c in self.connections))

    def _received(self) -> int:
        return sum(each.receiver.copied for each in self.connections)

    def _bottleneck(self, uses: list[float], before: list[dict[str, float]], speed: float) -> str:
        """What is busy all the time; else what held the senders up for longest."""
        first = self.connections[0]
        cable = self.cables[0]
        if cable is not None and speed * (1 + first.way.header / first.sender.mss) >= cable.rate * 0.9:
            return CABLE
        if max(uses) >= FULL:
            return CLIENT_CPU if uses[0] >= uses[1] else SERVER_CPU
        held: dict[str, float] = {}
        for connection, then in zip(self.connections, before, strict=True):
            for why, total in connection.chrono.seconds().items():
                held[why] = held.get(why, 0.0) + total - then.get(why, 0.0)
        causes = {why: total for why, total in held.items() if why not in (PROGRAM, PACING)}
        if causes and max(causes.values()) > 0.1 * max(held.values()):
            return max(causes, key=lambda why: causes[why])
        return CLIENT_CPU if uses[0] >= uses[1] else SERVER_CPU
