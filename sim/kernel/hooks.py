"""Where netfilter's hooks are, and what is registered at each: the table to read beside
include/uapi/linux/netfilter_ipv4.h.

A hook is a point in the IPv4 path; what is registered there runs in the order of its priority. `REGISTERED` is that
order, written out for the four tables that iptables-nft makes plus connection tracking. Left out: the `security`
table, defragmentation (-400: the model's stack makes no fragments), conntrack helpers (300), chains that iptables
does not make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from sim.packet import Packet


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


@dataclass(frozen=True, slots=True)
class Ruling:
    """What `Netfilter.hook` returns. When `reject` is not empty the verdict is DROP and the caller owes the sender an
    answer: "tcp-reset", or an ICMP error by iptables' name for it ("icmp-port-unreachable", "icmp-host-prohibited",
    …)."""

    verdict: Verdict
    reject: str = ""

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
# it.
REGISTERED: dict[Hook, tuple[tuple[int, str], ...]] = {
    Hook.PREROUTING: ((-300, "raw"), (-200, "conntrack"), (-150, "mangle"), (-100, "nat")),
    Hook.INPUT: ((-150, "mangle"), (0, "filter"), (100, "nat"), (NF_IP_PRI_LAST, "confirm")),
    Hook.FORWARD: ((-150, "mangle"), (0, "filter")),
    Hook.OUTPUT: ((-300, "raw"), (-200, "conntrack"), (-150, "mangle"), (-100, "nat"), (0, "filter")),
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
