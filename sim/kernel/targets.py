"""What a rule does: the verdicts and the targets that Docker's rules use (net/netfilter/xt_*.c, ipt_REJECT.c).

`tables` and `hooks` are where the kernel lets a target stand. `action()` compiles it to an operation of the chain's
walk. LOG does nothing but show in the list. Left out: CONNMARK, TPROXY, SET, NFLOG and the rest.
The targets of the nat table are in `targets_nat.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, ClassVar

from sim.kernel.arguments import not_inverted, number, one_only, quoted, usage
from sim.kernel.connection import UNTRACKED
from sim.kernel.hooks import Hook, HookState
from sim.kernel.matches import View
from sim.kernel.nat import Nat
from sim.packet import Packet


class Op(Enum):
    """What the walk through a chain does after a rule matched."""

    CONTINUE = auto()
    ACCEPT = auto()
    DROP = auto()
    RETURN = auto()
    JUMP = auto()
    GOTO = auto()
    REJECT = auto()
    CALL = auto()
    """Call a function of (Packet, HookState, Nat), which changes the packet or its connection and says CONTINUE, ACCEPT
    or DROP."""


Action = tuple[Op, Any]
"""The operation, and what it needs: a chain's name, what to call, the kind of rejection."""


class Target:
    """One `-j NAME` of a rule."""

    name: ClassVar[str]
    options: ClassVar[dict[str, int]] = {}
    aliases: ClassVar[dict[str, str]] = {}
    tables: ClassVar[tuple[str, ...]] = ()
    """Empty: any."""
    hooks: ClassVar[frozenset[Hook]] = frozenset()
    """Empty: any."""
    needs_conntrack: ClassVar[bool] = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        """One option of the command line."""
        raise usage(f'unknown option "{option}"')

    def check(self, protocol: int, inverted: bool) -> bool:
        """The command line is read. Raises when it is incomplete; False when the kernel would refuse it (EINVAL)."""
        return True

    def text(self) -> str:
        """What iptables-save prints."""
        return f"-j {self.name}"

    def action(self, view: View) -> Action:
        return Op.CONTINUE, None


@dataclass
class Standard(Target):
    """ACCEPT, DROP, RETURN."""

    verdict: str

    def text(self) -> str:
        return f"-j {self.verdict}"

    def action(self, view: View) -> Action:
        return Op[self.verdict], None


VERDICTS = ("ACCEPT", "DROP", "RETURN")


@dataclass
class Jump(Target):
    """`-j CHAIN`, or `-g CHAIN`, which does not come back."""

    chain: str
    goto: bool = False

    def text(self) -> str:
        return f"-{'g' if self.goto else 'j'} {self.chain}"

    def action(self, view: View) -> Action:
        return (Op.GOTO if self.goto else Op.JUMP), self.chain


# --reject-with: iptables' name -> its alias
REJECT_WITH = {
    "icmp-net-unreachable": "net-unreach", "icmp-host-unreachable": "host-unreach",
    "icmp-proto-unreachable": "proto-unreach", "icmp-port-unreachable": "port-unreach",
    "icmp-net-prohibited": "net-prohib", "icmp-host-prohibited": "host-prohib", "tcp-reset": "tcp-rst",
    "icmp-admin-prohibited": "admin-prohib",
}


@dataclass
class Reject(Target):
    """Drop, and tell the sender."""

    name: ClassVar[str] = "REJECT"
    options: ClassVar[dict[str, int]] = {"--reject-with": 1}
    tables: ClassVar[tuple[str, ...]] = ("filter",)
    hooks: ClassVar[frozenset[Hook]] = frozenset({Hook.INPUT, Hook.FORWARD, Hook.OUTPUT})

    kind: str = "icmp-port-unreachable"

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        wanted = values[0].lower()
        for kind, alias in REJECT_WITH.items():
            if kind.startswith(wanted) or alias.startswith(wanted):
                self.kind = kind
                return
        raise usage(f'unknown reject type "{values[0]}"')

    def check(self, protocol: int, inverted: bool) -> bool:
        return self.kind != "tcp-reset" or (protocol == 6 and not inverted)

    def text(self) -> str:
        return f"-j REJECT --reject-with {self.kind}"

    def action(self, view: View) -> Action:
        return Op.REJECT, self.kind


LOG_LEVELS = {"emerg": 0, "panic": 0,
              "alert": 1, "crit": 2, "error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
LOG_FLAGS = ("--log-tcp-sequence", "--log-tcp-options", "--log-ip-options", "--log-uid", "--log-macdecode")


@dataclass
class Log(Target):
    """Write to the kernel's log. The model has none, so nothing happens."""

    name: ClassVar[str] = "LOG"
    options: ClassVar[dict[str, int]] = {"--log-level": 1, "--log-prefix": 1} | dict.fromkeys(LOG_FLAGS, 0)

    prefix: str = ""
    level: int = 4
    flags: frozenset[str] = field(default_factory=frozenset)

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        not_inverted(self.name, option, inverted)
        if option == "--log-prefix":
            if not values[0]:
                raise usage("Argument must have a minimum length of 1 characters")
            self.prefix = values[0][:29]
        elif option == "--log-level":
            level = LOG_LEVELS.get(values[0], number(values[0], 7))
            if level is None:
                raise usage(f'log level "{values[0]}" unknown')
            self.level = level
        else:
            self.flags |= {option}

    def text(self) -> str:
        parts = ["-j LOG"]
        if self.prefix:
            parts.append(f"--log-prefix {quoted(self.prefix)}")
        if self.level != 4:
            parts.append(f"--log-level {self.level}")
        return " ".join(parts + [flag for flag in LOG_FLAGS if flag in self.flags])


MARK_OPTIONS = ("--set-xmark", "--set-mark", "--and-mark", "--or-mark", "--xor-mark")


@dataclass
class Mark(Target):
    """Set the packet's mark: `mark = (mark & ~mask) ^ value`, to which all of its options come down."""

    name: ClassVar[str] = "MARK"
    options: ClassVar[dict[str, int]] = dict.fromkeys(MARK_OPTIONS, 1)

    value: int | None = None
    mask: int = 0xFFFFFFFF

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        one_only(self.name, option, self.value is not None)
        text, slash, limit = values[0].partition("/")
        value, mask = number(text), number(limit) if slash else 0xFFFFFFFF
        if value is None or mask is None:
            raise usage(f'MARK: bad integer value for option "{option}", or out of range.')
        self.value, self.mask = {
            "--set-xmark": (value, mask),
            "--set-mark": (value, value | mask),
            "--and-mark": (0, ~value & 0xFFFFFFFF),
            "--or-mark": (value, value),
            "--xor-mark": (value, 0),
        }[option]

    def check(self, protocol: int, inverted: bool) -> bool:
        if self.value is None:
            raise usage("MARK: One of the --set-xmark, --{and,or,xor,set}-mark options is required")
        return True

    def text(self) -> str:
        return f"-j MARK --set-xmark {self.value or 0:#x}/{self.mask:#x}"

    def action(self, view: View) -> Action:
        value, keep = self.value or 0, ~self.mask & 0xFFFFFFFF

        def mark(packet: Packet, state: HookState, nat: Nat) -> Op:
            packet.mark = packet.mark & keep ^ value
            return Op.CONTINUE
        return Op.CALL, mark


def _fill(packet: Packet, state: HookState, nat: Nat) -> Op:
    packet.csum = "valid"
    return Op.CONTINUE


@dataclass
class Checksum(Target):
    """Compute the checksum that was left to the device, for one that can't (net/netfilter/xt_CHECKSUM.c)."""

    name: ClassVar[str] = "CHECKSUM"
    options: ClassVar[dict[str, int]] = {"--checksum-fill": 0}
    tables: ClassVar[tuple[str, ...]] = ("mangle",)

    fill: bool = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        if self.fill:
            raise usage('CHECKSUM: option "--checksum-fill" can only be used once.')
        if inverted:
            raise usage('CHECKSUM: option "--checksum-fill" cannot be inverted.')
        self.fill = True

    def check(self, protocol: int, inverted: bool) -> bool:
        if not self.fill:
            raise usage('CHECKSUM: option "--checksum-fill" must be specified')
        return True

    def text(self) -> str:
        return "-j CHECKSUM --checksum-fill"

    def action(self, view: View) -> Action:
        return Op.CALL, _fill


def _untrack(packet: Packet, state: HookState, nat: Nat) -> Op:
    if packet.ct is None:
        packet.ct = UNTRACKED
    return Op.CONTINUE


@dataclass
class Notrack(Target):
    """Keep a packet out of connection tracking: its state is UNTRACKED, and no NAT touches it."""

    name: ClassVar[str] = "NOTRACK"
    tables: ClassVar[tuple[str, ...]] = ("raw",)

    def action(self, view: View) -> Action:
        return Op.CALL, _untrack


@dataclass
class Ct(Target):
    """`-j CT --notrack`: NOTRACK's newer name. Without zones, helpers and events."""

    name: ClassVar[str] = "CT"
    options: ClassVar[dict[str, int]] = {"--notrack": 0}
    tables: ClassVar[tuple[str, ...]] = ("raw",)

    notrack: bool = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        self.notrack = True

    def text(self) -> str:
        return "-j CT --notrack" if self.notrack else "-j CT"

    def action(self, view: View) -> Action:
        return (Op.CALL, _untrack) if self.notrack else (Op.CONTINUE, None)
