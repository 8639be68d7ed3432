"""Rate and delay of the lab's cables, as tc(8) sets them: TBF for a rate, netem for a delay, the one below the other.

A cable is shaped at both ends, each in the direction that leaves there. A kernel without netem can't delay: LabError.
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


def shape(path: Path, device: str, underlay: Underlay) -> None:
    """Shapes what leaves by a device; nothing to do where the underlay has no limits."""
    if not underlay.rate and not underlay.delay:
        return

    def configure() -> None:
        with IPRoute() as route:
            index = netns.index_of(route, device)
            parent = ROOT
            if underlay.delay:
                _add(route, "netem", "delay", index, handle=NETEM, parent=parent, delay=round(underlay.delay * 1e6))
                parent = NETEM | 1
            if underlay.rate:
                _add(route, "tbf", "rate", index, handle=TBF, parent=parent, rate=int(underlay.rate / 8), burst=BURST,
                     latency=QUEUE)

    netns.call(path, configure)


def _add(route: IPRoute, kind: str, key: str, index: int, **options: int | str) -> None:
    try:
        route.tc("add", kind, index, **options)
    except NetlinkError as error:
        raise LabError(f"can't shape the underlay here: the kernel lacks {kind} ({error.args[-1]})",
                       mend=f"leave {key} out of x-hopcast's underlay") from error
