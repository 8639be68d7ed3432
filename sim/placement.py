"""On which node a swarm's manager puts each task of a service.

A node has to pass the filters (constraints, host ports that are free, replicas a node may have); of those that do, the
one with the fewest tasks of this service gets the task, then the one with the fewest tasks in all. A plain container on
a network of the swarm counts as well: each such attachment is a task of its node. Where several nodes are equal the
manager draws; here the first in the Spec's order gets the task, and the others are its `rivals`: a measurement can see
to it that it ends the same (a node that is paused keeps its tasks and gets no new ones).

When a node is drained its tasks of replicated services are placed anew among the others, and move back no more. Who
finds no node waits for this one, and tasks of global services can only run here: both come when it is active again. A
real manager moves all of them at once, and draws who gets which address; so at most one may move, and one come back.

Tasks come one after the other, in slot order, as if the service were scaled up by one each time. A real manager that
creates them at once spreads them the same way, and draws which slot goes where. A service in mode global has a task on
each node that passes, and no rivals.

Follows swarmkit as vendored in moby v20.10: manager/scheduler (`nodeLess` in scheduler.go, filter.go, nodeinfo.go,
pipeline.go), manager/orchestrator/global and, for a drained node, manager/orchestrator/replicated and
manager/allocator.
Left out: resources, placement preferences, platforms, plugins, nodes that failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sim.checks.swarm import LABELS, Constraint, read_constraint
from sim.errors import SpecError
from sim.spec import Container, Fault, Host, Move, Network, Service

UNSATISFIED, PORTS_TAKEN, FULL = "scheduling constraints not satisfied", "host-mode port already in use", "full"


@dataclass(slots=True)
class Node:
    """A host as the scheduler sees it. `tasks` in all, `mine` of each service, `ports` published in mode host."""

    host: Host
    manager: bool
    tasks: int = 0
    mine: Counter[str] = field(default_factory=Counter)
    ports: set[tuple[int, str]] = field(default_factory=set)

    def satisfies(self, constraint: Constraint) -> bool:
        """`NodeMatches`. A label that the node lacks is an empty text."""
        if constraint.key.startswith(LABELS):
            value = self.host.labels.get(constraint.key.removeprefix(LABELS), "")
        elif constraint.key == "node.role":
            value = "manager" if self.manager else "worker"
        elif constraint.key == "node.platform.os":
            value = "linux"
        elif constraint.key == "node.platform.arch":
            value = self.host.arch
        else:
            value = self.host.name
        return (value.casefold() == constraint.value.casefold()) is constraint.equal


    def take(self, service: Service) -> None:
        self.tasks += 1
        self.mine[service.name] += 1
        self.ports |= _host_ports(service)

    def give_up(self, service: Service) -> None:
        self.tasks -= 1
        self.mine[service.name] -= 1
        self.ports -= _host_ports(service)


@dataclass(slots=True)
class Placed:
    """A task that has a node, and what its service demands of one. `most`: replicas on a node, 0: any number."""

    task: str
    node: Node
    service: Service
    constraints: list[Constraint]
    most: int


@dataclass(slots=True)
class Scheduler:
    """The manager's."""

    nodes: list[Node]
    placed: list[Placed] = field(default_factory=list)

    @classmethod
    def of(cls, hosts: Sequence[Host], networks: Iterable[Network], containers: Iterable[Container]) -> Scheduler:
        """A scheduler that knows the nodes, and which of them have attachments to the swarm's networks already."""
        scheduler = cls([Node(host, manager=index == 0) for index, host in enumerate(hosts)])
        shared = {network.name for network in networks if network.scope == "swarm"}
        for box in containers:
            for node in scheduler.nodes:
                if node.host.name == box.host:
                    node.tasks += sum(attachment.network in shared for attachment in box.attachments)
        return scheduler

    def place(
        self, service: Service, task: Container, replicas: int, *, max_replicas_per_node: int = 0
    ) -> tuple[list[Container], str]:
        """The service's tasks, each a copy of `task` with a name and a host; and a note why the others have no node
        (empty: all have one). `replicas` does not count in mode global. SpecError when none of them finds a node.

        What stays pending is no container: nothing runs there that could be asked.
        """
        constraints = [read_constraint(text) for text in service.constraints]
        everywhere = service.mode == "global"
        turns = [[node] for node in self.nodes if all(map(node.satisfies, constraints))] if everywhere else [
            self.nodes] * replicas
        placed: list[Container] = []
        reason = "" if turns else self._explain([UNSATISFIED] * len(self.nodes))
        for candidates in turns:
            failed = [self._filtered(node, service, constraints, max_replicas_per_node) for node in candidates]
            fit = [node for node, why in zip(candidates, failed, strict=True) if not why]
            if not fit:
                reason = self._explain(failed)
                continue
            chosen, *rivals = self._least(fit, service)
            chosen.take(service)
            name = f"{service.name}.{chosen.host.name if everywhere else len(placed) + 1}"
            self.placed.append(Placed(name, chosen, service, constraints, max_replicas_per_node))
            placed.append(task.model_copy(update={
                "name": name,
                "host": chosen.host.name,
                "task_of": service.name,
                "rivals": tuple(node.host.name for node in rivals),
            }))
        if not placed and (replicas or everywhere):
            said = f" ({', '.join(service.constraints)})" if service.constraints else ""
            raise SpecError(reason, where=f"service {service.name}",
                            mend=f"change its placement constraints{said}, its ports or the hosts' labels")
        pending = f"service {service.name}: {len(placed)} tasks run, others stay pending: {reason}"
        return placed, pending if placed and reason else ""

    def foresee(self, faults: Iterable[Fault]) -> tuple[Fault, ...]:
        """The faults, one after the other, each with the moves that it leads to. SpecError when those can't be told."""
        return tuple(self._drain(fault) if fault.kind == "node drained" else fault for fault in faults)

    def _drain(self, fault: Fault) -> Fault:
        moving: list[Placed] = []
        waiting: list[Placed] = []
        moves: list[Move] = []
        for task in [each for each in self.placed if each.node.host.name == fault.host]:
            service, candidates = task.service, [node for node in self.nodes if node is not task.node]
            fit = [node for node in candidates if service.mode == "replicated"
                   and not self._filtered(node, service, task.constraints, task.most)]
            if not fit:
                waiting.append(task)
                moves.append(Move(task=task.task))
                continue
            chosen, *rivals = self._least(fit, service)
            task.node.give_up(service)
            chosen.take(service)
            task.node = chosen
            moving.append(task)
            moves.append(Move(task=task.task, host=chosen.host.name, rivals=tuple(node.host.name for node in rivals)))
        self._check_order(fault, moving, "the swarm moves {} at the same time")
        self._check_order(fault, waiting, f"when {fault.host} is active again the swarm starts {{}} at the same time")
        allocated = [*moving, *(task for task in waiting if task.service.mode == "replicated")]
        if len(set().union(*(_pools(task.service) for task in allocated))) < sum(
                len(_pools(task.service)) for task in allocated):
            self._check_order(fault, allocated, "the swarm gives new addresses to {} at the same time")
        return fault.model_copy(update={"moves": tuple(moves)})

    @staticmethod
    def _check_order(fault: Fault, tasks: list[Placed], why: str) -> None:
        """More than one at once come in an order that the manager draws."""
        if len(tasks) > 1:
            names = ", ".join(task.task for task in tasks)
            raise SpecError(f"{why.format(names)}, and draws the order of their addresses", where=f"fault {fault.name}",
                            mend=f"let {fault.host} run one of them, by placement constraints or fewer replicas")

    @staticmethod
    def _least(fit: list[Node], service: Service) -> list[Node]:
        """`nodeLess`: all that are as good as the best."""
        load = min((node.mine[service.name], node.tasks) for node in fit)
        return [node for node in fit if (node.mine[service.name], node.tasks) == load]

    @staticmethod
    def _filtered(node: Node, service: Service, constraints: list[Constraint], most: int) -> str:
        """The first filter that the node does not pass; empty: it passes them all."""
        if not all(node.satisfies(constraint) for constraint in constraints):
            return UNSATISFIED
        if node.ports & _host_ports(service):
            return PORTS_TAKEN
        return FULL if service.mode == "replicated" and 0 < most <= node.mine[service.name] else ""

    @staticmethod
    def _explain(failed: Iterable[str]) -> str:
        """`Pipeline.Explain`: why there is no node, the most frequent reason first."""
        said = []
        for why, count in Counter(failed).most_common():
            nodes = f"{count} node{'s' if count > 1 else ''}"
            said.append("max replicas per node limit exceed" if why == FULL else f"{why} on {nodes}")
        return f"no suitable node ({'; '.join(said)})"


def _pools(service: Service) -> set[str]:
    """The networks from whose addresses each of its tasks gets one by the manager."""
    mesh = ["ingress"] if service.ingress_ports else []
    return {*mesh, *(attachment.network for attachment in service.attachments)}


def _host_ports(service: Service) -> set[tuple[int, str]]:
    """What a node can have once. A port that the engine draws is no obstacle."""
    return {(port.published, port.protocol) for port in service.ports if port.mode == "host" and port.published}
