"""What objects of a Spec say of each other: who is named twice, who is on which network and host, who asks whom.

Each object by itself is the package's affair (`__init__.py`); services and faults have a file (`swarm.py`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sim.checks import check_address, check_fixed_address, unique
from sim.checks.swarm import check_faults, check_nodes, check_services
from sim.checks.underlay import check_machines
from sim.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from sim.spec import Attachment, Container, Listener, Question, Spec


SHORTEST = len(b"hopcast?\n")
"""Bytes of the shortest request."""


def check_spec(spec: Spec) -> None:
    """Everything that objects of a Spec say of each other. Raises SpecError."""
    unique((n.name for n in spec.networks), "two networks are named", "networks")
    unique(spec.labels(), "two namespaces are named", "containers, hosts and clients")
    machines = {*(h.name for h in spec.hosts), *(c.name for c in spec.clients)}
    unique([*machines, *{c.service for c in spec.containers}], "a machine and a service are both named", "services")
    far = (c.router.address for c in spec.clients if c.router)
    addresses = [*(h.address for h in spec.hosts), *(c.address for c in spec.clients), *far]
    unique((a.partition("/")[0] for a in addresses), "two machines have the address", "hosts and clients")
    if not spec.hosts:
        raise SpecError("there is no host", where="hosts", mend="declare one, or leave hosts out")
    check_machines(spec)
    _check_shared_namespaces(spec)
    listening: dict[tuple[str, int, str], list[tuple[Listener, str]]] = {}
    for box in spec.containers:
        where = f"container {box.name}"
        if spec.host(box.host) is None:
            raise SpecError(
                f"unknown host {box.host!r}", where=where, mend=did_you_mean(box.host, [h.name for h in spec.hosts])
            )
        for attachment in box.attachments:
            _check_attachment(spec, attachment, where)
        netns = spec.netns_of(box.name)
        for listener in box.listens:
            there = listening.setdefault((netns, listener.port, listener.protocol), [])
            for other, holder in there:
                if listener.clashes(other):
                    whose = "itself" if holder == box.name else f"{holder}, whose network namespace it shares"
                    raise SpecError(
                        f"port {listener} is in use by {whose}", where=where, mend="let one of them listen elsewhere"
                    )
            there.append((listener, box.name))
    check_nodes(spec)
    check_services(spec)
    check_faults(spec)
    for index, question in enumerate(spec.questions):
        check_question(spec, question, f"question {index}")


def _check_attachment(spec: Spec, attachment: Attachment, where: str) -> None:
    net = spec.network(attachment.network)
    if net is None or net.name != attachment.network:
        raise SpecError(
            f"unknown network {attachment.network!r}",
            where=where,
            mend=did_you_mean(attachment.network, [n.name for n in spec.networks]),
        )
    if attachment.ipv4_address:
        try:
            check_fixed_address(attachment.ipv4_address, net)
        except SpecError as error:
            raise SpecError(error.problem, where=where, mend=error.mend) from None


def _check_shared_namespaces(spec: Spec) -> None:
    """Whoever shares a namespace shares that of a container on its own host, and at the end somebody has one."""
    good: set[str] = set()
    for first in spec.containers:
        box, chain = first, {first.name: None}
        while box.mode.startswith("container:") and box.name not in good:
            box = _shared_with(spec, box)
            if box.name in chain:
                raise SpecError(f"network mode goes in a circle: {' -> '.join([*chain, box.name])}",
                                where=f"container {first.name}", mend="give one of them a network")
            chain[box.name] = None
        good |= chain.keys()


def _shared_with(spec: Spec, box: Container) -> Container:
    other = box.mode.removeprefix("container:")
    found = spec.container(other)
    if found is None or found.name != other:
        raise SpecError(f"unknown container {other!r} in mode {box.mode!r}", where=f"container {box.name}",
                        mend=did_you_mean(other, [c.name for c in spec.containers]))
    if found.host != box.host:
        raise SpecError(f"shares the namespace of {other!r}, which is on host {found.host!r}",
                        where=f"container {box.name}", mend=f"put both on host {found.host!r}")
    return found


def check_question(spec: Spec, question: Question, where: str = "question") -> None:
    """Source and target exist, and what is asked fits the target. Raises SpecError."""
    if question.source not in spec.labels_and_services:
        raise SpecError(f"unknown source {question.source!r}", where=where,
                        mend=did_you_mean(question.source, spec.labels_and_services))
    if question.probe != "ping" and not question.port:
        raise SpecError(f"a {question.probe} probe needs a port", where=where, mend="give one, 1-65535")
    if question.probe == "ping" and question.port:
        raise SpecError(
            f"ping has no port, {question.port} was given", where=where, mend="leave the port out, or probe tcp"
        )
    if question.probe != "ping" and (question.df or question.size != 56):
        raise SpecError("df is for pings, and size for pings and tcp", where=where, mend="leave it out, or probe ping")
    if question.body and question.probe != "tcp":
        raise SpecError("a body is a tcp request's", where=where, mend="leave it out, or probe tcp")
    if 0 < question.body < SHORTEST:
        raise SpecError(f"a request has {SHORTEST} bytes at least", where=where, mend="give more, or leave size out")
    asker = spec.client(question.source)
    if asker is not None and asker.everywhere and question.by == "name":
        raise SpecError(f"{question.source} asks no name server of this topology", where=where, mend="ask by ip")
    _check_published(spec, question, where)
    _check_moment(spec, question, where)
    if question.by == "name" or question.target in spec.labels_and_services:
        return
    services = [name for service in spec.services for name in (service.key, service.name) if name]
    if question.target in services:
        return
    if not re.fullmatch(r"[0-9.]+", question.target):
        raise SpecError(
            f"unknown target {question.target!r}",
            where=where,
            mend=did_you_mean(question.target, [*spec.labels_and_services, *services]),
        )
    try:
        check_address(question.target)
    except SpecError as error:
        raise SpecError(error.problem, where=where, mend=error.mend) from None


def _check_published(spec: Spec, question: Question, where: str) -> None:
    service = spec.swarm_service(question.target)
    known = service is not None or spec.container(question.target) is not None
    if question.published and (not known or question.by == "name" or question.probe == "ping"):
        raise SpecError(
            "published asks for a container's port at its host's address",
            where=where,
            mend="target a container, by ip, with a tcp or udp probe",
        )
    if not question.at:
        return
    if not question.published or service is None:
        raise SpecError(
            f"at {question.at!r} chooses the node at which a published port of a swarm service is asked",
            where=where,
            mend="leave it out, or ask for a port that a service publishes",
        )
    if spec.host(question.at) is None:
        raise SpecError(
            f"unknown host {question.at!r}", where=where, mend=did_you_mean(question.at, [h.name for h in spec.hosts])
        )


def _check_moment(spec: Spec, question: Question, where: str) -> None:
    """During or after a fault that there is."""
    if question.during and question.after:
        raise SpecError("during and after exclude each other", where=where, mend="ask two questions")
    fault, faults = question.during or question.after, [f.name for f in spec.faults]
    if fault and fault not in faults:
        raise SpecError(
            f"unknown fault {fault!r}",
            where=where,
            mend=did_you_mean(fault, faults) or "declare it under x-hopcast: faults",
        )
