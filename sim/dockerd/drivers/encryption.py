"""Encrypted overlays (`--opt encrypted`): VXLAN datagrams of a network's VNI travel in ESP from engine to engine.

For each encrypted network on an engine there are three rules: OUTPUT marks what goes into its tunnels, INPUT drops what
comes out of them in clear text (at its top) and accepts what came encrypted (at its end). Per other engine, for all
networks together, there is one policy, which sends marked datagrams into ESP, and the security associations: one out,
by the key in use, and one in for each of the swarm's three keys, so that a key can be changed with packets on their
way.

An SPI is a hash (FNV-1a) of both addresses and the key's number, which counts up from a number that the manager draws:
so the model calls it `spi(FROM>TO#N)`, N counting the keys from 1. The second one is in use.

Follows libnetwork of moby v20.10: drivers/overlay/encryption.go, encryption_u32.go, peerdb.go, agent.go (`getKeys`).
Left out: changing the keys (every twelve hours), an engine that stops using a network.
"""

from __future__ import annotations

from contextlib import suppress

from sim.errors import PlumbError
from sim.kernel.netns import Netns
from sim.kernel.vxlan import PORT
from sim.kernel.xfrm import Policy, State
from sim.packet import Proto, dotted

OPTION = "encrypted"
"""Its value is not looked at."""
MARK = 0xD0C4E3
"""Of the packets, and the `reqid` by which the driver knows its own states and policies."""
EXPANSION, ALIGNMENT = 26, 4
"""What `maxMTU` takes off for ESP: SPI 4, sequence number 4, IV 8, two fields of the trailer, check value 8; then what
is too much for a multiple of 4."""
KEYS = (2, 1, 3)
"""`getKeys`: the swarm's keys by age, the first two exchanged; the first of the list is the one in use."""


def largest(mtu: int) -> int:
    """What is left of a tunnel's MTU when it is encrypted."""
    left = mtu - EXPANSION
    return left - left % ALIGNMENT


class Encryption:
    """One engine's: `address` is its own end of all tunnels."""

    def __init__(self, host: Netns, address: int) -> None:
        self.host, self.address = host, address

    def network_added(self, vni: int) -> None:
        """`programMangle` and `programInput`"""
        vxlan = f'-p udp --dport {PORT} -m u32 --u32 "0>>22&0x3C@12&0xFFFFFF00={vni << 8}"'
        self.host.iptables(f"-t mangle -A OUTPUT {vxlan} -j MARK --set-mark {MARK}")
        self.host.iptables(f"-A INPUT -m policy --dir in --pol ipsec {vxlan} -j ACCEPT")
        self.host.iptables(f"-I INPUT -m policy --dir in --pol none {vxlan} -j DROP")

    def peer_added(self, remote: int) -> None:
        """`setupEncryption`: an engine on the other end of a tunnel, new or known. Where the kernel takes no state that
        is a line in the engine's log; the policy is there all the same, and drops."""
        xfrm = self.host.xfrm
        with suppress(PlumbError):
            for key in KEYS:
                xfrm.state_add(State(remote, self.address, spi(remote, self.address, key), MARK))
            xfrm.state_add(State(self.address, remote, spi(self.address, remote, KEYS[0]), MARK))
        xfrm.policy_add(Policy(
            self.address, remote, Proto.UDP, PORT, MARK, 0xFFFFFFFF, spi(self.address, remote, KEYS[0]), MARK))


def spi(src: int, dst: int, key: int) -> str:
    """The symbol for what `buildSPI` computes."""
    return f"spi({dotted(src)}>{dotted(dst)}#{key})"
