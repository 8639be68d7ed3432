"""The responders' process: serves sockets that `live/responder.py` opened, until standard input closes.

Run as a script, with the table of sockets as its argument: JSON rows of [file descriptor, protocol, label]. It imports
nothing but the standard library, so that it starts in a few hundredths of a second.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress

IP_PKTINFO = 8
PKTINFO = struct.Struct("=i4s4s")
"""struct in_pktinfo: device, own address by the route, address in the header."""
QUESTION = b"hopcast?\n"
"""What a client says first."""

Conversation = Iterator[None]
"""A generator that goes on whenever its socket is readable, and is over when it returns."""


def accept(listener: socket.socket, label: str, selector: selectors.BaseSelector) -> Conversation:
    """Each client that comes gets a conversation of its own."""
    while True:
        yield
        with suppress(OSError):  # the client may be gone again
            client, (peer, _) = listener.accept()
            client.setblocking(False)
            conversation = answer(client, f"{label} {peer}\n".encode())
            next(conversation)
            selector.register(client, selectors.EVENT_READ, conversation)


def answer(client: socket.socket, line: bytes) -> Conversation:
    """One TCP client, from its question to its end of stream."""
    said = b""
    while QUESTION not in said:
        yield
        data = client.recv(4096)
        if not data:
            return
        said = (said + data)[-4096:]
    client.sendall(line)
    while True:
        yield
        if not client.recv(4096):
            return


def echo(sock: socket.socket, label: str) -> Conversation:
    """All UDP clients of one port."""
    while True:
        yield
        with suppress(OSError):  # an ICMP error about an earlier reply, or no route back
            _, (peer, port) = sock.recvfrom(65536)
            sock.sendto(f"{label} {peer}\n".encode(), (peer, port))


def echo_as_asked(sock: socket.socket, label: str) -> Conversation:
    """As `echo`, from the address that was asked."""
    while True:
        yield
        with suppress(OSError):
            _, control, _, (peer, port) = sock.recvmsg(65536, 128)
            _, _, asked = PKTINFO.unpack(next(data for _, kind, data in control if kind == IP_PKTINFO))
            source = [(socket.IPPROTO_IP, IP_PKTINFO, PKTINFO.pack(0, asked, b""))]
            sock.sendmsg([f"{label} {peer}\n".encode()], source, 0, (peer, port))


CONVERSATIONS = {"udp": echo, "udp as asked": echo_as_asked}


def serve(table: list[tuple[int, str, str]]) -> None:
    selector = selectors.DefaultSelector()
    for fd, protocol, label in table:
        sock = socket.socket(fileno=fd)
        conversation = accept(sock, label, selector) if protocol == "tcp" else CONVERSATIONS[protocol](sock, label)
        next(conversation)
        selector.register(sock, selectors.EVENT_READ, conversation)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    print("serving", flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                return
            try:
                next(key.data)
            except (StopIteration, OSError):
                selector.unregister(key.fileobj)
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()


def one_cpu() -> int:
    """Where all run who put frames on a wire: frames that are sent on two CPUs may overtake each other, for each has a
    backlog of its own (net/core/dev.c)."""
    return min(os.sched_getaffinity(0))


def hurry() -> None:
    """Run before everything else on this machine, as far as the kernel lets us, and on the CPU of all: a kernel that
    waits for this process gives up after 40 ms (delayed acknowledgements), which would show in the packets."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with suppress(OSError):
        os.sched_setaffinity(0, {one_cpu()})


if __name__ == "__main__":
    hurry()
    serve(json.loads(sys.argv[1]))
