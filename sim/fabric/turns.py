"""A round trip cut into turns: what the CPU of one program does from its wake-up until it has nothing more to do.

A turn is a wake-up, what the program reads and writes, and all the way of what it wrote to the next socket: a frame
that a program sends is carried on by the softirq of the CPU on which it was sent, through veths, bridges and tunnels,
until somebody is woken or it leaves the machine. So a turn is a job for one CPU, and a dialogue is a chain of turns.

`sim/fabric/load.py` and `sim/fabric/stream.py` run many of them beside each other, on CPUs as resources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sim.fabric.costs import Counts, count
from sim.trace import Kind, Step

CLIENT, SERVER, PROXY = "client", "server", "proxy"


@dataclass(frozen=True, slots=True)
class Turn:
    """`counts`: its steps; `size`: bytes of the IP packet that leaves in it, without tunnels (0: nothing leaves);
    `rates`: of the cables that it crosses with a limited rate, bit/s, in their order. `held`: the packet is still the
    sending socket's in so many of them, for it crosses them before another machine's IP layer has it (`skb_orphan` in
    ip_rcv; neither a veth nor a bridge takes it off the socket)."""

    program: str
    counts: Counts
    size: int = 0
    rates: tuple[float, ...] = ()
    held: int = 0


def turns(steps: Sequence[Step], rate_of: Callable[[Step], float] = lambda step: 0.0) -> list[Turn]:
    """The turns of a request and its answer, whose steps are given in time order. The first and the last are the
    client's; one in which docker-proxy copies is the proxy's; the others are the server's. `rate_of` says the rate of
    the cable of a LINK step in bit/s, 0 where it is not limited."""
    parts: list[list[Step]] = [[]]
    for step in steps:
        if step.kind is Kind.WAKEUP and parts[-1]:
            parts.append([])
        parts[-1].append(step)
    found = []
    for number, part in enumerate(parts):
        kinds = {step.kind for step in part}
        program = CLIENT if number in (0, len(parts) - 1) else PROXY if Kind.PROXY in kinds else SERVER
        sent = next((step.packet for step in part if step.kind is Kind.SEND and step.packet is not None), None)
        rates = tuple(rate for step in part if step.kind is Kind.LINK and (rate := rate_of(step)))
        own = part[:_forwarded(part)]
        held = sum(1 for step in own if step.kind is Kind.LINK and rate_of(step))
        found.append(Turn(program, count(part), sent.size() if sent is not None else 0, rates, held))
    return found


def _forwarded(part: Sequence[Step]) -> int:
    """Where another IP layer than the sender's has the packet: at the first route beyond its own and its tunnels'."""
    own = 0
    for place, step in enumerate(part):
        if step.kind in (Kind.SEND, Kind.ENCAP):
            own += 1
        elif step.kind is Kind.ROUTE:
            own -= 1
            if own < 0:
                return place
    return len(part)
