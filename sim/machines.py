"""What machines of a topology do besides standing on the wire: firewalls, and routers with NAT and forwarded ports.

Both sides carry out the same command lines of iptables(8), the model with its own and the lab with the real one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sim import checks
from sim.checks.firewall import check_rule_line, needs_engine
from sim.errors import SpecError
from sim.model import Cidr, Model

RuleLine = Annotated[str, AfterValidator(check_rule_line)]
"""One command line of iptables(8), without that word."""
FAR = "eth1"
"""A router's second interface, on the net beyond it."""
NOBODYS = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "224.0.0.0/3",
)
"""No address of the internet (RFC 6890): who sends there waits in vain."""


class Firewall(Model):
    """What an operator has told a host's iptables. `before`: this stands already when the engine starts. `after`: given
    when everything is deployed, as all that names a chain of the engine's, DOCKER-USER above all."""

    before: tuple[RuleLine, ...] = ()
    after: tuple[RuleLine, ...] = ()

    @classmethod
    def of(cls, lines: Iterable[str]) -> Self:
        """Each where it belongs. Raises SpecError."""
        read = [check_rule_line(line) for line in lines]
        after = tuple(line for line in read if needs_engine(line))
        return cls(before=tuple(line for line in read if not needs_engine(line)), after=after)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for line in self.before:
            if needs_engine(line):
                raise SpecError(f"{line!r} can't stand before the engine has made that chain", mend="give it `after`")
        return self


class Forward(Model):
    """A port of a router that leads inside: to `address`, port `to`."""

    port: int = Field(ge=1, le=65535)
    protocol: Literal["tcp", "udp"] = "tcp"
    address: Annotated[str, AfterValidator(checks.check_address)]
    to: int = Field(ge=1, le=65535)


class Router(Model):
    """What makes a client a router: an interface of its own (eth1) on the net beyond it, at `address`. `mtu`, `delay`,
    `rate` and `loss` are those of the cables of that net.

    `nat`: what leaves by eth1 has its address (masquerade), and nobody there knows the way back inside. `forwards` lead
    in from there. `hairpin`: from inside as well (NAT loopback).
    """

    address: Cidr
    mtu: int = Field(default=1500, ge=68, le=65535)
    delay: float = Field(default=0, ge=0, le=10)
    rate: float = Field(default=0, ge=0)
    loss: float = Field(default=0, ge=0, le=1)
    nat: bool = False
    hairpin: bool = False
    forwards: tuple[Forward, ...] = ()

    @property
    def host_ip(self) -> str:
        return self.address.partition("/")[0]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.hairpin and not self.forwards:
            raise SpecError("hairpin without forwards", mend="say which ports it forwards: `443 -> host:443`")
        checks.unique((f"{each.port}/{each.protocol}" for each in self.forwards), "forwarded twice: port", "router")
        return self

    def rules(self, inside: str) -> list[str]:
        """The command lines that make it so. `inside`: CIDR of its address on the wire."""
        lines = []
        for each in self.forwards:
            # Without hairpin only what comes in from the far side is translated, as in most home routers.
            came = f"-d {self.host_ip}" if self.hairpin else f"-i {FAR}"
            lines.append(f"-t nat -A PREROUTING {came} -p {each.protocol} --dport {each.port} "
                         f"-j DNAT --to-destination {each.address}:{each.to}")
            if self.hairpin:  # else the answer would go straight to who asked, from another address than he asked
                lines.append(f"-t nat -A POSTROUTING -s {checks.subnet_of(inside)} -d {each.address} "
                             f"-p {each.protocol} --dport {each.to} -j MASQUERADE")
        if self.nat:
            lines.append(f"-t nat -A POSTROUTING -o {FAR} -j MASQUERADE")
        return lines


def internet_rules() -> list[str]:
    """A machine that has every address of the internet has none of those that nobody has there."""
    return [f"-t raw -A PREROUTING -d {subnet} -j DROP" for subnet in NOBODYS]


__all__ = ["FAR", "Firewall", "Forward", "Router", "RuleLine", "internet_rules"]
