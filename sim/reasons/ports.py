"""Ports: what is published, who listens where, and answers that come from somebody who was not asked."""

from __future__ import annotations

from sim.packet import Tcp, Udp, dotted, ip
from sim.reasons.case import Case
from sim.reasons.endings import not_running
from sim.reasons.facts import Facts, Listening, Published, listed
from sim.spec import Container
from sim.trace import Kind, Step


def nobody_listens(case: Case, step: Step) -> str:
    """Nobody waits for a packet where it arrived."""
    packet = step.packet
    assert packet is not None and packet.ip is not None
    if not isinstance(packet.l4, Tcp | Udp):
        return ""
    protocol = "tcp" if isinstance(packet.l4, Tcp) else "udp"
    address, port = dotted(packet.ip.dst), packet.l4.dport
    if step.where == case.place and port == case.dial.source_port:
        return _stranger(case, dotted(packet.ip.src), protocol)
    netns = case.facts.netns(step.where)
    if netns is not None and netns.is_broadcast(packet.ip.dst):
        return f"{address} is a broadcast, and none of those who hear it listens on {_shown(port, protocol)}"
    if case.facts.spec.host(step.where) is not None:
        return not_published(case, step.where, address, port, protocol)
    return _only_others(case, step.where, address, port, protocol)


def _shown(port: int, protocol: str) -> str:
    return f"{port}/udp" if protocol == "udp" else str(port)


def _stranger(case: Case, answered: str, protocol: str) -> str:
    """An answer that no socket of the asker's knows: it is not from the address that was asked."""
    facts, asked = case.facts, case.answer.address
    who = facts.owners(answered)
    proxied = any(step.kind is Kind.PROXY for step in case.trace)
    if proxied and protocol == "udp":
        return (f"docker-proxy answers from {answered}, not from {asked} that was asked: a UDP socket that is "
                f"connected to {asked} takes answers from there only")
    name = listed(who) or "somebody"
    return (f"the answer comes from {answered} ({name}), not from {asked} that was asked: it goes back by another way, "
            "past the NAT that would turn its source around")


def not_published(case: Case, host: str, address: str, port: int, protocol: str) -> str:
    """Nobody waits on a port of a host: what is published there instead."""
    facts = case.facts
    known = facts.published(host)
    here = [each for each in known if each.port == port]
    shown = _shown(port, protocol)
    served = [each for each in here if each.protocol == protocol and each.address in ("0.0.0.0", address)]
    if served:
        return _unserved(case, host, shown, served[0])
    if other := [each.address for each in here if each.protocol == protocol]:
        return f"{shown} is published on {listed(other)} only, not on {address}"
    local = [each for each in facts.listening(host) if (each.port, each.protocol) == (port, protocol)]
    if local:
        return f"what listens on {shown} of {host} listens on {listed(each.address for each in local)} only"
    if meant := facts.declares(host, port, protocol):
        return f"{shown} isn't published: {unpublished(facts, meant)}"
    if here:
        return f"{shown} isn't published on {host}; {listed(f'{each.port}/{each.protocol}' for each in here)} is"
    own = facts.listening(host)
    listens = f", and its own processes listen on {listed(own)}" if own else ""
    return f"{shown} isn't published on {host}; {offers(known)}{listens}"


def _unserved(case: Case, host: str, shown: str, published: Published) -> str:
    """A port is published, and nobody waits on it: docker-proxy does not run, and no rule leads past it."""
    daemon = case.facts.world.daemons[host]
    if not daemon.alive and daemon.host.engine.userland_proxy:
        return f"docker-proxy, which served {shown} of {host}, died with its engine"
    return f"{shown} is published ({published}), but nobody serves it: {_off(case, host) or case.facts.trouble(host)}"


def _off(case: Case, host: str) -> str:
    """Which of the engine's options that serve published ports are off."""
    options = case.facts.world.daemons[host].host.engine
    return listed(f"{name}: false" for name, on in (
        ("userland-proxy", options.userland_proxy), ("iptables", options.iptables)) if not on)


def never_served(case: Case) -> str:
    """The connection was made with dockerd itself, which holds a published port that nobody serves; else empty."""
    port = case.dial.port
    for host in map(case.facts.host_of, case.facts.owners(case.answer.address) or [case.place]):
        daemon = case.facts.world.daemons.get(host)
        held = daemon.bound_ports if daemon is not None else []
        if any((each.host_port, each.protocol) == (port, case.dial.probe) for each in held):
            return (f"{_shown(port, case.dial.probe)} of {host} is held by dockerd itself, which never answers: "
                    f"{_off(case, host) or 'no rule leads to the container'}")
    return ""


def offers(known: list[Published]) -> str:
    """`8080 -> 80 is`, `8080 -> 80 and 53 -> 53/udp are`, `nothing is`."""
    return f"{listed(known)} {'are' if len(set(map(str, known))) > 1 else 'is'}" if known else "nothing is"


def unpublished(facts: Facts, box: Container) -> str:
    """Why the `ports` of a container, which the file has, are not published."""
    if not facts.world.runs(box.name):
        return not_running(facts, box.name)
    if box.mode == "host":
        return f"the engine discards the ports of {box.name}, which is in the network of its host (network_mode: host)"
    if box.mode == "none":
        return f"{box.name} has network mode none"
    if box.mode.startswith("container:"):
        return f"{box.name} has no network of its own: the ports are its partner's to publish"
    networks = [n for name in facts.networks(box.name) if (n := facts.spec.network(name)) is not None]
    if networks and all(each.internal for each in networks):
        return (f"{box.name} is on internal networks only ({listed(each.name for each in networks)}), and an internal "
                "network publishes nothing")
    drivers = [each.driver for each in networks if not each.internal]
    if drivers and not facts.spec.publishes(box.name):
        return f"{box.name}'s way out is {listed(drivers, 'or')}, which publishes nothing"
    return f"{box.name} is {facts.where_is(box.name)}"


def no_target(case: Case) -> str:
    """Why there was nothing to dial."""
    target, asked = case.spec.container(case.question.target), case.question
    if target is None:
        return ""
    if not case.facts.world.runs(target.name):
        return not_running(case.facts, target.name)
    if asked.published and any((p.container_port, p.protocol) == (asked.port, asked.probe) for p in target.ports):
        return f"{_shown(asked.port, asked.probe)} isn't published: {unpublished(case.facts, target)}"
    lost = case.spec.networks_of(target.name) and not case.facts.networks(target.name)
    return f"{case.answer.detail}{case.facts.since if lost else ''}"


def _only_others(case: Case, label: str, address: str, port: int, protocol: str) -> str:
    """Nobody waits on a port of a container or a client: who waits there on which others."""
    facts = case.facts
    shown = _shown(port, protocol)
    listens = facts.listening(label)
    loopback = ip(address) >> 24 == 127
    same = [each for each in listens if (each.port, each.protocol) == (port, protocol)]
    if same:
        return f"{label} listens on {listed(same)} only, not on {address}"
    said = f"nothing in {label} listens on {shown}" + (f"; {_open(listens)}" if listens else ", nor on any other port")
    if loopback and label == case.place:
        host = facts.host_of(label)
        found = [each for each in facts.published(host) if (each.port, each.protocol) == (port, protocol)]
        return f"{address} is {label} itself, and {said}" + (
            f" (it is {host} that publishes {found[0]} of {found[0].box})" if found else "")
    if case.dial.port != port and (found := [
            each for each in facts.published_by(label) if (each.inside, each.protocol) == (port, protocol)]):
        said = f"{found[0]} is published, but {said}"
    return said


def _open(listens: list[Listening]) -> str:
    return f"{listed(listens)} {'are' if len(listens) > 1 else 'is'} open"


def no_task(case: Case, step: Step) -> str:
    """IPVS has nobody to give a connection to."""
    service = case.facts.service_at(case.answer.address) or case.question.target
    return f"service {service} has no task that runs"
