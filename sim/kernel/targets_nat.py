"""The targets of the nat table: DNAT, SNAT, MASQUERADE, REDIRECT (net/netfilter/xt_nat.c, xt_MASQUERADE.c,
xt_REDIRECT.c).

They only decide for the first packet of a connection; `nat.py` does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.kernel.arguments import SERVICES, number, one_only, usage
from sim.kernel.hooks import Hook, HookState
from sim.kernel.matches import View
from sim.kernel.nat import Manip, Nat, Range
from sim.kernel.targets import Action, Op, Target
from sim.packet import Packet, dotted, ip

LOOPBACK = ip("127.0.0.1")


def _ports(text: str) -> tuple[int, int, int | None]:
    """`80`, `80-90`, `80-90/base`."""
    span, _, base = text.partition("/")
    low, dash, high = span.partition("-")
    values = []
    for part in (low, high if dash else low, base or "0"):
        value = SERVICES.get(part, number(part, 65535))
        if value is None:
            raise usage(f"Port `{part}' not valid")
        values.append(value)
    if values[1] < values[0]:
        raise usage(f"Port range `{high}' funky")
    return values[0], values[1], values[2] if base else None


def _address(text: str) -> int:
    try:
        return ip(text)
    except ValueError:
        raise usage(f'Bad IP address "{text}"') from None


@dataclass
class NatTarget(Target):
    """What the four share. `option` takes addresses and ports, or ports alone."""

    option: ClassVar[str]
    manip: ClassVar[Manip]
    only_ports: ClassVar[bool] = False
    may_be_bare: ClassVar[bool] = False
    tables: ClassVar[tuple[str, ...]] = ("nat",)
    needs_conntrack: ClassVar[bool] = True

    addresses: tuple[int, int] | None = None
    ports: tuple[int, int] | None = None
    base_port: int | None = None
    given: bool = False
    random: bool = False
    random_fully: bool = False
    persistent: bool = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        if option != self.option:
            attribute = option.removeprefix("--").replace("-", "_")
            setattr(self, attribute, True)
            return
        one_only(self.name, option, self.given)
        self.given = True
        address, colon, ports = ("", ":", values[0]) if self.only_ports else values[0].partition(":")
        if colon:
            low, high, self.base_port = _ports(ports)
            self.ports = low, high
        if address or not colon:
            first, dash, last = address.partition("-")
            self.addresses = _address(first), _address(last if dash else first)

    def check(self, protocol: int, inverted: bool) -> bool:
        if not self.given and not self.may_be_bare:
            raise usage(f'{self.name}: option "{self.option}" must be specified')
        if self.ports and protocol not in (1, 6, 17, 33, 132):
            raise usage("Need TCP, UDP, SCTP or DCCP with port specification")
        return True

    def text(self) -> str:
        value = ""
        if self.addresses:
            low, high = self.addresses
            value += dotted(low) + ("" if low == high else f"-{dotted(high)}")
        if self.ports:
            first, last = self.ports
            value += ("" if self.only_ports else ":") + str(first) + ("" if first == last else f"-{last}")
            value += "" if self.base_port is None else f"/{self.base_port}"
        parts = [f"-j {self.name}"]
        if self.given:
            parts.append(f"{self.option} {value}")
        for flag in ("random", "random_fully", "persistent"):
            if getattr(self, flag):
                parts.append("--" + flag.replace("_", "-"))
        return " ".join(parts)

    def allowed(self, addresses: tuple[int, int] | None) -> Range:
        """The rule's range, with the addresses that it has or that were found for it."""
        return Range(addresses, self.ports, self.base_port, self.random or self.random_fully, self.persistent)

    def action(self, view: View) -> Action:
        allowed, manip = self.allowed(self.addresses), self.manip

        def bind(packet: Packet, state: HookState, nat: Nat) -> Op:
            nat.setup(packet.ct.entry, allowed, manip, state.now)
            return Op.ACCEPT
        return Op.CALL, bind


@dataclass
class Dnat(NatTarget):
    name: ClassVar[str] = "DNAT"
    option: ClassVar[str] = "--to-destination"
    options: ClassVar[dict[str, int]] = {"--to-destination": 1, "--random": 0, "--persistent": 0}
    manip: ClassVar[Manip] = Manip.DST
    hooks: ClassVar[frozenset[Hook]] = frozenset({Hook.PREROUTING, Hook.OUTPUT})


@dataclass
class Snat(NatTarget):
    name: ClassVar[str] = "SNAT"
    option: ClassVar[str] = "--to-source"
    options: ClassVar[dict[str, int]] = {"--to-source": 1, "--random": 0, "--random-fully": 0, "--persistent": 0}
    manip: ClassVar[Manip] = Manip.SRC
    hooks: ClassVar[frozenset[Hook]] = frozenset({Hook.POSTROUTING, Hook.INPUT})


@dataclass
class Masquerade(NatTarget):
    """SNAT to whatever address the outgoing device has; a device without one drops the packet ("ate my IP address")."""

    name: ClassVar[str] = "MASQUERADE"
    option: ClassVar[str] = "--to-ports"
    options: ClassVar[dict[str, int]] = {"--to-ports": 1, "--random": 0, "--random-fully": 0}
    manip: ClassVar[Manip] = Manip.SRC
    only_ports: ClassVar[bool] = True
    may_be_bare: ClassVar[bool] = True
    hooks: ClassVar[frozenset[Hook]] = frozenset({Hook.POSTROUTING})

    def action(self, view: View) -> Action:
        address_of = view.address_of

        def masquerade(packet: Packet, state: HookState, nat: Nat) -> Op:
            entry = packet.ct.entry
            if entry.original.src == 0:
                return Op.ACCEPT
            address = address_of(state.outdev)
            if not address:
                return Op.DROP
            nat.setup(entry, self.allowed((address, address)), Manip.SRC, state.now)
            entry.masq_dev = state.outdev
            return Op.ACCEPT
        return Op.CALL, masquerade


@dataclass
class Redirect(NatTarget):
    """DNAT to this namespace: to 127.0.0.1 for what starts here, else to the incoming device's address."""

    name: ClassVar[str] = "REDIRECT"
    option: ClassVar[str] = "--to-ports"
    options: ClassVar[dict[str, int]] = {"--to-ports": 1, "--random": 0}
    manip: ClassVar[Manip] = Manip.DST
    only_ports: ClassVar[bool] = True
    may_be_bare: ClassVar[bool] = True
    hooks: ClassVar[frozenset[Hook]] = frozenset({Hook.PREROUTING, Hook.OUTPUT})

    def action(self, view: View) -> Action:
        address_of = view.address_of

        def redirect(packet: Packet, state: HookState, nat: Nat) -> Op:
            address = LOOPBACK if state.hook is Hook.OUTPUT else address_of(state.indev)
            if not address:
                return Op.DROP
            nat.setup(packet.ct.entry, self.allowed((address, address)), Manip.DST, state.now)
            return Op.ACCEPT
        return Op.CALL, redirect
