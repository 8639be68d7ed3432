"""Cables, switches and ARP: who has an address, and why nobody answers for it where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from sim.dockerd.network import Network
from sim.packet import dotted, ip
from sim.reasons.case import Case
from sim.reasons.facts import Facts, listed
from sim.trace import Step
from sim.underlay import WIRE

ON_THE_PARENT = ("macvlan", "ipvlan")
"""Drivers that put containers on an interface of their host."""


def two_have_it(case: Case) -> str:
    """The address that was dialled is that of two machines which hear the same ARP requests; else empty."""
    facts, address = case.facts, case.answer.address
    if not address or case.place in facts.owners(address):
        return ""
    labels = facts.owners(address)
    owners = [label for label in labels if len(labels) > 1 and _on_the_wire(facts, label, ip(address))]
    if len(owners) < 2:
        return ""
    return f"{listed(owners)} have the same address {address}: who answers ARP first gets the packets"


def two_of(facts: Facts) -> Iterator[str]:
    """Addresses that two have on the wire."""
    for address, labels in facts.addresses():
        owners = [label for label in labels if len(labels) > 1 and _on_the_wire(facts, label, address)]
        if len(owners) > 1:
            yield f"{listed(owners)} have the same address {dotted(address)} on the wire"


def _on_the_wire(facts: Facts, label: str, address: int) -> bool:
    """Does a machine or container have the address on the underlay?"""
    netns = facts.netns(label)
    for device in netns.devices.values() if netns else ():
        if any(known == address for known, _ in device.addresses):
            network = facts.network_at(label, device.name)
            return network.spec.driver in ON_THE_PARENT if network else device.kind == "link"
    return False


def nobody_there(case: Case, step: Step) -> str:
    """Nobody answered ARP for the next hop of a packet."""
    hop = case.unanswered
    if hop is None or hop.where != step.where or hop.packet is None or hop.packet.arp is None:
        assert step.packet is not None and step.packet.ip is not None
        return unreached(case, step.where, step.device, step.packet.ip.dst)
    return unreached(case, hop.where, hop.device, hop.packet.arp.target_ip)


def silent(case: Case) -> str:
    """The time was over while somebody was still asked for by ARP; empty when nobody was."""
    step = case.unanswered
    if step is None or step.packet is None or step.packet.arp is None:
        return ""
    return unreached(case, step.where, step.device, step.packet.arp.target_ip)


def unreached(case: Case, place: str, device: str, hop: int) -> str:
    """Why `hop` does not answer ARP on a device."""
    facts, address = case.facts, dotted(hop)
    mine = facts.network_at(place, device)
    machine = facts.host_of(place) or place
    if said := facts.cable_trouble(machine):
        return said
    owners = [label for label in facts.owners(hop) if label != place]
    if service := facts.service_at(address):
        return f"{address} is the virtual address of service {service}, which has no task that runs"
    if not owners:
        return _nobody_has(case, place, mine, address)
    owner = owners[0]
    theirs = facts.host_of(owner) or owner
    box = case.spec.container(owner)
    other = _network_with(facts, owner, hop)
    unheard = facts.trouble if other is not None and other.scope == "swarm" else facts.cable_trouble
    if said := unheard(theirs) or unheard(machine):
        return f"{owner} ({address}) does not answer: {said}"
    if said := _taken(facts, machine) or _taken(facts, theirs):
        return said
    if other is not None and box is not None and theirs != machine and (
            said := _own_one(facts, place, mine, owner, other, address)):
        return said
    if said := _parent_and_child(case, place, mine, owner, other):
        return said
    inside = case.spec.container(place) is not None
    if inside and mine is not None and other is not None and box is not None and mine.name != other.name:
        return facts.apart(place, owner) + f"; {_same_subnet(facts, place, mine, address)}" * (mine.scope == "local")
    if mine is None and other is not None and other.spec.driver not in ON_THE_PARENT and box is not None:
        name, wire = facts.network_name(other.name), facts.uplink_subnet(machine)
        return (f"{address} is {owner}'s, inside of {name} on {box.host}; {place} looks for it on the wire, whose "
                f"subnet {wire} has {address} too")
    if mine is not None and mine.spec.driver not in ON_THE_PARENT and other is None:
        return f"{address} is {owner}'s, out on the wire; {_same_subnet(facts, place, mine, address)}"
    asker = case.spec.container(case.place)
    if asker is not None and box is not None and theirs != facts.host_of(case.place) and (
            said := facts.apart(case.asker, owner)):
        return said
    why = listed(filter(None, (facts.device_sysctl(owner, key) for key in ("arp_ignore", "arp_filter", "rp_filter"))))
    return f"{owner} has {address}, and does not answer ARP on {device} of {place}" + (f": {why}" if why else "")


def _own_one(facts: Facts, place: str, mine: Network | None, owner: str, other: Network, address: str) -> str:
    """An address of another engine's bridge is looked for on a bridge of the own one."""
    here = facts.host_of(place)
    if mine is None or mine.pool is None or "swarm" in (mine.scope, other.scope) or {
            mine.spec.driver, other.spec.driver} & set(ON_THE_PARENT):
        return ""
    return (f"{address} is {owner}'s, on {facts.network_name(other.name)} of {facts.host_of(owner)}; {place} looks for "
            f"it on {facts.network_name(mine.name)} of {here}, whose subnet {mine.pool.network} has it too")


def _same_subnet(facts: Facts, place: str, mine: Network, address: str) -> str:
    assert mine.pool is not None
    on = facts.network_name(mine.name)
    return f"{place} looks for it on {on}, whose subnet {mine.pool.network} has {address} too"


def _nobody_has(case: Case, place: str, mine: Network | None, address: str) -> str:
    facts = case.facts
    on = facts.network_name(mine.name) if mine is not None else ""
    if mine is not None and mine.gateway is not None and str(mine.gateway) == address:
        return (f"the gateway of {on}, {address}, is nobody's: no machine of the file has that address, so nothing "
                f"leads from {place} to {case.answer.address or 'elsewhere'}")
    host = facts.netns(facts.host_of(place))
    route = host.routes.lookup(ip(address)) if host is not None and mine is not None else None
    if route is not None and route.via and mine is not None and mine.pool is not None:
        return (f"{facts.host_of(place)} has the route {route}, but {place} looks for {address} on {on}, whose subnet "
                f"{mine.pool.network} has it too")
    found = facts.network_of(address, facts.host_of(place))
    on = on or (facts.network_name(found[2].name) if found and case.spec.host(place) else "")
    return f"nobody{f' on {on}' if on else ''} has {address}"


def _network_with(facts: Facts, label: str, address: int) -> Network | None:
    """The network on which a container has an address."""
    netns = facts.netns(label)
    return next((network for device in (netns.devices.values() if netns else ())
                 if any(known == address for known, _ in device.addresses)
                 if (network := facts.network_at(label, device.name)) is not None), None)


def _parent_and_child(case: Case, place: str, mine: Network | None, owner: str, other: Network | None) -> str:
    """Who shares a parent interface by macvlan or ipvlan, and is kept apart by it."""
    facts = case.facts
    drivers = [network.spec.driver if network else "" for network in (mine, other)]
    if not any(driver in ON_THE_PARENT for driver in drivers):
        return ""
    vlans = [_vlan(network) for network in (mine, other)]
    if (mine or case.spec.container(place) is None) and vlans[0] != vlans[1]:
        return (f"{place} is on {vlans[0] or 'no VLAN'}, {owner} on {vlans[1] or 'no VLAN'}: they are on different "
                "VLANs of the wire")
    same_host = facts.host_of(place) == facts.host_of(owner)
    child = place if drivers[0] in ON_THE_PARENT else owner
    driver = drivers[0] or drivers[1]
    if same_host and (owner == facts.host_of(place) or place == facts.host_of(owner)):
        host = facts.host_of(place)
        return f"{driver} keeps a host and its own containers apart: {child} is on an interface of {host} itself"
    if same_host and mine is not None and other is not None:
        mode = mine.spec.options.get(f"{driver}_mode", "")
        if mode == "private":
            return f"{driver}_mode private: containers on one parent do not hear each other"
        if mode == "vepa":
            return (f"{driver}_mode vepa: {place} and {owner} meet only by a switch that sends frames back, and this "
                    "one does not")
        if mine.name == other.name:
            return ""
        return facts.apart(place, owner)
    return ""


def _taken(facts: Facts, machine: str) -> str:
    """A container of a machine that gets all frames of its uplink."""
    if not any(network.options.get("macvlan_mode") == "passthru" for network in facts.spec.networks):
        return ""
    for box in facts.spec.containers:
        if box.host == machine and (network := facts.network_at(box.name, "eth0")) is not None and passthru(network):
            return f"{box.name} has all frames of {machine}'s parent interface (macvlan_mode passthru), {machine} none"
    return ""


def passthru(network: Network) -> bool:
    """Does a macvlan's one container take its parent over?"""
    return network.spec.options.get("macvlan_mode") == "passthru"


def _vlan(network: Network | None) -> str:
    """`VLAN 10`, where a network's parent is a sub-interface (`eth0.10`)."""
    parent = network.spec.options.get("parent", "") if network else ""
    _, dot, tag = parent.partition(".")
    return f"VLAN {tag}" if dot else ""


def no_carrier(case: Case, step: Step) -> str:
    """A frame ended at a device that is down, has no carrier, or loses everything."""
    names = [step.device if step.where == WIRE else case.facts.host_of(step.where) or step.where]
    return next((said for name in names if (said := case.facts.cable_trouble(name))), "")


def no_member(case: Case, step: Step) -> str:
    """An overlay's tunnel leads to nobody for a frame."""
    target = case.target
    hosts = dict.fromkeys(filter(None, [case.facts.host_of(case.place), target.host if target else ""]))
    return listed(said for host in hosts if (said := case.facts.trouble(host)))
