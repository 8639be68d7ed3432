"""Faults in the plumbed world: `inject(world, fault)`, `mend(world, fault)`. What is asked in between follows from what
stands then.

* `link down`: the switch's end of the cable goes down, so the host's uplink has no carrier; its addresses and routes
  stay. In a swarm both sides then give each other up.
* `node drained`: its tasks end, and what nobody there needs any more goes with them: networks of the swarm, its load
  balancers on them. Then those start that the scheduler has put elsewhere (`Fault.moves`); when the node is active
  again, those that could not. A task that moves has its new addresses before it gives the old ones back. Plain
  containers stay, as on real nodes.
* `engine killed`, `node left`: see `sim/dockerd/failure.py`. A killed engine that is started again ends its containers,
  and starts those that have a restart policy.

Each state is that which settles: gossip needs some seconds to give a node up, and the live side waits for it.
Left out: a swarm with services that loses a node. Its tasks run on there, unheard, while the manager starts others in
their place, and end as soon as the node is heard again; when it does either depends on its heartbeats (5 s, three of
which it misses first), in the midst of whatever is asked. Of encrypted networks, that IPsec's state goes with the last
endpoint on an engine.
"""

from __future__ import annotations

from sim.dockerd import failure
from sim.dockerd.daemon import Daemon
from sim.errors import PlumbError, SpecError
from sim.packet import ip
from sim.spec import Container, Fault, Firewall, Move, Spec
from sim.underlay import WIRE
from sim.world import World


def check(spec: Spec, fault: Fault) -> None:
    """SpecError for a fault that is not modelled."""
    if spec.services and fault.kind != "node drained":
        raise SpecError(
            f"{fault.kind} is not modelled in a swarm with services: when their tasks move is up to the heartbeats",
            where=f"fault {fault.name}", mend="use `node drained`, or plain containers on attachable overlay networks")
    firewall = next((host.firewall for host in spec.hosts if host.name == fault.host), Firewall())
    if fault.kind == "engine killed" and any("DOCKER-USER" not in line for line in firewall.after):
        raise SpecError("engine killed is not modelled where rules stand among the engine's own",
                        where=f"fault {fault.name}", mend="keep them to DOCKER-USER")
    known = {move.task for move in fault.moves}
    for box in spec.containers:
        if fault.kind == "node drained" and box.task_of and box.host == fault.host and box.name not in known:
            raise SpecError(f"nothing is said of where task {box.name} goes", where=f"fault {fault.name}",
                            mend="give the fault its moves (sim.placement)")


def inject(world: World, fault: Fault) -> None:
    """It goes wrong."""
    check(world.spec, fault)
    world.changed()
    daemon = world.daemons[fault.host]
    match fault.kind:
        case "link down":
            world.namespaces[WIRE].link_set(fault.host, up=False)
            _part(world, fault.host)
        case "engine killed":
            failure.kill(daemon)
            _part(world, fault.host)
        case "node left":
            assert world.swarm is not None
            failure.withdraw(world.swarm, _tunnel(daemon))
            for label in failure.leave(daemon):
                del world.namespaces[label]
            _together(world)
        case "node drained":
            _drain(world, fault)
            world.sniff(world.sniffed)


def mend(world: World, fault: Fault) -> None:
    """It is repaired, as an operator would."""
    world.changed()
    match fault.kind:
        case "link down":
            world.namespaces[WIRE].link_set(fault.host, up=True)
        case "engine killed":
            _start_again(world, fault.host)
        case "node left":
            assert world.swarm is not None
            world.daemons[fault.host].swarm_join(world.swarm)
        case "node drained":
            for move in fault.moves:
                if not move.host:
                    world.run_task(_task(world, move))
    _together(world)
    world.sniff(world.sniffed)


def _drain(world: World, fault: Fault) -> None:
    """Tasks end, then they start elsewhere (`docker node update --availability drain`)."""
    assert world.swarm is not None
    for move in fault.moves:
        service = world.swarm.services[_task(world, move).task_of]
        if not move.host and service.spec.mode == "replicated":
            world.swarm.reserve(service, move.task)
    for move in fault.moves:
        for label in world.daemons[fault.host].task_end(move.task):
            del world.namespaces[label]
    world.spec = world.spec.with_tasks_on({move.task: move.host for move in fault.moves if move.host})
    for move in fault.moves:
        if move.host:
            world.run_task(_task(world, move))


def _task(world: World, move: Move) -> Container:
    task = world.spec.container(move.task)
    assert task is not None
    return task


def _tunnel(daemon: Daemon) -> int:
    return ip(daemon.host.address.partition("/")[0])


def _part(world: World, lost: str) -> None:
    """The engines of a swarm give up the one that they don't hear, and it gives up them. One that was killed can't."""
    tunnels = {name: _tunnel(daemon) for name, daemon in world.daemons.items()}
    others = [tunnel for name, tunnel in tunnels.items() if name != lost]
    for name, daemon in world.daemons.items():
        if world.swarm is not None and daemon.alive:
            failure.hear_of(daemon, world.swarm, [tunnels[lost]] if name == lost else others)


def _together(world: World) -> None:
    """All engines that are in the swarm hear each other."""
    for daemon in world.daemons.values():
        if world.swarm is not None and daemon.node is not None:
            failure.hear_of(daemon, world.swarm, [_tunnel(each) for each in world.daemons.values()])


def _start_again(world: World, host: str) -> None:
    """A new dockerd over what the killed one left, then the containers with a restart policy."""
    old = world.daemons[host]
    own = [sandbox.netns.label for sandbox in old.sandboxes_of_its_own]
    own += failure.remove_remains(old, (*old.host.nics, "lo"))
    running = [sandbox.container for sandbox in old.containers]
    for label in [*own, *running]:
        world.namespaces.pop(label, None)
    if world.swarm is not None:
        failure.withdraw(world.swarm, _tunnel(old))
        if host == world.spec.hosts[0].name:
            failure.recount(world.swarm)
    new = world.start_engine(old.host, old.lacking)
    new.before = old
    if world.swarm is not None:
        new.swarm_join(world.swarm)
        _together(world)
    for network in world.spec.networks:
        if network.scope == "local" and host in world.spec.hosts_of(network.name):
            new.network_create(network)
    for box in world.spec.containers:
        if box.name in running and box.restart != "no":
            try:
                world.run(box)
            except PlumbError:  # whose namespace it shares does not run: it stays ended
                continue
    world.finish_firewall(new.host)
