"""Containers that do not run, and what has ended them; kernels that are told to be silent."""

from __future__ import annotations

from sim.reasons.case import Case
from sim.reasons.facts import Facts
from sim.trace import Step


def no_echo(_: Case, step: Step) -> str:
    """Pings are ignored."""
    return f"{step.where} answers no ping: {step.detail}"


def not_running(facts: Facts, label: str) -> str:
    """Why a container does not run."""
    box = facts.spec.container(label)
    if box is None:
        return ""
    if box.task_of:
        return f"{box.name} does not run: its node {box.host} is drained, and no other took its place"
    owner = facts.spec.container(facts.spec.netns_of(label))
    if owner is not None and owner is not box and not facts.world.runs(owner.name):
        return f"{box.name} does not run: {owner.name}, whose network it shares, doesn't"
    if box.restart == "no":
        return (f"{box.name} does not run: it ended when the engine of {box.host} was killed and started again, and it "
                "has no restart policy")
    return f"{box.name} does not run: it ended when the engine of {box.host} was killed"
