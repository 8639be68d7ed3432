"""The lab's name server: says "no such name" (NXDOMAIN) to all names but those that it was given, over UDP and TCP.

A user's machine has a working DNS that does not know `web`; a lab without any would turn every failed lookup into a
timeout, which is another answer. So one machine of the wire, labelled `dns`, runs this file as a process of its own
(it outlives the command in a lab that was brought up to stay). Only the standard library: `python -I` starts it fast.

It answers with authority and repeats the question (RFC 1035 section 4.1). Of a name that it was given it tells the
address (an A record whose name is not compressed, as in the model), and that it has no records of other types.
Left out: EDNS (an OPT record in the query is dropped from the answer, which RFC 6891 allows), zones, recursion.
"""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

QR, AA, RD, RA, NXDOMAIN = 0x8000, 0x0400, 0x0100, 0x0080, 3
FORMERR = 1
A_IN = b"\0\1\0\1"
TTL = 600
NO_NAMES: Mapping[str, str] = MappingProxyType({})
HEADER = struct.Struct("!6H")


def answer(query: bytes, names: Mapping[str, str] = NO_NAMES) -> bytes | None:
    """The reply to one DNS message; None for what is no query (too short, or itself an answer). `names`: in small
    letters -> IPv4 address.

    >>> answer(bytes.fromhex("abcd01000001000000000000" "0377656200" "00010001")).hex()
    'abcd85830001000000000000037765620000010001'
    """
    if len(query) < HEADER.size:
        return None
    ident, flags, questions, *_ = HEADER.unpack_from(query)
    if flags & QR:
        return None
    end = _end_of_question(query) if questions == 1 else None
    kept = QR | AA | RA | flags & (RD | 0x7800)
    if end is None:
        return HEADER.pack(ident, kept | FORMERR, 0, 0, 0, 0)
    question = query[HEADER.size:end]
    address = names.get(_name(question))
    if address is None:
        return HEADER.pack(ident, kept | NXDOMAIN, 1, 0, 0, 0) + question
    record = b""
    if question[-4:] == A_IN:
        record = question[:-4] + A_IN + struct.pack("!IH", TTL, 4) + socket.inet_aton(address)
    return HEADER.pack(ident, kept, 1, bool(record), 0, 0) + question + record


def _name(question: bytes) -> str:
    labels, at = [], 0
    while question[at]:
        labels.append(question[at + 1:at + 1 + question[at]].decode("ascii", "replace").lower())
        at += 1 + question[at]
    return ".".join(labels)


def _end_of_question(query: bytes) -> int | None:
    at = HEADER.size
    while at < len(query) and query[at]:
        if query[at] > 63:
            return None
        at += query[at] + 1
    at += 5
    return at if at <= len(query) else None


class OverUdp(socketserver.BaseRequestHandler):
    server: UdpServer

    def handle(self) -> None:
        query, sock = self.request
        if reply := answer(query, self.server.names):
            with suppress(OSError):  # no route back: the query came with an address that NAT should have hidden
                sock.sendto(reply, self.client_address)


class OverTcp(socketserver.StreamRequestHandler):
    server: TcpServer
    timeout = 5.0

    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            if (reply := answer(self.rfile.read(int.from_bytes(head)), self.server.names)) is None:
                return
            self.wfile.write(len(reply).to_bytes(2) + reply)


class UdpServer(socketserver.UDPServer):
    names: Mapping[str, str] = NO_NAMES


class TcpServer(socketserver.ThreadingTCPServer):
    names: Mapping[str, str] = NO_NAMES
    allow_reuse_address = True
    daemon_threads = True


def main(address: str, names: Mapping[str, str] = NO_NAMES, port: int = 53) -> None:
    """Serves until killed; prints `ready` once both sockets are bound."""
    with UdpServer((address, port), OverUdp) as udp, TcpServer((address, port), OverTcp) as tcp:
        udp.names = tcp.names = names
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        print("ready", flush=True)
        udp.serve_forever(poll_interval=3600)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
