"""Names: libc's stub resolver, and name servers that answer it, over simulated UDP with real DNS messages (RFC 1035).

The stub does what glibc's getaddrinfo does for AF_INET: the hosts file, then each nameserver of resolv.conf with a
limit of five seconds, twice over. A server gets its answers from a function: the engine's embedded DNS, or the one on
the underlay, which knows what the file says.
Left out: TCP, IPv6 records, EDNS, caching.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sim.fabric.casting import check_unicast
from sim.fabric.fabric import Fabric, Process
from sim.fabric.preference import by_preference
from sim.kernel.datagram import UdpSocket
from sim.kernel.netns import Netns
from sim.kernel.resolver import HostsLine, ResolverFiles
from sim.packet import dotted, ip
from sim.trace import Kind, Outcome

PORT = 53
TIMEOUT = 5.0
"""RES_TIMEOUT, seconds a server."""
ATTEMPTS = 2
"""RES_DFLRETRY."""
FORWARD_TIMEOUT = 4.0
"""Seconds that the embedded DNS waits for each upstream server (extIOTimeout, libnetwork/resolver.go)."""
MAX_NDOTS = 15
"""RES_MAXNDOTS; more is no error."""
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
POINTER = b"\xc0\x0c"
"""To byte 12, where the question's name begins."""
TRUNCATED = 0x02
"""The bit TC, in the third byte of a message."""
HEADER = 12
"""Bytes."""
MAX_SERVERS = 3
"""MAXNS: name servers that libc reads of resolv.conf."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server knows of a name: addresses, an error code, or upstream servers to ask."""

    addresses: tuple[int, ...] = ()
    rcode: int = NOERROR
    upstream: tuple[int, ...] = ()


def query(name: str) -> bytes:
    """A question for the A records of `name`."""
    labels = b"".join(bytes([len(part)]) + part for part in _labels(name))
    return struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def _labels(name: str) -> list[bytes]:
    return name.encode().removesuffix(b".").split(b".") if name != "." else []


def can_be_asked(name: str) -> bool:
    """RFC 1035, 2.3.4: labels of 1-63 bytes, 255 in all. For another name glibc sends nothing: there is none such."""
    labels = _labels(name)
    return all(0 < len(label) < 64 for label in labels) and sum(map(len, labels)) + len(labels) + 1 <= 255


def response(question: bytes, reply: Reply) -> bytes:
    """The message that answers `question`; names are not compressed, as the engine's DNS writes them."""
    flags = 0x8180 | reply.rcode
    name = question[12:-4]
    records = b"".join(
        name + struct.pack(">HHIHI", 1, 1, 600, 4, address) for address in reply.addresses)
    return struct.pack(">6H", 1, flags, 1, len(reply.addresses), 0, 0) + question[12:] + records


def compressed(message: bytes) -> bytes:
    """The same message with the answers' names as pointers to the question's (RFC 1035 4.1.4)."""
    rcode, addresses = parse(message)
    question = message[12 : message.index(b"\0", 12) + 5]
    records = b"".join(POINTER + struct.pack(">HHIHI", 1, 1, 600, 4, address) for address in addresses)
    return message[:12] + question + records if rcode == NOERROR else message


def asked_name(message: bytes) -> str:
    parts, at = [], 12
    while message[at]:
        parts.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(parts)


def parse(message: bytes) -> tuple[int, list[int]]:
    """(rcode, addresses) of a response."""
    count = struct.unpack_from(">H", message, 6)[0]
    name_length = message.index(b"\0", 12) + 1 - 12
    at, addresses = 12 + name_length + 4, []
    for _ in range(count):
        at += (len(POINTER) if message.startswith(POINTER, at) else name_length) + 10
        addresses.append(struct.unpack_from(">I", message, at)[0])
        at += 4
    return message[3] & 0x0F, addresses


def name_server(fabric: Fabric, netns: Netns, address: int, port: int, lookup: Callable[[str], Reply]) -> Process:
    """Answer queries on (address, port) for ever; what `lookup` can't tell is asked upstream, from this namespace."""
    sock = UdpSocket(netns, address, port)
    netns.sockets.bind(sock)
    while True:
        while not sock.inbox:
            yield fabric.ready(sock)
        message, peer, peer_port, _ = sock.inbox.popleft()
        name = asked_name(message)
        reply = lookup(name)
        found = ", ".join(map(dotted, reply.addresses)) or ("asks upstream" if reply.upstream else "no such name")
        yield fabric.note(Kind.DNS, netns.label, f"{name}: {found}")
        if reply.upstream:
            fabric.spawn(_forward(fabric, netns, sock, message, (peer, peer_port), reply.upstream))
        else:
            yield fabric.call(sock.send(response(message, reply), fabric.now, (peer, peer_port)))


def _forward(
    fabric: Fabric, netns: Netns, front: UdpSocket, message: bytes, client: tuple[int, int], servers: Sequence[int]
) -> Process:
    """What the embedded DNS tells of the external servers (`ServeDNS`): the first answer that is no failure, else the
    last failure. Where nobody answers it says nothing either, and libc waits in vain."""
    told: bytes | None = None
    for server in servers:
        answer = yield from _ask(fabric, netns, message, server, FORWARD_TIMEOUT, _whole)
        if answer is not None:
            # The engine packs what it passes on anew (resp.Compress in libnetwork/resolver.go). Of what it can't read
            # it still believes the header, if that says that the answer goes on (TC).
            whole = is_message(answer)
            told = compressed(answer) if whole else answer[:4] + bytes(8)
            if (whole or answer[2] & TRUNCATED) and answer[3] & 0x0F in (NOERROR, NXDOMAIN):
                break
    if told is not None:
        yield fabric.call(front.send(told, fabric.now, client))


def _ask(
    fabric: Fabric, netns: Netns, message: bytes, server: int, timeout: float, takes: Callable[[bytes], bool]
) -> Process:
    """Ask one server: the first datagram from there that `takes` takes, or None. One too short for DNS ends it."""
    check_unicast(netns, server)
    sock = UdpSocket(netns, recverr=True)
    if not sock.connect(server, PORT):
        return None
    deadline = fabric.now + timeout
    yield fabric.call(sock.send(message, fabric.now))
    answer: bytes | None = None
    while answer is None and not sock.error and fabric.now < deadline:
        if not sock.inbox:
            yield fabric.ready(sock, deadline - fabric.now)
            continue
        datagram: bytes = sock.inbox.popleft()[0]
        if takes(datagram):
            answer = datagram
            continue
        yield fabric.note(Kind.DNS, netns.label, f"what {dotted(server)} says is no answer to the question")
        if len(datagram) < HEADER:
            break
    netns.sockets.forget(sock)
    return answer


def _query(fabric: Fabric, netns: Netns, name: str, servers: Sequence[int]) -> Process:
    """The stub's question (`__res_context_send`): each server once, twice over. The first answer that is no SERVFAIL,
    else the last SERVFAIL, else None. What is no answer to the question is overlooked."""
    message, failure = query(name), None
    for server in [*servers] * ATTEMPTS:
        answer = yield from _ask(fabric, netns, message, server, TIMEOUT, partial(_answers, message))
        if answer is not None and answer[3] & 0x0F != SERVFAIL:
            return answer
        failure = answer or failure
    return failure


def _whole(message: bytes) -> bool:
    """The engine looks at what is long enough for a header, whatever it is."""
    return len(message) >= HEADER


def _answers(question: bytes, message: bytes) -> bool:
    """Has it the question's number, is it an answer, and does it repeat the question?"""
    repeats = message[:2] == question[:2] and message[12:].startswith(question[12:])
    return repeats and bool(message[2] & 0x80) and is_message(message)


def is_message(message: bytes) -> bool:
    """Is it DNS at all?"""
    try:
        parse(message)
    except (IndexError, ValueError, struct.error):
        return False
    return True


def resolve(fabric: Fabric, netns: Netns, name: str, files: ResolverFiles) -> Process:
    """getaddrinfo(3) for AF_INET: the address that comes first (int), or NO_SUCH_NAME or NAME_UNANSWERED."""
    try:
        return ip(name)
    except ValueError:
        pass
    if found := _in_hosts(netns, name, files):
        first = by_preference(netns, found)[0]
        yield fabric.note(Kind.DNS, netns.label, f"{name} is {dotted(first)} in /etc/hosts")
        return first
    servers = [ip(s) for s in files.nameservers][:MAX_SERVERS] or [ip("127.0.0.1")]
    ended = Outcome.NAME_UNANSWERED
    for candidate in candidates(name, files):
        if not can_be_asked(candidate):
            ended = Outcome.NO_SUCH_NAME
            continue
        answer = yield from _query(fabric, netns, candidate, servers)
        if answer is None:
            return Outcome.NAME_UNANSWERED
        rcode, addresses = parse(answer)
        if addresses:
            return by_preference(netns, addresses)[0]
        if rcode in (NOERROR, NXDOMAIN):
            ended = Outcome.NO_SUCH_NAME
    return ended


def _in_hosts(netns: Netns, name: str, files: ResolverFiles) -> list[int]:
    """All addresses that the hosts file has for a name (nss_files, with `multi on`)."""
    fixed, drawn = files.hosts[:len(files.hosts) - files.drawn], files.hosts[len(files.hosts) - files.drawn:]
    if any(_named(line, name) for line in drawn):
        first = netns.draws.draw(len(drawn))
        drawn = drawn[first:] + drawn[:first]
    return [line[0] for line in (*fixed, *drawn) if _named(line, name)]


def _named(line: HostsLine, name: str) -> bool:
    return name.casefold() in (each.casefold() for each in line[1])


def candidates(name: str, files: ResolverFiles) -> list[str]:
    """The names that the stub tries: with the search list before or after the name itself, by `ndots`."""
    said = next((re.match(r"ndots:0*(\d{0,9})", option, re.ASCII) for option in reversed(files.options)
                 if option.startswith("ndots:")), None)
    ndots = min(int(said[1] or 0), MAX_NDOTS) if said else 1
    if name.endswith("."):
        return [name]
    searched = [f"{name}.{domain}" for domain in files.search]
    return [name, *searched] if name.count(".") >= ndots else [*searched, name]
