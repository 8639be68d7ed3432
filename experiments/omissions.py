"""What is left out of the comparison of two traces, and why. Each such rule is in this list; there are no others.

======================  ==============================================================================================
left out                why
======================  ==============================================================================================
ephemeral ports         32768-60999, and where a container has a range of its own (the sysctl ip_local_port_range) that
                        one as well: the kernel draws them at random. They become eph1, eph2, ... in the order in
                        which a trace first shows them. Ports that the topology or the dial names (`fixed`) keep
                        their numbers.
IP ident                random or a counter; nothing in Docker's networks depends on it. (`Packet` has no such field.)
reconfirming ARP        a unicast ARP request and its answer: the neighbour table checks an entry that went stale,
                        about five seconds after use and for no packet's sake (NUD_PROBE). Asking for an unknown
                        neighbour is a broadcast, and is compared.
IGMP                    an interface announces its multicast groups when it comes up, and again when it likes; Hopcast
                        asks nothing by multicast.
other questions' tails  a frame whose ports or ICMP ident are the source port of another question's dial (`others`); a
                        TCP segment of an ephemeral port of which no SYN is in the trace; an answer of port 53 to a
                        query that is not in the trace. With no frame lost, each of these began before this question.
swarm's control plane   TCP and UDP from or to the ports 2377 and 7946, and ICMP errors that quote such: managers and
                        gossip talk several times a second, whatever is asked, and to engines that were killed as well.
                        Where the topology names such a port, it is compared.
routed ipvlan's header  what an ipvlan device without ARP sends shows no Ethernet addresses, on either side: the host
                        that routes it has written its own into the same bytes before anybody reads them.
after the window        frames later than `until`, on both sides: nobody looked on.
======================  ==============================================================================================

The names of ephemeral ports are given in `dialogue.py`, and headers that nobody sees are missing from packets on both
sides; the other rules take whole frames out, and are here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from sim.packet import BROADCAST, Icmp, Packet, Tcp, TcpFlag, Udp
from sim.spec import Dial
from sim.trace import Kind, Step, Trace

EPHEMERAL = range(32768, 61000)
"""net.ipv4.ip_local_port_range, as Linux ships it."""
DNS = 53
IGMP = 2
SWARM_PORTS = frozenset({2377, 7946})
"""The manager's API and gossip (docs.docker.com/engine/swarm/swarm-tutorial)."""


def compared(
    trace: Trace,
    points: Iterable[str],
    *,
    dial: Dial | None = None,
    others: Collection[int] = (),
    fixed: Collection[int] = (),
    drawn: Collection[int] = EPHEMERAL,
    until: float | None = None,
) -> list[Step]:
    """The frames at `points` that stay, in the trace's order. The keywords are those of `dialogue.events`."""
    wanted = set(points)
    steps = [s for s in trace if s.kind is Kind.SEEN and s.point in wanted and s.packet is not None
             and not (s.packet.ip and s.packet.ip.proto == IGMP) and (until is None or s.at <= until)]
    own = dial.source_port if dial else None
    steps = _without_control_plane(steps, SWARM_PORTS - {*fixed, dial.port if dial else 0})
    steps = _without_others(steps, frozenset(others) - {own})
    steps = _without_reconfirmation(steps)
    return _without_earlier_connections(steps, own, drawn)


def core(packet: Packet) -> Packet:
    """The datagram without the tunnel around it."""
    return core(packet.inner) if packet.vxlan is not None and packet.inner is not None else packet


def _innermost(packet: Packet) -> Packet:
    """The datagram that all this is about: through VXLAN, and through an ICMP error to what it quotes."""
    while packet.inner is not None:
        packet = packet.inner
    return packet


def _without_control_plane(steps: list[Step], ports: frozenset[int]) -> list[Step]:
    """What swarm's own programs say to each other, and errors about that."""

    def theirs(step: Step) -> bool:
        packet = step.packet
        assert packet is not None
        quoted = packet.inner if isinstance(packet.l4, Icmp) else None
        match (quoted or packet).l4:
            case Tcp(sport=s, dport=d) | Udp(sport=s, dport=d):
                return s in ports or d in ports
        return False

    return [s for s in steps if not theirs(s)]


def _without_others(steps: list[Step], others: frozenset[int | None]) -> list[Step]:
    """Frames of another question's dial, by its source port (which is also its ICMP ident)."""

    def theirs(step: Step) -> bool:
        assert step.packet is not None
        match _innermost(step.packet).l4:
            case Tcp(sport=s, dport=d) | Udp(sport=s, dport=d):
                return s in others or d in others
            case Icmp(ident=ident):
                return ident in others
        return False

    return [s for s in steps if not theirs(s)] if others else steps


def _without_reconfirmation(steps: list[Step]) -> list[Step]:
    """Unicast ARP requests, and at each point as many answers as there were of them."""
    owed: Counter[tuple[str, int, int]] = Counter()
    kept = []
    for step in steps:
        packet = step.packet
        assert packet is not None
        if packet.arp is not None and packet.eth is not None:
            arp = packet.arp
            if arp.op == 1 and packet.eth.dst != BROADCAST:
                owed[step.point, arp.target_ip, arp.sender_ip] += 1
                continue
            answer = step.point, arp.sender_ip, arp.target_ip
            if arp.op == 2 and owed[answer]:
                owed[answer] -= 1
                continue
        kept.append(step)
    return kept


def _without_earlier_connections(steps: list[Step], own: int | None, drawn: Collection[int]) -> list[Step]:
    """TCP of ephemeral ports without a SYN here, and answers of a name server to queries that are not here."""
    opened, asked = set(), set()
    for step in steps:
        assert step.packet is not None
        match core(step.packet).l4:
            case Tcp(sport=sport, flags=flags) if flags & TcpFlag.SYN and not flags & TcpFlag.ACK:
                opened.add(sport)
            case Udp(sport=sport) if sport != DNS:
                asked.add(sport)

    def earlier(step: Step) -> bool:
        assert step.packet is not None
        match _innermost(step.packet).l4:
            case Tcp(sport=s, dport=d) if own not in (s, d):
                client = s if s in drawn else d
                return client in drawn and not {s, d} & opened
            case Udp(sport=s, dport=d) if own not in (s, d):
                return s == DNS and d in drawn and d not in asked
        return False

    return [s for s in steps if not earlier(s)]
