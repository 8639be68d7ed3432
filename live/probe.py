"""A question asked for real: `probe` runs exactly a `sim.spec.Dial` from inside the source's namespace.

A forked child enters the network namespace, and for a name also the mount namespace, so that libc reads the
source's own /etc/hosts and /etc/resolv.conf. Fork, not exec: what the child needs is loaded already and can't come
from the container. The caller's own namespaces never change.

A name is resolved by glibc's getaddrinfo (IPv4 only) in the order `files dns`, whatever nsswitch.conf the container
or this machine has: busybox images have none, and a machine's may name modules that know nothing of the container.
getaddrinfo(3).
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from live.dialling import dial_address
from live.patience import patient
from live.serve import hurry
from sim.errors import LabError
from sim.spec import Dial
from sim.trace import Answer, Outcome

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
SLACK = 2.0
"""Seconds that a child may overrun its time limits before it counts as stuck."""

NAME_OUTCOMES = {
    socket.EAI_NONAME: Outcome.NO_SUCH_NAME,
    socket.EAI_NODATA: Outcome.NO_SUCH_NAME,
    socket.EAI_AGAIN: Outcome.NAME_UNANSWERED,
    socket.EAI_FAIL: Outcome.NAME_UNANSWERED,
    socket.EAI_SYSTEM: Outcome.NAME_UNANSWERED,
}
_libc = ctypes.CDLL(None, use_errno=True)
for _module in ("libnss_files.so.2", "libnss_dns.so.2"):
    # Before glibc 2.34 these are files of their own, which the child would look for in the container's root.
    with suppress(OSError):
        ctypes.CDLL(_module)


def probe(dial: Dial, netns: str, resolver_pid: int | None = None, *, resolv_conf: str | None = None,
          hosts: str | None = None) -> Answer:
    """Asks; the answer comes after `dial.timeout` at the latest (plus `dial.resolve_timeout` when `dial.name` is set).

    `netns`: path of the source's network namespace. A name is resolved with the files of the mount namespace of
    `resolver_pid` (a container's process), or with the files given as `resolv_conf` and `hosts` (paths; a host's or a
    client's, which have no mount namespace of their own), or with this machine's when neither is given.
    LabError when the namespace can't be entered or the source port is taken.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _child(dial, netns, resolver_pid, resolv_conf, hosts, write_end)
    os.close(write_end)
    try:
        return _listen(dial, read_end)
    finally:
        os.close(read_end)
        os.kill(pid, signal.SIGKILL)  # not reaped yet, so the pid is still its own
        os.waitpid(pid, 0)


def _listen(dial: Dial, pipe: int) -> Answer:
    """The child's messages: the address once known, then the answer or what went wrong."""
    text, address = "", dial.address
    end = time.monotonic() + (dial.resolve_timeout if dial.name else dial.timeout + patient(SLACK))
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while poll.poll(max(0.0, end - time.monotonic()) * 1000):
        data = os.read(pipe, 65536)
        if not data:
            raise LabError(f"the probe {dial.source} -> {dial.name or dial.address} died")
        text += data.decode()
        while "\n" in text:
            line, _, text = text.partition("\n")
            message: dict[str, Any] = json.loads(line)
            if "error" in message:
                raise LabError(f"the probe from {dial.source} can't run: {message['error']}")
            if "outcome" in message:
                return Answer(**message | {"outcome": Outcome(message["outcome"])})
            address, end = message["address"], time.monotonic() + dial.timeout + patient(SLACK)
    if address:
        return Answer(Outcome.TIMEOUT, address, detail="the probe did not end in time")
    return Answer(Outcome.NAME_UNANSWERED, detail=f"no answer within {dial.resolve_timeout:g} s")


def _child(dial: Dial, netns: str, resolver_pid: int | None, resolv_conf: str | None, hosts: str | None,
           pipe: int) -> NoReturn:
    """The forked child: never returns, never runs the parent's clean-ups."""
    hurry()
    try:
        _say(pipe, _run(dial, netns, resolver_pid, resolv_conf, hosts, pipe))
    except BaseException as error:
        _say(pipe, {"error": str(error) or type(error).__name__})
    finally:
        os._exit(0)


def _run(dial: Dial, netns: str, resolver_pid: int | None, resolv_conf: str | None, hosts: str | None,
         pipe: int) -> dict[str, Any]:
    address = dial.address
    _enter(netns, CLONE_NEWNET)
    if dial.name:
        if resolver_pid is not None:
            _enter(f"/proc/{resolver_pid}/ns/mnt", CLONE_NEWNS)
        elif resolv_conf is not None or hosts is not None:
            _private_etc(resolv_conf, hosts)
        _libc.__nss_configure_lookup(b"hosts", b"files dns")
        try:
            # As bytes: for a str, Python would import its IDNA codec, and the container's root has no Python.
            address = str(socket.getaddrinfo(dial.name.encode(), None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        except socket.gaierror as error:
            if error.errno not in NAME_OUTCOMES:
                raise
            return Answer(NAME_OUTCOMES[error.errno], detail=error.strerror or "").as_dict()
        _say(pipe, {"address": address})
    return dial_address(dial, address).as_dict()


def _say(pipe: int, message: dict[str, Any]) -> None:
    os.write(pipe, json.dumps(message).encode() + b"\n")


def _enter(path: str, kind: int) -> None:
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    _check(_libc.setns(namespace, kind), f"can't enter {path}")
    os.close(namespace)


def _private_etc(resolv_conf: str | None, hosts: str | None) -> None:
    """An /etc that only the calling process sees, with no more in it than the files given."""
    given = {name: Path(path).read_bytes() for name, path in (("resolv.conf", resolv_conf), ("hosts", hosts)) if path}
    _check(_libc.unshare(CLONE_NEWNS), "can't make a mount namespace")
    _check(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "can't make mounts private")
    _check(_libc.mount(b"tmpfs", b"/etc", b"tmpfs", 0, None), "can't mount a private /etc")
    for name, content in given.items():
        Path("/etc", name).write_bytes(content)


def _check(result: int, what: str) -> None:
    if result != 0:
        raise LabError(f"{what}: {os.strerror(ctypes.get_errno())}", mend="run as root")
