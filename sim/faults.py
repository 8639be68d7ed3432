"""Faults in the plumbed world: `inject(world, fault)`, `mend(world, fault)`. What is asked in between follows from what
stands then.

* `link down`: the switch's end of the cable goes down, so the host's uplink has no carrier; its addresses and routes
  stay. In a swarm both sides then give each other up.
* `engine killed`, `node left`: see `sim/dockerd/failure.py`. A killed engine that is started again ends its containers,
  and starts those that have a restart policy.

Each state is that which settles: gossip needs some seconds to give a node up, and the live side waits for it.
Left out: `node drained`, and services in a swarm that loses a node (their tasks move to other nodes).
"""

from __future__ import annotations

from sim.dockerd import failure
from sim.dockerd.daemon import Daemon
from sim.errors import PlumbError, SpecError
from sim.packet import ip
from sim.spec import Fault, Spec
from sim.world import UPLINK, WIRE, World

KINDS = ("link down", "engine killed", "node left")


def check(spec: Spec, fault: Fault) -> None:
    """SpecError for a fault that is not modelled."""
    where = f"fault {fault.name}"
    if fault.kind not in KINDS:
        raise SpecError(f"{fault.kind!r} is not modelled", where=where, mend=f"one of {', '.join(KINDS)}")
    if spec.services:
        raise SpecError("faults in a swarm with services are not modelled: their tasks move to other nodes",
                        where=where, mend="put plain containers on attachable overlay networks")


def inject(world: World, fault: Fault) -> None:
    """It goes wrong."""
    check(world.spec, fault)
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


def mend(world: World, fault: Fault) -> None:
    """It is repaired, as an operator would."""
    match fault.kind:
        case "link down":
            world.namespaces[WIRE].link_set(fault.host, up=True)
        case "engine killed":
            _start_again(world, fault.host)
        case "node left":
            assert world.swarm is not None
            world.daemons[fault.host].swarm_join(world.swarm)
    _together(world)
    world.sniff(world.sniffed)


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
    own = [sandbox.netns.label for sandbox in old.sandboxes_of_its_own] + failure.remove_remains(old, (UPLINK, "lo"))
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
