"""Frames as sniffers took them: bytes, and where and when each was seen.

What they say is read later (`Frames.trace`), and elsewhere when they were taken in a micro-VM: dissecting them takes an
emulated CPU half a second a question. The one thing that is asked of them at once, when a connection's segments came
(`segments`), is read from the bytes themselves.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sim.packet import BROADCAST, ZERO_MAC, EtherType, Packet, Proto, Vlan
from sim.trace import Kind, Step, Trace

if TYPE_CHECKING:
    from live.codec import Decoder

VXLAN_PORT = 4789
FRAGMENT = 0x1FFF
"""The part of an IPv4 header's word that says where a fragment begins."""


@dataclass(frozen=True, slots=True)
class Frame:
    """`at`: seconds since the question's start. `label`, `device`, `way`: as in `sim.trace.Step`. `vlan`: of the tag
    that came beside the bytes; 0 for none. `headless`: its Ethernet addresses are not those that it was sent with.
    `unfinished`: the kernel says that a checksum in it is left to the device."""

    at: float
    label: str
    device: str
    way: str
    raw: bytes
    vlan: int = 0
    headless: bool = False
    unfinished: bool = False


@dataclass(slots=True)
class Frames:
    """Of one question, in the order in which things happened. `lost`: how many the sniffers know they lost. `macs` and
    `spis`: what predictions call the MAC addresses and SPIs that were drawn at random."""

    frames: list[Frame] = field(default_factory=list)
    lost: int = 0
    macs: Mapping[str, str] = field(default_factory=dict)
    spis: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def trace(self) -> Trace:
        """As SEEN steps, without what is neither IPv4 nor ARP. TCP numbers are relative."""
        from live.codec import Decoder  # where frames are only taken nobody waits for scapy's layers
        from live.relative import relative

        decoder = Decoder()
        return relative(Trace([step for frame in self.frames if (step := self._step(frame, decoder))], self.lost))

    def segments(self, port: int) -> list[tuple[float, int, int]]:
        """(at, flags, length of the data) of the TCP segments from or to `port`, also of those in VXLAN's packets."""
        found = []
        for frame in self.frames:
            if segment := _segment(frame.raw, port):
                found.append((frame.at, *segment))
        return found

    def as_dict(self) -> dict[str, Any]:
        """JSON. A frame is seen at many points; its bytes stand there once."""
        numbers: dict[bytes, int] = {}
        rows = [[f.at, f.label, f.device, f.way, numbers.setdefault(f.raw, len(numbers)), f.vlan, f.headless,
                 f.unfinished]
                for f in self.frames]
        return {"rows": rows, "bytes": [base64.b64encode(raw).decode() for raw in numbers], "lost": self.lost,
                "macs": dict(self.macs), "spis": dict(self.spis)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Frames:
        """What `as_dict` made."""
        raws = [base64.b64decode(text) for text in data["bytes"]]
        return cls([Frame(at, label, device, way, raws[number], *beside)
                    for at, label, device, way, number, *beside in data["rows"]],
                   data["lost"], data["macs"], data["spis"])

    def _step(self, frame: Frame, decoder: Decoder) -> Step | None:
        packet = decoder.decode(frame.raw, unfinished=frame.unfinished)
        if packet is None:
            return None
        if frame.vlan:
            packet.vlan = Vlan(frame.vlan)
        if frame.headless:
            packet.eth = None
        self._name(packet)
        return Step(Kind.SEEN, frame.label, frame.device, packet, way=frame.way, at=frame.at)

    def _name(self, packet: Packet) -> None:
        """Gives what was drawn at random the names that predictions have for it."""
        if packet.eth:
            packet.eth.src, packet.eth.dst = self._mac(packet.eth.src), self._mac(packet.eth.dst)
        if packet.arp:
            packet.arp.sender_mac = self._mac(packet.arp.sender_mac)
            packet.arp.target_mac = self._mac(packet.arp.target_mac)
        if packet.esp:
            packet.esp.spi = self.spis.get(packet.esp.spi, packet.esp.spi)
        if packet.inner:
            self._name(packet.inner)

    def _mac(self, mac: str) -> str:
        return mac if mac in (BROADCAST, ZERO_MAC) else self.macs.get(mac.lower(), mac.lower())


def _segment(frame: bytes, port: int) -> tuple[int, int] | None:
    """Flags and length of the data of a frame's TCP segment, if it is from or to `port`; None for anything else."""
    if len(frame) < 34 or struct.unpack_from(">H", frame, 12)[0] != EtherType.IPV4:
        return None
    start, total, fragment, proto = (14 + 4 * (frame[14] & 15), struct.unpack_from(">H", frame, 16)[0],
                                     struct.unpack_from(">H", frame, 20)[0] & FRAGMENT, frame[23])
    if fragment or len(frame) < start + 16:
        return None
    ports = struct.unpack_from(">HH", frame, start)
    if proto == Proto.UDP and ports[1] == VXLAN_PORT:
        return _segment(frame[start + 16:], port)
    if proto != Proto.TCP or port not in ports:
        return None
    end = 14 + total if total else len(frame)
    return frame[start + 13], max(0, end - start - 4 * (frame[start + 12] >> 4))
