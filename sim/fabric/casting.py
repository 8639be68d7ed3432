"""One packet to many: multicast and broadcast are not modelled, and a question that sends one is refused by name.

What becomes of it hangs on who has joined a group and who may send to everybody, which no Compose file says.
"""

from __future__ import annotations

from sim.errors import SpecError
from sim.kernel.netns import Netns
from sim.packet import dotted

MULTICAST = range(0xE0000000, 0xF0000000)
"""224.0.0.0/4"""


def check_unicast(netns: Netns, address: int) -> None:
    """SpecError where the address means more than one machine to who sends from this namespace."""
    if address in MULTICAST:
        raise SpecError(
            f"{dotted(address)} is a multicast address, and multicast is not modelled",
            mend="no router passes it on, Docker's bridges included: only a container in host mode, or on a macvlan or "
                 "ipvlan network, shares a group with the LAN")
    if netns.is_broadcast(address):
        raise SpecError(f"{dotted(address)} is a broadcast address of {netns.label}, and broadcasts are not modelled",
                        mend="ask for the address of one machine")
