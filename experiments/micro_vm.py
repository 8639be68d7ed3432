"""Measuring in a micro-VM: for a topology that needs what this machine's kernel lacks, or without root and engine.

The measuring itself is `experiments/measure.py`, run in the guest (`experiments/guest.py`); here it is asked for. A
topology that was deployed once is kept as a snapshot, so that verifying the same file again only asks the questions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments import measure as here
from experiments.measure import Progress
from experiments.measurement import Measurement
from live import needs
from live.doctor import Report
from live.vm import image, qemu, snapshot
from live.vm.guest import Guest, Hung
from live.vm.snapshot import Model
from sim.errors import LabError
from sim.spec import Question, Spec

DEPLOYED = "deployed"
"""Part of the name of a topology's snapshot."""

Measuring = Callable[..., Measurement]
"""As `measure`: (spec, questions, *, progress)."""


def place(spec: Spec, report: Report, wished: bool | None, say: Callable[[str], None]) -> Measuring:
    """Where to measure `spec`: `measure` of this module or of `experiments.measure`. `wished`: in a micro-VM or not;
    None chooses, and says why where it takes the micro-VM. LabError where nothing can be measured."""
    why = reason(spec, report)
    possible = any(item.name == qemu.BINARY and item.ok for item in report.items)
    if wished or (wished is None and why and possible):
        if not wished:
            say(f"measuring in a micro-VM, for this machine can't: {why}")
        return measure
    if not report.can_run_lab:
        instead = "" if wished is False else f"; a micro-VM needs no root: {qemu.GET}"
        raise LabError(f"nothing can be measured here: {report.why_not}", mend=f"hopcast doctor tells all{instead}")
    return here.measure


def release(measuring: Measuring) -> str:
    """Of the kernel on which that measures: predictions are for it. Empty for this machine's own. LabError where the
    micro-VM's image can't be built."""
    return image.ready(lambda _: None).manifest.kernel if measuring is measure else ""


def reason(spec: Spec, report: Report) -> str:
    """Why this machine's own kernel can't measure `spec`, in words; empty where it can."""
    if not report.can_run_lab:
        return report.why_not
    missing = {item.name for item in report.items if item.kind == "kernel" and item.ok is False}
    lacking = [f"{feature} ({why})" for feature, why in needs.needed(spec).items() if feature in missing]
    return f"this kernel lacks {', '.join(lacking)}" if lacking else ""


def measure(spec: Spec, questions: Sequence[Question], *, progress: Progress | None = None) -> Measurement:
    """As `experiments.measure.measure`, in a micro-VM; where one hangs, once more in another. LabError where none can
    run."""
    say = progress or (lambda what, done, total: None)
    try:
        return _measure(spec, questions, say)
    except Hung as error:
        say(f"starting another micro-VM, for {error.problem}", 0, len(questions))
        return _measure(spec, questions, say)


def _measure(spec: Spec, questions: Sequence[Question], say: Progress) -> Measurement:
    total = len(questions)
    begun = time.monotonic()
    with standing(spec, lambda what: say(what, 0, total)) as guest:
        up = time.monotonic()
        found = ask(guest, questions, say)
        say("ending the micro-VM", total, total)
    found.read()
    # What the guest counts before the questions may have been long ago, when its snapshot was taken.
    found.seconds = {"micro-VM up": round(up - begun, 3), "questions": found.seconds["questions"]}
    return found


def standing(spec: Spec, say: Callable[[str], None], *, keep: bool = False) -> Guest:
    """A guest in which `spec` is deployed, from a snapshot of just that if there is one. LabError, PlumbError."""
    model = snapshot.model(say)
    state = topology_snapshot(model, spec)
    if state.exists():
        say(f"restoring {spec.name} in a {model.where}")
        try:
            return _named(snapshot.start(model, state, keep=keep), spec)
        except LabError:
            state.unlink(missing_ok=True)  # of no use: what follows makes another
    guest = _named(snapshot.booted(model, say, keep=keep), spec)
    try:
        guest.ask("up", {"spec": spec.model_dump(mode="json")}, lambda said: say(said[0]))
        say("saving a snapshot")
        snapshot.save(guest, state)
    except BaseException:
        guest.end()
        raise
    return guest


def ask(guest: Guest, questions: Sequence[Question], say: Progress) -> Measurement:
    """Asks a topology that stands in a guest."""
    body = {"questions": [question.model_dump(mode="json") for question in questions]}
    return Measurement.from_dict(guest.ask("ask", body, lambda said: say(*said)))


def topology_snapshot(model: Model, spec: Spec) -> Path:
    """Where a snapshot of `spec` lies: what is asked, and which file it came from, makes no difference."""
    deployed: dict[str, Any] = spec.model_dump(mode="json", exclude={"questions", "file", "notes"})
    return model.snapshot(DEPLOYED, json.dumps(deployed, sort_keys=True))


def _named(guest: Guest, spec: Spec) -> Guest:
    guest.record.topology, guest.record.hosts = spec.name, tuple(host.name for host in spec.hosts)
    guest.record.save()
    return guest
