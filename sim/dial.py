"""From a Question to what its probe does: who sends what to which address and port.

Prediction and measurement share this file, and bring their own facts: the predicted addresses and published ports on
one side, those that a real engine gave on the other. So both dial what the question means where they stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sim.errors import NothingToDial, SpecError
from sim.spec import Dial, Question, Service, Spec

FIRST_SOURCE_PORT = 20000

AddressOf = Callable[[str, str], str | None]
"""(container, network) -> its address there. The network is Network.name, or "bridge" for docker0."""
Published = Callable[[str, int, str], int | None]
"""(container, container port, protocol) -> the host's port, None when it is not published. The container may be a
service of the swarm: the port of the routing mesh, asked for where the Spec leaves it to the swarm."""
VipOf = Callable[[str, str], str | None]
"""(Service.name, network) -> its virtual address there, None when it has none (dnsrr)."""


def _no_vip(_service: str, _network: str) -> str | None:
    return None


def dial(
    question: Question,
    spec: Spec,
    index: int,
    address_of: AddressOf,
    published: Published,
    vip_of: VipOf = _no_vip,
) -> Dial:
    """What question number `index` of a run does. Raises SpecError when there is nothing to dial."""
    where = f"question {question}"
    box = spec.container(question.source)
    if box is None and question.source not in spec.labels_and_services:
        raise SpecError(f"unknown source {question.source!r}", where=where)
    source_port = FIRST_SOURCE_PORT + index
    if source_port > 32767:
        raise SpecError(f"more than {32768 - FIRST_SOURCE_PORT} questions at once", where=where, mend="ask fewer")
    name, address, port = "", "", question.port
    service = spec.swarm_service(question.target)
    if question.by == "name":
        name = question.target
    elif service is not None and question.published:
        address, port = _service_port(question, spec, service, published, where)
    elif service is not None:
        address = _virtual_address(question, spec, service, vip_of, where)
    elif question.published:
        address, port = _published(question, spec, published, where)
    else:
        address = _address(question, spec, address_of, where)
    address, port = _by_way_of_nat(question, spec, address, port)
    return Dial(
        source=box.name if box else question.source,
        probe=question.probe,
        name=name,
        address=address,
        port=port,
        source_port=source_port,
        size=question.size,
        df=question.df,
        body=question.body,
        timeout=question.timeout,
    )


def not_dialled(question: Question, spec: Spec, index: int) -> Dial:
    """In the place of a dial that can't be: who would have asked, and nothing that was asked."""
    box = spec.container(question.source)
    return Dial(source=box.name if box else question.source, probe=question.probe, port=question.port,
                source_port=FIRST_SOURCE_PORT + index, timeout=question.timeout)


def _published(question: Question, spec: Spec, published: Published, where: str) -> tuple[str, int]:
    """The address of the container's host, and the host port behind which the container's port is. NothingToDial where
    the file publishes it and the engine does not."""
    target = spec.container(question.target)
    if target is None:
        raise SpecError(f"{question.target!r} is no container, so it publishes nothing", where=where)
    port = published(spec.owner(target).name, question.port, question.probe)
    if port is None:
        declared = [f"{p.container_port}/{p.protocol}" for p in target.ports]
        wanted = f"{question.port}/{question.probe}"
        if wanted in declared:
            raise NothingToDial(f"{target.name}: the engine does not publish port {wanted}", where=where)
        raise SpecError(
            f"{target.name} does not publish port {wanted}; {', '.join(declared) or 'nothing'} is published",
            where=where,
            mend="ask for its own address, or for the host's address and port",
        )
    return spec.uplink_address(target.host), port


def _service_port(
    question: Question, spec: Spec, service: Service, published: Published, where: str
) -> tuple[str, int]:
    """A port of the routing mesh at any node's address, or one in mode host where a task runs."""
    ports = [p for p in service.ports if (p.target, p.protocol) == (question.port, question.probe)]
    port = next((p for p in ports if p.mode == "ingress"), ports[0] if ports else None)
    if port is None:
        raise SpecError(
            f"{service.name} does not publish port {question.port}/{question.probe}",
            where=where,
            mend="ask for its virtual address, by ip",
        )
    if port.mode == "ingress":
        host, owner = question.at or spec.hosts[0].name, service.name
    else:
        task = next((t for t in spec.tasks(service.name) if question.at in ("", t.host)), None)
        if task is None:
            raise SpecError(
                f"{service.name} publishes port {port.target}/{port.protocol} in mode host, and "
                f"{f'{question.at} runs no task of it' if question.at else 'it has no task'}",
                where=where,
                mend="ask at a host that runs one",
            )
        host, owner = task.host, task.name
    number = port.published or published(owner, port.target, port.protocol)
    if not number:
        raise SpecError(f"port {port.target}/{port.protocol} of {owner} was not published", where=where)
    return spec.uplink_address(host), number


def _virtual_address(question: Question, spec: Spec, service: Service, vip_of: VipOf, where: str) -> str:
    theirs = [attachment.network for attachment in service.attachments]
    mine = spec.networks_of(question.source)
    for network in (*(n for n in mine if n in theirs), *theirs):
        if found := vip_of(service.name, network):
            return found.partition("/")[0]
    why = "its endpoint_mode is dnsrr" if service.endpoint_mode == "dnsrr" else "the swarm gave it none"
    raise SpecError(f"{service.name} has no virtual address: {why}", where=where, mend="ask by name, or ask a task")


def _address(question: Question, spec: Spec, address_of: AddressOf, where: str) -> str:
    target = spec.container(question.target)
    if target is None:
        return spec.address_towards(question.target, question.source) or _literal(question.target, where)
    owner = spec.netns_of(target.name)
    if spec.container(owner) is None:
        return spec.uplink_address(owner)
    theirs = spec.networks_of(target.name)
    source = spec.container(question.source)
    beside = source is not None and source.host == target.host
    mine = [n for n in spec.networks_of(question.source) if beside or _everywhere(spec, n)] if source else []
    for network in (*(n for n in mine if n in theirs), *theirs):
        if found := address_of(owner, network):
            return found.partition("/")[0]
    raise SpecError(
        f"{target.name} has no address: {'its network mode is none' if not theirs else 'it is on no network'}",
        where=where,
        mend="ask for an address or a machine instead, for example 127.0.0.1",
    )


def _by_way_of_nat(question: Question, spec: Spec, address: str, port: int) -> tuple[str, int]:
    """From behind a router with NAT nobody knows the addresses inside: what is forwarded is dialled at the router."""
    router = spec.router_of(spec.netns_of(question.source))
    if router is None:
        return address, port
    inside = address, port, question.probe
    led = next((each for each in router.forwards if (each.address, each.to, each.protocol) == inside), None)
    return (router.host_ip, led.port) if led else (address, port)


def _everywhere(spec: Spec, network: str) -> bool:
    """One of the whole swarm, and not another one on each engine."""
    found = spec.network(network)
    return found is not None and found.scope == "swarm"


def _literal(text: str, where: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+){3}", text):
        raise SpecError(f"unknown target {text!r}", where=where, mend="ask for a label or an IPv4 address")
    return text
