"""The services of a Spec onto a real swarm, as `docker stack deploy` makes them, so that a prediction can be made.

What a swarm does at once, it does in an order that it draws: it starts the tasks of a service together, and takes any
of the nodes that its scheduler finds equally good. So a service is created without tasks and then scaled up by one, and
the next task waits until the one before has its node and addresses: they come in the order of the tasks. On one node it
waits until that one runs, for the engine gives addresses there as well; so does the first task of a further service,
as engines number what they balance in the order of hearing of it. While a task is placed, those nodes are paused
that could have been taken just as well (`Container.rivals`); which nodes these are stays the scheduler's own decision,
and so does everything else: a task that comes to run elsewhere is a disagreement, and said. A service of mode global
gets its nodes one after the other in the same way.

A task's process sleeps, as every container's of the lab (`live/image.py`). Left out: everything that moves no packet
(resources, health checks, rolling updates, restart policies: swarm's defaults).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from live import image
from live.deployment import Machines
from live.nodes import Nodes
from live.patience import until
from live.refusals import engine_answers
from sim.errors import PlumbError
from sim.spec import Container, Service, Spec

LIMIT = 60.0
"""Seconds that a service or a task may take."""
POLL = 0.05
UNPLACED = ("new", "pending")
"""States of a task that has no node yet; addresses come first."""
FAILED = ("complete", "shutdown", "failed", "rejected", "orphaned", "remove")
"""States from which a task does not come back (swarmkit's api/types.proto)."""
NO_NODE = "no suitable node"
"""What the scheduler says of a task that waits for a node to become able to take it."""

Progress = Callable[[str], None]
_wait = partial(until, limit=LIMIT, poll=POLL)


def deploy(machines: Machines, spec: Spec, say: Progress) -> dict[str, str]:
    """Creates every service and waits until its tasks run: task label -> container's id. PlumbError in the engine's
    words when it refuses one, or when a task comes to run where it was not predicted."""
    if not spec.services:
        return {}
    manager = machines.engine(spec.hosts[0].name)
    nodes = Nodes(manager)
    nodes.label({host.name: host.labels for host in spec.hosts})
    placed: list[tuple[Service, Container]] = []
    ids: dict[str, str] = {}

    def started(service: Service, box: Container) -> str:
        if box.name not in ids:
            ids[box.name] = until_runs(manager, nodes, service, box)
        return ids[box.name]

    for service in spec.services:
        tasks = spec.tasks(service.name)
        say(f"service {service.name}")
        if service.mode == "global":
            nodes.make(dict.fromkeys((box.host for box in tasks), "pause"))
        create(manager, service, tasks)
        for count, box in enumerate(tasks, 1):
            for other, neighbour in placed:
                # An engine numbers the firewall marks of services in the order in which it hears of their tasks.
                if count == 1 or neighbour.host == box.host:
                    started(other, neighbour)
            say(f"task {box.name}")
            if service.mode == "global":
                nodes.make({box.host: "active"})
            else:
                nodes.make({host.name: "pause" if host.name in box.rivals else "active" for host in spec.hosts})
                scale(manager, service, count)
            _until(manager, nodes, service, box, lambda state: state not in UNPLACED)
            placed.append((service, box))
        if service.mode == "replicated":
            nodes.make(dict.fromkeys((host.name for host in spec.hosts), "active"))
    say("waiting until all tasks run")
    return {box.name: started(service, box) for service, box in placed}


def create(manager: Any, service: Service, tasks: tuple[Container, ...] = ()) -> None:
    """`docker service create`, without tasks yet; returns when the service has its virtual addresses and ports."""
    said = body(service, tasks)
    with engine_answers(f"service {service.name}"):
        manager.api.create_service(said["TaskTemplate"], name=service.name, mode=said["Mode"],
                                   endpoint_spec=said["EndpointSpec"])
    _wait(lambda: _is_allocated(manager, service), f"service {service.name} gets no addresses")


def scale(manager: Any, service: Service, replicas: int) -> None:
    """`docker service scale`"""
    with engine_answers(f"service {service.name}"):
        now = manager.api.inspect_service(service.name)
        manager.api.update_service(service.name, now["Version"]["Index"], name=service.name,
                                   mode={"Replicated": {"Replicas": replicas}}, fetch_current_spec=True)


def body(service: Service, tasks: tuple[Container, ...] = ()) -> dict[str, Any]:
    """The request that creates a service (Engine API: ServiceCreate). What is said of its containers is the same for
    all of its tasks, and stands with the first."""
    box = tasks[0] if tasks else Container(name=service.name)
    hosts = [" ".join(reversed(entry.split(":", 1))) for entry in box.extra_hosts]
    return {
        "Name": service.name,
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": image.local_name(box.image), "Command": list(image.SLEEP), "StopSignal": "SIGKILL",
                "Hostname": box.hostname, "Hosts": hosts, "Sysctls": dict(box.sysctls),
                "DNSConfig": {"Nameservers": list(box.dns), "Search": list(box.dns_search),
                              "Options": list(box.dns_opt)},
            },
            "Networks": [{"Target": a.network, "Aliases": list(a.aliases)} for a in service.attachments],
            "Placement": {"Constraints": list(service.constraints)},
            "LogDriver": {"Name": "none"},
        },
        "Mode": {"Global": {}} if service.mode == "global" else {"Replicated": {"Replicas": 0}},
        "EndpointSpec": {
            "Mode": service.endpoint_mode,
            "Ports": [{"Protocol": port.protocol, "TargetPort": port.target, "PublishMode": port.mode}
                      | ({"PublishedPort": port.published} if port.published else {}) for port in service.ports],
        },
    }


def _is_allocated(manager: Any, service: Service) -> bool:
    """Has the manager given it what it gives before there is a task?"""
    with engine_answers(f"service {service.name}"):
        endpoint = manager.api.inspect_service(service.name).get("Endpoint") or {}
    drawn = [port for port in endpoint.get("Ports") or () if port["PublishMode"] == "ingress"]
    networks = {*(["ingress"] if service.ingress_ports else []), *(a.network for a in service.attachments)}
    return (all(port.get("PublishedPort") for port in drawn) and len(drawn) == len(service.ingress_ports)
            and (service.endpoint_mode != "vip" or len(endpoint.get("VirtualIPs") or ()) == len(networks)))


def until_runs(
    manager: Any, nodes: Nodes, service: Service, box: Container, known: frozenset[str] = frozenset(), *,
    waited: bool = False
) -> str:
    """The id of the task's container. `known`: ids of older tasks that had its place; `waited`: there was no node for
    it until now, and its status may still say so."""
    status = _until(manager, nodes, service, box, lambda state: state == "running", known, waited=waited)
    return str(status["ContainerStatus"]["ContainerID"])


def _until(
    manager: Any, nodes: Nodes, service: Service, box: Container, reached: Callable[[str], bool],
    known: frozenset[str] = frozenset(), *, waited: bool = False
) -> dict[str, Any]:
    """The task's status, once its state is the wanted one. PlumbError when it can't be, or on another node."""
    seen: dict[str, Any] = {}

    def there() -> bool:
        tasks = [task for task in _tasks(manager, service)
                 if _label(task, nodes, service) == box.name and task["ID"] not in known]
        if tasks:
            seen.update(tasks[0]["Status"])
            said = seen.get("Err") or seen["State"]
            where = nodes.host_of.get(tasks[0].get("NodeID", ""), "")
            if where and where != box.host:
                raise PlumbError(f"the swarm runs it on {where}, predicted was {box.host}", where=f"task {box.name}")
            if seen["State"] in FAILED or (said.startswith(NO_NODE) and not waited):
                raise PlumbError(said, where=f"task {box.name}")
        return bool(tasks) and reached(seen["State"])

    _wait(there, f"task {box.name} does not run after {LIMIT:.0f} s")
    return seen


def _tasks(manager: Any, service: Service) -> list[dict[str, Any]]:
    with engine_answers(f"service {service.name}"):
        tasks: list[dict[str, Any]] = manager.api.tasks({"service": service.name})
    return tasks


def _label(task: dict[str, Any], nodes: Nodes, service: Service) -> str:
    last = task.get("Slot", 0) if service.mode == "replicated" else nodes.host_of.get(task.get("NodeID", ""), "")
    return f"{service.name}.{last}"
