"""What goes into the guest, and what makes it another one."""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import shutil
import tarfile
from dataclasses import asdict
from pathlib import Path

import pytest

from live.vm import image, project, qemu, snapshot
from live.vm.image import Image, Manifest
from live.vm.snapshot import Model

MANIFEST = Manifest("digest", "6.1.0", "20.10.24", ("docker.io_20.deb",), ("scapy.whl",))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def built(manifest: Manifest = MANIFEST) -> Path:
    folder = image.folder_of(image.plan())
    folder.mkdir(parents=True, exist_ok=True)
    for name in (image.KERNEL, image.INITRD, image.DISK):
        (folder / name).touch()
    (folder / image.MANIFEST).write_text(json.dumps(asdict(manifest)))
    return folder


def test_an_image_that_is_there_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    built()
    monkeypatch.setattr(image, "_build", lambda *_: pytest.fail("built"))
    assert image.ready(print).manifest == MANIFEST


def test_an_image_without_its_disk_is_none() -> None:
    (built() / image.DISK).unlink()
    assert image.present() is None


def test_a_change_of_the_plan_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.plan()
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "nftables"))
    assert image.plan() != before


def test_python_packages_come_in_the_versions_that_run_here() -> None:
    assert sorted(pin.partition("==")[0] for pin in image.pins()) == ["docker", "pydantic", "pyroute2", "scapy"]


def test_the_project_goes_in_whole_and_the_same_code_makes_the_same_archive() -> None:
    content = project.archive()
    assert content == project.archive()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        names = tar.getnames()
    assert {"live/lab.py", "sim/spec.py", "experiments/guest.py"} <= set(names)
    assert not [name for name in names if name.startswith(("tests", ".", "results"))]


def test_bytecode_is_used_without_a_look_at_its_source() -> None:
    made = project.bytecode(b"answer = 42\n", "/opt/x.py")
    assert made[:4] == importlib.util.MAGIC_NUMBER and made[4:8] == b"\1\0\0\0"
    place: dict[str, object] = {}
    exec(marshal.loads(made[16:]), place)
    assert place["answer"] == 42


def test_a_changed_file_is_another_project_and_old_archives_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    for part in project.PARTS:
        (tmp_path / part).mkdir()
    monkeypatch.setattr(project, "ROOT", tmp_path)
    folder = built()
    found = []
    for number in range(4):
        (tmp_path / "sim" / "x.py").write_text(f"x = {number}\n")
        found.append(project.ready(Image(folder, MANIFEST)))
    assert len({p.digest for p in found}) == 4
    assert len(list(folder.glob("project-*.tar"))) == project.KEPT and found[-1].disk.exists()


def model(manifest: Manifest = MANIFEST, code: str = "code", accelerator: str = "tcg", memory: int = 2048) -> Model:
    return Model(Image(Path("/image"), manifest), project.Project(Path("/p.tar"), code), accelerator, (memory, 2))


@pytest.mark.usefixtures("_version")
def test_a_snapshot_belongs_to_all_that_made_it() -> None:
    other = Manifest("other", *list(asdict(MANIFEST).values())[1:])
    paths = [model().snapshot(), model().snapshot("deployed", "spec"), model().snapshot("deployed", "spec2"),
             model(other).snapshot(), model(code="changed").snapshot(), model(memory=3072).snapshot(),
             model(accelerator="kvm").snapshot()]
    assert len(set(paths)) == len(paths)
    assert model().snapshot("a") == model().snapshot("a")
    assert all(path.parent == Path("/image/snapshots") for path in paths)


@pytest.fixture
def _version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "version", lambda: "7.2")


def test_snapshots_go_with_their_image() -> None:
    folder = built()
    (folder / "snapshots").mkdir()
    (folder / "snapshots" / "x.state").touch()
    shutil.rmtree(folder)
    assert image.present() is None and not list(folder.parent.rglob("*.state"))


def test_no_snapshot_is_written_where_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "free", lambda folder: snapshot.ROOM - 1)
    assert snapshot.save(None, tmp_path / "snapshots" / "x.state") is False  # type: ignore[arg-type]
    assert list((tmp_path / "snapshots").iterdir()) == []
