"""What should be known before any answer is read: subnets and addresses that are somebody else's, too."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from sim.packet import dotted
from sim.reasons.facts import Facts
from sim.reasons.links import ON_THE_PARENT, two_of


def cautions(facts: Facts) -> list[str]:
    """A line each, in the order of hosts and networks."""
    return [*_subnets(facts), *two_of(facts)]


def _subnets(facts: Facts) -> Iterator[str]:
    for host in facts.spec.hosts:
        netns = facts.world.namespaces[host.name]
        elsewhere = [(IPv4Network(f"{dotted(route.network)}/{route.prefix_length}"), route)
                     for route in netns.routes.entries if route.mask and (route.dev == host.nics[0] or route.via)]
        for where, subnet, network in facts.subnets():
            if where not in ("", host.name) or network.spec.driver in ON_THE_PARENT or network.only_routes:
                continue
            for other, route in elsewhere:
                if not subnet.overlaps(other):
                    continue
                said = f"subnet {subnet} of network {network.name} overlaps "
                if route.via:
                    yield f"{said}the route {route} of {host.name}: one of the two hides the other"
                else:
                    yield (f"{said}{other}, the wire that {host.name} is on: whoever has an address of both is looked "
                           "for in one place only")

