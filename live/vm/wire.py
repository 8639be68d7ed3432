"""Requests and answers on the guest's serial line: one line a message, so that who comes in late finds the next one.

    hopcast IDENT KIND CRC32 BASE64(ZLIB(JSON))

A raw UART has no end of a message, no flow control, and drops what nobody reads in time; so every line carries a
checksum, and what the host asks goes in pieces, each of which the guest acknowledges before the next. The other way
QEMU waits for the reader. Lines that are no message (a kernel's complaint, half a line) are passed over.

kind     from   body
ask      host   [index, pieces, text]: a piece of the request {"name", "body"}
got      guest  the index of a piece
say      guest  progress, as the request's handler gives it
done     guest  the answer
failed   guest  {"error", "problem", "where", "mend"}
alive    guest  every few seconds, whatever else goes on
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

MAGIC = b"hopcast"
PIECE = 2048
"""Bytes of text a piece: less than a tty keeps for a reader that is late."""
LEVEL = 3
"""zlib's: traces shrink to a twentieth with any."""


class Message(NamedTuple):
    ident: str
    kind: str
    body: Any = None


def encode(message: Message) -> bytes:
    """The line. ValueError for an id or kind that has a space or is empty."""
    if not all(word.isascii() and word.isprintable() and word and " " not in word for word in message[:2]):
        raise ValueError(f"no id and kind of a message: {message[:2]}")
    packed = zlib.compress(json.dumps(message.body, separators=(",", ":")).encode(), LEVEL)
    return b" ".join([MAGIC, message.ident.encode(), message.kind.encode(), b"%08x" % zlib.crc32(packed),
                      base64.b64encode(packed)]) + b"\n"


def decode(line: bytes) -> Message | None:
    """The message of a line; None for what is none, or has been damaged.

    >>> decode(encode(Message("7", "say", {"done": 1})))
    Message(ident='7', kind='say', body={'done': 1})
    """
    parts = line.split()
    if len(parts) != 5 or parts[0] != MAGIC:
        return None
    try:
        packed = base64.b64decode(parts[4], validate=True)
        if zlib.crc32(packed) != int(parts[3], 16):
            return None
        return Message(parts[1].decode(), parts[2].decode(), json.loads(zlib.decompress(packed)))
    except (ValueError, binascii.Error, zlib.error):
        return None


class Decoder:
    """Messages from bytes as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = b"".join([*self._parts, line])
            self._parts.clear()
            if message := decode(whole):
                yield message
        if rest:
            self._parts.append(rest)


def pieces(ident: str, name: str, body: Any) -> list[Message]:
    """A request as the messages that carry it."""
    text = json.dumps({"name": name, "body": body}, separators=(",", ":"))
    cut = [text[at:at + PIECE] for at in range(0, len(text), PIECE)]
    return [Message(ident, "ask", [index, len(cut), part]) for index, part in enumerate(cut)]


class Request:
    """A request that is being put together."""

    def __init__(self) -> None:
        self.ident = ""
        self._parts: dict[int, str] = {}

    def add(self, message: Message) -> tuple[str, Any] | None:
        """(name, body) once the last piece is there. A piece of another request begins that one anew."""
        index, count, text = message.body
        if message.ident != self.ident:
            self.ident, self._parts = message.ident, {}
        self._parts[index] = text
        if len(self._parts) < count:
            return None
        request = json.loads("".join(self._parts[number] for number in range(count)))
        self.ident, self._parts = "", {}
        return request["name"], request["body"]
