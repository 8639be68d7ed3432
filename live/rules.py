"""What stands in the real namespaces, in the words in which it is predicted: `sim.plumbing.Plumbing`, canonical names.

Devices and routes over rtnetlink, rules by `iptables-save` (the same variant, nft or legacy, as the engine's iptables),
the engine's listeners by the sockets that dockerd and docker-proxy hold, name servers from each resolv.conf, and what
engines say of it all by `live/inspect.py`.
IPv6 is left out, as are the wire and its name server, which are the lab's own.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from live import balance, engine, environment, inspect, links, names, netns
from live.deployment import Deployment
from live.names import Names
from live.patience import patient
from sim.errors import LabError
from sim.packet import dotted
from sim.plumbing import Interface, Namespace, Plumbing, Route
from sim.spec import FAR

COUNTERS = re.compile(r"\s*\[\d+:\d+\]")
SOCKET = re.compile(r"socket:\[(\d+)\]")
LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp (include/net/tcp_states.h)."""
SCTP_LISTENING = "10"
"""SCTP_SS_LISTENING in /proc/net/sctp/eps (include/net/sctp/constants.h, net/sctp/proc.c)."""
SWARM_PORTS = (2377, 7946)
"""Where engines of a swarm wait for each other."""
SAVE_LIMIT = 20.0
ENGINE_PROGRAMS = ("dockerd", "docker-proxy")


@dataclass(frozen=True, slots=True)
class _Raw:
    """What a namespace says, in its own names. `inode`: its own; `listening`: a machine's sockets that wait for peers,
    inode -> (protocol, address, port)."""

    inode: int
    rules: dict[str, list[str]]
    listening: dict[int, tuple[str, str, int]]
    neighbours: links.Triples
    remotes: links.Triples
    balanced: list[str]


def read(deployment: Deployment) -> tuple[Names, Plumbing]:
    """Reads every namespace of the Spec; the names as well. LabError when a container ended or a tool is missing."""
    spec, there = deployment.spec, deployment.namespaces()
    machines = {*(h.name for h in spec.hosts), *(c.name for c in spec.clients)}
    engines = deployment.engine_namespaces()
    # Half of it is iptables-save's time, in which this process can learn the names.
    with ThreadPoolExecutor(4, thread_name_prefix="plumbing") as pool:
        reading = {label: pool.submit(_raw, path, machine=label in machines) for label, path in there.items()}
        held = _engine_sockets()
        known = names.learn(deployment)
        raw = {label: each.result() for label, each in reading.items()}
    seen = {label: Namespace(
        label,
        {i.name: i for i in _interfaces(label, known, (*spec.nics_of(label), FAR) if label in machines else ())},
        [Route(r.dst, known.device(label, r.dev), r.via, r.src) for r in known.routes[label]],
        {table: [known.text(label, line) for line in lines] for table, lines in found.rules.items()},
        sorted({found.listening[inode] for inode in found.listening.keys() & held.get(found.inode, set())}),
        [] if label in engines else _nameservers(deployment.etc(label) / "resolv.conf"),
        [f"{address} dev {known.device(label, device)} lladdr {known.mac(mac)}"
         for address, device, mac in found.neighbours],
        [f"{known.mac(mac)} dev {known.device(label, device)} dst {address}"
         for mac, device, address in found.remotes],
        found.balanced,
        sorted(line.shown(known.spis) for line in known.ipsec.get(label, []))) for label, found in raw.items()}
    return known, Plumbing(seen, list(deployment.warnings), inspect.inspect(deployment, known))


def _raw(path: Path, *, machine: bool) -> _Raw:
    with netns.inside(path) as there:
        rules = there.run(_iptables_save)
        listening = there.run(_listening) if machine else {}
        neighbours, remotes = there.run(links.permanent_here)
        balanced = there.run(balance.here) or []
    return _Raw(path.stat().st_ino, rules, listening, neighbours, remotes, list(map(str, balanced)))


def _interfaces(label: str, known: Names, cables: Collection[str]) -> Iterator[Interface]:
    """Those in `cables` are a machine's own, and veths only because this is a lab."""
    by_index = {link.index: link.name for link in known.links[label]}
    for link in known.links[label]:
        yield Interface(
            known.device(label, link.name), "link" if link.name in cables else link.kind, known.mac_of(label, link),
            link.addresses, link.mtu, known.device(label, by_index[link.master]) if link.master in by_index else "",
            link.up, link.options)


def _iptables_save() -> dict[str, list[str]]:
    """In the calling thread's namespace: table -> lines, without counters."""
    tool = engine.which("iptables-save")
    if not tool:
        raise LabError("no iptables-save on this machine", mend="apt-get install iptables")
    try:
        done = subprocess.run([tool], capture_output=True, text=True, timeout=patient(SAVE_LIMIT), check=True,
                              env=environment.minimal())
    except subprocess.SubprocessError as error:
        raise LabError(f"iptables-save failed: {getattr(error, 'stderr', '') or error}") from error
    tables: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in done.stdout.splitlines():
        if line.startswith("*"):
            lines = tables[line[1:].strip()] = []
        elif line.startswith((":", "-")):
            lines.append(COUNTERS.sub("", line).rstrip())
    return tables


def _listening() -> dict[int, tuple[str, str, int]]:
    """In the calling thread's namespace: socket inode -> (protocol, address, port) of whatever waits for peers. Go's
    sockets for all addresses are IPv6 ones that take IPv4 as well."""
    found: dict[int, tuple[str, str, int]] = {}
    for file in ("tcp", "udp", "tcp6", "udp6"):
        protocol = file[:3]
        with suppress(FileNotFoundError):  # no IPv6 in this kernel
            for line in Path("/proc/thread-self/net", file).read_text().splitlines()[1:]:
                columns = line.split()
                connected = columns[3] != LISTEN if protocol == "tcp" else not columns[2].endswith(":0000")
                address, _, port = columns[1].partition(":")
                everywhere = not int(address, 16)
                if not connected and (everywhere or file == protocol) and int(port, 16) not in SWARM_PORTS:
                    little = 0 if everywhere else int.from_bytes(bytes.fromhex(address), "little")
                    found[int(columns[9])] = protocol, dotted(little), int(port, 16)
    with suppress(FileNotFoundError):  # no SCTP in this kernel, or not yet
        for line in Path("/proc/thread-self/net/sctp/eps").read_text().splitlines()[1:]:
            columns = line.split()
            addresses = [text for text in columns[8:] if ":" not in text or not text.strip("0:")]
            if columns[3] == SCTP_LISTENING and addresses:
                address = addresses[0] if "." in addresses[0] else "0.0.0.0"
                found[int(columns[7])] = "sctp", address, int(columns[5])
    return found


def _engine_sockets() -> dict[int, set[int]]:
    """Inode of a network namespace -> those of the sockets that the programs of an engine there hold."""
    found: dict[int, set[int]] = {}
    for process in os.scandir("/proc"):
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            if Path(process.path, "comm").read_text().strip() not in ENGINE_PROGRAMS:
                continue
            inodes = found.setdefault(os.stat(f"{process.path}/ns/net").st_ino, set())
            for descriptor in os.scandir(f"{process.path}/fd"):
                with suppress(OSError):
                    if target := SOCKET.fullmatch(os.readlink(descriptor.path)):
                        inodes.add(int(target[1]))
    return found


def _nameservers(resolv_conf: Path) -> list[str]:
    try:
        lines = resolv_conf.read_text().splitlines()
    except OSError:
        return []
    return [words[1] for line in lines if (words := line.split())[:1] == ["nameserver"] and len(words) > 1]
