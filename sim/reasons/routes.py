"""Routes: which one is missing where, and whose network would have to be reached by it."""

from __future__ import annotations

from sim.packet import dotted
from sim.reasons.case import Case
from sim.reasons.facts import Facts, listed
from sim.reasons.links import ON_THE_PARENT, passthru
from sim.reasons.ports import offers, unpublished
from sim.spec import Container
from sim.trace import Outcome, Step

MANY_HOPS = 30
"""More than any way has that is no circle (the default of traceroute)."""


def no_route(case: Case, step: Step) -> str:
    """A namespace has no route to where a packet was for."""
    assert step.packet is not None and step.packet.ip is not None
    back = case.answers(step.packet) or case.place in case.facts.owners(step.packet.ip.dst)
    return missing(case, step.where, dotted(step.packet.ip.dst), back=back)


def never_left(case: Case) -> str:
    """connect(2) failed for want of a route, before there was any packet."""
    if case.answer.outcome is not Outcome.NET_UNREACHABLE:
        return ""
    return missing(case, case.place, case.answer.address, back=False)


def missing(case: Case, place: str, address: str, *, back: bool) -> str:
    """`place` has no route to `address`; `back`: an answer would have gone there."""
    facts = case.facts
    box = case.spec.container(place)
    cause = _container_without(facts, box) if box is not None else ""
    apart = _apart(case, address)
    if cause and not back:
        return "; ".join(filter(None, [cause, apart]))
    start = f"the answer can't come back: {place}" if back else place
    owner = next(iter(facts.owners(address)), "")
    found = facts.network_of(address, facts.host_of(owner)) or facts.network_of(address)
    if found is None:
        whose = listed(facts.owners(address))
        why = f": {cause}" if cause else ", and no default gateway"
        return (f"{start} has no route to {address}{f' ({whose})' if whose else ', which nobody in the file has'}{why}")
    host, subnet, network = found
    where = f"inside of {facts.network_name(network.name)}" + (f" on {host}" if host else "")
    if apart and not back:
        return apart
    if network.scope == "swarm":
        return (f"{start} has no route to {address}, {where}, an overlay network: only containers on it reach its "
                "addresses")
    said = f"{start} has no route to {address}, {where}"
    if network.spec.driver in ON_THE_PARENT and place == host:
        return f"{said}: {network.spec.driver} makes no route on its own host"
    route = f"; a route would be `{subnet} via {facts.spec.uplink_address(host) or 'its host'}`"
    if back:
        return f"{said}; packets leave it with their own source, for nothing masquerades them{route}"
    if network.internal:
        return f"{said}, an internal network{_instead(case)}"
    helps = network.spec.driver in ON_THE_PARENT or any(
        each.inside == case.dial.port for each in (facts.published_by(owner) if owner else ()))
    return f"{said}{_instead(case)}{route * helps}"


def _container_without(facts: Facts, box: Container) -> str:
    """Why a container has no default route."""
    if box.mode == "none":
        return f"{box.name} has network mode none: nothing but its loopback"
    names = facts.networks(box.name)
    networks = [n for name in names if (n := facts.spec.network(name)) is not None]
    if networks and len(networks) == len(names) and all(each.internal for each in networks):
        return f"{box.name} is on internal networks only ({listed(names)}), from which no route leads out"
    if not names:
        return f"{box.name} is {facts.where_is(box.name)}"
    return ""


def _apart(case: Case, address: str) -> str:
    """Asker and owner of the address are containers, and share no network."""
    owner = next((each for each in case.facts.owners(address) if case.spec.container(each)), "")
    if not owner or case.spec.container(case.place) is None:
        return ""
    return case.facts.apart(case.asker, owner)


def _instead(case: Case) -> str:
    """What is published of the container that was asked by its own address, from another machine."""
    target = case.target
    if target is None:
        return ""
    known = case.facts.published_by(target.name)
    port = case.dial.port
    here = [each for each in known if each.inside == port]
    if not here and any(each.container_port == port for each in target.ports):
        return f"; {port} isn't published: {unpublished(case.facts, target)}"
    outside = [each for each in here if not each.address.startswith("127.")]
    if outside:
        return f"; dial {target.host}'s published port: {listed(outside)}"
    if here:
        return f"; {port} is published on {listed(each.address for each in here)} only"
    if not port or not known:
        return f"; {target.name} publishes {listed(known) or 'nothing'}"
    return f"; {port} isn't published, {offers(known)}"


def no_router(case: Case, step: Step) -> str:
    """A packet for somebody else came to a namespace that does not forward."""
    place, facts = step.where, case.facts
    box, host = case.spec.container(place), case.spec.host(place)
    if box is not None:
        network = facts.network_at(place, "eth0")
        taken = network is not None and passthru(network)
        whose = f": it has all frames of {box.host}'s parent interface (macvlan_mode passthru)" if taken else ""
        return f"a packet for somebody else ends in {place}, which forwards nothing{whose}"
    option = " (the engine's option ip-forward: false)" if host is not None and not host.engine.ip_forward else ""
    return f"{place} forwards nothing: {step.detail}{option}"


def impossible_source(case: Case, step: Step) -> str:
    """A source address that can't come from there."""
    assert step.packet is not None and step.packet.ip is not None
    source = dotted(step.packet.ip.src)
    owners = case.facts.owners(source)
    if step.where in owners and len(owners) > 1:
        return f"{listed(owners)} have the same address {source}: {step.where} takes no packet from itself"
    filtering = case.facts.device_sysctl(step.where, "rp_filter")
    return (f"{step.where} does not take {source} as a source on that interface: its route back leads elsewhere"
            f"{f' ({filtering})' if filtering else ''}")


def too_many_hops(case: Case, step: Step) -> str:
    """TTL ran out."""
    assert step.packet is not None and step.packet.ip is not None
    sender = next(iter(case.facts.owners(step.packet.ip.src)), "")
    netns = case.facts.netns(sender)
    if netns is not None and netns.sysctls.ttl < MANY_HOPS:
        return f"TTL ran out in {step.where}: {sender} sends with {netns.sysctls.ttl} (net.ipv4.ip_default_ttl)"
    return f"TTL ran out in {step.where}: the way is a circle"
