"""What must hold of a swarm, its services, and faults: much in swarmkit's own words, for it is what a manager refuses.

Follows swarmkit as vendored in moby v20.10: manager/constraint/constraint.go, manager/controlapi/service.go; and moby's
daemon/cluster/services.go. Left out: constraints on what the model doesn't know of a node (its id, address, the
engine's own labels): these are refused by name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sim.checks import subnet_of, unique
from sim.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from sim.spec import Fault, Service, ServicePort, Spec

KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE | re.ASCII)
VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE | re.ASCII)
OPERATORS = ("==", "!=")
LABELS = "node.labels."
MATCHED = ("node.hostname", "node.role", "node.platform.os", "node.platform.arch")
UNKNOWN = {
    "node.id": "an engine draws it; use node.hostname",
    "node.ip": "use node.hostname",
    "engine.labels.": "give the host labels, and use node.labels",
}
"""What swarm could go by and the model can't, and what to do."""
IN_SWARM = ("node left", "node drained")
"""Faults that only a node of a swarm has."""


class Constraint(NamedTuple):
    """`key` of a node equals `value`, or (`equal` False) does not. Letters' case does not count."""

    key: str
    equal: bool
    value: str


def read_constraint(text: str) -> Constraint:
    """`node.labels.disk == ssd`. Raises SpecError."""
    operator = next((each for each in OPERATORS if each in text), None)
    if operator is None:
        raise SpecError(
            f"constraint expected one operator from {', '.join(OPERATORS)}", mend=f"{text!r} has none of them"
        )
    key, _, value = (part.strip() for part in text.partition(operator))
    if not KEY.fullmatch(key):
        raise SpecError(f"key '{key}' is invalid", mend="write it like node.hostname == h1")
    if not VALUE.fullmatch(value):
        raise SpecError(f"value '{value}' is invalid", mend="write it like node.hostname == h1")
    small = key.lower()
    for prefix, mend in UNKNOWN.items():
        if small == prefix or (prefix.endswith(".") and small.startswith(prefix)):
            raise SpecError(f"constraint on {key} is not modelled", mend=mend)
    if small.startswith(LABELS) and len(key) > len(LABELS):
        return Constraint(LABELS + key[len(LABELS):], operator == "==", value)
    if small not in MATCHED:
        raise SpecError(f"no node has {key!r}", mend=did_you_mean(key, [*MATCHED, f"{LABELS}NAME"]))
    return Constraint(small, operator == "==", value)


def check_service(service: Service) -> None:
    """A service on its own. Raises SpecError."""
    try:
        for constraint in service.constraints:
            read_constraint(constraint)
        if service.endpoint_mode == "dnsrr" and service.ingress_ports:
            raise SpecError(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
                mend="publish it with mode: host, or use endpoint_mode: vip",
            )
        given = [(port.published, port.protocol) for port in service.ports if port.published]
        if len(given) != len(set(given)):
            raise SpecError("EndpointSpec: duplicate published ports provided", mend="publish each once")
        for attachment in service.attachments:
            if attachment.ipv4_address or attachment.mac_address:
                raise SpecError(
                    f"a task can't choose its address on network {attachment.network!r}", mend="leave it to the swarm"
                )
    except SpecError as error:
        raise SpecError(error.problem, where=f"service {service.name}", mend=error.mend) from None


def check_nodes(spec: Spec) -> None:
    """The hosts of a swarm reach each other, or `docker swarm join` would fail. (No host has a route but to its own
    subnet.) Raises SpecError."""
    first = spec.hosts[0]
    for host in spec.hosts if spec.in_swarm else ():
        where = f"host {host.name}"
        if subnet_of(host.address) != subnet_of(first.address):
            raise SpecError(
                f"{host.address} can't join the swarm of {first.name}, which is in {subnet_of(first.address)}",
                where=where,
                mend="give the hosts of a swarm addresses of one subnet",
            )
        if len(spec.hosts) > 1 and spec.link_of(host.name).loss == 1:
            raise SpecError(
                "a host whose cable loses everything can't join a swarm",
                where=where,
                mend="let less be lost, or cut the cable later, by a fault: `link down`",
            )


def check_services(spec: Spec) -> None:
    """What services say of networks, of each other, and of their tasks. Raises SpecError."""
    names = [service.name for service in spec.services]
    called = [name for service in spec.services for name in {service.name, service.key or service.name}]
    unique(called, "two services are named", "services")
    unique([*set(called), *spec.labels()], "a service and a namespace are both named", "services")
    for index, service in enumerate(spec.services):
        where = f"service {service.name}"
        for attachment in service.attachments:
            _check_network(spec, attachment.network, where)
        for other in spec.services[:index]:
            _check_ports(service, other, where)
    for box in spec.containers:
        if box.task_of and box.task_of not in names:
            raise SpecError(
                f"a task of {box.task_of!r}, which is no service",
                where=f"container {box.name}",
                mend=did_you_mean(box.task_of, names),
            )


def _check_network(spec: Spec, name: str, where: str) -> None:
    network = next((n for n in spec.networks if n.name == name), None)
    if network is None:
        raise SpecError(
            f"unknown network {name!r}", where=where, mend=did_you_mean(name, [n.name for n in spec.networks])
        )
    if network.scope != "swarm":
        raise SpecError(
            f"The network {name} cannot be used with services. Only networks scoped to the swarm can be used, such as "
            "those created with the overlay driver.",
            where=where,
            mend="give it driver: overlay",
        )


def _check_ports(service: Service, other: Service, where: str) -> None:
    """`checkPortConflicts`: `other` is there already. Two in mode host are the scheduler's affair."""
    for port in service.ports:
        for theirs in other.ports:
            if not port.published or (port.published, port.protocol) != (theirs.published, theirs.protocol):
                continue
            if "ingress" in (port.mode, theirs.mode):
                raise SpecError(
                    f"port '{port.published}' is already in use by service '{other.name}' as {_published(theirs)}",
                    where=where,
                    mend="publish another",
                )


def _published(port: ServicePort) -> str:
    return "an ingress port" if port.mode == "ingress" else "a host-published port"


def check_faults(spec: Spec) -> None:
    """Each has a name of its own, a host that exists, and happens to somebody who can have it. Raises SpecError."""
    unique((fault.name for fault in spec.faults), "two faults are named", "faults")
    for fault in spec.faults:
        try:
            _check_fault(spec, fault)
        except SpecError as error:
            raise SpecError(error.problem, where=f"fault {fault.name}", mend=error.mend) from None


def _check_fault(spec: Spec, fault: Fault) -> None:
    if spec.host(fault.host) is None:
        raise SpecError(f"unknown host {fault.host!r}", mend=did_you_mean(fault.host, [h.name for h in spec.hosts]))
    if fault.kind in IN_SWARM and not spec.in_swarm:
        raise SpecError(f"{fault.kind}: the hosts form no swarm", mend="a swarm needs an overlay network or a service")
    if fault.kind == "node left" and fault.host == spec.hosts[0].name:
        raise SpecError(
            f"node left: {fault.host} is the only manager, and the swarm would end with it",
            mend="let a worker leave",
        )
