"""Names: who would know it, and why the asker's name server does not.

The embedded DNS answers with the names of the networks that a sandbox is on, and asks outside for all others
(`sim/dockerd/dns.py`). So a name is unknown where asker and bearer share no network, and on the default bridge always.
"""

from __future__ import annotations

from sim.dockerd import dns
from sim.dockerd.resolution import RESOLVER
from sim.packet import dotted
from sim.reasons.case import Case
from sim.reasons.endings import not_running
from sim.reasons.facts import Bearer, Facts, listed
from sim.spec import DEFAULT_NETWORK
from sim.trace import Kind


def _everybody(facts: Facts, name: str) -> list[Bearer]:
    """Those called NAME; else those called so where it is read as NAME.NETWORK."""
    for request, network in dns.splits(name.removesuffix(".")):
        found = [each for each in facts.called(request) if network in ("", each.network)]
        if found:
            return found
    return []


def unknown(case: Case) -> str:
    """Why the asker's name server says that there is no such name."""
    return _docker_does_not_know(case) or _nobody(case)


def unanswered(case: Case, upstream: str) -> str:
    """Why no name server answered. `upstream`: why the question for it was lost, if it was."""
    facts, place = case.facts, case.place
    host, netns = facts.host_of(place), case.facts.netns(case.place)
    servers = netns.nameservers if netns else []
    daemon = facts.world.daemons.get(host)
    if RESOLVER in servers and daemon is not None and not daemon.alive:
        return f"Docker's DNS ({RESOLVER}) is part of the engine, and the engine of {host} is down"
    owner = case.spec.container(place)
    if owner is not None and owner.mode == "none":
        return f"{case.asker} has network mode none: no name server can be asked"
    if RESOLVER not in servers:
        whom = listed(servers) or "127.0.0.1"
        return f"name server {whom}, which {place} asks, does not answer" + (f": {upstream}" if upstream else "")
    why = _docker_does_not_know(case) or f"nobody on the networks of {case.asker} is called {case.dial.name}"
    if upstream in why:
        return why
    return f"{why}; Docker's DNS then asks outside, and hears nothing: {upstream or 'nobody answers there'}"


def by_hosts_file(case: Case) -> str:
    """`extra_hosts says b is 10.9.9.9; `, where a hosts file led the asker there; else empty."""
    box = case.spec.container(case.asker)
    said = {entry.partition(":")[0] for entry in box.extra_hosts} if box is not None else set()
    if case.dial.name not in said or not case.answer.address:
        return ""
    return f"extra_hosts says {case.dial.name} is {case.answer.address}; "


def _docker_does_not_know(case: Case) -> str:
    """Why the asker has not the name from Docker; empty where nobody in the file is called so."""
    facts, name = case.facts, case.dial.name
    called = _everybody(facts, name)
    owner = case.spec.container(case.place)
    if owner is None:
        return _asks_no_docker(case, called)
    if name in case.spec.idle:
        return f"{name} is scaled to no container"
    mine = facts.networks(case.asker)
    if (mine or (DEFAULT_NETWORK,)) == (DEFAULT_NETWORK,) and owner.mode == "bridge":
        away = facts.apart(case.asker, called[0].box) if called and called[0].box else ""
        return f"the default bridge has no names, and {case.asker} is on no other network" + (f"; {away}" * bool(away))
    if not called:
        return ""
    near = [each for each in called if each.network in mine]
    if near:
        return _forgotten(case, near)
    first = called[0]
    if not first.network:
        box = case.spec.container(first.box)
        if box is not None and box.mode.startswith("container:"):
            partner = box.mode.removeprefix("container:")
            return (f"{first.owner} has no name in Docker's DNS, for it shares the network of {partner}: ask for "
                    f"{_plain_name(case, partner)}")
        if box is not None and box.mode not in ("bridge", "none"):
            return f"{first.owner} has no name in Docker's DNS: it is {facts.where_is(first.box)}"
        return facts.apart(case.asker, first.box)
    also = facts.networks(first.box) if first.box else ()
    if common := [each for each in also if each in mine]:
        return (f"{name} is a name of {first.owner} on {listed(each.network for each in called)} only, and "
                f"{case.asker} is not on it; on {listed(common)} it is called {_plain_name(case, first.box)}")
    if first.box:
        return facts.apart(case.asker, first.box)
    nets = listed(each.network for each in called)
    return f"they share no network: {case.asker} is {facts.where_is(case.asker)}, {first.owner} is on {nets}"


def _forgotten(case: Case, near: list[Bearer]) -> str:
    """Bearers are on a network of the asker's, and Docker's DNS does not know them."""
    facts = case.facts
    host = facts.host_of(case.asker)
    ended = [each.box for each in near if each.box and not facts.world.runs(each.box)]
    if len(ended) == len(near):
        return not_running(facts, ended[0])
    tasks = [task for each in case.spec.services for task in case.spec.tasks(each.name)
             if near[0].owner == f"service {each.name}"]
    if not near[0].box and not any(facts.world.runs(task.name) for task in tasks):
        return f"{near[0].owner} has no task that runs"
    away = [facts.apart(case.asker, each.box) for each in near if each.box]
    if away and all(away):
        return away[0]
    hosts = dict.fromkeys([host, *(facts.host_of(each.box) for each in near if each.box)])
    trouble = [said for each in hosts if (said := facts.trouble(each))]
    gone = listed(each.owner for each in near)
    return f"Docker's DNS on {host} does not know {gone}" + (f": {listed(trouble)}" if trouble else facts.since)


def _plain_name(case: Case, label: str) -> str:
    box = case.spec.container(label)
    return (box.service or box.name) if box is not None else label


def _asks_no_docker(case: Case, called: list[Bearer]) -> str:
    """A host, a client, or a container in a host's network: it asks the name server of its machine."""
    if not called:
        return ""
    who = case.asker if case.asker == case.place else f"{case.asker}, in the network of {case.place},"
    return (f"Docker's DNS answers inside of containers on user-defined networks only, and {who} asks the name server "
            f"of its machine; dial an address or a published port of {called[0].owner}")


def _nobody(case: Case) -> str:
    name, facts = case.dial.name, case.facts
    asked = next((step.where for step in reversed(case.trace.steps)
                  if step.kind is Kind.DNS and step.where != case.place), "")
    server = facts.netns(asked)
    address = next((dotted(a) for d in server.devices.values() if d.name != "lo" for a, _ in d.addresses),
                   "") if server else ""
    outside = f", and the name server outside, {asked} ({address}), does not know it either" if asked else ""
    mine = [facts.network_name(each) for each in facts.networks(case.asker)]
    on = f" on {listed(mine)}" if mine else ""
    return f"nobody{on} is called {name}{outside}"
