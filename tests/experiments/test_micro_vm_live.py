"""The whole of it in a micro-VM: built from Debian's packages, booted, measured, restored, and gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import micro_vm
from experiments.verify import TOO_LATE, Verification, verify
from live import state
from live.vm import apt, qemu, runs, snapshot
from live.vm.guest import Guest
from sim.build import topology
from sim.compose import load
from sim.errors import LabError, PlumbError
from sim.spec import Network, Spec

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module", autouse=True)
def able() -> None:
    """Skips where QEMU or what builds the image is missing."""
    missing = [*apt.missing_tools(), *([] if shutil.which(qemu.BINARY) else [qemu.BINARY])]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: {qemu.GET}")


def small() -> Spec:
    return (topology("small").network("front").container("web", networks=["front"], ports=["8080:80", "2905/sctp"])
            .container("app", networks=["front"]).client("client").ask("client -> web:80").ask("app -> web:80 by name")
            .ask("app -> web:81").ask("app -> web ping").spec())


def agreed(of: Verification) -> None:
    differing = [f"{c.level}: {c.subject}: at {c.where} predicted {c.predicted}, seen {c.observed}\n{c.detail}"
                 for c in of.checks if c.agreed is not True]
    assert not differing, "\n".join(differing)
    assert of.measurement is not None and of.measurement.where.startswith("micro-VM (")


def test_a_micro_vm_measures_as_predicted_and_again_from_a_snapshot() -> None:
    spec = small()
    first = verify(spec, measuring=micro_vm.measure)
    agreed(first)
    assert first.measurement is not None  # and SCTP, which not every kernel has, is held and translated as predicted
    there = first.measurement.plumbing.namespaces["host"]
    assert "sctp" in {protocol for protocol, _, _ in there.listeners}
    assert any("-p sctp -m sctp --sport 2905 -j CHECKSUM" in line for line in there.rules["mangle"])
    model = snapshot.model(print)
    assert micro_vm.topology_snapshot(model, spec).exists()
    begun = time.monotonic()
    with micro_vm.standing(spec, print) as guest:
        assert guest.ask("execute", {"command": "docker ps --quiet | wc -l", "on": "host"})["output"].strip() == "2"
    restored = time.monotonic() - begun
    agreed(verify(spec, measuring=micro_vm.measure))
    assert restored < 60
    assert [record for record in runs.records() if record.owner == os.getpid()] == []


def test_the_routing_mesh_behaves_as_predicted_from_outside_and_from_every_node() -> None:
    spec = load(ROOT / "experiments" / "scenarios" / "mesh.yaml", environment={})
    result = verify(spec, measuring=micro_vm.measure, linux=micro_vm.release(micro_vm.measure))
    assert [(c.subject, c.predicted, c.observed, c.detail) for c in result.checks if c.agreed is False] == []
    assert all(c.agreed for c in result.checks if c.detail != TOO_LATE and c.level != "path")
    # A question that was asked again leaves open how many connections it took, and so whose turn it was.
    assert result.measurement is not None
    again = {"h1" if asked.target == "127.0.0.1" else asked.target
             for asked, seen in zip(spec.questions, result.measurement.observations, strict=True) if seen.attempts > 1}
    told = {check.where for check in result.turns}
    assert {f"ingress_sbox@{host.name}" for host in spec.hosts if host.name not in again} <= told and told


def test_the_guests_kernel_has_what_others_lack() -> None:
    code = "from live import features; print({k: v for k, v in features.tried().items() if v})"
    with snapshot.booted(snapshot.model(print), print) as guest:
        found = guest.ask("execute", {"command": f'python3 -c "{code}"'})
    assert found["output"].splitlines()[-1] == "{}"


def test_what_the_engine_in_the_guest_refuses_is_refused_on_the_host() -> None:
    spec = Spec(networks=(Network(name="a", subnet="172.28.0.0/16"), Network(name="b", subnet="172.28.0.0/16")))
    with pytest.raises(PlumbError, match="overlaps"):
        micro_vm.standing(spec, print)
    assert [record for record in runs.records() if record.owner == os.getpid()] == []


def test_a_crashed_guest_is_an_error_at_once_and_leaves_nothing() -> None:
    guest = snapshot.booted(snapshot.model(print), print)
    with guest, pytest.raises(LabError, match="has ended"):
        guest.ask("execute", {"command": "echo c > /proc/sysrq-trigger"}, limit=120)
    assert not guest.record.alive and not guest.record.folder.exists()


def test_a_killed_command_takes_its_guest_along() -> None:
    code = ("from live.vm import snapshot; import time\n"
            "guest = snapshot.booted(snapshot.model(print), print)\n"
            "print(guest.record.run, guest.record.qemu, guest.record.qemu_started, flush=True)\ntime.sleep(600)")
    command = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    for line in command.stdout:
        if len(words := line.split()) == 3 and words[1].isdigit():
            break
    run, pid, started = words
    command.send_signal(signal.SIGKILL)
    command.wait()
    command.stdout.close()
    deadline = time.monotonic() + 10
    while state.started(int(pid)) == started and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state.started(int(pid)) != started
    runs.sweep()
    assert runs.load(run) is None


def test_a_lab_that_stays_can_be_looked_at_and_ended_by_another_command() -> None:
    with micro_vm.standing(small(), print, keep=True) as guest:
        run = guest.record.run
    try:
        with Guest.attach(run) as again:
            said = again.ask("execute", {"command": "iptables-save -t nat", "on": "host"})["output"]
        assert "--dport 8080 -j DNAT" in said
        assert next(r for r in runs.records() if r.run == run).as_dict()["state"] == "up"
    finally:
        assert runs.end_all(run) == [run]
    assert runs.load(run) is None
