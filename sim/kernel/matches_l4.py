"""The matches that look at the transport header: `-m tcp`, `-m udp`, `-m sctp`, `-m icmp`, `-m multiport`.

A packet without one (a later fragment) matches none of them, inverted or not. Left out: `--tcp-option`, SCTP's chunks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sim.kernel.arguments import PROTOCOLS, inverted_mark, number, port, port_range, ports_text, usage
from sim.kernel.hooks import HookState, Test
from sim.kernel.matches import Match, View
from sim.packet import Icmp, Packet, Proto, Tcp, Udp

Ports = tuple[tuple[int, int], bool]
"""A range of ports, and whether it is inverted."""


def _ports(text: str, inverted: bool) -> Ports | None:
    """The nf_tables backend writes the inverse of a range that begins at 0 as what is left, and drops one that is
    all."""
    low, high = port_range(text)
    if inverted and low == 0 and high > 0:
        return ((high + 1, 65535), False) if high < 65535 else None
    return (low, high), inverted


def _in(ports: Ports) -> tuple[int, int, bool]:
    return ports[0][0], ports[0][1], not ports[1]


@dataclass
class PortMatch(Match):
    """What tcp and udp share: `--sport` and `--dport`."""

    options: ClassVar[dict[str, int]] = {"--source-port": 1, "--destination-port": 1}
    aliases: ClassVar[dict[str, str]] = {"--sport": "--source-port", "--dport": "--destination-port"}
    protocol: ClassVar[int]
    transport: ClassVar[type[Tcp] | type[Udp]]

    sport: Ports | None = None
    dport: Ports | None = None
    shown: bool = field(default=True)
    """False when nothing is left of it but an inverse of all ports: iptables-save then shows no match at all."""
    _given: set[str] = field(default_factory=set, compare=False)

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        if option in self._given:
            raise usage(f"Only one `{option}' allowed")
        self._given.add(option)
        ports = _ports(values[0], inverted)
        if ports == ((0, 65535), False):
            return
        if option == "--source-port":
            self.sport = ports
        else:
            self.dport = ports
        if ports is None:
            self.shown = False

    def check(self, protocol: int, inverted: bool) -> None:
        if protocol != self.protocol or inverted:
            raise usage(f"{self.name.upper()} match requires '-p {self.name}'")
        self.shown = self.shown or self._says_something()

    def _says_something(self) -> bool:
        return self.sport is not None or self.dport is not None

    def text(self) -> str:
        parts = [f"-m {self.name}"] if self.shown else []
        for option, ports in (("--sport", self.sport), ("--dport", self.dport)):
            if ports is not None:
                parts.append(f"{inverted_mark(ports[1])}{option} {ports_text(ports[0])}")
        return " ".join(parts)

    def test(self, view: View) -> Test | None:
        transport = self.transport
        if self.sport is None and self.dport is not None and not self.dport[1] and self.dport[0][0] == self.dport[0][1]:
            only = self.dport[0][0]

            def dport(packet: Packet, state: HookState) -> bool:
                l4 = packet.l4
                return isinstance(l4, transport) and l4.dport == only
            return dport
        low, high, wanted = _in(self.sport or ((0, 65535), False))
        dlow, dhigh, dwanted = _in(self.dport or ((0, 65535), False))

        def both(packet: Packet, state: HookState) -> bool:
            l4 = packet.l4
            return isinstance(l4, transport) and (low <= l4.sport <= high) is wanted and (
                (dlow <= l4.dport <= dhigh) is dwanted)
        return both


@dataclass
class UdpMatch(PortMatch):
    name: ClassVar[str] = "udp"
    protocol: ClassVar[int] = Proto.UDP
    transport: ClassVar[type[Tcp] | type[Udp]] = Udp


@dataclass
class SctpMatch(Match):
    """`-m sctp`: its ports, as they were given. Nothing in the model sends SCTP, so no packet has any
    (net/netfilter/xt_sctp.c)."""

    name: ClassVar[str] = "sctp"
    options: ClassVar[dict[str, int]] = PortMatch.options
    aliases: ClassVar[dict[str, str]] = PortMatch.aliases
    only_for: ClassVar[int] = PROTOCOLS["sctp"]

    ports: dict[str, Ports] = field(default_factory=dict)

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        if option in self.ports:
            raise usage(f"Only one `{option}' allowed")
        self.ports[option] = port_range(values[0]), inverted

    def text(self) -> str:
        given = [(short, self.ports[option]) for short, option in self.aliases.items() if option in self.ports]
        return " ".join(["-m sctp", *(f"{inverted_mark(ports[1])}{short} {ports_text(ports[0])}"
                                      for short, ports in given)])

    def test(self, view: View) -> Test | None:
        return (lambda packet, state: False) if self.ports else None


# in the order in which iptables prints them
TCP_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32}


def _flags(text: str) -> int:
    value = 0
    for given in text.split(","):
        name = given.upper()
        if name not in TCP_FLAGS and name not in ("ALL", "NONE"):
            raise usage(f"Unknown TCP flag `{given}'")
        value |= {"ALL": 63, "NONE": 0}.get(name, TCP_FLAGS.get(name, 0))
    return value


def _flags_text(value: int) -> str:
    return ",".join(name for name, bit in TCP_FLAGS.items() if value & bit) or "NONE"


@dataclass
class TcpMatch(PortMatch):
    name: ClassVar[str] = "tcp"
    protocol: ClassVar[int] = Proto.TCP
    transport: ClassVar[type[Tcp] | type[Udp]] = Tcp
    options: ClassVar[dict[str, int]] = PortMatch.options | {"--tcp-flags": 2, "--syn": 0}

    flags: tuple[int, int, bool] | None = None
    """(mask, compare, inverted)"""

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        if option not in ("--tcp-flags", "--syn"):
            super().take(option, inverted, values)
            return
        if self.flags is not None:
            raise usage("Only one of `--syn' or `--tcp-flags'  allowed")
        mask, compare = map(_flags, ["FIN,SYN,RST,ACK", "SYN"] if option == "--syn" else values)
        if mask == 0 and compare == 0:
            # no condition at all; the backend forgets the match when it is the inverse
            self.shown = self.shown and not inverted
            return
        self.flags = mask, compare, inverted

    def _says_something(self) -> bool:
        return super()._says_something() or self.flags is not None

    def text(self) -> str:
        if self.flags is None:
            return super().text()
        mask, compare, inverted = self.flags
        return f"{super().text()} {inverted_mark(inverted)}--tcp-flags {_flags_text(mask)} {_flags_text(compare)}"

    def test(self, view: View) -> Test | None:
        ports = super().test(view)
        if self.flags is None or ports is None:
            return ports
        mask, compare, inverted = self.flags

        def flagged(packet: Packet, state: HookState) -> bool:
            l4 = packet.l4
            return isinstance(l4, Tcp) and ports(packet, state) and (l4.flags & mask == compare) is not inverted
        return flagged


ANY_ICMP = 255
# name -> (type, code or None for any): libxt_icmp.h
ICMP_TYPES: dict[str, tuple[int, int | None]] = {
    "any": (ANY_ICMP, None), "echo-reply": (0, None), "pong": (0, None), "destination-unreachable": (3, None),
    "network-unreachable": (3, 0), "host-unreachable": (3, 1), "protocol-unreachable": (3, 2),
    "port-unreachable": (3, 3),
    "fragmentation-needed": (3, 4), "source-route-failed": (3, 5), "network-unknown": (3, 6), "host-unknown": (3, 7),
    "network-prohibited": (3, 9), "host-prohibited": (3, 10), "TOS-network-unreachable": (3, 11),
    "TOS-host-unreachable": (3, 12), "communication-prohibited": (3, 13), "host-precedence-violation": (3, 14),
    "precedence-cutoff": (3, 15), "source-quench": (4, None), "redirect": (5, None), "network-redirect": (5, 0),
    "host-redirect": (5, 1), "TOS-network-redirect": (5, 2), "TOS-host-redirect": (5, 3), "echo-request": (8, None),
    "ping": (8, None), "router-advertisement": (9, None), "router-solicitation": (10, None),
    "time-exceeded": (11, None),
    "ttl-exceeded": (11, None), "ttl-zero-during-transit": (11, 0), "ttl-zero-during-reassembly": (11, 1),
    "parameter-problem": (12, None), "ip-header-bad": (12, 0), "required-option-missing": (12, 1),
    "timestamp-request": (13, None), "timestamp-reply": (14, None), "address-mask-request": (17, None),
    "address-mask-reply": (18, None),
}


@dataclass
class IcmpMatch(Match):
    """`-m icmp --icmp-type TYPE[/CODE]`, by name or number."""

    name: ClassVar[str] = "icmp"
    options: ClassVar[dict[str, int]] = {"--icmp-type": 1}

    kind: tuple[int, int | None] | None = None
    inverted: bool = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        if self.kind is not None:
            raise usage(f'icmp: option "{option}" can only be used once.')
        self.inverted = inverted
        text = values[0]
        named = [kind for name, kind in ICMP_TYPES.items() if name.lower().startswith(text.lower())]
        exact = next((kind for name, kind in ICMP_TYPES.items() if name.lower() == text.lower()), None)
        kind, slash, code = text.partition("/")
        if exact is not None or len(named) == 1:
            self.kind = exact or named[0]
        elif (value := number(kind, 255)) is None or (slash and number(code, 255) is None):
            raise usage(f"Unknown ICMP type `{text}'")
        else:
            self.kind = value, number(code, 255) if slash else None

    def check(self, protocol: int, inverted: bool) -> None:
        if protocol != Proto.ICMP or inverted:
            raise usage("ICMP match requires '-p icmp'")
        if self.kind is None:
            raise usage('icmp: option "--icmp-type" must be specified')

    def text(self) -> str:
        kind, code = self.kind or (ANY_ICMP, None)
        shown = "any" if kind == ANY_ICMP else str(kind) if code is None else f"{kind}/{code}"
        return f"-m icmp {inverted_mark(self.inverted)}--icmp-type {shown}"

    def test(self, view: View) -> Test | None:
        kind, code = self.kind or (ANY_ICMP, None)
        inverted = self.inverted

        def icmp(packet: Packet, state: HookState) -> bool:
            l4 = packet.l4
            return isinstance(l4, Icmp) and (
                kind == ANY_ICMP or (l4.type == kind and (code is None or l4.code == code))) is not inverted
        return icmp


@dataclass
class MultiportMatch(Match):
    """`-m multiport --sports|--dports|--ports`, up to fifteen ports and ranges."""

    name: ClassVar[str] = "multiport"
    options: ClassVar[dict[str, int]] = {"--source-ports": 1, "--destination-ports": 1, "--ports": 1}
    aliases: ClassVar[dict[str, str]] = {"--sports": "--source-ports", "--dports": "--destination-ports"}

    which: str = ""
    ports: tuple[tuple[int, int], ...] = ()
    inverted: bool = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        if self.which:
            raise usage(f'multiport: option "{option}" cannot be used together with "{self.which}".')
        self.which, self.inverted = option, inverted
        self.ports = tuple(
            port_range(part, problem="invalid portrange specified") if ":" in part else (port(part), port(part))
            for part in values[0].split(","))
        if any(":" in part and low == high for part, (low, high) in zip(values[0].split(","), self.ports, strict=True)):
            raise usage("invalid portrange specified")
        if sum(1 + (":" in part) for part in values[0].split(",")) > 15:
            raise usage("too many ports specified")

    def check(self, protocol: int, inverted: bool) -> None:
        if not protocol or inverted:
            raise usage("multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'")
        if protocol not in (Proto.TCP, Proto.UDP, 132, 136, 33):
            raise usage("multiport only works with TCP, UDP, UDPLITE, SCTP and DCCP")
        if not self.which:
            raise usage("multiport expection an option")

    def text(self) -> str:
        short = {"--source-ports": "--sports", "--destination-ports": "--dports", "--ports": "--ports"}[self.which]
        return f"-m multiport {inverted_mark(self.inverted)}{short} {','.join(ports_text(p) for p in self.ports)}"

    def test(self, view: View) -> Test | None:
        ports, inverted = self.ports, self.inverted
        source, destination = self.which != "--destination-ports", self.which != "--source-ports"

        def multiport(packet: Packet, state: HookState) -> bool:
            l4 = packet.l4
            if not isinstance(l4, Tcp | Udp):
                return False
            return any(
                (source and low <= l4.sport <= high) or (destination and low <= l4.dport <= high)
                for low, high in ports) is not inverted
        return multiport
