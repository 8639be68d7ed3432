"""Which events of a trace have an order that means something, and whether two traces keep it.

Kernel time stamps order all frames, but two runs of the same cause and effect may still differ: what goes one way races
with what goes the other. So events are compared as a Mazurkiewicz trace: two runs are the same when they differ only in
the order of *independent* events. Dependent, so never swapped, are

1. the events of one packet: its hops come in the predicted order. Packets that are equal in all that is compared (a SYN
   sent again, the ICMP errors about both) are told apart by number: the first at one point is the first at the next. A
   later one may still be on its way when an earlier one is further on, and a copy that was routed once more (a lower
   TTL) causes nothing of one that was not. Where a frame is flooded its copies run side by side: they all follow its
   first event, but among themselves only events in one namespace keep their order, and not the order in which a bridge
   serves its ports;
2. the events of one dialogue at one point, save three races: the end of one direction (FIN, RST) with whatever goes the
   other way once the connection is open; two answers of a name server; and packets on different laps. What goes to a
   balancer and on from it passes the same bridge twice, with other addresses and a lower TTL: one packet may come for
   the first time before or after another goes for the second;
3. the beginnings of dialogues: ARP before what waited for it, the name before the connection, the client's connection
   before docker-proxy's own.

Two events with the very same time stamp have no order: a bridge's own tap shows the stamp that the frame got when it
came in by its port (`br_pass_frame_up` keeps it).

The tap of a bridge has no order against where the frame goes next on the same wire: the kernel runs it after the frame
has left by the other port (`br_pass_frame_up` follows `br_forward`), but most frames keep the stamp of their arrival
for it, and a local TCP socket's segments have none to keep. It does come after the port that the frame came in by, and
before whatever the host routes on from there (a TTL lower by one). A tunnel is a way on the same wire: what counts is
the TTL of what it carries.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations
from typing import Any

from experiments.dialogue import Event
from sim.packet import TcpFlag


def inversions(mine: list[Event], seen: list[Event]) -> list[tuple[Event, Event]]:
    """Dependent pairs (x, y) of `mine`, x before y, that `seen` has the other way round.

    Both lists must hold the same events, as often; the n-th of equal events is the n-th on the other side.
    """
    places: dict[Event, list[int]] = defaultdict(list)
    for place, event in enumerate(seen):
        places[event].append(place)
    taken: Counter[Event] = Counter()
    copies: Counter[tuple[Any, ...]] = Counter()
    numbered = []
    for event in mine:
        numbered.append((event, places[event][taken[event]], copies[_passage(event)]))
        taken[event] += 1
        copies[_passage(event)] += 1
    flooded = _flooded(mine)
    return [
        (x, y) for (x, i, n), (y, j, m) in combinations(numbered, 2)
        if j < i and seen[i].at != seen[j].at and _dependent(x, y, flooded)
        and not (n > m and x.packet == y.packet and x.point != y.point and copies[_passage(x)] == copies[_passage(y)])
    ]


def beginnings(of: list[Event]) -> list[str]:
    """Dialogues in the order of their first events, but those of later fragments: a fragment may already be far on its
    way, encrypted for one, when the next one starts."""
    return list(dict.fromkeys(e.dialogue for e in of if not e.later_fragment))


def _dependent(x: Event, y: Event, flooded: dict[tuple[Any, ...], tuple[str, str]]) -> bool:
    """May no run swap these two?"""
    if x.packet == y.packet:
        if (_innermost(x, "ip.ttl") or 0) < (_innermost(y, "ip.ttl") or 0):
            return False  # no router raises a TTL: y is another copy, which x is no cause of
        if x.bridge_tap != y.bridge_tap and not _ordered_with_tap(*((x, y) if x.bridge_tap else (y, x))):
            return False
        origin = flooded.get(x.packet)
        if origin is None or x.point == y.point or origin in ((x.point, x.way), (y.point, y.way)):
            return True
        return x.where == y.where and not (x.way == y.way == "out")
    if x.point != y.point or x.dialogue != y.dialogue:
        return False
    if x.forward != y.forward:
        return bool((x.flags | y.flags) & TcpFlag.SYN) or not (x.flags | y.flags) & (TcpFlag.FIN | TcpFlag.RST)
    return not (x.name_answer and y.name_answer) and _lap(x) == _lap(y)


def _passage(event: Event) -> tuple[Any, ...]:
    """Where a packet passes, and on which lap: the n-th there is the n-th elsewhere, though one header may differ (two
    acknowledgements of the same, of which a socket sent one and what is left of it the other)."""
    return event.packet, event.point, event.way, _lap(event)


def _lap(event: Event) -> tuple[Any, ...]:
    """What tells the first time that a packet passes a point from the second."""
    return tuple(_innermost(event, name) for name in ("ip.src", "ip.dst", "ip.ttl"))


def _innermost(event: Event, name: str) -> Any:
    """A header of what goes through a tunnel, as it is outside of one."""
    headers = dict(event.headers)
    return headers.get(f"inner.{name}", headers.get(name))


def _ordered_with_tap(tap: Event, other: Event) -> bool:
    """Does another event of the packet that a bridge's own tap shows have its place before or behind it?"""
    came_in = other.where == tap.where and other.way == "in"
    return came_in or _innermost(other, "ip.ttl") != _innermost(tap, "ip.ttl")


def _flooded(of: list[Event]) -> dict[tuple[Any, ...], tuple[str, str]]:
    """Packets of which copies run side by side, and where (point, way) each was first seen.

    Broadcasts; frames that end in more than one namespace; frames that leave a namespace by more devices than one frame
    can: one where it only passes through, two (the bridge and a port of it) where it starts or was routed.
    """
    several = {e.packet for e in of if e.broadcast}
    came: dict[tuple[Any, ...], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    left: dict[tuple[Any, ...], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for event in of:
        (came if event.way == "in" else left)[event.packet, event.headers][event.where].add(event.point)
    for frame in came.keys() | left.keys():
        ends = [where for where in came[frame] if where not in left[frame]]
        doors = [len(points) - (where not in came[frame]) for where, points in left[frame].items()]
        if len(ends) > 1 or max(doors, default=0) > 1:
            several.add(frame[0])
    return {e.packet: (e.point, e.way) for e in reversed(of) if e.packet in several}
