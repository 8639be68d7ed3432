"""A trace as a story: packet by packet, hop by hop, what happened there and which headers changed since the hop before.

`flights` gives it as data, `decided` names the step at which a failed question was lost. `render.py` draws both.
The taps (`Kind.SEEN`) say nothing that the steps around them don't, so they are no hops: what changed there shows at
the next one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sim.packet import dotted
from sim.trace import Answer, DropReason, Kind, Outcome, Step, Trace

BYSTANDERS = frozenset({DropReason.NOT_FOR_US, DropReason.ICMP_IGNORED})
"""Ends of copies that nobody waited for: they decide nothing."""

SELF_EXPLAINING = frozenset({
    DropReason.NO_SOCKET, DropReason.NO_NEIGHBOUR, DropReason.NO_ROUTE, DropReason.FORWARDING_OFF, DropReason.LINK_DOWN,
})
"""Reasons that the step's detail repeats with the port, the address or the device."""

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
    Kind.DNS: "name server", Kind.RECEIVE: "read by the process",
}
QUIET = frozenset({Kind.SEEN, Kind.WAKEUP, Kind.NETFILTER, Kind.HOOK, Kind.RECEIVE})
"""Not shown unless everything is asked for."""
OF_A_PACKET = frozenset({Kind.NETFILTER, Kind.HOOK, Kind.RULE, Kind.CONNTRACK, Kind.CONNTRACK_NEW})
"""Steps without a packet of their own: they belong to the one that is under way in their namespace."""
OUTER = ("ip.src", "ip.dst", "udp.", "vxlan.", "esp.")
"""What a header around a packet says by itself, for a person."""
UNSET = "0.0.0.0"
"""The source address until routing has chosen one."""


@dataclass(frozen=True, slots=True)
class Hop:
    """`changed`: header field -> (before, now); before is None where the header is new."""

    where: str
    device: str
    kind: str
    what: str
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    drop: bool = False


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
    said = _reason(step)
    what = f"{words}: {said}" if said else words
    if step.kind is Kind.DROP and said.startswith("dropped "):
        what = f"{words} {said.removeprefix('dropped ')}"
    if step.kind is Kind.RULE and step.count > 1:
        what += f"  ({step.count} rules tried)"
    return Hop(step.where, step.device, step.kind.value, what, changed, step.kind is Kind.DROP)


def told(hop: Hop) -> dict[str, tuple[Any, Any]]:
    """The headers that changed. Of one that is put around the packet, its own fields that say something; where one is
    taken off, nothing: what is inside is as it went in.
    """
    if hop.kind in (Kind.DECAP, Kind.DECRYPT):
        return {}
    if not any(name.startswith("inner.") and before is None for name, (before, _) in hop.changed.items()):
        return hop.changed
    return {name: (None, now) for name, (_, now) in hop.changed.items() if name.startswith(OUTER)}


def decided(answer: Answer, trace: Trace) -> Step | None:
    """The step at which a question failed; None when it was answered, or no packet was lost."""
    if answer.outcome is Outcome.REACHED:
        return None
    return next((s for s in reversed(trace.drops()) if s.reason not in BYSTANDERS), None)


def why(answer: Answer, trace: Trace) -> str:
    """Why a question failed, in one line; empty when it did not."""
    if answer.outcome is Outcome.REACHED:
        return ""
    if answer.outcome is Outcome.NOT_SAID:
        return answer.detail
    step = decided(answer, trace)
    if step is not None:
        return f"{step.point if step.device else step.where}: {_reason(step)}"
    said = ""
    if answer.outcome in (Outcome.NO_SUCH_NAME, Outcome.NAME_UNANSWERED):
        said = next((f"the name server in {s.where} says {s.detail}" for s in reversed(trace.steps)
                     if s.kind is Kind.DNS), "")
    return "; ".join(filter(None, [answer.detail, said])) or _unanswered(trace)


def _unanswered(trace: Trace) -> str:
    """Who was still asked for by ARP when the time was over; empty when nobody was."""
    asked: dict[int, str] = {}
    for step in trace:
        arp = step.packet.arp if step.packet else None
        if arp is not None and arp.op == 1:
            asked.setdefault(arp.target_ip, step.point)
        elif arp is not None:
            asked.pop(arp.sender_ip, None)
    return next((f"{point}: {dotted(address)} does not answer ARP" for address, point in asked.items()), "")


def _reason(step: Step) -> str:
    """The reason and its detail, or the detail alone where that says it all."""
    if step.reason is None or (step.detail and step.reason in SELF_EXPLAINING):
        return step.detail
    return f"{step.reason.value}: {step.detail}" if step.detail else step.reason.value
