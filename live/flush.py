"""Flushing a namespace's caches over netlink, written by hand: it happens before each question in each namespace.

pyroute2 turns each message into objects, which takes a tenth of a second a namespace where the CPU is emulated; here
all requests of a namespace go in one datagram, and of what comes back only the errors are looked at. A netlink socket
belongs to the namespace in which it was opened, so any thread may use it.

rtnetlink(7), netlink(7), sock_diag(7); include/uapi/linux/{neighbour,if_link,inet_diag}.h, nfnetlink_conntrack.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

NETLINK_SOCK_DIAG, NETLINK_NETFILTER = 4, 12
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
RTM_NEWLINK, RTM_DELNEIGH, RTM_GETNEIGH = 16, 29, 30
CTNETLINK_DELETE = 1 << 8 | 2
SOCK_DIAG_BY_FAMILY, SOCK_DESTROY = 20, 21
HALF_OPEN = 1 << 2 | 1 << 3
"""States of TCP: SYN_SENT, SYN_RECV."""
SWARM_PORTS = (2377, 7946)
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
NDA_DST = 1
IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_BR_FDB_FLUSH = 18, 1, 2, 21
ROUTE_FLUSH = "/proc/sys/net/ipv4/route/flush"
HEADER = struct.Struct("=IHHII")
NEIGHBOUR = struct.Struct("=BxxxiHBB")
LINK = struct.Struct("=BxHiII")
DIAG = struct.Struct("=BBxxI")
SOCKET_ID = slice(4, 52)
"""Where `struct inet_diag_msg` has what identifies a socket."""
BLOCK = 1 << 16
LIMIT = 20.0
"""Seconds without an answer from the kernel: then something is very wrong."""


class Flush:
    """Netlink sockets of the calling thread's namespace. `bridges`: indexes of its bridges."""

    def __init__(self, bridges: list[int]) -> None:
        self._bridges = bridges
        self._exceptions = os.open(ROUTE_FLUSH, os.O_WRONLY | os.O_CLOEXEC)
        """A sysctl's file belongs to the namespace of who opened it."""
        self._route = _open(socket.NETLINK_ROUTE)
        self._conntrack = _open(NETLINK_NETFILTER)
        self._diag = _open(NETLINK_SOCK_DIAG)

    def begin(self) -> None:
        """Asks for the neighbours, and empties bridges, conntrack and route exceptions. What waits for the end of a
        handshake goes first: it would send its segment again, and ask for a neighbour that is not known any more."""
        self._end_handshakes()
        os.pwrite(self._exceptions, b"1", 0)
        self._conntrack.send(_message(CTNETLINK_DELETE, REQUEST | ACK, bytes(4)))
        for index in self._bridges:
            self._route.send(_message(RTM_NEWLINK, REQUEST | ACK, LINK.pack(0, 0, index, 0, 0) + FLUSH_FDB))
        _acknowledged(self._route, len(self._bridges))
        self._route.send(_message(RTM_GETNEIGH, REQUEST | DUMP, NEIGHBOUR.pack(socket.AF_INET, 0, 0, 0, 0)))

    def end(self) -> None:
        """Deletes what `begin` asked for; then all is done. OSError when the kernel refuses."""
        going = [
            _message(RTM_DELNEIGH, REQUEST | ACK,
                     NEIGHBOUR.pack(socket.AF_INET, index, 0, 0, 0) + _attribute(NDA_DST, address))
            for index, state, address in _neighbours(self._route) if not state & (NUD_NOARP | NUD_PERMANENT)]
        if going:
            self._route.send(b"".join(going))
            with suppress(FileNotFoundError):  # one went by itself in between
                _acknowledged(self._route, len(going))
        with suppress(FileNotFoundError):
            _acknowledged(self._conntrack, 1)

    def _end_handshakes(self) -> None:
        """Connections that questions before left half open. They go without a word; on a kernel that can't do that
        (CONFIG_INET_DIAG_DESTROY) they stay."""
        with suppress(OSError):
            everyone = DIAG.pack(socket.AF_INET, socket.IPPROTO_TCP, HALF_OPEN) + bytes(48)
            self._diag.send(_message(SOCK_DIAG_BY_FAMILY, REQUEST | DUMP, everyone))
            going = [
                _message(SOCK_DESTROY, REQUEST | ACK,
                         DIAG.pack(socket.AF_INET, socket.IPPROTO_TCP, HALF_OPEN) + identity)
                for identity in _half_open(self._diag)]
            if going:
                self._diag.send(b"".join(going))
                _acknowledged(self._diag, len(going))

    def close(self) -> None:
        os.close(self._exceptions)
        self._diag.close()
        self._route.close()
        self._conntrack.close()


def _open(family: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
    sock.bind((0, 0))
    sock.settimeout(LIMIT)
    return sock


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags, 0, 0) + body + bytes(-len(body) % 4)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


FLUSH_FDB = _attribute(IFLA_LINKINFO, _attribute(IFLA_INFO_KIND, b"bridge\0")
                       + _attribute(IFLA_INFO_DATA, _attribute(IFLA_BR_FDB_FLUSH, b"")))


def _answers(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """(type, body) of every message, until nobody asks for more."""
    while True:
        data = sock.recv(BLOCK)
        at = 0
        while at + HEADER.size <= len(data):
            length, kind, *_ = HEADER.unpack_from(data, at)
            yield kind, data[at + HEADER.size:at + length]
            at += -(-length // 4) * 4


def _acknowledged(sock: socket.socket, count: int) -> None:
    """Reads `count` acknowledgements; then raises the first error among them."""
    failed = 0
    answers = _answers(sock)
    for _ in range(count):
        kind, body = next(answers)
        if kind == NLMSG_ERROR:
            failed = failed or -struct.unpack_from("=i", body)[0]
    if failed:
        raise OSError(failed, "netlink")


def _dump(sock: socket.socket) -> Iterator[bytes]:
    """The bodies of a dump's messages."""
    for kind, body in _answers(sock):
        if kind == NLMSG_DONE:
            return
        if kind == NLMSG_ERROR:
            raise OSError(-struct.unpack_from("=i", body)[0], "netlink")
        yield body


def _half_open(sock: socket.socket) -> list[bytes]:
    """Identities of the sockets in a dump, but for the swarm's own."""
    return [body[SOCKET_ID] for body in _dump(sock)
            if not set(struct.unpack_from("!HH", body, SOCKET_ID.start)) & set(SWARM_PORTS)]


def _neighbours(sock: socket.socket) -> list[tuple[int, int, bytes]]:
    """(device's index, state, address) of a dump."""
    found = []
    for body in _dump(sock):
        _, index, state, _, _ = NEIGHBOUR.unpack_from(body)
        at = NEIGHBOUR.size
        while at + 4 <= len(body):
            length, attribute = struct.unpack_from("=HH", body, at)
            if attribute == NDA_DST:
                found.append((index, state, body[at + 4:at + length]))
            at += -(-max(length, 4) // 4) * 4
    return found
