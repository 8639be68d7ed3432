"""From how a question ended to who knows the cause: one function for each way in which packets end."""

from __future__ import annotations

from collections.abc import Callable

from sim.packet import Icmp
from sim.reasons import endings, links, names, ports, routes, rules, sizes
from sim.reasons.case import Case, end_of, follows
from sim.trace import DropReason, Outcome, Step

CAUSES: dict[DropReason, Callable[[Case, Step], str]] = {
    DropReason.NO_SOCKET: ports.nobody_listens,
    DropReason.NO_ROUTE: routes.no_route,
    DropReason.FORWARDING_OFF: routes.no_router,
    DropReason.MARTIAN: routes.impossible_source,
    DropReason.TTL: routes.too_many_hops,
    DropReason.RULE: rules.dropped,
    DropReason.POLICY: rules.dropped,
    DropReason.REJECTED: rules.dropped,
    DropReason.INVALID: rules.invalid,
    DropReason.ECHO_IGNORED: endings.no_echo,
    DropReason.NO_NEIGHBOUR: links.nobody_there,
    DropReason.LINK_DOWN: links.no_carrier,
    DropReason.LOST: links.no_carrier,
    DropReason.NO_MEMBER: links.no_member,
    DropReason.MTU: sizes.too_large,
    DropReason.OVERSIZE: sizes.too_large,
    DropReason.NO_DESTINATION: ports.no_task,
}
"""Reasons of drops that have a cause behind them; those of the others say it all themselves."""

OF_ANY_FRAME = frozenset({DropReason.LINK_DOWN, DropReason.LOST, DropReason.NO_MEMBER})
"""Ends of ARP requests as well; the causes behind all others are told from an IP header."""


def because(case: Case) -> str:
    """Why the question failed, in one line; empty when it did not, never empty when it did."""
    if case.answer.outcome is Outcome.REACHED:
        return ""
    cause = _cause(case) or end_of(case)
    return names.by_hosts_file(case) + cause


def _cause(case: Case) -> str:
    match case.answer.outcome:
        case Outcome.NOT_SAID:
            return case.answer.detail
        case Outcome.NOT_RUNNING:
            return endings.not_running(case.facts, case.asker)
        case Outcome.NO_TARGET:
            return ports.no_target(case)
        case Outcome.NO_SUCH_NAME:
            return names.unknown(case)
        case Outcome.NAME_UNANSWERED:
            return names.unanswered(case, of_death(case))
    target = case.spec.container(case.question.target)
    if target is not None and not case.question.published and not case.facts.world.runs(target.name):
        return endings.not_running(case.facts, target.name)
    cause = of_death(case) or sizes.cut_short(case) or links.silent(case) or routes.never_left(case) or (
        ports.never_served(case))
    if cause and _refusal_is_lost(case) and (lost := _of_refusal(case)):
        cause = f"{cause}; and the refusal does not come back: {lost}"
    if cause and (lost := _of_mtu(case)):
        cause = f"{cause}; and the ICMP error that says so does not come back: {lost}"
    return "; ".join(filter(None, [cause, links.two_have_it(case)]))


def _refusal_is_lost(case: Case) -> bool:
    """Nobody listened, and the asker did not hear so."""
    death = case.death
    return (case.answer.outcome is Outcome.TIMEOUT and death is not None and death.reason is DropReason.NO_SOCKET
            and death.where != case.place)


def _of_refusal(case: Case) -> str:
    """Why the reset, or the ICMP error, that says so did not arrive."""
    lost = next((step for step in reversed(case.trace.drops()) if follows(step)), None)
    return _behind(case, lost) or links.silent(case)


def _of_mtu(case: Case) -> str:
    """Why the sender of what was too large did not hear so; empty where it did."""
    if case.answer.outcome is not Outcome.TIMEOUT or case.death is None or case.death.reason is not DropReason.MTU:
        return ""
    errors = (step for step in reversed(case.trace.drops()) if step.packet and isinstance(step.packet.l4, Icmp))
    return _behind(case, next((step for step in errors if follows(step)), None))


def of_death(case: Case) -> str:
    """The cause behind the step at which the packet was lost; empty where no step lost it, or it says all itself."""
    return _behind(case, case.death)


def _behind(case: Case, death: Step | None) -> str:
    if death is None or death.reason not in CAUSES or death.packet is None:
        return ""
    if death.packet.ip is None and death.reason not in OF_ANY_FRAME:
        return ""
    return CAUSES[death.reason](case, death)
