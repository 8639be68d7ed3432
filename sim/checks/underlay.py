"""What machines say of each other: who stands behind whom, and whose gateway is whose.

Follows the kernel where it refuses a route (net/ipv4/fib_semantics.c: the next hop must be on the link).
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from sim.checks import subnet_of
from sim.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from sim.spec import Client, Host, Spec


def check_machines(spec: Spec) -> None:
    """Routers, who stands behind them, and all routes. Raises SpecError."""
    for client in spec.clients:
        try:
            _check_behind(spec, client)
        except SpecError as error:
            raise SpecError(error.problem, where=_called(spec, client), mend=error.mend) from None
    for machine in spec.machines:
        try:
            _check_routes(spec, machine)
        except SpecError as error:
            raise SpecError(error.problem, where=_called(spec, machine), mend=error.mend) from None
    _check_circles(spec)
    if sum(client.everywhere for client in spec.clients) > 1:
        raise SpecError("there are two internets", where="clients", mend="keep one")


def _called(spec: Spec, machine: Host | Client) -> str:
    return f"{'host' if spec.host(machine.name) else 'client'} {machine.name}"


def _addresses(machine: Host | Client) -> list[str]:
    router = getattr(machine, "router", None)
    return [machine.address, router.address] if router else [machine.address]


def _check_behind(spec: Spec, client: Client) -> None:
    if client.router and subnet_of(client.router.address).overlaps(subnet_of(client.address)):
        raise SpecError(f"{client.router.address} is beyond it, and {client.address} before it: one subnet",
                        mend="use two that have no address in common")
    if not client.behind:
        return
    router = spec.client(client.behind)
    if router is None:
        raise SpecError(f"behind {client.behind!r}, which is no client",
                        mend=did_you_mean(client.behind, [each.name for each in spec.clients if each.router]))
    if router.router is None:
        raise SpecError(f"behind {client.behind!r}, which is no router",
                        mend="give that one `beyond`, its address on the other side")
    if not subnet_of(client.address).subnet_of(subnet_of(router.router.address)):
        raise SpecError(f"{client.address} is outside of {subnet_of(router.router.address)}, the net beyond "
                        f"{client.behind}", mend="use an address in it")
    seen = [client.name]
    while router is not None and router.behind:
        seen.append(router.name)
        router = spec.client(router.behind)
        if router is not None and router.name in seen:
            raise SpecError(f"stands behind itself: {' -> '.join([*seen, router.name])}", mend="let one be on the wire")


def _check_routes(spec: Spec, machine: Host | Client) -> None:
    known: dict[str, str] = {}
    for route in spec.routes_of(machine.name):
        subnet, _, via = (part.strip() for part in route.partition(" via "))
        if subnet != "default" and str(subnet_of(subnet)) != subnet:
            raise SpecError(f"route {route!r}: {subnet} has bits behind its prefix", mend=f"write {subnet_of(subnet)}")
        if subnet in known:
            raise SpecError(f"two routes to {subnet}: via {known[subnet]} and via {via}", mend="keep one")
        known[subnet] = via
        nets = list(map(subnet_of, _addresses(machine)))
        if not any(IPv4Address(via) in net for net in nets):
            raise SpecError(f"route {route!r}: {via} is not on a net of {machine.name}, {' or '.join(map(str, nets))}",
                            mend="a gateway stands on a net of one's own")
        if via in (address.partition("/")[0] for address in _addresses(machine)):
            raise SpecError(f"route {route!r}: that is its own address", mend="name another machine")


def _check_circles(spec: Spec) -> None:
    """Default routes that lead back to where they began."""
    owner = {address.partition("/")[0]: machine.name for machine in spec.machines
             for address in _addresses(machine)}
    following = {}
    for machine in spec.machines:
        for line in spec.routes_of(machine.name):
            subnet, _, via = line.partition(" via ")
            if subnet == "default" and via in owner:
                following[machine.name] = owner[via]
    for first in following:
        way = [first]
        while (after := following.get(way[-1])) is not None:
            way.append(after)
            if after == first:
                raise SpecError(f"gateways go in a circle: {' -> '.join(way)}",
                                where=f"{'host' if spec.host(first) else 'client'} {first}",
                                mend="let one of them have no gateway, or another")
            if after in way[:-1]:
                break
