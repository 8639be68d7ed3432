"""IPsec of a namespace: which packets leave encrypted, and what becomes of those that come in (net/xfrm/xfrm_policy.c,
xfrm_state.c, xfrm_output.c, xfrm_input.c, net/ipv4/esp4.c, xfrm4_input.c, xfrm4_output.c of Linux 6.1).

A policy selects packets that start here, by addresses, protocol, port and mark, once the OUTPUT hook has had them (the
mark is set there, and `ip_route_me_harder` looks the policy up). Its template names a security association ("state").
The packet passes POSTROUTING as it is, then its IP header stays and all behind it becomes the payload of ESP (transport
mode); with that it passes OUTPUT and POSTROUTING again, as a connection of its own, and is cut into fragments where it
is too large then. Nobody says so to the sender. A policy whose state is missing drops (`xfrm_larval_drop`).

What comes in as ESP passes PREROUTING and INPUT, its state is found by address and SPI, and it passes both hooks once
more as what it was. Checksums that were left to a device are computed before encryption, the innermost one included.

Sizes are those of `rfc4106(gcm(aes))`: the IV has 8 bytes, the padding makes a multiple of 4, then come its length and
the next protocol, and the check value.

Left out: tunnel mode, policies for what comes in or is forwarded, selectors of states, life times, replay windows,
acquiring states, offload to a device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.errors import PlumbError
from sim.kernel.hooks import Hook
from sim.packet import Esp, IPv4, Packet, Proto, Tcp, Udp, dotted
from sim.trace import DropReason, Kind, Step

if TYPE_CHECKING:
    from sim.kernel.netns import Netns

IV, ALIGNMENT, TRAILER = 8, 4, 2
"""Bytes: of the initialization vector, what the ciphertext is a multiple of, and of the trailer's two fields."""
IP_HEADER = 20


@dataclass(frozen=True, slots=True)
class State:
    """A security association in transport mode: one direction between two machines. `spi` is text, for it may be a
    symbol; `key_bits` and `icv_bits` are lengths, nobody needs the key."""

    src: int
    dst: int
    spi: str
    reqid: int
    algorithm: str = "rfc4106(gcm(aes))"
    key_bits: int = 160
    icv_bits: int = 64

    def __str__(self) -> str:
        """A line in the words of `ip xfrm state`."""
        return (f"state src {dotted(self.src)} dst {dotted(self.dst)} proto esp spi {self.spi} reqid {self.reqid} "
                f"mode transport aead {self.algorithm} {self.key_bits} bits icv {self.icv_bits}")


@dataclass(frozen=True, slots=True)
class Policy:
    """Packets from `src` to `dst` with this protocol, destination port and mark leave by the state (`spi`, `reqid`)."""

    src: int
    dst: int
    proto: int
    dport: int
    mark: int
    mask: int
    spi: str
    reqid: int

    def selects(self, packet: Packet) -> bool:
        """`xfrm_policy_match`"""
        header, l4 = packet.ip, packet.l4
        return (header is not None and (header.src, header.dst, header.proto) == (self.src, self.dst, self.proto)
                and isinstance(l4, Tcp | Udp) and l4.dport == self.dport and packet.mark & self.mask == self.mark)

    def __str__(self) -> str:
        """A line in the words of `ip xfrm policy`."""
        src, dst = dotted(self.src), dotted(self.dst)
        return (f"policy src {src}/32 dst {dst}/32 proto {Proto(self.proto).name.lower()} dport {self.dport} dir out "
                f"priority 0 mark {self.mark:#x}/{self.mask:#x} tmpl src {src} dst {dst} proto esp spi {self.spi} "
                f"reqid {self.reqid} mode transport")


class Xfrm:
    """One namespace's policies and states. `esp` False: the kernel has no ESP, or not its cipher."""

    def __init__(self, netns: Netns) -> None:
        self.netns = netns
        self.esp = True
        self.states: dict[tuple[int, str], State] = {}
        self.policies: list[Policy] = []
        self._sent: Counter[State] = Counter()

    # the verbs of ip(8)

    def state_add(self, state: State) -> None:
        """`ip xfrm state add`; one that is there already stays. PlumbError where the kernel can't encrypt."""
        if not self.esp:
            raise PlumbError("RTNETLINK answers: Requested AEAD algorithm not found", where=self.netns.label)
        self.states.setdefault((state.dst, state.spi), state)

    def policy_add(self, policy: Policy) -> None:
        """`ip xfrm policy add … dir out`; one that is there already stays."""
        if policy not in self.policies:
            self.policies.append(policy)

    def lines(self) -> list[str]:
        """`ip xfrm policy` and `ip xfrm state`, a line each, sorted."""
        return sorted(map(str, [*self.policies, *self.states.values()]))

    def flush(self) -> None:
        """Count packets from the start again: a question's own count."""
        self._sent.clear()

    # packets

    def output(self, packet: Packet, device: str, now: float) -> Generator[Step, None, Packet | None]:
        """What really leaves by `device` in the place of a packet that starts here: itself where no policy selects it,
        None where it ends.
        """
        policy = next((p for p in self.policies if p.selects(packet)), None) if self.policies else None
        if policy is None:
            return packet
        state = self.states.get((policy.dst, policy.spi))
        if state is None:
            yield self._step(Kind.DROP, packet, f"no state for {policy}", DropReason.NO_STATE)
            return None
        filtering = self.netns.netfilter
        if not (yield from filtering.hook(Hook.POSTROUTING, packet, outdev=device, now=now)).accepted:
            return None
        self._sent[state] += 1
        outer = encapsulate(packet, state, self._sent[state])
        yield self._step(Kind.ENCRYPT, outer, f"{packet.size()} bytes, now {outer.size()}: {state.spi}")
        if not (yield from filtering.hook(Hook.OUTPUT, outer, outdev=device, now=now)).accepted:
            return None
        return outer

    def input(self, packet: Packet) -> Generator[Step, None, Packet | None]:
        """What an ESP packet for this namespace carries (`xfrm_input`); None where nobody can tell."""
        assert packet.ip is not None and packet.esp is not None
        if packet.sealed is None or (packet.ip.dst, packet.esp.spi) not in self.states:
            yield self._step(Kind.DROP, packet, packet.esp.spi, DropReason.NO_STATE)
            return None
        plain = decapsulate(packet, packet.sealed)
        yield self._step(Kind.DECRYPT, plain, packet.esp.spi)
        return plain

    def _step(self, kind: Kind, packet: Packet, detail: str, reason: DropReason | None = None) -> Step:
        return Step(kind, self.netns.label, "", packet.snapshot(), detail, reason=reason)


def encapsulate(packet: Packet, state: State, seq: int) -> Packet:
    """`esp_output` in transport mode: the IP header goes on, the rest is ciphertext."""
    assert packet.ip is not None
    plain = packet.copy()
    for layer in (plain, plain.inner):
        if layer is not None:
            layer.csum = "valid"  # skb_checksum_help
    text = packet.size() - IP_HEADER + TRAILER
    length = IV + -(-text // ALIGNMENT) * ALIGNMENT + state.icv_bits // 8
    header = packet.ip
    return Packet(
        ip=IPv4(header.src, header.dst, Proto.ESP, header.ttl, header.df, tos=header.tos), esp=Esp(state.spi, seq),
        payload=bytes(length), mark=packet.mark, sealed=plain, uid=packet.uid)


def decapsulate(packet: Packet, sealed: Packet) -> Packet:
    """The IP header as it came, and what was behind it before (`xfrm4_transport_finish`)."""
    assert packet.ip is not None and sealed.ip is not None
    plain = sealed.copy()
    plain.ip = IPv4(packet.ip.src, packet.ip.dst, sealed.ip.proto, packet.ip.ttl, packet.ip.df, tos=packet.ip.tos)
    plain.eth = packet.eth
    plain.mark, plain.ct, plain.nf_bridge = packet.mark, None, None
    plain.pkt_type, plain.secpath = packet.pkt_type, True
    return plain
