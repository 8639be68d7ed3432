"""What happened to packets, for both readers of a topology: the predictor and the sniffer build the same classes.

A `Step` is at once what happened, what it costs (the fabric prices its `kind`) and what the trace shows.
A `Trace` is the steps of one question in time order. The predictor's has every step; a sniffer's has only
`Kind.SEEN` ones. `predicted.observed(points)` projects a prediction down to what sniffers at those points can see,
and only then are the two compared (in `experiments/compare.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sim.packet import Packet


class Kind(StrEnum):
    """What a step is. The cost model has a price for each."""

    SEND = "socket-send"
    RECEIVE = "socket-receive"
    WAKEUP = "wake-up"
    SEEN = "seen"
    """The packet passed a device where a packet socket would see it (AF_PACKET tap); costs nothing."""
    ROUTE = "route"
    NEIGH = "neighbour"
    NETFILTER = "netfilter"
    """The functions that are registered at a hook were called, `count` of them (`nf_hook_slow`)."""
    HOOK = "hook"
    """One table's chain was entered at a hook."""
    RULE = "rule"
    """`count` rules were evaluated; `detail` is the rule that decided."""
    CONNTRACK_NEW = "conntrack-new"
    CONNTRACK = "conntrack"
    NAT = "nat"
    IPVS_NEW = "ipvs-new"
    """A destination was chosen for a new connection; `detail` begins with the service (`fwmark 256: …`)."""
    IPVS = "ipvs"
    BACKLOG = "backlog"
    """The softirq took a frame off the CPU's backlog, where a device had put it (`netif_rx`, `process_backlog`)."""
    VETH = "veth"
    BRIDGE = "bridge"
    BR_NETFILTER = "br-netfilter"
    LOOPBACK = "loopback"
    LINK = "link"
    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"
    VLAN = "vlan"
    """An 802.1Q tag was put on or taken off."""
    ENCAP = "vxlan-encap"
    DECAP = "vxlan-decap"
    ENCRYPT = "esp-encrypt"
    DECRYPT = "esp-decrypt"
    FRAGMENT = "fragment"
    ICMP_ERROR = "icmp-error"
    PROXY = "docker-proxy"
    DNS = "dns"
    DELIVER = "deliver"
    """Given to a socket or to the kernel's own answerer (ICMP echo)."""
    DROP = "drop"


class DropReason(StrEnum):
    """Why a packet ended: each is one kind of fate, `Step.detail` names the rule, route or neighbour."""

    RULE = "dropped by a rule"
    POLICY = "dropped by a chain's policy"
    REJECTED = "rejected by a rule"
    NO_ROUTE = "no route to the destination"
    NO_NEIGHBOUR = "nobody answered ARP for the next hop"
    NOT_FOR_US = "frame for another MAC address"
    FORWARDING_OFF = "ip_forward is off"
    TTL = "TTL ran out"
    MARTIAN = "source address is impossible on that interface"
    NO_SOCKET = "nobody listens on that port"
    LINK_DOWN = "the link is down"
    HAIRPIN_OFF = "a bridge port does not send a frame back out"
    MTU = "larger than the MTU, and DF is set"
    OVERSIZE = "frame larger than the next device takes"
    LOST = "lost on the cable"
    QUEUE_FULL = "no room in the queue of a cable with a rate"
    NAT_FULL = "no free port for NAT"
    INVALID = "conntrack calls it INVALID"
    NO_DESTINATION = "IPVS has no destination for it"
    NO_MEMBER = "nobody on that network has it"
    NO_STATE = "no IPsec security association for it"
    ICMP_IGNORED = "kernel ignored the ICMP error"
    ECHO_IGNORED = "pings are not answered there"


@dataclass(slots=True)
class Step:
    """One thing that happened to one packet in one place.

    `where` is the network namespace's label (`host`, `web`, `client`), `device` an interface of it (canonical name).
    `packet` is a snapshot. `at` is in seconds, stamped by the fabric (0 until then); a sniffer's is relative to the
    question's start. `way` of a SEEN step: "in" or "out", as seen from the namespace that has the device.
    """

    kind: Kind
    where: str
    device: str = ""
    packet: Packet | None = None
    detail: str = ""
    count: int = 1
    way: str = ""
    reason: DropReason | None = None
    at: float = 0.0
    cost: float = 0.0

    @property
    def point(self) -> str:
        """`namespace:device`, the name of a capture point."""
        return f"{self.where}:{self.device}"

    def as_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {"kind": self.kind.value, "where": self.where}
        if self.device:
            row["device"] = self.device
        if self.way:
            row["way"] = self.way
        if self.detail:
            row["detail"] = self.detail
        if self.count != 1:
            row["count"] = self.count
        if self.reason:
            row["reason"] = self.reason.value
        row["at"] = round(self.at, 9)
        if self.packet is not None:
            row["packet"] = self.packet.uid
            row["headers"] = self.packet.fields()
        return row


class Outcome(StrEnum):
    """How a question ended, in the words of errno and of resolv.conf's clients. Each is a different answer, as live."""

    REACHED = "reached"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    """ECONNREFUSED: a TCP reset, or an ICMP port-unreachable."""
    RESET = "reset"
    """ECONNRESET or end of stream before the answer: somebody accepted and then hung up."""
    HOST_UNREACHABLE = "host unreachable"
    """EHOSTUNREACH: ARP failed, or an ICMP host-unreachable came back."""
    NET_UNREACHABLE = "network unreachable"
    """ENETUNREACH: no route in the sender's own namespace, or an ICMP net-unreachable."""
    PROHIBITED = "prohibited"
    """EACCES or EPERM: a rule of the sender's own namespace, or an ICMP prohibited."""
    TOO_LARGE = "message too long"
    """EMSGSIZE: larger than the MTU, and the sender forbade fragments."""
    NO_SUCH_NAME = "no such name"
    """EAI_NONAME: a name server said that the name does not exist."""
    NAME_UNANSWERED = "name server does not answer"
    """EAI_AGAIN: no name server could be reached, or it failed."""
    NOT_RUNNING = "does not run"
    """Nobody asked: the source is a container that a fault has ended."""
    NO_TARGET = "nothing to dial"
    """Nobody asked: a fault has left the target without an address or the published port, or the engine does not
    publish the port that the file does (of an internal network, say)."""
    NOT_SAID = "not said"
    """It can't be predicted: it depends on a world outside of which the file says nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one question. `detail` explains; it is not compared. The other fields are.

    `address` is the IPv4 address that was dialled (after name resolution); `served_by` and `seen_as` come from the
    answering responder: who it is, and the source address that it saw (after any NAT), without the port.
    """

    outcome: Outcome
    address: str = ""
    served_by: str = ""
    seen_as: str = ""
    rtt: float | None = field(default=None, compare=False)
    """Seconds from the first packet out to the answer in, without the pause of a tcp dial; None where nothing came."""
    detail: str = field(default="", compare=False)

    def as_dict(self) -> dict[str, Any]:
        return {"outcome": self.outcome.value, "address": self.address, "served_by": self.served_by,
                "seen_as": self.seen_as, "rtt": self.rtt, "detail": self.detail}


@dataclass(slots=True)
class Trace:
    """The steps of one question, in time order. Iterating gives the steps."""

    steps: list[Step] = field(default_factory=list)
    lost: int = 0
    """Frames that the sniffers know they lost (kernel drop counters). No verdict may rest on a trace with losses."""

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def observed(self, points: Iterable[str]) -> Trace:
        """What sniffers at `points` would have seen of this trace."""
        wanted = set(points)
        return Trace([s for s in self.steps if s.kind is Kind.SEEN and s.point in wanted], self.lost)

    def drops(self) -> list[Step]:
        """The steps at which packets ended before their destination."""
        return [s for s in self.steps if s.kind is Kind.DROP]

    def as_dict(self) -> dict[str, Any]:
        return {"lost": self.lost, "steps": [s.as_dict() for s in self.steps]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trace:
        """What `as_dict` made: the same steps, with the packets' payloads filled with zeros."""
        return cls([
            Step(Kind(row["kind"]), row["where"], row.get("device", ""),
                 Packet.from_fields(row["headers"]) if "headers" in row else None,
                 row.get("detail", ""), row.get("count", 1), row.get("way", ""),
                 DropReason(row["reason"]) if "reason" in row else None, row["at"])
            for row in data["steps"]
        ], data["lost"])
