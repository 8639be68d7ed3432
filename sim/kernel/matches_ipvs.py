"""`-m ipvs`: has IPVS rewritten this packet, in this namespace (net/netfilter/xt_ipvs.c)?

Left out: the options about its connection (`--vaddr`, `--vport` and others), which no rule of Docker's uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.errors import PlumbError
from sim.kernel.arguments import VERSION, inverted_mark, one_only, usage
from sim.kernel.hooks import Test
from sim.kernel.matches import Match, View

UNMODELLED = ("--vproto", "--vaddr", "--vport", "--vdir", "--vmethod", "--vportctl")


@dataclass
class IpvsMatch(Match):
    name: ClassVar[str] = "ipvs"
    options: ClassVar[dict[str, int]] = {"--ipvs": 0} | dict.fromkeys(UNMODELLED, 1)

    given: bool = False
    inverted: bool = False

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        if option in UNMODELLED:
            raise PlumbError(f"{VERSION}: the option `{option}' of the match `ipvs' is not modelled by Hopcast")
        one_only(self.name, option, self.given)
        self.given, self.inverted = True, inverted

    def check(self, protocol: int, inverted: bool) -> None:
        if not self.given:
            raise usage("IPVS: At least one option is required")

    def text(self) -> str:
        return f"-m ipvs {inverted_mark(self.inverted)}--ipvs"

    def test(self, view: View) -> Test | None:
        inverted = self.inverted
        return lambda packet, state: packet.ipvs is not inverted
