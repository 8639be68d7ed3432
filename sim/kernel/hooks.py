"""Where netfilter's hooks are, and what is registered at each: the table to read beside
include/uapi/linux/netfilter_ipv4.h.

A hook is a point in the IPv4 path; what is registered there runs in the order of its priority. `REGISTERED` is that
order, written out for the four tables that iptables-nft makes, connection tracking, and IPVS. Left out: the `security`
table, defragmentation (-400: the model's stack makes no fragments), conntrack helpers (300), chains that iptables
does not make.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum

from sim.kernel.effects import Effects
from sim.packet import Packet
from sim.trace import Step


class Hook(Enum):
    """The five hooks of IPv4, named as the built-in chains that hang on them."""

    PREROUTING = "PREROUTING"
    INPUT = "INPUT"
    FORWARD = "FORWARD"
    OUTPUT = "OUTPUT"
    POSTROUTING = "POSTROUTING"


class Verdict(Enum):
    """What a chain, and in the end a hook, says of a packet."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    STOLEN = "STOLEN"
    """Whoever said so goes on with the packet on its own."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What `Netfilter.hook` returns. When `reject` is not empty the verdict is DROP and the caller owes the sender an
    answer: "tcp-reset", or an ICMP error by iptables' name for it ("icmp-port-unreachable", "icmp-host-prohibited",
    …). With STOLEN the caller runs `taken(now)`: what who took the packet does with it."""

    verdict: Verdict
    reject: str = ""
    taken: Callable[[float], Effects] | None = None

    @property
    def accepted(self) -> bool:
        """The packet goes on."""
        return self.verdict is Verdict.ACCEPT


ACCEPTED = Ruling(Verdict.ACCEPT)
DROPPED = Ruling(Verdict.DROP)

NF_IP_PRI_LAST = 2**31 - 1

# Tables in the order in which iptables-save prints them, each with its built-in chains in iptables' order.
TABLES: dict[str, tuple[str, ...]] = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}

# hook -> (priority, who) in the order of priority. "nat" is NF_IP_PRI_NAT_DST before routing, NF_IP_PRI_NAT_SRC after
# it. What begins with "ipvs" is ip_vs_ops4 of net/netfilter/ipvs/ip_vs_core.c.
REGISTERED: dict[Hook, tuple[tuple[int, str], ...]] = {
    Hook.PREROUTING: ((-300, "raw"), (-200, "conntrack"), (-150, "mangle"), (-100, "nat")),
    Hook.INPUT: ((-150, "mangle"), (0, "filter"), (98, "ipvs-reply"), (99, "ipvs-request"), (100, "nat"),
                 (NF_IP_PRI_LAST, "confirm")),
    Hook.FORWARD: ((-150, "mangle"), (0, "filter"), (99, "ipvs-icmp"), (100, "ipvs-reply")),
    Hook.OUTPUT: ((-300, "raw"), (-200, "conntrack"), (-150, "mangle"), (-100, "nat"), (-99, "ipvs-reply"),
                  (-98, "ipvs-request"), (0, "filter")),
    Hook.POSTROUTING: ((-150, "mangle"), (100, "nat"), (NF_IP_PRI_LAST, "confirm")),
}


@dataclass(slots=True)
class HookState:
    """What a match may ask beside the packet: struct nf_hook_state, and br_netfilter's physical ports.
    A device that there is none of at this hook is the empty string, as nftables compares it."""

    hook: Hook
    indev: str = ""
    outdev: str = ""
    physin: str = ""
    physout: str = ""
    now: float = 0.0


Test = Callable[[Packet, HookState], bool]
"""A compiled match."""

Handler = Callable[[Packet, HookState], Generator[Step, None, Ruling]]
"""What another part of the kernel registers at a hook (`nf_hookfn`)."""
