"""Segmentation and receive offloads of a device, read and switched as ethtool(8) does with -k and -K.

    tso           the device takes TCP segments of up to 64 KiB. Off: they are cut into MTU-size frames on the way into
                  it (validate_xmit_skb, net/core/dev.c), and all that comes after it works frame by frame
    gso           the device asks the kernel to cut late. TCP sends large segments whatever it says (sk_setup_caps,
                  net/core/sock.c), so on a virtual device it changes nothing while `tso` is as it was
    gro           what arrives is put together again. A veth does not do it until told to, for it then needs a poll
                  loop (NAPI, drivers/net/veth.c); a VXLAN device does, on what it took out of its tunnel
    tx-checksum   read only: without it there is no tso either (netdev_fix_features)

Follows net/ethtool/ioctl.c. A feature is several bits (TSO has one for each kind of TCP), which are switched together.
`switched` puts back each bit, not each feature.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from live import netns
from sim.errors import LabError, did_you_mean

SIOCETHTOOL = 0x8946
GSTRINGS, GSSET_INFO, GFEATURES, SFEATURES = 0x1B, 0x37, 0x3A, 0x3B
"""Commands of include/uapi/linux/ethtool.h."""
ETH_SS_FEATURES = 4
NAME_BYTES = 32

FEATURES = {"tso": "tx-tcp*-segmentation", "gso": "tx-generic-segmentation", "gro": "rx-gro",
            "tx-checksum": "tx-checksum-ip*"}
"""Feature -> the kernel's names of its bits (off_flag_def in ethtool's common.c)."""
TELLING = {**FEATURES, "tso": "tx-tcp-segmentation"}
"""Feature -> the bits that say whether it is on: IPv4's, where each kind of TCP has its own."""
SWITCHABLE = ("tso", "gso", "gro")

Place = tuple[Path, str]
"""A namespace, and a device in it."""


@dataclass(frozen=True, slots=True)
class _Bits:
    """All features of a device, as integers with a bit for each feature."""

    words: int
    """How many 32-bit words the kernel's own take."""
    available: int
    """Can be switched at all."""
    wanted: int
    active: int
    """What is wanted, less what other features forbid."""
    masks: Mapping[str, int]
    telling: Mapping[str, int]

    def on(self, feature: str) -> bool:
        return bool(self.active & self.telling[feature])


def read(path: Path, device: str) -> dict[str, bool]:
    """What is on, by the names of FEATURES. LabError when there is no such device."""
    bits = netns.call(path, _bits, device, path.name)
    return {name: bits.on(name) for name in FEATURES}


def switch(path: Path, device: str, **features: bool) -> None:
    """Turns features on or off. LabError, with device and feature, when the kernel refuses; others may be done then."""
    if unknown := sorted(set(features) - set(SWITCHABLE)):
        raise LabError(f"no offload {unknown[0]!r} that can be switched", mend=did_you_mean(unknown[0], SWITCHABLE))
    netns.call(path, _switch, device, path.name, features)


@contextmanager
def switched(places: Sequence[Place], **features: bool) -> Iterator[None]:
    """`switch` on several devices for as long as the body runs; then each is as it was before. What is gone stays so.

    LabError when one can't be put back, after the others were.
    """
    before: list[tuple[Path, str, _Bits]] = []
    refused: list[LabError] = []
    try:
        for path, device in places:
            before.append((path, device, netns.call(path, _bits, device, path.name)))
            switch(path, device, **features)
        yield
    finally:
        for path, device, bits in reversed(before):
            if not path.exists():
                continue
            try:
                netns.call(path, _put_back, device, path.name, bits)
            except LabError as error:
                refused.append(error)
    if refused:
        raise refused[0]


def _switch(device: str, where: str, features: Mapping[str, bool]) -> None:
    bits = _bits(device, where)
    valid = requested = 0
    for name, on in features.items():
        mask = bits.masks[name] & bits.available
        valid |= mask
        requested |= mask if on else 0
    _set(device, where, bits.words, valid, requested)
    bits = _bits(device, where)
    for name, on in features.items():
        if bits.on(name) != on:
            raise LabError(f"{where}: the kernel refuses to switch {name} {'on' if on else 'off'} at {device}",
                           mend=f"ethtool -k {device} says whether it is fixed there, or needs another feature")


def _put_back(device: str, where: str, before: _Bits) -> None:
    if not _exists(device):
        return
    mask = before.available & sum(before.masks[name] for name in SWITCHABLE)
    _set(device, where, before.words, mask, before.wanted)
    if (now := _bits(device, where)).active & mask != before.active & mask:
        wrong = [name for name in SWITCHABLE if (now.active ^ before.active) & before.masks[name]]
        raise LabError(f"{where}: can't put {', '.join(wrong)} of {device} back as it was")


def _exists(device: str) -> bool:
    try:
        return bool(socket.if_nametoindex(device))
    except OSError:
        return False


def _bits(device: str, where: str) -> _Bits:
    """In the calling thread's namespace."""
    names = _names(device, where)
    words = -(-len(names) // 32)
    said = _ask(device, where, struct.pack(f"II{words * 16}x", GFEATURES, words))
    blocks = list(struct.iter_unpack("IIII", said[8:8 + words * 16]))
    available, wanted, active, _ = (
        sum(block[column] << 32 * number for number, block in enumerate(blocks)) for column in range(4))
    return _Bits(words, available, wanted, active, _masks(names, FEATURES), _masks(names, TELLING))


def _masks(names: Sequence[str], patterns: Mapping[str, str]) -> dict[str, int]:
    return {feature: sum(1 << bit for bit, name in enumerate(names) if fnmatch(name, pattern))
            for feature, pattern in patterns.items()}


def _names(device: str, where: str) -> list[str]:
    """The kernel's names of the bits, in order."""
    said = _ask(device, where, struct.pack("IIQI4x", GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0))
    count, = struct.unpack_from("I", said, 16)
    said = _ask(device, where, struct.pack(f"III{count * NAME_BYTES}x", GSTRINGS, ETH_SS_FEATURES, count))
    return [name.split(b"\0")[0].decode() for name, in struct.iter_unpack(f"{NAME_BYTES}s", said[12:])]


def _set(device: str, where: str, words: int, valid: int, requested: int) -> None:
    parts = [(value >> 32 * number) & 0xFFFFFFFF for number in range(words) for value in (valid, requested & valid)]
    if valid:
        _ask(device, where, struct.pack(f"II{len(parts)}I", SFEATURES, words, *parts))


def _ask(device: str, where: str, command: bytes) -> bytes:
    """One SIOCETHTOOL: the kernel writes its answer over the command."""
    buffer = ctypes.create_string_buffer(command, len(command))
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(buffer))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, SIOCETHTOOL, request)
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise LabError(f"{where}: no device {device}") from error
        raise LabError(f"{where}: offloads of {device}: {os.strerror(error.errno or 0)}", mend="run as root") from error
    return buffer.raw
