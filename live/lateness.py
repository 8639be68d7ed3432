"""Was a program late for the kernel's own timers?

Where the CPU is emulated, or a busy hypervisor takes it away, a program may answer after the kernel has acknowledged by
itself (delayed acknowledgements) or sent again (retransmissions). That puts other segments on the wire than those of
programs that are in time. It is told from the frames' times alone, never from what was predicted.
"""

from __future__ import annotations

import itertools

from live.frames import Frames
from sim.packet import TcpFlag
from sim.spec import Dial
from sim.trace import Answer, Outcome

LATE = 0.03
"""Seconds, besides what cables take: less than Linux waits with an acknowledgement (TCP_DELACK_MIN, 40 ms)."""
AT_ONCE = (Outcome.REACHED, Outcome.REFUSED, Outcome.RESET, Outcome.NET_UNREACHABLE, Outcome.PROHIBITED)
"""Outcomes of a TCP question that come without anybody waiting, but for the dial's own pause."""


def late(dial: Dial, answer: Answer, frames: Frames, flight: float = 0.0) -> bool:
    """Was somebody late in a TCP dialogue of which every step follows at once from the one before? Before the question,
    or the end of a connection that nobody asks on, there is the dial's pause. `flight` is the time in seconds that all
    cables take together, one way."""
    if dial.probe != "tcp" or answer.outcome not in AT_ONCE:
        return False
    asked = False
    for (earlier, _, _), (later, flags, length) in itertools.pairwise(frames.segments(dial.source_port)):
        after_pause = not asked and bool(length or flags & (TcpFlag.FIN | TcpFlag.RST))
        if later - earlier > LATE + 2 * flight and not after_pause:
            return True
        asked = asked or after_pause
    return False
