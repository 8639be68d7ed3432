"""What becomes of an engine that is killed and started again, that its swarm does not hear, or that leaves its swarm.

* Killed (SIGKILL): what the kernel holds stays, and so do the containers. What lived in dockerd or dies with it goes:
  the docker-proxies (PR_SET_PDEATHSIG) and the embedded DNS, whose rules now lead to a port where nobody listens.
* Started again: it first ends the containers that it finds running (no live-restore), and removes their sandboxes, the
  ports' rules and its own chains. Its networks are there again, in the order in which they were made. The containers
  have their addresses only when they start, and get the lowest free ones; the swarm's manager goes on counting, unless
  it was its own engine that was killed.
* Not heard of: libnetwork's gossip gives a node up after some seconds. Each side then forgets the other's endpoints:
  no tunnel leads there, and the DNS does not know the names.
* Left: the swarm's networks and sandboxes go from the engine. Containers lose their interfaces there, and the way out,
  but run on; nobody gives the interfaces back when the engine joins again. And the engine's DNS forgets *every* name,
  those of its own bridge networks too, until their containers start anew: `agentClose` ends in
  `cleanupServiceDiscovery("")`, which drops all of `svcRecords`.

Follows moby v20.10: daemon/daemon.go (`restore`), daemon/cluster (`Leave`), libnetwork's sandbox_store.go
(`sandboxCleanup`), agent.go (`agentClose`), service.go and drivers/bridge (`removeIPChains`), networkdb's
event_delegate.go (`NotifyLeave`). Left out: live-restore, and services in a swarm that loses a node.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address

from sim.dockerd.daemon import Daemon
from sim.dockerd.endpoint import Endpoint, by_priority
from sim.dockerd.sandbox import Sandbox
from sim.dockerd.swarm import Swarm


def kill(daemon: Daemon) -> None:
    daemon.alive = False
    daemon.netns.daemon_listeners.clear()


def remove_remains(daemon: Daemon, keep: Collection[str]) -> list[str]:
    """What its successor removes, and what it makes again as it was: all but the devices `keep` of the host. The labels
    of the namespaces that go with the swarm's networks."""
    for sandbox in [*daemon.containers, *daemon.sandboxes_of_its_own]:
        if sandbox.netns is not daemon.netns:
            for name in list(sandbox.netns.devices):
                if name != "lo" and name in sandbox.netns.devices:
                    sandbox.netns.link_del(name)
    labels = daemon.drivers.leave_swarm()
    for name in list(daemon.netns.devices):
        if name not in keep and name in daemon.netns.devices:
            daemon.netns.link_del(name)
    daemon.netns.forget_settings()
    return labels


def hear_of(daemon: Daemon, swarm: Swarm, tunnels: Collection[int]) -> None:
    """From now on the engine knows of the endpoints of these engines (by their tunnel's address), and of no others."""
    for name, shared in swarm.networks.items():
        network = daemon.networks.get(name)
        if network is None:
            continue
        heard = [peer for peer in shared.peers if peer.tunnel in tunnels]
        silent = {str(peer.address) for peer in shared.peers} - {str(peer.address) for peer in heard}
        network.driver.hear_of(network, heard)
        network.names = shared.names if not silent else {
            known: [address for address in addresses if address not in silent]
            for known, addresses in shared.names.items()}


def withdraw(swarm: Swarm, tunnel: int) -> None:
    """All endpoints of an engine are gone for good."""
    for shared in swarm.networks.values():
        gone = {str(peer.address) for peer in shared.peers if peer.tunnel == tunnel}
        shared.peers[:] = [peer for peer in shared.peers if peer.tunnel != tunnel]
        shared.bindings[:] = [binding for binding in shared.bindings if str(binding.address) not in gone]
        for addresses in shared.names.values():
            addresses[:] = [address for address in addresses if address not in gone]


def recount(swarm: Swarm) -> None:
    """The manager started again: what it gives next is not behind the last address that it gave, but the lowest that
    nobody has."""
    for name, shared in swarm.networks.items():
        subnet = shared.pool.network
        held = [subnet.network_address, subnet.broadcast_address, shared.gateway,
                *map(IPv4Address, shared.spec.aux_addresses), *(peer.address for peer in shared.peers),
                *(service.vips[name] for service in swarm.services.values() if name in service.vips)]
        shared.pool.hold(held)


def leave(daemon: Daemon) -> list[str]:
    """`docker swarm leave` on a worker; the labels of the namespaces that go with it."""
    node = daemon.node
    assert node is not None
    shared = set(node.swarm.networks)
    for sandbox in daemon.containers:
        _detach(daemon, sandbox, [e for e in sandbox.endpoints if e.network.name in shared or e.network.way_out])
    labels = [sandbox.netns.label for sandbox in daemon.sandboxes_of_its_own]
    for sandbox in daemon.sandboxes_of_its_own:
        _detach(daemon, sandbox, list(sandbox.endpoints))
    daemon.sandboxes_of_its_own.clear()
    labels += daemon.drivers.leave_swarm()
    for name in shared:
        daemon.networks.pop(name, None)
    for network in daemon.networks.values():
        network.names.clear()
    daemon.node = None
    return labels


def _detach(daemon: Daemon, sandbox: Sandbox, leaving: list[Endpoint]) -> None:
    """The interfaces of these endpoints go, and with the way out the ports that are published there."""
    names = {id(endpoint): f"eth{index}" for index, endpoint in enumerate(by_priority(sandbox.endpoints))}
    for endpoint in leaving:
        sandbox.netns.link_del(names[id(endpoint)])
        if endpoint.network.way_out:
            daemon.ports.unpublish(sandbox.container, str(endpoint.address))
        sandbox.endpoints.remove(endpoint)
        if endpoint.network.way_out and endpoint.network.pool is not None and endpoint.address is not None:
            endpoint.network.pool.release(endpoint.address)
