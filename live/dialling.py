"""One probe from the namespace in which the calling process already stands: ping, a TCP or a UDP question.

Follows what a plain client program sees: errno decides the outcome. Where an ICMP error says more than errno does
("prohibited" arrives as EHOSTUNREACH), the socket's error queue (IP_RECVERR, ip(7)) is asked.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from contextlib import suppress

from scapy.utils import checksum

from live.serve import QUESTION
from sim.packet import IcmpType, Unreach, icmp_name
from sim.spec import Dial
from sim.trace import Answer, Outcome

IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
IP_RECVERR = 11
SO_EE_ORIGIN_ICMP = 2

OUTCOMES = {
    errno.ECONNREFUSED: Outcome.REFUSED,
    errno.ECONNRESET: Outcome.RESET,
    errno.EPIPE: Outcome.RESET,
    errno.EHOSTUNREACH: Outcome.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Outcome.HOST_UNREACHABLE,
    errno.ENETUNREACH: Outcome.NET_UNREACHABLE,
    errno.EACCES: Outcome.PROHIBITED,
    errno.EPERM: Outcome.PROHIBITED,
    errno.ETIMEDOUT: Outcome.TIMEOUT,
    errno.EMSGSIZE: Outcome.TOO_LARGE,
}
"""What an errno means to the one who asked. Any other is a fault of the lab and stays an exception."""

PROHIBITED = (Unreach.NET_PROHIBITED, Unreach.HOST_PROHIBITED, Unreach.ADMIN_PROHIBITED)


def dial_address(dial: Dial, address: str) -> Answer:
    """Runs the probe of `dial` against `address` from the calling process's namespace. Raises OSError only for
    what is no answer: the source port is taken, say."""
    kind = {"ping": (socket.SOCK_RAW, socket.IPPROTO_ICMP), "tcp": (socket.SOCK_STREAM, 0),
            "udp": (socket.SOCK_DGRAM, 0)}[dial.probe]
    with socket.socket(socket.AF_INET, *kind) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if dial.probe != "ping":
            # The same question may be asked again while its last connection is in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", dial.source_port))
        sock.setblocking(False)
        start = time.monotonic()
        end = start + dial.timeout
        try:
            ask = {"ping": _ping, "tcp": _tcp, "udp": _udp}[dial.probe]
            served_by, seen_as = ask(sock, dial, address, end)
            paused = dial.pause if dial.probe == "tcp" else 0.0
            return Answer(Outcome.REACHED, address, served_by, seen_as, rtt=time.monotonic() - start - paused)
        except OSError as error:
            if dial.body:  # what is still on its way is given up, or it would go out again amid other questions
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return _failure(sock, error, address)


def _ping(sock: socket.socket, dial: Dial, address: str, end: float) -> tuple[str, str]:
    request = struct.pack("!BBHHH", IcmpType.ECHO_REQUEST, 0, 0, dial.source_port, 1) + bytes(dial.size)
    request = request[:2] + checksum(request).to_bytes(2, "big") + request[4:]
    if dial.df:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    sock.connect((address, 0))
    sock.send(request)
    while True:
        _wait(sock, select.POLLIN, end)
        datagram = sock.recv(65536)
        kind, _, _, ident, seq = struct.unpack_from("!BBHHH", datagram, 4 * (datagram[0] & 15))
        if (kind, ident, seq) == (IcmpType.ECHO_REPLY, dial.source_port, 1):
            return "", ""


def _tcp(sock: socket.socket, dial: Dial, address: str, end: float) -> tuple[str, str]:
    with suppress(BlockingIOError):
        sock.connect((address, dial.port))
    _wait(sock, select.POLLOUT, end)
    if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, "connect")
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if poll.poll(dial.pause * 1000):  # nobody speaks before the question: it is a reset, or the end
        sock.recv(1)
        raise ConnectionResetError(errno.ECONNRESET, "the connection was closed before the question was asked")
    sock.sendall(bytes(max(0, dial.body - len(QUESTION))) + QUESTION)
    said = b""
    while b"\n" not in said:
        _wait(sock, select.POLLIN, end)
        data = sock.recv(4096)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the connection was closed before the answer came")
        said += data
    return _who(said)


def _udp(sock: socket.socket, dial: Dial, address: str, end: float) -> tuple[str, str]:
    sock.connect((address, dial.port))
    sock.send(QUESTION)
    _wait(sock, select.POLLIN, end)
    return _who(sock.recv(65536))


def _wait(sock: socket.socket, event: int, end: float) -> None:
    """Until the socket is ready or has an error to tell (the next call on it raises that). TimeoutError after `end`."""
    poll = select.poll()
    poll.register(sock, event)
    if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
        raise TimeoutError(errno.ETIMEDOUT, "no answer in time")


def _who(said: bytes) -> tuple[str, str]:
    """`LABEL PEER` of a responder; another server's answer says nothing about who it is."""
    label, _, peer = said.decode(errors="replace").rstrip("\n").rpartition(" ")
    return (label, peer) if label and peer.count(".") == 3 else ("", "")


def _failure(sock: socket.socket, error: OSError, address: str) -> Answer:
    if error.errno not in OUTCOMES:
        raise error
    outcome, detail = OUTCOMES[error.errno], error.strerror or ""
    if icmp := _icmp_error(sock):
        kind, code = icmp
        detail = f"ICMP {icmp_name(kind, code)}"
        if kind == IcmpType.DEST_UNREACH and code in PROHIBITED:
            outcome = Outcome.PROHIBITED
    return Answer(outcome, address, detail=detail)


def _icmp_error(sock: socket.socket) -> tuple[int, int] | None:
    """(type, code) of the ICMP error on the socket's queue, if that is where its errno came from."""
    with suppress(OSError):
        _, ancillary, _, _ = sock.recvmsg(512, 512, socket.MSG_ERRQUEUE)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, IP_RECVERR):
                _, origin, icmp_type, code = struct.unpack_from("IBBB", data)
                if origin == SO_EE_ORIGIN_ICMP:
                    return icmp_type, code
    return None
