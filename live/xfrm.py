"""IPsec of a namespace, read over netlink: policies for what goes out, and security associations ("states"). Keys stay
where they are.

An SPI of libnetwork's is FNV-1a over both addresses (in 16 bytes) and the number of the swarm's key, big-endian. The
manager draws where these numbers begin. FNV can be run backwards, so each SPI tells its key's number, and its symbol
counts the keys from the smallest number that was found: `spi(FROM>TO#N)`. An SPI that no such number explains stays as
it is.

Layouts: include/uapi/linux/xfrm.h. pyroute2 has no such socket. Left out: IPv6, policies for what comes in or is
forwarded, and all of a state but what the line says.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from live import netns
from sim.errors import LabError
from sim.packet import Proto, ip

NETLINK_XFRM = 6
NEWSA, GETSA, NEWPOLICY, GETPOLICY = 0x10, 0x12, 0x13, 0x15
NLMSG_ERROR, NLMSG_DONE, NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 2, 3, 0x1, 0x4, 0x300
XFRMA_TMPL, XFRMA_ALG_AEAD, XFRMA_MARK = 5, 18, 21
LIMIT = 5.0

HEADER = struct.Struct("=IHHII")
ERRNO = struct.Struct("=i")
SELECTOR = struct.Struct("=16s16s4s4sHBBB3xiI")
"""Destination, source, ports with masks (destination, source), family, prefix lengths, protocol, device, user."""
ID = struct.Struct("=16s4sB3x")
"""Destination, SPI, protocol."""
STATE = struct.Struct(f"={SELECTOR.size}s{ID.size}s16s108xIIHBBB7x")
"""Selector, id, source, life times and counts, sequence, reqid, family, mode, replay window, flags."""
POLICY = struct.Struct(f"={SELECTOR.size}s96xIIBBBB4x")
"""Selector, life times, priority, index, direction, action, flags, share."""
TEMPLATE = struct.Struct(f"={ID.size}sH2x16sIBBB13x")
"""Id, family, source, reqid, mode, share, optional."""
AEAD = struct.Struct("=64sII")
"""Name, lengths of key and check value in bits; the key follows."""
MARK = struct.Struct("=II")
OUT = 1
MODES = ("transport", "tunnel")
TRIAL = (b"rfc4106(gcm(aes))", 160, 64)
"""What libnetwork encrypts with."""


@dataclass(frozen=True, slots=True)
class Line:
    """A policy or a state: `text` has `{spi}` where the SPI belongs, of packets from `src` to `dst`."""

    src: str
    dst: str
    spi: int
    text: str

    def shown(self, symbols: Mapping[str, str]) -> str:
        return self.text.format(spi=symbols.get(spi_text(self.spi), spi_text(self.spi)))


def read(path: Path) -> list[Line]:
    """Policies, then states, of a namespace; none where the kernel has no IPsec."""
    return netns.call(path, _read)


def _read() -> list[Line]:
    try:
        with _socket() as sock:
            policies = [policy(body) for body in _dump(sock, GETPOLICY, NEWPOLICY)]
            return [line for line in policies if line] + [state(body) for body in _dump(sock, GETSA, NEWSA)]
    except OSError:
        return []


def lacks() -> str:
    """Why the calling thread's namespace can't have a state as libnetwork makes it; empty where it can."""
    name, key_bits, icv_bits = TRIAL
    here, there = socket.inet_aton("192.0.2.1").ljust(16, b"\0"), socket.inet_aton("192.0.2.2").ljust(16, b"\0")
    selector = SELECTOR.pack(bytes(16), bytes(16), bytes(4), bytes(4), socket.AF_INET, 0, 0, 0, 0, 0)
    forever = b"\xff" * 32  # no limit of bytes or packets
    ident = ID.pack(there, b"\0\0\x10\0", Proto.ESP)
    body = bytearray(STATE.pack(selector, ident, here, 0, 1, socket.AF_INET, 0, 0, 0))
    at = len(selector + ident + here)
    body[at:at + len(forever)] = forever
    key = AEAD.pack(name, key_bits, icv_bits) + bytes(key_bits // 8)
    attribute = struct.pack("=HH", 4 + len(key), XFRMA_ALG_AEAD) + key
    try:
        with _socket() as sock:
            sock.send(_message(NEWSA, NLM_F_REQUEST | NLM_F_ACK, bytes(body) + attribute))
            next(_answers(sock), None)
    except OSError as error:
        return error.strerror or str(error)
    return ""


# symbols


def spi_text(spi: int) -> str:
    return f"{spi:#010x}"


def symbols(lines: Iterable[Line]) -> dict[str, str]:
    """SPI as text -> its symbol, over all lines of a swarm's hosts."""
    found = {(line.src, line.dst, line.spi): key_number(line.src, line.dst, line.spi) for line in lines}
    known = [number for number in found.values() if number is not None]
    return {spi_text(spi): f"spi({src}>{dst}#{number - min(known) + 1})"
            for (src, dst, spi), number in found.items() if number is not None}


PRIME, OFFSET = 0x01000193, 0x811C9DC5
INVERSE = pow(PRIME, -1, 1 << 32)
WORD = 0xFFFFFFFF


def build_spi(src: str, dst: str, key: int) -> int:
    """`buildSPI`"""
    return _hash(OFFSET, _mapped(src) + struct.pack("!I", key) + _mapped(dst))


def key_number(src: str, dst: str, spi: int) -> int | None:
    """The number (below 2^17) of the key for which `build_spi` says `spi`; None when there is none."""
    for byte in reversed(_mapped(dst)):  # the hash as it was behind the key's number
        spi = spi * INVERSE & WORD ^ byte
    for high in (0, 1):
        before = _hash(OFFSET, _mapped(src) + struct.pack("!H", high))
        for low in range(256):
            middle = ((spi * INVERSE & WORD ^ low) * INVERSE & WORD) ^ before
            if middle < 256:
                return high << 16 | middle << 8 | low
    return None


def _hash(value: int, data: bytes) -> int:
    """FNV-1a of 32 bits, from `value` on."""
    for byte in data:
        value = (value ^ byte) * PRIME & WORD
    return value


def _mapped(address: str) -> bytes:
    """An IPv4 address as Go's net.IP holds it: mapped into IPv6."""
    return bytes(10) + b"\xff\xff" + ip(address).to_bytes(4, "big")


# netlink


def state(body: bytes) -> Line:
    """A state from the body of XFRM_MSG_NEWSA."""
    _, ident, source, _, reqid, _, mode, _, _ = STATE.unpack_from(body)
    destination, spi, proto = ID.unpack(ident)
    src, dst = _address(source), _address(destination)
    text = (f"state src {src} dst {dst} proto {_protocol(proto)} spi {{spi}} reqid {reqid} "
            f"mode {_mode(mode)}")
    aead = _attributes(body[STATE.size:]).get(XFRMA_ALG_AEAD)
    if aead is not None:
        name, key_bits, icv_bits = AEAD.unpack_from(aead)
        text += f" aead {name.rstrip(bytes(1)).decode()} {key_bits} bits icv {icv_bits}"
    return Line(src, dst, int.from_bytes(spi, "big"), text)


def policy(body: bytes) -> Line | None:
    """A policy from the body of XFRM_MSG_NEWPOLICY; None where it is not for what goes out, or has no template."""
    chosen, priority, _, direction, _, _, _ = POLICY.unpack_from(body)
    daddr, saddr, dports, _, _, dlength, slength, proto, _, _ = SELECTOR.unpack(chosen)
    attributes = _attributes(body[POLICY.size:])
    if direction != OUT or XFRMA_TMPL not in attributes:
        return None
    ident, _, source, reqid, mode, _, _ = TEMPLATE.unpack_from(attributes[XFRMA_TMPL])
    destination, spi, encapsulation = ID.unpack(ident)
    mark = "mark {:#x}/{:#x} ".format(*MARK.unpack(attributes[XFRMA_MARK])) if XFRMA_MARK in attributes else ""
    port, src, dst = int.from_bytes(dports[:2], "big"), _address(source), _address(destination)
    text = (f"policy src {_address(saddr)}/{slength} dst {_address(daddr)}/{dlength} proto {_protocol(proto)} "
            f"dport {port} dir out priority {priority} {mark}tmpl src {src} dst {dst} proto {_protocol(encapsulation)} "
            f"spi {{spi}} reqid {reqid} mode {_mode(mode)}")
    return Line(src, dst, int.from_bytes(spi, "big"), text)


def _address(raw: bytes) -> str:
    return socket.inet_ntoa(raw[:4])


def _mode(number: int) -> str:
    return MODES[number] if number < len(MODES) else str(number)


def _protocol(number: int) -> str:
    return Proto(number).name.lower() if number in {*Proto} else str(number)


def _attributes(raw: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(raw) >= 4:
        length, kind = struct.unpack_from("=HH", raw)
        if length < 4:
            break
        found[kind] = raw[4:length]
        raw = raw[length + 3 & ~3:]
    return found


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
    sock.settimeout(LIMIT)
    sock.bind((0, 0))
    return sock


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags, 1, 0) + body


def _dump(sock: socket.socket, ask: int, answer: int) -> Iterator[bytes]:
    sock.send(_message(ask, NLM_F_REQUEST | NLM_F_DUMP, b""))
    return (body for kind, body in _answers(sock) if kind == answer)


def _answers(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Messages until the kernel says that there are no more. OSError where it says an errno; LabError where it says
    nothing."""
    while True:
        try:
            raw = sock.recv(1 << 16)
        except TimeoutError:
            raise LabError(f"the kernel does not answer about IPsec in {LIMIT:g} s") from None
        while len(raw) >= HEADER.size:
            length, kind, _, _, _ = HEADER.unpack_from(raw)
            body, raw = raw[HEADER.size:length], raw[length + 3 & ~3:]
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                (errno,) = ERRNO.unpack_from(body)
                if errno:
                    raise OSError(-errno, os.strerror(-errno))
                return
            yield kind, body
