"""QEMU's command line, and the choice of an accelerator."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from live.vm import qemu
from live.vm.image import Image, Manifest
from live.vm.monitor import Monitor
from live.vm.project import Project
from sim.errors import LabError

IMAGE = Image(Path("/cache/image,1"), Manifest("d", "6.1", "20.10"))
PROJECT = Project(Path("/cache/image,1/project-x.tar"), "p")


@pytest.fixture
def binary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu.shutil, "which", lambda name: f"/usr/bin/{name}")


def line(accelerator: str, incoming: int | None = None) -> list[str]:
    return qemu.command(IMAGE, PROJECT, accelerator, 2048, 2, incoming=incoming)


def values(command: list[str], option: str) -> list[str]:
    return [value for key, value in itertools.pairwise(command) if key == option]


@pytest.mark.usefixtures("binary")
def test_the_guest_has_no_network_of_its_own() -> None:
    command = line("tcg")
    assert "-nodefaults" in command and "-netdev" not in command and "-nic" not in command


@pytest.mark.usefixtures("binary")
def test_both_disks_are_read_only_and_a_comma_in_a_path_stays_in_the_path() -> None:
    drives = values(line("tcg"), "-drive")
    assert len(drives) == 2 and all("readonly=on" in drive for drive in drives)
    assert drives[0].startswith("file=/cache/image,,1/root.img,")


@pytest.mark.usefixtures("binary")
def test_a_dead_guest_ends_qemu() -> None:
    command = line("tcg")
    assert "-no-reboot" in command and "panic=-1" in values(command, "-append")[0]


@pytest.mark.usefixtures("binary")
def test_qemu_opens_the_monitors_socket_before_the_agents() -> None:
    sockets = [value for value in values(line("tcg"), "-chardev") if value.startswith("socket,")]
    assert [value.split(",")[1] for value in sockets] == ["id=monitor", "id=agent"]


def test_a_monitor_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="QEMU's monitor is not there: No such file or directory"):
        Monitor(tmp_path / "monitor.sock")


@pytest.mark.usefixtures("binary")
def test_an_emulated_guest_is_told_so_and_is_given_more_time() -> None:
    kernel = values(line("tcg"), "-append")[0].split()
    assert "HOPCAST_WHERE=micro-VM_(TCG)" in kernel and "HOPCAST_PATIENCE=5" in kernel
    assert "HOPCAST_PATIENCE=1" in values(line("kvm"), "-append")[0].split()


@pytest.mark.usefixtures("binary")
def test_a_restored_guest_takes_its_state_from_a_file_and_is_the_same_machine() -> None:
    assert line("tcg", incoming=7) == [*line("tcg"), "-incoming", "fd:7"]


@pytest.mark.usefixtures("binary")
def test_a_cpu_that_is_emulated_is_never_the_machines_own() -> None:
    assert values(line("kvm"), "-cpu") == ["host"]
    assert values(line("tcg"), "-cpu")[0].startswith("max")


def test_without_qemu_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu.shutil, "which", lambda name: None)
    with pytest.raises(LabError, match="apt-get install --no-install-recommends qemu-system-x86"):
        qemu.binary()


def test_a_kvm_that_is_not_allowed_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "KVM_DEVICE", tmp_path / "nothing")
    monkeypatch.setattr(qemu, "kernel_starts", lambda *_: pytest.fail("tried"))
    assert qemu.accelerator(IMAGE) == "tcg"


@pytest.mark.parametrize(("boots", "expected"), [(True, "kvm"), (False, "tcg")])
def test_kvm_counts_where_a_kernel_boots_with_it_and_that_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boots: bool, expected: str,
) -> None:
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(qemu, "KVM_DEVICE", device)
    tried: list[str] = []

    def trial(image: Image, accelerator: str) -> bool:
        tried.append(accelerator)
        return boots

    monkeypatch.setattr(qemu, "kernel_starts", trial)
    image = Image(tmp_path, IMAGE.manifest)
    assert [qemu.accelerator(image), qemu.accelerator(image)] == [expected, expected]
    assert tried == ["kvm"]


def test_a_kernel_that_says_nothing_within_the_limit_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = tmp_path / "qemu"
    silent.write_text("#!/bin/sh\nexec sleep 30\n")
    silent.chmod(0o755)
    monkeypatch.setattr(qemu, "binary", lambda: str(silent))
    assert qemu.kernel_starts(IMAGE, "kvm", limit=0.3) is False
    silent.write_text("#!/bin/sh\necho '[    0.000000] Linux version 6.1.0'\n")
    assert qemu.kernel_starts(IMAGE, "kvm", limit=5) is True
