"""`-m policy`: did the packet come in through IPsec (net/netfilter/xt_policy.c, libxt_policy.c)?

Left out: `--dir out`, asking for one security association (`--strict`, `--reqid`, `--spi`, `--mode`, …), and that
the kernel refuses `--dir in` behind routing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sim.errors import PlumbError
from sim.kernel.arguments import VERSION, not_inverted, one_only, usage
from sim.kernel.hooks import HookState, Test
from sim.kernel.matches import Match, View
from sim.packet import Packet


@dataclass
class PolicyMatch(Match):
    name: ClassVar[str] = "policy"
    options: ClassVar[dict[str, int]] = {"--dir": 1, "--pol": 1}

    direction: str = ""
    policy: str = ""

    def take(self, option: str, inverted: bool, values: list[str]) -> None:
        not_inverted(self.name, option, inverted)
        if option == "--dir":
            one_only(self.name, option, self.direction)
            if values[0] not in ("in", "out"):
                raise usage(f'policy_match: invalid dir "{values[0]}"')
            if values[0] == "out":
                raise PlumbError(f"{VERSION}: `--dir out' of the match `policy' is not modelled by Hopcast")
            self.direction = values[0]
        else:
            one_only(self.name, option, self.policy)
            if values[0] not in ("none", "ipsec"):
                raise usage(f'policy match: invalid policy "{values[0]}"')
            self.policy = values[0]

    def check(self, protocol: int, inverted: bool) -> None:
        if not self.direction:
            raise usage("policy match: neither --dir in nor --dir out specified")

    def text(self) -> str:
        return f"-m policy --dir {self.direction} --pol {self.policy or 'ipsec'}"

    def test(self, view: View) -> Test | None:
        wanted = self.policy != "none"

        def policy(packet: Packet, state: HookState) -> bool:
            return packet.secpath is wanted
        return policy
