"""What a device may yield: a `Step` (what happened, from `sim.trace`), or one of the effects below.

A device is `receive(packet, port, now) -> Iterator[Step | Effect]`. It knows neither clock nor price. The fabric drains
the iterator, prices and stamps each Step, and puts the effects on the SimPy clock at the moment at which they were
yielded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from sim.kernel import wheel
from sim.packet import Packet
from sim.trace import Step


class Device(Protocol):
    """Anything that takes a packet from elsewhere. `port` says on which of its ends or members."""

    @property
    def point(self) -> tuple[str, str]:
        """Its network namespace's label, and its name."""

    def receive(self, packet: Packet, port: Any, now: float) -> Effects: ...


@dataclass(slots=True)
class Handoff:
    """The packet leaves this walk: `device` will receive it, in a walk of its own."""

    device: Device
    packet: Packet
    port: Any = None


@dataclass(slots=True)
class Timer:
    """Run `action(now)` in `delay` seconds, to the nanosecond (hrtimer). It may find nothing left to do."""

    delay: float
    action: Callable[[float], Effects]

    def due(self, now: float) -> float:
        """Seconds until it goes off, where it is set at `now`."""
        return self.delay


@dataclass(slots=True)
class CoarseTimer(Timer):
    """One of the timer wheel's (`sim/kernel/wheel.py`): ARP and TCP retransmission."""

    def due(self, now: float) -> float:
        return wheel.delay(now, self.delay)


@dataclass(slots=True)
class Wake:
    """A process that waits on `waiter` goes on, with `value`."""

    waiter: Any
    value: Any = None


@dataclass(slots=True)
class Work:
    """A kernel thread runs `action(now)` (`schedule_work`): when the softirqs are through, and the programs that they
    woke are asleep again."""

    action: Callable[[float], Effects]


class Lockable(Protocol):
    """A socket that a system call keeps from others until it is over (`lock_sock`, `release_sock`)."""

    def release(self, now: float) -> Effects: ...


@dataclass(slots=True)
class Lock:
    """A system call has `sock`. What comes for it meanwhile waits on its own backlog, until it is released: when the
    softirqs are through that the call's own packets set off, for these run inside of it (`local_bh_enable`)."""

    sock: Lockable


Effect = Handoff | Timer | Wake | Work | Lock
Effects = Iterator[Step | Effect]
