"""Rules of a host's firewall: Docker's own stand for something that the file says, others for themselves."""

from __future__ import annotations

from sim.dockerd.network import Network
from sim.packet import Icmp, Tcp, Udp, dotted
from sim.reasons.case import Case
from sim.reasons.facts import Facts, listed
from sim.reasons.ports import offers
from sim.trace import DropReason, Step

DOCKERS = ("DOCKER", "FORWARD", "PREROUTING")
"""Beginnings of the chains in which Docker drops packets by itself; what an operator may add there is in DOCKER-USER,
and what drops in INPUT or OUTPUT is never Docker's."""
ADMINS = ("DOCKER-USER",)
POLICY = "policy"


def dropped(case: Case, step: Step) -> str:
    """A rule or a chain's policy let a packet go no further."""
    assert step.packet is not None and step.packet.ip is not None
    chain, rule = chain_of(step)
    header = step.packet.ip
    given = f"-A {chain} {rule}" in case.facts.operators_rules(step.where)
    if given or case.spec.host(step.where) is None or not chain.startswith(DOCKERS) or chain.startswith(ADMINS):
        return _firewall(step, chain, rule)
    return _dockers_own(case, step, dotted(header.src), dotted(header.dst)) or _firewall(step, chain, rule)


def chain_of(step: Step) -> tuple[str, str]:
    """(chain, rule) of what `netfilter` says of its verdict: `filter FORWARD: -i … -j DROP`, or `filter INPUT policy
    DROP`."""
    said, colon, rule = step.detail.partition(": ")
    words = said.split()
    if colon:
        return words[-1], rule
    return (words[1], POLICY) if len(words) > 2 and words[-2] == "policy" else (said, "")


def _firewall(step: Step, chain: str, rule: str) -> str:
    verb = "rejects" if step.reason is DropReason.REJECTED else "drops"
    how = " by its policy" if rule == POLICY else f": `{rule}`" if rule else f" ({step.detail})"
    return f"the firewall of {step.where} {verb} it in chain {chain}{how}"


def _dockers_own(case: Case, step: Step, source: str, destination: str) -> str:
    """What a drop of Docker's rules stands for: an internal network, icc=false, isolation, an unpublished port."""
    facts, host = case.facts, step.where
    one, other = facts.network_of(source, host), facts.network_of(destination, host)
    leaves, enters = one[2] if one else None, other[2] if other else None
    owners = facts.owners(destination)
    if enters is not None and owners and not any(facts.host_of(each) for each in owners):
        assert enters.pool is not None
        return (f"{destination} is {listed(owners)}'s, out on the wire, but {host} looks for it on "
                f"{facts.network_name(enters.name)}, whose subnet {enters.pool.network} has it too")
    if leaves is not None and leaves is enters:
        return _no_icc(facts, leaves)
    for network, what in ((leaves, "gets out of"), (enters, "gets into")):
        if network is not None and network.internal:
            apart = _who_is_where(case, source, destination)
            return f"{apart}{'; ' * bool(apart)}{network.name} is an internal network: nothing {what} it"
    if leaves is not None and enters is not None:
        apart = _who_is_where(case, source, destination)
        between = f"{facts.network_name(leaves.name)} and {facts.network_name(enters.name)}"
        return f"{apart or f'{between} are different networks'}; Docker isolates bridge networks from each other"
    if enters is not None:
        return _unpublished(case, step, enters)
    return ""


def _no_icc(facts: Facts, network: Network) -> str:
    if network.way_out:
        return f"{network.name} keeps its containers apart (icc=false): it is their way out only"
    return f"{facts.network_name(network.name)} has icc=false: its containers do not reach each other's ports"


def _who_is_where(case: Case, source: str, destination: str) -> str:
    """That two containers, between which the packet was under way, share no network."""
    ends = [next((each for each in case.facts.owners(address) if case.spec.container(each)), "")
            for address in (source, destination)]
    return case.facts.apart(*ends) if all(ends) else ""


def _unpublished(case: Case, step: Step, network: Network) -> str:
    """From elsewhere to a container's own address: only published ports are let in."""
    assert step.packet is not None and step.packet.ip is not None
    facts, l4 = case.facts, step.packet.l4
    inside = f"inside of {facts.network_name(network.name)} on {step.where}"
    address = dotted(step.packet.ip.dst)
    owner = next(iter(facts.owners(address)), "")
    known = facts.published_by(owner) if owner else []
    if not isinstance(l4, Tcp | Udp):
        what = "a ping is" if isinstance(l4, Icmp) else "this is"
        return (f"from elsewhere Docker lets in only what is for published ports of {owner or address}, and {what} for "
                f"none; {offers(known)}")
    protocol = "tcp" if isinstance(l4, Tcp) else "udp"
    shown = f"{l4.dport}/udp" if protocol == "udp" else str(l4.dport)
    if any((each.inside, each.protocol) == (l4.dport, protocol) for each in known):
        return (f"{address} is {inside}, whose addresses Docker lets nobody reach directly; dial the published port: "
                f"{offers(known)}")
    return f"{shown} of {owner or address} isn't published, so nobody from elsewhere is let in; {offers(known)}"


def invalid(case: Case, step: Step) -> str:
    """Conntrack has not seen the connection from its beginning."""
    chain, rule = chain_of(step)
    return (f"{step.where} has not seen both directions of the connection (it goes and comes by different ways), so "
            f"conntrack calls it INVALID and chain {chain} drops it: `{rule}`")
