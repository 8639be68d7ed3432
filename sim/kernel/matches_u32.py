"""`-m u32`: four bytes at a computed place, against ranges of numbers (net/netfilter/xt_u32.c, libxt_u32.c).

    0>>22&0x3C@12&0xFFFFFF00=0x100100

reads the word at offset 0, shifts and masks it (here: to the length of the IP header), steps on by that much (`@`),
reads the word at offset 12 from there, masks it, and compares. Tests are joined by `&&`, all must hold; a place outside
the packet matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from sim.errors import PlumbError
from sim.kernel.arguments import inverted_mark, number, one_only, usage
from sim.kernel.hooks import HookState, Test
from sim.kernel.matches import Match, View
from sim.kernel.octets import octets
from sim.packet import Packet

WORD = 4
MOST_TESTS, MOST_PARTS = 10, 11
"""XT_U32_MAXSIZE, and the numbers or ranges that one test may have."""
OPERATORS = "&<>@"
NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


@dataclass(frozen=True, slots=True)
class Location:
    """`start`, then (operator, number) one after the other; `ranges` that the result may lie in."""

    start: int
    operations: tuple[tuple[str, int], ...]
    ranges: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        where = "".join(f"{operator}{value:#x}" for operator, value in self.operations)
        wanted = ",".join(f"{low:#x}" if low == high else f"{low:#x}:{high:#x}" for low, high in self.ranges)
        return f"{self.start:#x}{where}={wanted}"

    def holds(self, data: bytes) -> bool:
        """`u32_match_it`, for one test."""
        base, value = 0, _word(data, self.start)
        for operator, operand in self.operations:
            if value is None:
                return False
            match operator:
                case "&":
                    value &= operand
                case "<<":
                    value = value << operand & 0xFFFFFFFF
                case ">>":
                    value >>= operand
                case "@":
                    base += value
                    value = _word(data, base + operand)
        return value is not None and any(low <= value <= high for low, high in self.ranges)


def _word(data: bytes, at: int) -> int | None:
    return int.from_bytes(data[at:at + WORD], "big") if at + WORD <= len(data) else None


@dataclass
class U32Match(Match):
    name: ClassVar[str] = "u32"
    options: ClassVar[dict[str, int]] = {"--u32": 1}

    locations: tuple[Location, ...] = ()
    inverted: bool = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        one_only(self.name, option, self.locations)
        self.locations, self.inverted = tuple(_Reader(values[0]).tests()), inverted
        if len(self.locations) > MOST_TESTS:
            raise usage(f"u32: maximum of {MOST_TESTS} tests exceeded")

    def check(self, protocol: int, inverted: bool) -> None:
        if not self.locations:
            raise usage('u32: option "--u32" must be specified')

    def text(self) -> str:
        return f'-m u32 {inverted_mark(self.inverted)}--u32 "{"&&".join(map(str, self.locations))}"'

    def test(self, view: View) -> Test | None:
        locations, inverted = self.locations, self.inverted

        def u32(packet: Packet, state: HookState) -> bool:
            data = octets(packet)
            return all(location.holds(data) for location in locations) is not inverted
        return u32


class _Reader:
    """The expression, read as `u32_parse` does, with its complaints."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def wrong(self, what: str) -> PlumbError:
        return usage(f"u32: at char {self.at}: {what}")

    def rest(self) -> str:
        """What is left, without leading blanks."""
        self.at += len(self.text[self.at:]) - len(self.text[self.at:].lstrip())
        return self.text[self.at:]

    def number(self) -> int:
        found = NUMBER.match(self.rest())
        value = number(found[0]) if found else None
        if found is None or value is None:
            raise self.wrong("not a number or out of range")
        self.at += found.end()
        return value

    def tests(self) -> Iterator[Location]:
        while True:
            yield self._test()
            if not self.rest():
                return
            self.at += 1
            if not self.rest().startswith("&"):
                raise self.wrong("a second '&' was expected")
            self.at += 1

    def _test(self) -> Location:
        if self.rest().startswith("="):
            raise self.wrong("location spec missing")
        start, operations = self.number() if self.rest() else 0, []
        while not self.rest().startswith("="):
            operations.append((self._operator(), self.number()))
        self.at += 1
        if not self.rest():
            raise usage("u32: test ended with no value specified")
        ranges = [self._range()]
        while self.rest() and not self.rest().startswith("&"):
            if not self.rest().startswith(","):
                raise self.wrong('expected "," or "&&"')
            self.at += 1
            ranges.append(self._range())
        if max(len(operations) + 1, len(ranges)) > MOST_PARTS:
            raise self.wrong(f"maximum of {MOST_PARTS} location numbers or ranges exceeded")
        return Location(start, tuple(operations), tuple(ranges))

    def _operator(self) -> str:
        rest = self.rest()
        if not rest:
            raise usage("u32: abrupt end of input after location specifier")
        sign = rest[0]
        if sign not in OPERATORS:
            raise self.wrong("operator expected")
        self.at += 1
        if sign in "<>":
            if rest[1:2] != sign:
                raise self.wrong(f"a second '{sign}' was expected")
            self.at += 1
            return sign * 2
        return sign

    def _range(self) -> tuple[int, int]:
        low = self.number()
        if not self.rest().startswith(":"):
            return low, low
        self.at += 1
        return low, self.number()
