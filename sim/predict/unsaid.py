"""What can't be predicted, for the file says nothing of it: addresses and names of a world outside.

Where a file has neither a gateway nor an internet, its machines have no way out, and the model's own answer would be
"network unreachable", or "no such name" of a name server that knows no names. Both are true of the lab and say nothing
of the machines that the file is about. So the answer is NOT_SAID, with what to write; it is not compared.
"""

from __future__ import annotations

from sim.packet import dotted, ip, mask_of
from sim.spec import Dial
from sim.trace import Answer, DropReason, Kind, Outcome, Trace
from sim.underlay import NAMESERVER
from sim.world import World

LIMITS = range(1 << 24, 224 << 24)
"""Outside of these no machine has an address: 0.0.0.0/8, multicast, broadcast."""

NOWHERE = ("example", "invalid", "localhost", "test")
"""Under these there is no name, in any world (RFC 2606)."""


def honest(world: World, dial: Dial, answer: Answer, trace: Trace) -> Answer:
    """The answer, or in its place NOT_SAID."""
    match answer.outcome:
        case Outcome.NET_UNREACHABLE:
            why = _no_way(world, dial, ip(answer.address), trace)
        case Outcome.TIMEOUT:
            why = _no_gateway(world, trace)
        case Outcome.NO_SUCH_NAME:
            why = _unknown_name(world, dial, trace)
        case _:
            why = ""
    return Answer(Outcome.NOT_SAID, answer.address, detail=f"the file says nothing of {why}") if why else answer


def _no_way(world: World, dial: Dial, address: int, trace: Trace) -> str:
    """A machine of the underlay has no route to an address that is on no net of this topology."""
    dropped = [step for step in trace if step.kind is Kind.DROP]
    if any(step.reason is not DropReason.NO_ROUTE for step in dropped):
        return ""
    where = dropped[-1].where if dropped else world.spec.netns_of(dial.source)
    machine = world.spec.host(where) or world.spec.client(where)
    if machine is None or address not in LIMITS or _on_a_net(world, address):
        return ""
    return f"a way from {where} to {dotted(address)}: declare x-hopcast: {{internet: true}}, or give {where} a gateway"


def _on_a_net(world: World, address: int) -> bool:
    return any((address ^ own) & mask_of(length) == 0 for netns in world.namespaces.values()
               for device in netns.devices.values() for own, length in device.addresses if device.name != "lo")


def _no_gateway(world: World, trace: Trace) -> str:
    """Somebody sends by way of a client that forwards nothing."""
    for step in trace:
        if step.reason is DropReason.FORWARDING_OFF and world.spec.client(step.where):
            return f"what is behind {step.where}: give it `beyond`, and machines `behind` it, or `forward: true`"
    return ""


def _unknown_name(world: World, dial: Dial, trace: Trace) -> str:
    """The underlay's name server was asked for a name from outside: one with a dot, and no engine's NAME.NETWORK."""
    name, spec = dial.name.rstrip("."), world.spec
    first, dot, domain = name.partition(".")
    engines = {*spec.labels(), *(known for box in spec.containers for known in (box.service, box.hostname)),
               *(alias for box in spec.containers for attachment in box.attachments for alias in attachment.aliases),
               *(known for service in spec.services for known in (service.name, service.key))}
    asked = any(step.kind is Kind.DNS and step.where == NAMESERVER for step in trace)
    last = domain.rpartition(".")[2]
    if not dot or not asked or name in engines or first == "tasks" or last in NOWHERE or spec.network(last):
        return ""
    return f"the name {dial.name}: declare x-hopcast: {{names: {{{dial.name}: ADDRESS}}}}"
