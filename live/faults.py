"""Faults in a lab: `inject(lab, deployment, fault)`, `mend(lab, deployment, fault)`.

Each returns when the state has settled that the fault leads to, so that what is measured then is that state and not the
way there: the carrier is gone, what dies with an engine is dead, the swarm's other engines have given the lost one up
(some seconds after the last they heard of it), or know everything again.

* `link down`: the switch's port goes down, so the host's uplink has no carrier, as with a cut cable.
* `engine killed`: SIGKILL to dockerd. Mended by starting it again with the same data; it ends the containers that it
  finds running. Those with a restart policy the lab starts itself, one after the other in the Spec's order, when a
  swarm's manager that was killed has taken their addresses back: the engine would start them all at once, and their
  addresses would come in any order, lower or higher than those that are still held.
* `node left`: `docker swarm leave` on a worker. Mended by joining again; that gives no container its network back.

* `node drained`: see `live/drain.py`.

Who reads the deployment afterwards finds in it what engines say then, and in `ended` the containers that run no more.
"""

from __future__ import annotations

from functools import partial

from live import drain, links, netns, swarm
from live.deployment import INGRESS, Deployment
from live.lab import WIRE, Lab
from live.nodes import Nodes
from live.patience import until
from live.refusals import engine_answers
from sim.errors import PlumbError
from sim.spec import Fault

LIMIT = 60.0
"""Seconds that a step may take: a swarm gives a silent node up after five to ten."""
REUNION_LIMIT = 150.0
"""Engines that hear each other again tell each other all they know at once, in a second or two. In one case out of a
few it takes them half a minute or a whole one; why, is not known."""
RELEASE_LIMIT = 20.0
KEPT = "the swarm's manager keeps the addresses of its ended containers"
"""A manager that is started again has them back as soon as it answers. In one case out of ten or so it never takes them
back, whenever it is started again; why, is not known. What follows then is not what was to be measured."""
_wait = partial(until, limit=LIMIT)


def inject(lab: Lab, deployment: Deployment, fault: Fault) -> None:
    """It goes wrong. LabError when the state is not there within LIMIT seconds."""
    host = fault.host
    before = _addresses(deployment)
    match fault.kind:
        case "link down":
            netns.call(lab.netns_path(WIRE), netns.link_down, lab.port(host))
            _wait(lambda: not _carrier(lab, host), f"{host} still has a carrier")
            _await_parting(deployment, before, host, alive=True)
        case "engine killed":
            lab.kill_engine(host)
            _await_parting(deployment, before, host, alive=False)
        case "node left":
            with engine_answers(f"{host} leaves the swarm"):
                lab.engine(host).swarm.leave()
            _await_parting(deployment, before, host, alive=False)
            _wait(lambda: not _in_swarm(deployment, host), f"{host} does not let go of the swarm's networks")
        case "node drained":
            drain.drain(lab, deployment, fault)


def _carrier(lab: Lab, host: str) -> bool:
    return netns.call(lab.netns_path(host), netns.carrier, lab.spec.uplink(host))


def mend(lab: Lab, deployment: Deployment, fault: Fault) -> None:
    """It is repaired. LabError when that does not succeed within LIMIT seconds."""
    host, spec = fault.host, deployment.spec
    match fault.kind:
        case "link down":
            netns.call(lab.netns_path(WIRE), netns.link_up, lab.port(host))
            _wait(lambda: _carrier(lab, host), f"{host} gets no carrier")
        case "engine killed":
            ended = [box for box in spec.containers if box.host == host and box.name not in deployment.ended]
            lab.start_engine_again(host)
            if spec.in_swarm:
                nodes = _await_nodes(lab, deployment)
                if host == spec.hosts[0].name:  # another's the manager keeps, and counts on
                    _wait(lambda: not nodes.attachments(host), KEPT, limit=RELEASE_LIMIT)
            for box in ended:
                deployment.ended.add(box.name)
                if box.restart != "no" and _start(lab, deployment, box.name):
                    deployment.ended.discard(box.name)
        case "node left":
            swarm.join(lab, spec, host)
        case "node drained":
            return drain.activate(lab, deployment, fault)
    deployment.refresh()
    if spec.in_swarm:
        swarm.settle(deployment, limit=REUNION_LIMIT)


def _start(lab: Lab, deployment: Deployment, container: str) -> bool:
    """`docker start`. False when the engine refuses, as where the container whose namespace it shares has ended."""
    box = deployment.spec.container(container)
    assert box is not None
    try:
        with engine_answers(f"container {container}"):
            lab.engine(box.host).api.start(deployment.containers[container])
    except PlumbError:
        return False
    return True


def _addresses(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Network of the swarm -> container -> its address there. Also reads what an engine that is killed can't say."""
    shared = [network.name for network in deployment.spec.networks if network.scope == "swarm"]
    there: dict[str, dict[str, str]] = {name: {} for name in shared}
    for box in deployment.spec.containers:
        deployment.inspect(box.name)
        for name in shared:
            address = deployment.address_of(box.name, name)
            if address and box.name not in deployment.ended:
                there[name][box.name] = address
    return there


def _await_parting(deployment: Deployment, members: dict[str, dict[str, str]], lost: str, *, alive: bool) -> None:
    """Until the others' tunnels lead to `lost` no more, and they know none of its names; and if it is `alive`, until
    its tunnels lead to none of the others."""
    spec = deployment.spec
    if not spec.in_swarm:
        return
    gone = spec.uplink_address(lost)
    namespaces = deployment.engine_namespaces()
    for network in (INGRESS, *members):
        for host in spec.hosts:
            inside = namespaces.get(f"ov({network})@{host.name}")
            if inside is None or (host.name == lost and not alive):
                continue
            _wait(lambda: not [remote for _, _, remote in links.permanent(inside)[1]  # noqa: B023 (called at once)
                               if host.name == lost or remote == gone],  # noqa: B023
                  f"{host.name} still has tunnels on {network} that lead nowhere")
    for network, there in members.items():
        home = {name: box.host for name in there if (box := spec.container(name))}
        for other in {home[name] for name in there} - {lost}:
            asker = deployment.netns_path(next(name for name in there if home[name] == other))
            for name in [each for each in there if home[each] == lost]:
                known = str(deployment.inspect(name)["Name"]).removeprefix("/")
                _wait(lambda: not netns.call(asker, swarm.resolve, f"{known}.{network}"),  # noqa: B023
                      f"{other} still knows the name {name} on {network}")


def _in_swarm(deployment: Deployment, host: str) -> bool:
    """Has the engine anything left of a swarm: a network, or a container with more interfaces than networks? (Names of
    namespaces that have gone stay in its folder until it sweeps there, once a minute.)"""
    deployment.refresh()
    spec = deployment.spec
    shared = {INGRESS, *(network.name for network in spec.networks if network.scope == "swarm")}
    if shared & {name for where, name in deployment.network_ids if where == host}:
        return True
    for box in spec.containers:
        if box.host == host and box.name not in deployment.ended and spec.netns_of(box.name) == box.name:
            networks = deployment.inspect(box.name)["NetworkSettings"]["Networks"]
            devices = [link for link in links.read(deployment.netns_path(box.name))[0] if link.kind != "loopback"]
            if shared & networks.keys() or len(devices) > len(networks):
                return True
    return False


def _await_nodes(lab: Lab, deployment: Deployment) -> Nodes:
    """The swarm's nodes, when the manager has all of them ready, and each its ingress sandbox."""
    nodes = Nodes(lab.engine(deployment.spec.hosts[0].name))
    _wait(lambda: all(node["Status"]["State"] == "ready" for node in nodes.look().values()),
          "the swarm's nodes are not ready again")
    swarm.await_places(lab, deployment.spec)
    return nodes
