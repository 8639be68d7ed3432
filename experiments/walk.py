"""A trace as a story: packet by packet, hop by hop, what happened there and which headers changed since the hop before.

`flights` gives it as data, `legs` a flight in one line a place. `render.py` draws both; why a question failed is said
by `sim/reasons`.
The taps (`Kind.SEEN`) say nothing that the steps around them don't, so they are no hops: what changed there shows at
the next one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any

from sim.reasons import BYSTANDERS, in_words
from sim.trace import Kind, Step, Trace

WORDS = {
    Kind.SEND: "sent by a socket", Kind.ROUTE: "route", Kind.NEIGH: "neighbour",
    Kind.NETFILTER: "netfilter", Kind.HOOK: "hook", Kind.RULE: "rule",
    Kind.CONNTRACK_NEW: "conntrack", Kind.CONNTRACK: "conntrack", Kind.NAT: "NAT",
    Kind.IPVS_NEW: "IPVS", Kind.IPVS: "IPVS", Kind.VETH: "veth",
    Kind.BRIDGE: "bridge", Kind.BR_NETFILTER: "br_netfilter", Kind.LOOPBACK: "loopback", Kind.LINK: "wire",
    Kind.VLAN: "802.1Q tag",
    Kind.ICMP_ERROR: "ICMP error sent", Kind.DELIVER: "delivered", Kind.DROP: "DROPPED", Kind.PROXY: "docker-proxy",
    Kind.ENCAP: "into the tunnel", Kind.DECAP: "out of the tunnel", Kind.FRAGMENT: "fragments",
    Kind.ENCRYPT: "encrypted", Kind.DECRYPT: "decrypted",
    Kind.DNS: "name server", Kind.RECEIVE: "read by the process", Kind.BACKLOG: "taken off the CPU's backlog",
}
QUIET = frozenset({Kind.SEEN, Kind.WAKEUP, Kind.BACKLOG, Kind.NETFILTER, Kind.HOOK, Kind.RECEIVE})
"""Not shown unless everything is asked for."""
OF_A_PACKET = frozenset({Kind.NETFILTER, Kind.HOOK, Kind.RULE, Kind.CONNTRACK, Kind.CONNTRACK_NEW})
"""Steps without a packet of their own: they belong to the one that is under way in their namespace."""
TELLING = frozenset({
    Kind.NAT, Kind.IPVS_NEW, Kind.PROXY, Kind.ENCAP, Kind.DECAP, Kind.ENCRYPT, Kind.DECRYPT, Kind.FRAGMENT,
    Kind.ICMP_ERROR, Kind.DNS, Kind.DELIVER, Kind.DROP,
})
"""What a place did to a packet, as far as one line has room for it: all else is on the way."""
OUTER = ("ip.src", "ip.dst", "udp.", "vxlan.", "esp.")
"""What a header around a packet says by itself, for a person."""
UNSET = "0.0.0.0"
"""The source address until routing has chosen one."""


@dataclass(frozen=True, slots=True)
class Hop:
    """`changed`: header field -> (before, now); before is None where the header is new. `aside`: the end of a copy that
    nobody waited for."""

    where: str
    device: str
    kind: str
    what: str
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    drop: bool = False
    aside: bool = False


@dataclass(slots=True)
class Flight:
    """One packet (or, with `number` 0, what a process did between packets) and its hops. `at` in seconds."""

    number: int
    text: str
    at: float
    arp: bool = False
    hops: list[Hop] = field(default_factory=list)

    @property
    def end(self) -> str:
        """In a word: where it got to."""
        drops = [h for h in self.hops if h.drop]
        if drops:
            return f"dropped in {drops[-1].where}{drops[-1].what.removeprefix(WORDS[Kind.DROP])}"
        last = next((h for h in reversed(self.hops) if h.kind == Kind.DELIVER), None)
        return f"{last.where}: {last.what}" if last else ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"end": self.end}


def flights(trace: Trace, *, everything: bool = False) -> list[Flight]:
    """The packets of a trace in the order in which they set out."""
    found: dict[int, Flight] = {}
    result: list[Flight] = []
    headers: dict[int, dict[str, Any]] = {}
    under_way: dict[str, int] = {}
    for step in trace:
        if step.packet is not None:
            under_way[step.where] = step.packet.uid
        if step.kind in QUIET and not everything:
            continue
        if step.packet is None:
            flight = found.get(under_way.get(step.where, 0)) if step.kind in OF_A_PACKET else None
            if flight is None:
                flight = Flight(0, f"in {step.where}", step.at)
                result.append(flight)
            flight.hops.append(_hop(step, {}))
            continue
        uid = step.packet.uid
        now = step.packet.fields()
        if uid not in found:
            found[uid] = Flight(len(found) + 1, str(step.packet), step.at, step.packet.arp is not None)
            result.append(found[uid])
            headers[uid] = now
        before, headers[uid] = headers[uid], now
        changed = {name: (before.get(name), value) for name, value in now.items() if before.get(name) != value}
        if before.get("ip.src") == UNSET and "ip.src" in changed:
            found[uid].text, changed["ip.src"] = str(step.packet), (None, now["ip.src"])
        hop, hops = _hop(step, changed), found[uid].hops
        if hop.drop and step.detail and not everything and hops and hops[-1].what.startswith(_ruled(step)):
            hop = replace(hop, what=hop.what + hops.pop().what.removeprefix(_ruled(step)))
        hops.append(hop)
    return result


def _ruled(drop: Step) -> str:
    """How the hop of the rule begins that dropped the packet: both say the same, so one of them is enough."""
    return f"{WORDS[Kind.RULE]}: {drop.detail}"


def _hop(step: Step, changed: dict[str, tuple[Any, Any]]) -> Hop:
    words = WORDS.get(step.kind, step.kind.value)
    said = in_words(step)
    what = f"{words}: {said}" if said else words
    if step.kind is Kind.DROP and said.startswith("dropped "):
        what = f"{words} {said.removeprefix('dropped ')}"
    if step.kind is Kind.RULE and step.count > 1:
        what += f"  ({step.count} rules tried)"
    return Hop(step.where, step.device, step.kind.value, what, changed, step.kind is Kind.DROP,
               step.reason in BYSTANDERS)


def told(hop: Hop) -> dict[str, tuple[Any, Any]]:
    """The headers that changed. Of one that is put around the packet, its own fields that say something; where one is
    taken off, nothing: what is inside is as it went in.
    """
    if hop.kind in (Kind.DECAP, Kind.DECRYPT):
        return {}
    if not any(name.startswith("inner.") and before is None for name, (before, _) in hop.changed.items()):
        return hop.changed
    return {name: (None, now) for name, (_, now) in hop.changed.items() if name.startswith(OUTER)}


@dataclass(frozen=True, slots=True)
class Leg:
    """A packet's stay in one place: the devices that it passed there, and what became of it."""

    where: str
    devices: tuple[str, ...]
    what: str
    drop: bool = False


def legs(flight: Flight) -> list[Leg]:
    """A flight in one line a place (namespace), in the order of its hops."""
    hops = [hop for hop in flight.hops if not hop.aside]
    return [_leg(list(stay)) for _, stay in groupby(hops, key=lambda hop: hop.where)]


def _leg(stay: list[Hop]) -> Leg:
    said = [hop.what.removeprefix(f"{WORDS[Kind.NAT]}: ") for hop in stay if hop.kind in TELLING]
    ttl = next((hop.changed["ip.ttl"] for hop in stay if "ip.ttl" in hop.changed), (None, None))
    if ttl[0] is not None:
        said.insert(0, f"TTL {ttl[0]} -> {ttl[1]}")
    devices = tuple(dict.fromkeys(hop.device for hop in stay if hop.device))
    return Leg(stay[0].where, devices, "; ".join(dict.fromkeys(said)), any(hop.drop for hop in stay))
