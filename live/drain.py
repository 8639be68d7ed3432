"""Draining a node of a lab's swarm, and making it active again: `docker node update --availability drain`.

The manager ends all tasks of the node at once and starts those of replicated services elsewhere. `Fault.moves` says
where, as predicted; nodes that the scheduler could have taken just as well are paused meanwhile, as when tasks are
deployed (`live/services.py`). A task that comes to run on another node is a disagreement, and said.

Both return when the state has settled: the new tasks run and all engines know them, the old ones are forgotten by all,
and the node has let go of the networks on which nobody of it is any more. The deployment's Spec then says where tasks
run now, and its `ended` which do not.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from live import balance, links, netns, services, swarm
from live.deployment import INGRESS, INGRESS_SANDBOX, Deployment
from live.lab import Lab
from live.nodes import Nodes
from live.patience import until
from live.refusals import engine_answers
from sim.spec import Fault, Move

LIMIT = 60.0
"""Seconds that a step may take: a container ends in about three, gossip takes as long at most."""
_wait = partial(until, limit=LIMIT)


def drain(lab: Lab, deployment: Deployment, fault: Fault) -> None:
    """Its tasks end, and move. LabError when that takes longer than LIMIT seconds, PlumbError when a task moves
    elsewhere than predicted."""
    spec = deployment.spec
    manager = lab.engine(spec.hosts[0].name)
    nodes, before = Nodes(manager), {str(task["ID"]): task for task in _tasks(manager)}
    old = {deployment.containers[move.task] for move in fault.moves}
    gone = {name: {str(address) for move in fault.moves if (address := deployment.address_of(move.task, name))}
            for name in (INGRESS, *(network.name for network in spec.networks if network.scope == "swarm"))}
    rivals = [rival for move in fault.moves for rival in move.rivals]
    nodes.make(dict.fromkeys(rivals, "pause"))
    nodes.make({fault.host: "drain"})
    deployment.ended |= {move.task for move in fault.moves}
    deployment.spec = spec.with_tasks_on({move.task: move.host for move in fault.moves if move.host})
    for move in fault.moves:
        if move.host:
            _await_task(deployment, manager, nodes, move, frozenset(before))
    _wait(lambda: not old & {task["Status"].get("ContainerStatus", {}).get("ContainerID") for task in _tasks(manager)
                             if task["Status"]["State"] not in services.FAILED}, f"tasks of {fault.host} do not end")
    nodes.make(dict.fromkeys(rivals, "active"))
    deployment.refresh()
    _await_withdrawal(deployment, fault, gone)
    deployment.refresh()
    swarm.settle(deployment, limit=LIMIT)


def activate(lab: Lab, deployment: Deployment, fault: Fault) -> None:
    """The node is active again, and tasks that run nowhere else come back. Errors as for `drain`."""
    manager = lab.engine(deployment.spec.hosts[0].name)
    over = frozenset(str(task["ID"]) for task in _tasks(manager) if task["DesiredState"] in services.FAILED)
    nodes = Nodes(manager)
    nodes.make({fault.host: "active"})
    for move in fault.moves:
        if not move.host:
            _await_task(deployment, manager, nodes, move, over)
    deployment.refresh()
    swarm.settle(deployment, limit=LIMIT)


def _await_task(deployment: Deployment, manager: Any, nodes: Nodes, move: Move, known: frozenset[str]) -> None:
    """Until the task runs that is none of the `known` ones."""
    box = deployment.spec.container(move.task)
    service = deployment.spec.swarm_service(box.task_of) if box else None
    assert box is not None and service is not None
    deployment.containers[move.task] = services.until_runs(manager, nodes, service, box, known, waited=not move.host)
    deployment.ended.discard(move.task)


def _await_withdrawal(deployment: Deployment, fault: Fault, gone: dict[str, set[str]]) -> None:
    """Until no engine leads to the addresses that are given back, or has a name of a service without tasks; and until
    those networks are gone from the node on which it has nobody, and no tunnel leads there on them."""
    spec = deployment.spec
    members = {name: {box.host for box in spec.containers if box.name not in deployment.ended
                      and (name == INGRESS or any(a.network == name for a in box.attachments))} for name in gone}
    for name, addresses in gone.items():
        leaves = name != INGRESS and bool(addresses) and fault.host not in members[name]
        if leaves:
            overlay = f"ov({name})@{fault.host}"
            _wait(lambda: overlay not in deployment.engine_namespaces(),  # noqa: B023 (called at once)
                  f"{fault.host} does not let go of {name}")
        tunnel = spec.uplink_address(fault.host) if leaves else ""
        namespaces = deployment.engine_namespaces()
        for host in spec.hosts:
            inside = namespaces.get(f"ov({name})@{host.name}")
            if inside is None:
                continue
            _wait(lambda: _forgot(inside, addresses, tunnel),  # noqa: B023
                  f"{host.name} still has tunnels on {name} that lead to ended tasks")
            balancer = namespaces[f"{INGRESS_SANDBOX if name == INGRESS else f'lb({name})'}@{host.name}"]
            _wait(lambda: not {each.address for each in balance.read(balancer) or ()} & addresses,  # noqa: B023
                  f"{host.name} still balances to ended tasks on {name}")
            asker = next((box.name for box in spec.containers if box.host == host.name and name != INGRESS
                          and box.name not in deployment.ended and any(a.network == name for a in box.attachments)), "")
            for service in spec.services if asker else ():
                if all(task.name in deployment.ended for task in spec.tasks(service.name)):
                    path = deployment.netns_path(asker)
                    _wait(lambda: not netns.call(path, swarm.resolve, f"{service.name}.{name}"),  # noqa: B023
                          f"{host.name} still knows the name {service.name} on {name}")


def _forgot(inside: Any, addresses: set[str], tunnel: str) -> bool:
    neighbours, remotes = links.permanent(inside)
    return not addresses & {address for address, _, _ in neighbours} and tunnel not in {to for _, _, to in remotes}


def _tasks(manager: Any) -> list[dict[str, Any]]:
    with engine_answers("the swarm's tasks"):
        tasks: list[dict[str, Any]] = manager.api.tasks()
    return tasks
