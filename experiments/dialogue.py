"""From frames to dialogues: what a sniffer's trace says once everything that may differ harmlessly is out of it.

Predicted and captured traces go through `events()` alike, and only its result is compared. What is left out of the
comparison, and why, is listed in `omissions.py`; there is nothing else.

One header is compared by what it must fulfil: VXLAN's UDP source port is a hash with a random key. It must lie in the
kernel's range (here EPHEMERAL) and stay the same for all packets of a flow in one direction; then it is called "flow
hash", else it keeps its number, and agrees with nothing. A TCP socket draws its hash anew when it sends a segment again
after a time-out (`sk_rethink_txhash`), and goes on with that. What is left of a
closed socket (time-wait) answers with a hash of its own, before Linux 6.6.

Names used: a *dialogue* is what one client port, ICMP ident or pair of ARP speakers says and hears: NAT may rewrite
every address and the server's port on the way, but not that (Linux keeps the source port unless it is taken).
A *packet* is what stays of a datagram under rewriting: its dialogue, direction, flags, sequence number and length.
What IPsec encrypted shows neither port nor flags: on the wire a packet is the number that its security association gave
it, and what one machine sends to another is a dialogue. So what goes in and what comes out is compared as ever, and the
wire for itself, but not which of it was which.
A fragment behind the first has no port or ident: it is a packet by its addresses, offset and length, and a dialogue of
its own by its offset, for on another CPU it may overtake the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.omissions import DNS, EPHEMERAL, compared, core
from sim.packet import BROADCAST, Icmp, IcmpType, Packet, Tcp, TcpFlag, Udp, dotted
from sim.spec import Dial
from sim.trace import Trace

FRAGMENT = "fragment"
"""In the place of a protocol, for a fragment but the first."""
PORTS = ("tcp.sport", "tcp.dport", "udp.sport", "udp.dport")


@dataclass(frozen=True, slots=True)
class Event:
    """One frame at one capture point. Equal events are the same thing seen twice; `at` (seconds) is not compared."""

    point: str
    way: str
    headers: tuple[tuple[str, Any], ...]
    dialogue: str
    forward: bool
    """From the one who began the dialogue."""
    packet: tuple[Any, ...]
    """Identity of the datagram, the same at every point that it passes."""
    text: str = field(compare=False)
    flags: int = field(default=0, compare=False)
    """TCP's; 0 for what is no TCP."""
    name_answer: bool = field(default=False, compare=False)
    """From a name server: dockerd answers each query in a goroutine of its own."""
    broadcast: bool = field(default=False, compare=False)
    later_fragment: bool = field(default=False, compare=False)
    """A fragment but the first: a dialogue of its own."""
    bridge_tap: bool = field(default=False, compare=False)
    """Seen "in" at a bridge itself, not at a port of it."""
    at: float = field(default=0.0, compare=False)

    @property
    def where(self) -> str:
        return self.point.partition(":")[0]

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class _Speech:
    """Whose words a packet is: the client's port or ident in its dialogue, and which way they go."""

    protocol: str
    client: int | str
    forward: bool


class _Speakers:
    """Client ports as they show up: whoever sends first from a port that nobody had, opened the dialogue."""

    def __init__(self, source_port: int | None) -> None:
        self.clients: set[tuple[str, int]] = set()
        if source_port is not None:
            self.clients |= {("tcp", source_port), ("udp", source_port)}

    def of(self, packet: Packet) -> _Speech:
        if packet.vxlan is not None and packet.inner is not None:
            return self.of(packet.inner)
        if packet.arp is not None:
            pair = sorted((packet.arp.sender_ip, packet.arp.target_ip))
            return _Speech("arp", " and ".join(map(dotted, pair)), packet.arp.op == 1)
        match packet.l4:
            case Tcp() | Udp() as l4:
                protocol = type(l4).__name__.lower()
                if (protocol, l4.sport) in self.clients:
                    return _Speech(protocol, l4.sport, True)
                if (protocol, l4.dport) in self.clients:
                    return _Speech(protocol, l4.dport, False)
                self.clients.add((protocol, l4.sport))
                return _Speech(protocol, l4.sport, True)
            case Icmp() as icmp:
                if packet.inner is not None:
                    about = self.of(packet.inner)
                    return _Speech(f"error about {about.protocol}", about.client, not about.forward)
                return _Speech("icmp", icmp.ident, icmp.type == IcmpType.ECHO_REQUEST)
        if packet.esp is not None and packet.ip is not None:
            return _Speech("esp", f"{dotted(packet.ip.src)} > {dotted(packet.ip.dst)}", True)
        # A later fragment: a packet of its own, which may overtake the others on another CPU.
        return _Speech(FRAGMENT, packet.ip.offset if packet.ip else 0, True)


def events(
    trace: Trace,
    points: Iterable[str],
    *,
    dial: Dial | None = None,
    bridges: Collection[str] = (),
    others: Collection[int] = (),
    fixed: Collection[int] = (),
    drawn: Collection[int] = EPHEMERAL,
    until: float | None = None,
) -> list[Event]:
    """The comparable events of one question at `points`, in the trace's order.

    `bridges`: those of the points that are bridges. `others` are source ports of other questions' dials; `drawn` are
    the ports that kernels draw, `fixed` those of them that mean something here; `until` is the end of the window, in
    seconds.
    """
    own = dial.source_port if dial else None
    steps = compared(trace, points, dial=dial, others=others, fixed=fixed, drawn=drawn, until=until)
    named = {*fixed, *([dial.port, dial.source_port] if dial else [])}
    renamed: dict[int, str] = {}
    speakers, tunnels = _Speakers(own), _Tunnels()
    result = []
    for step in steps:
        packet = step.packet
        assert packet is not None
        speech = speakers.of(packet)
        headers = tunnels.checked(packet, _headers(packet, renamed, named, drawn), f"{step.point} {step.way}")
        client = renamed.get(speech.client, speech.client) if isinstance(speech.client, int) else speech.client
        dialogue = f"{speech.protocol} {client}"
        result.append(Event(
            point=step.point, way=step.way, headers=tuple(headers.items()), dialogue=dialogue, forward=speech.forward,
            packet=(dialogue, speech.forward, *_identity(packet), _maker(packet)), text=_text(packet, renamed),
            flags=_flags(packet), name_answer=headers.get("udp.sport") == DNS, broadcast=_broadcast(packet),
            later_fragment=speech.protocol == FRAGMENT,
            bridge_tap=step.way == "in" and step.point in bridges, at=step.at,
        ))
    return result


class _Tunnels:
    """The source port that each flow through a tunnel was seen with first, and those that TCP went on with."""

    def __init__(self) -> None:
        self.ports: dict[tuple[Any, ...], set[int]] = {}
        self.seen: Counter[tuple[Any, ...]] = Counter()
        self.again: dict[tuple[Any, ...], int] = {}

    def checked(self, packet: Packet, headers: dict[str, Any], point: str) -> dict[str, Any]:
        """The headers, with VXLAN's source port by what it must fulfil."""
        if packet.vxlan is None or packet.inner is None or packet.ip is None or not isinstance(packet.l4, Udp):
            return headers
        inner, port = packet.inner, packet.l4.sport
        ends: tuple[Any, ...] = ()
        if inner.ip is not None:
            ends = inner.ip.src, inner.ip.dst, inner.ip.proto
            if isinstance(inner.l4, Tcp | Udp) and not inner.ip.mf:
                ends += inner.l4.sport, inner.l4.dport
            if isinstance(inner.l4, Tcp):  # a complete checksum: not the connection's own, but a time-wait socket's
                ends += (inner.csum == "valid",)
        flow = packet.ip.src, packet.ip.dst, packet.vxlan.vni, *ends
        if port in EPHEMERAL and self._fits(flow, port, inner, point):
            headers["udp.sport"] = "flow hash"
        return headers

    def _fits(self, flow: tuple[Any, ...], port: int, inner: Packet, point: str) -> bool:
        known = self.ports.setdefault(flow, {port})
        if isinstance(inner.l4, Tcp):
            segment = (*flow, *_identity(inner))
            self.seen[segment, point] += 1
            if (times := self.seen[segment, point]) > 1 and self.again.setdefault((*segment, times), port) == port:
                known.add(port)
        return port in known


def _maker(packet: Packet) -> str:
    """Of two acknowledgements of the same, which: a socket leaves the checksum to the device, what is left of a closed
    one completes it. (IPsec completes it as well; there an acknowledgement counts as another behind the tunnel.)"""
    packet = core(packet)
    return packet.csum if isinstance(packet.l4, Tcp) and packet.l4.flags == TcpFlag.ACK and not packet.payload else ""


def _identity(packet: Packet) -> tuple[Any, ...]:
    """What no hop changes."""
    packet = core(packet)
    if packet.arp is not None:
        return ("arp", packet.arp.op)
    match packet.l4:
        case Tcp(flags=flags, seq=seq, ack=ack):
            return ("tcp", int(flags), seq, ack, len(packet.payload))
        case Udp():
            return ("udp", len(packet.payload))
        case Icmp(type=kind, code=code, seq=seq):
            return ("icmp", int(kind), int(code), seq, *(_identity(packet.inner) if packet.inner else ()))
    if packet.esp is not None:
        return ("esp", packet.esp.seq, len(packet.payload))
    header = packet.ip  # a fragment but the first
    return ("ip", len(packet.payload), *((header.src, header.dst, header.offset) if header else ()))


def _headers(
    packet: Packet, renamed: dict[int, str], named: Collection[int], drawn: Collection[int]
) -> dict[str, Any]:
    """`Packet.fields()` without what is not compared, ephemeral ports by their names."""
    headers = {}
    for name, value in packet.fields().items():
        if packet.vxlan is not None and name == "udp.sport":
            headers[name] = value
            continue
        if name.endswith(PORTS) and value in drawn and value not in named:
            value = renamed.setdefault(value, f"eph{len(renamed) + 1}")
        headers[name] = value
    return headers


def _text(packet: Packet, renamed: Mapping[int, str]) -> str:
    text = str(packet)
    for port, name in renamed.items():
        text = text.replace(f":{port} ", f":{name} ")
    if isinstance(packet.l4, Udp) and text.endswith(f":{packet.l4.dport}"):
        text = text.removesuffix(str(packet.l4.dport)) + str(renamed.get(packet.l4.dport, packet.l4.dport))
    return text


def _flags(packet: Packet) -> int:
    l4 = core(packet).l4
    return int(l4.flags) if isinstance(l4, Tcp) else 0


def _broadcast(packet: Packet) -> bool:
    return packet.eth is not None and packet.eth.dst == BROADCAST
