"""Where a topology is measured, and a measurement that comes over a wire."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import experiments
import experiments.verify
from experiments import measure, micro_vm
from experiments.dialogue import events
from experiments.measurement import Measurement, Observation
from experiments.verify import Verification, verify
from live import doctor
from live.doctor import Item, Report
from live.vm import qemu
from live.vm.guest import Hung
from sim import compose
from sim.errors import LabError
from sim.plumbing import Plumbing
from sim.predict import predict
from sim.spec import Network, Question, Spec
from sim.trace import Trace

ROOT = Item("privilege", "root", True, "", "engines", "sudo", True)
MACVLAN = Item("kernel", "macvlan", True, "", "macvlan networks", "modprobe macvlan", False)
QEMU = Item("tool", qemu.BINARY, True, "/usr/bin/qemu", "a micro-VM", qemu.GET, False)
ABLE = Report((ROOT, MACVLAN, QEMU))
MODEST = Report((replace(ROOT, ok=False, detail="runs as uid 1000"), replace(MACVLAN, ok=None), QEMU))
PLAIN = Spec()
ON_MACVLAN = Spec(networks=(Network(name="m", driver="macvlan", options={"parent": "eth0"}),))


def without(report: Report, name: str) -> Report:
    return Report(tuple(replace(item, ok=False) if item.name == name else item for item in report.items))


def test_what_the_machine_can_do_is_measured_on_the_machine() -> None:
    assert micro_vm.place(ON_MACVLAN, ABLE, None, pytest.fail) is measure.measure


def test_a_missing_kernel_feature_takes_the_micro_vm_and_says_so() -> None:
    said: list[str] = []
    assert micro_vm.place(ON_MACVLAN, without(ABLE, "macvlan"), None, said.append) is micro_vm.measure
    assert said == ["measuring in a micro-VM, for this machine can't: this kernel lacks macvlan (network m)"]
    assert micro_vm.place(PLAIN, without(ABLE, "macvlan"), None, pytest.fail) is measure.measure


def test_without_root_the_micro_vm_is_taken() -> None:
    said: list[str] = []
    assert micro_vm.place(PLAIN, MODEST, None, said.append) is micro_vm.measure
    assert "root: runs as uid 1000" in said[0]


def test_without_root_and_qemu_the_error_says_how_to_get_qemu() -> None:
    with pytest.raises(LabError, match="apt-get install --no-install-recommends qemu-system-x86"):
        micro_vm.place(PLAIN, without(MODEST, qemu.BINARY), None, pytest.fail)


def test_a_kernel_that_lacks_something_is_used_where_there_is_no_other() -> None:
    lacking = without(without(ABLE, "macvlan"), qemu.BINARY)
    assert micro_vm.place(ON_MACVLAN, lacking, None, pytest.fail) is measure.measure


def test_the_user_decides_where_both_could() -> None:
    assert micro_vm.place(PLAIN, ABLE, True, pytest.fail) is micro_vm.measure
    assert micro_vm.place(ON_MACVLAN, without(ABLE, "macvlan"), False, pytest.fail) is measure.measure
    with pytest.raises(LabError, match="nothing can be measured here"):
        micro_vm.place(PLAIN, MODEST, False, pytest.fail)


def test_the_doctor_examines_what_a_micro_vm_needs() -> None:
    names = {item.name for item in doctor.examine().items}
    assert {qemu.BINARY, "kvm"} <= names


@pytest.fixture(scope="module")
def spec() -> Spec:
    return compose.load(Path(experiments.__path__[0], "scenarios", "shop.yaml"))


def over_a_wire(measured: Measurement) -> Measurement:
    return Measurement.from_dict(json.loads(json.dumps(measured.as_dict())))


def without_numbers(measured: dict[str, Any]) -> dict[str, Any]:
    """A packet's number in its process says nothing elsewhere."""
    for observation in measured["observations"]:
        for step in observation["trace"]["steps"]:
            del step["packet"]
    return measured


def verdicts(spec: Spec, measured: Measurement) -> Verification:
    def measuring(spec: Spec, questions: Sequence[Question], **_: Any) -> Measurement:
        return measured

    return verify(spec, measuring=measuring)


def same(spec: Spec, measured: Measurement) -> None:
    """The comparison says the same, check for check and word for word, of a measurement and of its copy."""
    copy = over_a_wire(measured)
    assert without_numbers(copy.as_dict()) == without_numbers(measured.as_dict())
    assert copy.plumbing == measured.plumbing
    assert [o.answer for o in copy.observations] == [o.answer for o in measured.observations]
    one, other = verdicts(spec, measured), verdicts(spec, copy)
    assert other.checks == one.checks
    for index in range(len(one.answers)):
        assert other.events(index) == one.events(index)


def test_a_measurement_goes_over_a_wire_without_a_change_to_any_verdict(spec: Spec) -> None:
    forecast = predict(spec, observed=True)
    points = sorted({s.point for trace in forecast.traces for s in trace
                     if s.device and s.where in forecast.plumbing.namespaces})
    observations = [Observation(dial, answer, trace.observed(points), until=60.0) for dial, answer, trace
                    in zip(forecast.dials, forecast.answers, forecast.traces, strict=True)]
    observations[0] = Observation(why="nothing to dial")
    observations[1].trace = Trace(observations[1].trace.steps[:-1], lost=2)
    same(spec, Measurement("20.10.24", forecast.plumbing, points, observations, {"lab up": 1.5},
                            where="micro-VM (TCG)"))


@given(st.sets(st.text(max_size=5), min_size=2, max_size=8))
def test_what_a_kernel_lacks_is_written_in_one_order_however_a_set_holds_it(features: set[str]) -> None:
    measured = Measurement("20.10.24", Plumbing(), [], [], {}, lacking=frozenset(features))
    assert measured.as_dict()["lacking"] == sorted(features)
    assert over_a_wire(measured).as_dict() == measured.as_dict()


def test_fragments_keep_their_lengths_on_the_wire_also_inside_a_tunnel() -> None:
    spec = compose.load(Path(experiments.__path__[0], "scenarios", "article_overlay.yaml"))
    largest = max(spec.questions, key=lambda question: question.size)
    forecast = predict(spec, observed=True, questions=[largest])
    seen = Observation(forecast.dials[0], forecast.answers[0], forecast.traces[0].observed(
        {s.point for s in forecast.traces[0] if s.device}), until=60.0)
    copy = Observation.from_dict(json.loads(json.dumps(seen.as_dict())))
    later = [s.packet for s in seen.trace if s.packet and s.packet.inner and s.packet.inner.ip and s.packet.vxlan
             and not s.packet.inner.l4]
    assert later and all(packet.inner and packet.inner.payload for packet in later)
    assert events(copy.trace, {s.point for s in seen.trace}) == events(seen.trace, {s.point for s in seen.trace})


@pytest.mark.live
def test_a_real_measurement_goes_over_a_wire_without_a_change_to_any_verdict(spec: Spec) -> None:
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)
    measured = measure.measure(spec, predict(spec, observed=True).questions)
    assert verdicts(spec, measured).exit_code == 0
    same(spec, measured)


@pytest.mark.parametrize("hangs", [1, 2])
def test_where_a_guest_hangs_another_is_started_but_not_a_third(
    spec: Spec, hangs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    begun: list[Spec] = []

    def standing(spec: Spec, say: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
        begun.append(spec)
        if len(begun) <= hangs:
            raise Hung("the micro-VM gave no answer within 60 s", mend="")
        return contextlib.nullcontext()

    answer = Measurement("20.10.24", Plumbing(), [], [], {"questions": 1.0})
    monkeypatch.setattr(micro_vm, "standing", standing)
    monkeypatch.setattr(micro_vm, "ask", lambda guest, questions, say: answer)
    if hangs == 1:
        assert micro_vm.measure(spec, [], progress=lambda what, done, total: told.append(what)) is answer
        assert told[0] == "starting another micro-VM, for the micro-VM gave no answer within 60 s"
    else:
        with pytest.raises(Hung):
            micro_vm.measure(spec, [])
    assert len(begun) == 2
