"""Rate, delay and losses of the lab's cables, as tc(8) sets them: netem for delay and loss, TBF for a rate below it.

A cable is shaped at both ends, each in the direction that leaves there. A kernel without netem can neither delay nor
lose: LabError. The queue at either end counts what it lost, so that one can tell whether anything was.
"""

from __future__ import annotations

from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from live import netns
from sim.errors import LabError
from sim.spec import Underlay

ROOT, NETEM, TBF = 0xFFFFFFFF, 0x10000, 0x20000
"""Handles: TC_H_ROOT, `1:`, `2:`."""
BURST = 64 << 10
"""Bytes that TBF lets pass at once: a super-packet of segmentation offload must fit."""
QUEUE = "50ms"


def shape(path: Path, device: str, cable: Underlay) -> None:
    """Shapes what leaves by a device; nothing to do where the cable has no limits."""
    if not shaped(cable):
        return

    def configure() -> None:
        with IPRoute() as route:
            index = netns.index_of(route, device)
            parent = ROOT
            if needs_netem(cable):
                _add(route, "netem", "delay and loss", index, handle=NETEM, parent=parent,
                     delay=round(cable.delay * 1e6), loss=cable.loss * 100)
                parent = NETEM | 1
            if cable.rate:
                _add(route, "tbf", "rate", index, handle=TBF, parent=parent, rate=int(cable.rate / 8), burst=BURST,
                     latency=QUEUE)

    netns.call(path, configure)


def needs_netem(cable: Underlay) -> bool:
    return bool(cable.delay or cable.loss)


def shaped(cable: Underlay) -> bool:
    return needs_netem(cable) or bool(cable.rate)


def lost(path: Path, device: str) -> int:
    """Frames that the queue of a shaped device has lost so far: netem's losses, and what TBF had no room for."""

    def count() -> int:
        with IPRoute() as route:
            first = next(iter(route.get_qdiscs(netns.index_of(route, device))))
            return int(first.get_attr("TCA_STATS2").get_attr("TCA_STATS_QUEUE")["drops"])

    return netns.call(path, count)


def _add(route: IPRoute, kind: str, key: str, index: int, **options: float | str) -> None:
    try:
        route.tc("add", kind, index, **options)
    except NetlinkError as error:
        raise LabError(f"can't be measured here: kernel lacks {kind} ({error.args[-1]})",
                       mend=f"leave {key} out of x-hopcast's underlay and links") from error
