"""A question that was asked, with all that a diagnosis may look at; and the step at which it was lost."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from sim.packet import Icmp, IcmpType, Packet, Tcp, TcpFlag, Udp, dotted
from sim.reasons.facts import Facts
from sim.spec import Container, Dial, Question, Spec
from sim.trace import Answer, DropReason, Kind, Outcome, Step, Trace

BYSTANDERS = frozenset({DropReason.NOT_FOR_US, DropReason.ICMP_IGNORED})
"""Ends of copies that nobody waited for: they decide nothing."""
SELF_EXPLAINING = frozenset({
    DropReason.NO_SOCKET, DropReason.NO_NEIGHBOUR, DropReason.NO_ROUTE, DropReason.FORWARDING_OFF, DropReason.LINK_DOWN,
})
"""Reasons that the step's detail repeats with the port, the address or the device."""
ENDS: dict[Outcome, Collection[DropReason]] = {
    Outcome.REFUSED: {DropReason.NO_SOCKET, DropReason.REJECTED},
    Outcome.RESET: {DropReason.NO_SOCKET, DropReason.REJECTED},
    Outcome.HOST_UNREACHABLE: {DropReason.NO_NEIGHBOUR, DropReason.REJECTED, DropReason.TTL},
    Outcome.NET_UNREACHABLE: {DropReason.NO_ROUTE, DropReason.REJECTED},
    Outcome.PROHIBITED: {DropReason.RULE, DropReason.POLICY, DropReason.REJECTED},
    Outcome.TOO_LARGE: {DropReason.MTU},
}
"""Which ends of a packet bring an outcome about, where not all do. What else was lost on the way was not decisive."""


@dataclass(frozen=True)
class Case:
    """One way in which a question went."""

    facts: Facts
    question: Question
    dial: Dial
    answer: Answer
    trace: Trace

    @property
    def spec(self) -> Spec:
        return self.facts.spec

    @property
    def asker(self) -> str:
        """Who asks: a label."""
        return self.dial.source

    @property
    def place(self) -> str:
        """The label of the namespace in which the asker runs."""
        return self.spec.netns_of(self.asker)

    @property
    def target(self) -> Container | None:
        """The container that was meant: by its name, else by the address that was dialled."""
        if found := self.spec.container(self.question.target):
            return found
        owners = (self.spec.container(label) for label in self.facts.owners(self.answer.address))
        return next((box for box in owners if box is not None), None)

    @cached_property
    def death(self) -> Step | None:
        """The step at which the question was lost."""
        return decided(self.answer, self.trace)

    def answers(self, packet: Packet | None) -> bool:
        """Is this packet on its way back to the asker?"""
        l4 = packet.l4 if packet else None
        if isinstance(l4, Icmp):
            return l4.type == IcmpType.ECHO_REPLY
        if isinstance(l4, Tcp | Udp):
            first = isinstance(l4, Tcp) and l4.flags & (TcpFlag.SYN | TcpFlag.ACK) == TcpFlag.SYN
            return not first and l4.dport == self.dial.source_port
        return False

    @cached_property
    def unanswered(self) -> Step | None:
        """The first ARP request to which no answer came."""
        asked: dict[int, Step] = {}
        for step in self.trace:
            arp = step.packet.arp if step.packet else None
            if arp is not None and arp.op == 1:
                asked.setdefault(arp.target_ip, step)
            elif arp is not None:
                asked.pop(arp.sender_ip, None)
        return next(iter(asked.values()), None)


def decided(answer: Answer, trace: Trace) -> Step | None:
    """The step at which a question failed; None when it was answered, or no packet was lost."""
    if answer.outcome is Outcome.REACHED:
        return None
    drops = [step for step in reversed(trace.drops()) if step.reason not in BYSTANDERS]
    drops.sort(key=follows)
    fitting = ENDS.get(answer.outcome, ())
    return next((step for step in drops if step.reason in fitting), None) or next(iter(drops), None)


def follows(step: Step) -> bool:
    """Is what was lost here only about a packet that was lost before: an ICMP error, a TCP reset, what answers one?"""
    l4 = step.packet.l4 if step.packet else None
    if isinstance(l4, Icmp):
        return l4.type not in (IcmpType.ECHO_REQUEST, IcmpType.ECHO_REPLY)
    if not isinstance(l4, Tcp) or step.packet is None:
        return False
    challenge = step.reason is DropReason.NO_SOCKET and l4.flags == TcpFlag.ACK and not step.packet.payload
    return challenge or bool(l4.flags & TcpFlag.RST)


def in_words(step: Step) -> str:
    """The reason of a drop and its detail, or the detail alone where that says it all; of other steps the detail."""
    if step.reason is None or (step.detail and step.reason in SELF_EXPLAINING):
        return step.detail
    return f"{step.reason.value}: {step.detail}" if step.detail else step.reason.value


def end_of(case: Case) -> str:
    """What is to be seen of a question's end where no cause is known: never empty."""
    if case.death is not None:
        return f"{case.death.point if case.death.device else case.death.where}: {in_words(case.death)}"
    if case.answer.detail:
        return case.answer.detail
    if (step := case.unanswered) is not None:
        assert step.packet is not None and step.packet.arp is not None
        return f"{step.point}: {dotted(step.packet.arp.target_ip)} does not answer ARP"
    last = next((step for step in reversed(case.trace.steps) if step.kind is not Kind.WAKEUP), None)
    if last is None:
        return f"{case.asker} could not ask"
    seen = f"{WORDS.get(last.kind, last.kind.value)} {last.detail}".strip()
    return f"no answer within {case.dial.timeout:g} s; the last that is seen of it is in {last.where}: {seen}"


WORDS = {Kind.SEND: "sent", Kind.DELIVER: "delivered", Kind.RECEIVE: "read", Kind.SEEN: "a frame"}
