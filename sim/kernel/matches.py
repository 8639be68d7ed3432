"""What a match extension is, and those that are about neither ports nor connections: mark, comment, addrtype, physdev.

Each match is a value: two rules are the same when their matches are equal, and `text()` is what iptables-save prints
for it. `test()` compiles it to a closure over plain ints and strings. Files of the kernel: net/netfilter/xt_mark.c,
xt_addrtype.c, xt_physdev.c, xt_comment.c. Left out: limit, set, recent, time, owner and the other matches that no
rule of Docker's uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from sim.kernel.arguments import (
    device_name,
    device_test,
    inverted_mark,
    not_inverted,
    number,
    one_only,
    quoted,
    usage,
)
from sim.kernel.hooks import HookState, Test
from sim.packet import Packet


@dataclass(frozen=True, slots=True)
class View:
    """What a rule may ask of the namespace that it stands in."""

    is_local: Callable[[int], bool]
    is_broadcast: Callable[[int], bool]
    address_of: Callable[[str], int | None]


class Match:
    """One `-m NAME` of a rule. `options`: option -> how many values it takes; `aliases`: other spellings."""

    name: ClassVar[str]
    options: ClassVar[dict[str, int]]
    aliases: ClassVar[dict[str, str]] = {}
    needs_conntrack: ClassVar[bool] = False
    only_for: ClassVar[int] = 0
    """The protocol without which the kernel does not take it (xt_check_match); 0: any."""

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        """One option of the command line."""
        raise NotImplementedError

    def check(self, protocol: int, inverted: bool) -> None:
        """The command line is read: is the match complete, and does it fit `-p`?"""

    def text(self) -> str:
        """What iptables-save prints."""
        raise NotImplementedError

    def test(self, view: View) -> Test | None:
        """The compiled match; None when it is always true."""
        raise NotImplementedError


@dataclass
class CommentMatch(Match):
    name: ClassVar[str] = "comment"
    options: ClassVar[dict[str, int]] = {"--comment": 1}

    comment: str | None = None

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        not_inverted(self.name, option, inverted)
        one_only(self.name, option, self.comment is not None)
        self.comment = values[0]

    def check(self, protocol: int, inverted: bool) -> None:
        if self.comment is None:
            raise usage('comment: option "--comment" must be specified')

    def text(self) -> str:
        return f"-m comment --comment {quoted(self.comment or '')}"

    def test(self, view: View) -> Test | None:
        return None


@dataclass
class MarkMatch(Match):
    name: ClassVar[str] = "mark"
    options: ClassVar[dict[str, int]] = {"--mark": 1}

    mark: int | None = None
    mask: int = 0xFFFFFFFF
    inverted: bool = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        one_only(self.name, option, self.mark is not None)
        mark, slash, mask = values[0].partition("/")
        parsed, limit = number(mark), number(mask) if slash else 0xFFFFFFFF
        if parsed is None or limit is None:
            raise usage('mark: bad integer value for option "--mark", or out of range.')
        self.mark, self.mask, self.inverted = parsed, limit, inverted

    def check(self, protocol: int, inverted: bool) -> None:
        if self.mark is None:
            raise usage('mark: option "--mark" must be specified')

    def text(self) -> str:
        mask = "" if self.mask == 0xFFFFFFFF else f"/{self.mask:#x}"
        return f"-m mark {inverted_mark(self.inverted)}--mark {self.mark or 0:#x}{mask}"

    def test(self, view: View) -> Test | None:
        wanted, mask, inverted = self.mark, self.mask, self.inverted
        return lambda packet, state: (packet.mark & mask == wanted) is not inverted


ADDRESS_TYPES = ("UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE",
                 "PROHIBIT", "THROW", "NAT", "XRESOLVE")


def address_type(address: int, view: View) -> str:
    """inet_addr_type: what the local routing table calls an address."""
    if address >> 28 == 0xE:
        return "MULTICAST"
    if address in (0, 0xFFFFFFFF):
        return "BROADCAST"
    if view.is_local(address):
        return "LOCAL"
    return "BROADCAST" if view.is_broadcast(address) else "UNICAST"


@dataclass
class AddrtypeMatch(Match):
    """`-m addrtype --src-type T[,T] --dst-type T[,T]`. Without `--limit-iface-in/out`, which are refused."""

    name: ClassVar[str] = "addrtype"
    options: ClassVar[dict[str, int]] = {"--src-type": 1, "--dst-type": 1}

    src: tuple[frozenset[str], bool] | None = None
    dst: tuple[frozenset[str], bool] | None = None

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        one_only(self.name, option, self.src if option == "--src-type" else self.dst)
        names = values[0].upper().split(",")
        for name, given in zip(names, values[0].split(","), strict=True):
            if name not in ADDRESS_TYPES:
                raise usage(f'addrtype: bad type "{given}"')
        if option == "--src-type":
            self.src = frozenset(names), inverted
        else:
            self.dst = frozenset(names), inverted

    def check(self, protocol: int, inverted: bool) -> None:
        if self.src is None and self.dst is None:
            raise usage("addrtype: you must specify --src-type or --dst-type")

    def text(self) -> str:
        parts = ["-m addrtype"]
        for option, types in (("--src-type", self.src), ("--dst-type", self.dst)):
            if types is not None:
                names = ",".join(name for name in ADDRESS_TYPES if name in types[0])
                parts.append(f"{inverted_mark(types[1])}{option} {names}")
        return " ".join(parts)

    def test(self, view: View) -> Test | None:
        src, dst, is_local = self.src, self.dst, view.is_local
        if src is None and dst == (frozenset({"LOCAL"}), False):  # the one that Docker uses

            def local(packet: Packet, state: HookState) -> bool:
                assert packet.ip is not None
                return is_local(packet.ip.dst)
            return local

        def addrtype(packet: Packet, state: HookState) -> bool:
            assert packet.ip is not None
            if src is not None and (address_type(packet.ip.src, view) in src[0]) is src[1]:
                return False
            return dst is None or (address_type(packet.ip.dst, view) in dst[0]) is not dst[1]
        return addrtype


@dataclass
class PhysdevMatch(Match):
    """`-m physdev`: the bridge ports of a frame that br_netfilter shows to iptables."""

    name: ClassVar[str] = "physdev"
    options: ClassVar[dict[str, int]] = {
        "--physdev-in": 1, "--physdev-out": 1, "--physdev-is-in": 0, "--physdev-is-out": 0, "--physdev-is-bridged": 0}

    given: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """option -> (device, inverted)"""

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        one_only(self.name, option, option in self.given)
        self.given[option] = (device_name(values[0]) if values else "", inverted)

    def check(self, protocol: int, inverted: bool) -> None:
        if not self.given:
            raise usage("PHYSDEV: no physdev option specified")

    def text(self) -> str:
        parts = ["-m physdev"]
        for option in ("--physdev-is-in", "--physdev-in", "--physdev-is-out", "--physdev-out", "--physdev-is-bridged"):
            if option in self.given:
                device, inverted = self.given[option]
                parts.append(f"{inverted_mark(inverted)}{option}{' ' if device else ''}{device}")
        return " ".join(parts)

    def test(self, view: View) -> Test | None:
        tests: list[Test] = []
        for option, (device, inverted) in self.given.items():
            attribute = "physout" if "out" in option else "physin"
            if device:
                named = device_test(device, inverted, attribute)
                if named is not None:
                    tests.append(named)
            elif option == "--physdev-is-bridged":
                tests.append(_bridged(inverted))
            else:
                tests.append(_has(attribute, inverted))
        return lambda packet, state: all(test(packet, state) for test in tests)


def _bridged(inverted: bool) -> Test:
    """In by one port and out by another, not routed."""
    return lambda packet, state: bool(state.physin and state.physout) is not inverted


def _has(attribute: str, inverted: bool) -> Test:
    return lambda packet, state: bool(getattr(state, attribute)) is not inverted
