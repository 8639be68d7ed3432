"""The matches that ask connection tracking: `-m conntrack` and the older `-m state` (net/netfilter/xt_conntrack.c).

A packet without a connection is INVALID, or UNTRACKED after NOTRACK; it fails every other question about a connection.
Left out: `--ctexpire`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sim.kernel.arguments import (
    inverted_mark,
    network,
    network_text,
    not_inverted,
    one_only,
    port_range,
    ports_text,
    protocol,
    usage,
)
from sim.kernel.connection import ORIGINAL, CtInfo, Status, Tracked
from sim.kernel.hooks import HookState, Test
from sim.kernel.matches import Match, View
from sim.packet import Packet, dotted

# in the order in which iptables prints them; INVALID must stay first (bit 1), the others follow CtInfo
STATES = {"INVALID": 1, "NEW": 8, "RELATED": 4, "ESTABLISHED": 2, "UNTRACKED": 64, "SNAT": 128, "DNAT": 256}
OF_CTINFO = {
    CtInfo.ESTABLISHED: 2, CtInfo.ESTABLISHED_REPLY: 2, CtInfo.RELATED: 4, CtInfo.RELATED_REPLY: 4,
    CtInfo.NEW: 8, CtInfo.UNTRACKED: 64,
}
STATUSES = {"EXPECTED": Status.EXPECTED, "SEEN_REPLY": Status.SEEN_REPLY, "ASSURED": Status.ASSURED,
            "CONFIRMED": Status.CONFIRMED}


def state_bits(packet: Packet) -> int:
    """The bits of STATES that are true of a packet."""
    tracked: Tracked | None = packet.ct
    if tracked is None:
        return 1
    bits = OF_CTINFO[tracked.ctinfo]
    if tracked.entry is not None:
        status = tracked.entry.status
        bits |= (128 if status & Status.SNAT else 0) | (256 if status & Status.DNAT else 0)
    return bits


def _states(text: str, problem: str, names: dict[str, int]) -> int:
    value = 0
    for name in text.split(","):
        if name.upper() not in names:
            raise usage(f'{problem} "{name}"')
        value |= names[name.upper()]
    return value


def _states_text(value: int, names: dict[str, int]) -> str:
    return ",".join(name for name, bit in names.items() if value & bit)


@dataclass
class StateMatch(Match):
    """`-m state --state`: as `--ctstate`, without SNAT and DNAT."""

    name: ClassVar[str] = "state"
    options: ClassVar[dict[str, int]] = {"--state": 1}
    needs_conntrack: ClassVar[bool] = True
    names: ClassVar[dict[str, int]] = {name: bit for name, bit in STATES.items() if bit < 128}

    states: int = 0
    inverted: bool = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        one_only(self.name, option, self.states)
        self.states, self.inverted = _states(values[0], "Bad state", self.names), inverted

    def check(self, protocol: int, inverted: bool) -> None:
        if not self.states:
            raise usage('state: option "--state" must be specified')

    def text(self) -> str:
        return f"-m state {inverted_mark(self.inverted)}--state {_states_text(self.states, self.names)}"

    def test(self, view: View) -> Test | None:
        return _state_test(self.states, self.inverted)


def _state_test(states: int, inverted: bool) -> Test:
    if inverted:
        return lambda packet, state: not state_bits(packet) & states
    return lambda packet, state: state_bits(packet) & states != 0


ADDRESSES = {"--ctorigsrc": (0, "src"), "--ctorigdst": (0, "dst"), "--ctreplsrc": (1, "src"), "--ctrepldst": (1, "dst")}
PORTS = {"--ctorigsrcport": (0, "sport"), "--ctorigdstport": (0, "dport"), "--ctreplsrcport": (1, "sport"),
         "--ctrepldstport": (1, "dport")}


@dataclass
class ConntrackMatch(Match):
    """`-m conntrack`: state, tuples, status and direction of the packet's connection."""

    name: ClassVar[str] = "conntrack"
    options: ClassVar[dict[str, int]] = dict.fromkeys(
        ("--ctstate", "--ctproto", *ADDRESSES, *PORTS, "--ctstatus", "--ctdir"), 1)
    needs_conntrack: ClassVar[bool] = True

    given: dict[str, tuple[int, int, bool]] = field(default_factory=dict)
    """option -> (value, mask or upper end, inverted)"""

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        one_only(self.name, option, option in self.given)
        value, other = values[0], 0
        if option == "--ctstate":
            number = _states(value, "Bad ctstate", STATES)
        elif option == "--ctstatus":
            number = _states(value, "Bad ctstatus", STATUSES | {"NONE": 0})
        elif option == "--ctproto":
            number = protocol(value)
        elif option in ADDRESSES:
            number, other = network(value)
        elif option in PORTS:
            number, other = port_range(value)
        else:
            not_inverted(self.name, option, inverted)
            if value.upper() not in ("ORIGINAL", "REPLY"):
                raise usage(f'conntrack: Bad value for "--ctdir" option: "{value}"')
            number = ORIGINAL if value.upper() == "ORIGINAL" else 1
        self.given[option] = number, other, inverted

    def check(self, protocol: int, inverted: bool) -> None:
        if not self.given:
            raise usage("conntrack: At least one option is required")

    def text(self) -> str:
        parts = ["-m conntrack"]
        for option in self.options:
            if option in self.given:
                value, other, inverted = self.given[option]
                parts.append(f"{inverted_mark(inverted)}{option} {_value_text(option, value, other)}")
        return " ".join(parts)

    def drops_invalid(self) -> bool:
        """Does it ask for INVALID (and not for its inverse)?"""
        states, _, inverted = self.given.get("--ctstate", (0, 0, False))
        return bool(states & STATES["INVALID"]) and not inverted

    def test(self, view: View) -> Test | None:
        states, _, inverted = self.given.get("--ctstate", (0, 0, False))
        first = _state_test(states, inverted) if states else None
        if first is not None and len(self.given) == 1:
            return first
        rest = [(option, *value) for option, value in self.given.items() if option != "--ctstate"]

        def conntrack(packet: Packet, state: HookState) -> bool:
            tracked: Tracked | None = packet.ct
            if first is not None and not first(packet, state):
                return False
            if tracked is None or tracked.entry is None:
                return first is not None
            return all(_holds(tracked, option, value, other) is not inverse for option, value, other, inverse in rest)
        return conntrack


def _holds(tracked: Tracked, option: str, value: int, other: int) -> bool:
    entry = tracked.entry
    assert entry is not None
    if option in ADDRESSES:
        direction, side = ADDRESSES[option]
        return bool(getattr(entry.tuple_in(direction), side) & other == value)
    if option in PORTS:
        direction, side = PORTS[option]
        return bool(value <= getattr(entry.tuple_in(direction), side) <= other)
    if option == "--ctproto":
        return entry.original.proto == value
    if option == "--ctstatus":
        return bool(entry.status & value)
    return tracked.ctinfo.direction == value


def _value_text(option: str, value: int, other: int) -> str:
    if option == "--ctstate":
        return _states_text(value, STATES)
    if option == "--ctstatus":
        return _states_text(value, STATUSES)
    if option in ADDRESSES:
        return dotted(value) if other == 0xFFFFFFFF else network_text(value, other)
    if option in PORTS:
        return ports_text((value, other))
    if option == "--ctdir":
        return "REPLY" if value else "ORIGINAL"
    return str(value)
