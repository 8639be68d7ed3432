"""Sizes: which MTU on the way is too small, and who set it."""

from __future__ import annotations

from sim.packet import Icmp, Unreach, dotted
from sim.reasons.case import Case
from sim.trace import Kind, Outcome, Step
from sim.underlay import WIRE

VXLAN = 50
"""Bytes that a tunnel puts around a packet: outer IPv4, UDP, VXLAN and the inner Ethernet header."""
OPTION = "com.docker.network.driver.mtu"


def too_large(case: Case, step: Step) -> str:
    """A packet was larger than a device takes."""
    assert step.packet is not None
    size = step.packet.size()
    if step.where == WIRE:
        return _silent(case, step, size)
    place = case.facts.netns(step.where)
    if place is None or step.packet.ip is None:
        return ""
    route = place.ip.route(step.packet.ip.dst)
    if route is None:
        return ""
    device = place.device(route.dev)
    network = case.facts.network_at(step.where, device.name)
    whose = f" on network {network.name}" if network is not None else ""
    return (f"{size} bytes do not fit the MTU {device.mtu} of {device.name} in {step.where}{whose}: fragmentation is "
            "needed, and DF is set")


def _silent(case: Case, step: Step, size: int) -> str:
    """The switch drops what a cable does not take, and tells nobody."""
    narrow = [(case.spec.link_of(each).mtu, each) for each in (*_machines(case), step.device)
              if case.spec.host(each) or case.spec.client(each)]
    fitting = [(mtu, each) for mtu, each in narrow if mtu < size]
    mtu, machine = min(fitting, default=(0, ""))
    if not machine:
        return ""
    return (f"a frame of {size} bytes does not fit the MTU {mtu} of {machine}'s cable: a switch drops it and sends no "
            "ICMP error; give all machines on the wire one MTU")


def _machines(case: Case) -> list[str]:
    target = case.target
    return [case.facts.host_of(case.place) or case.place, *([target.host] if target else [case.question.target])]


def cut_short(case: Case) -> str:
    """An ICMP error "fragmentation needed" ended the question, and no step of a drop says so."""
    if case.answer.outcome is not Outcome.TOO_LARGE:
        return ""
    for step in case.trace:
        message = step.packet.l4 if step.packet else None
        if step.kind is Kind.ICMP_ERROR and isinstance(message, Icmp) and message.code == Unreach.FRAG_NEEDED:
            return _tunnel(case, step, message.mtu)
    return ""


def _tunnel(case: Case, step: Step, mtu: int) -> str:
    assert step.packet is not None and step.packet.ip is not None
    size = case.dial.size + 28
    found = case.facts.network_of(dotted(step.packet.ip.src))
    host = case.facts.host_of(case.place)
    name = found[2].name if found else "the overlay"
    place = case.facts.netns(case.place)
    route = place.ip.route(step.packet.ip.src) if place else None
    own = place.device(route.dev).mtu if place and route else 0
    return (f"overlay {name} has MTU {own}, but the way between its hosts takes {mtu} (MTU {mtu + VXLAN} of {host}'s "
            f"uplink less {VXLAN} for VXLAN), and {size} bytes do not fit; set {OPTION} to {mtu + VXLAN}")
