"""What answers the probes: one small server on every port that a topology says somebody listens on.

The sockets are made inside each namespace (by a thread that enters it), bound there, and handed to one child
process that serves them all (`live/serve.py`): so their timing does not depend on what the Hopcast process is
doing. The child goes when its standard input closes, hence also when Hopcast is killed.

Protocol, the same in the simulation:

- TCP: accept; read until the nine bytes `hopcast?\\n` is complete; send `LABEL PEER\\n`, where PEER is the peer's
  address as seen here; read until the client's end of stream; close.
- UDP: to any datagram, reply `LABEL PEER\\n` from the socket that got it. The kernel picks the reply's source
  address by route, as for any plain server on 0.0.0.0: on a host with several addresses that need not be the one
  that was asked. The internet, one machine for many, answers from the one that was asked (`as_asked`).
"""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from live import environment, netns
from sim.errors import LabError

IP_PKTINFO = 8
"""include/uapi/linux/in.h; Python has no name for it."""
SERVE = Path(__file__).with_name("serve.py")


@dataclass(frozen=True, slots=True)
class ListenerAt:
    """`label` is whose name the answer carries, `netns` (path) where the socket is: a host-mode container's host's."""

    label: str
    netns: str
    port: int
    protocol: str = "tcp"
    address: str = "0.0.0.0"
    as_asked: bool = False
    """A UDP server answers from the address that it was asked at, and not from the one by the route (IP_PKTINFO)."""


class Responders:
    """Listens from construction to `close`. LabError where a port is taken: names the label and the port."""

    def __init__(self, listeners: Iterable[ListenerAt]) -> None:
        wanted = sorted(listeners, key=lambda at: at.netns)
        sockets: list[tuple[ListenerAt, socket.socket]] = []
        try:
            for path, group in groupby(wanted, key=lambda at: at.netns):
                netns.call(path, _open_all, list(group), sockets)
            table = [(sock.fileno(), "udp as asked" if at.as_asked and at.protocol == "udp" else at.protocol, at.label)
                     for at, sock in sockets]
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SERVE), json.dumps(table)], pass_fds=[fd for fd, _, _ in table],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment.minimal())
        finally:
            for _, sock in sockets:
                sock.close()
        assert self._child.stdout
        if self._child.stdout.readline() != b"serving\n":
            self.close()
            raise LabError("the responders' process did not start")

    def __enter__(self) -> Responders:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._child.pid

    def close(self) -> None:
        """Ends the child and with it every socket; a second time does nothing."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe:
                pipe.close()
        try:
            self._child.wait(2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def _open_all(listeners: list[ListenerAt], sockets: list[tuple[ListenerAt, socket.socket]]) -> None:
    """In the calling thread's namespace; what is open when it fails is in `sockets` already."""
    for at in listeners:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if at.protocol == "tcp" else socket.SOCK_DGRAM)
        sockets.append((at, sock))
        try:
            if at.as_asked and at.protocol == "udp":
                sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            if at.protocol == "tcp":
                # Lets a port be taken again while old connections are in TIME_WAIT. Not for UDP: there it would let two
                # sockets share one port, and a conflict would pass unnoticed.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((at.address, at.port))
            if at.protocol == "tcp":
                sock.listen(128)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LabError(f"{at.label} can't listen on {at.protocol} port {at.port}: somebody in its network "
                               f"namespace does already") from error
            raise LabError(f"{at.label} can't listen on {at.address}, {at.protocol} port {at.port}: "
                           f"{error.strerror}") from error
        sock.setblocking(False)
