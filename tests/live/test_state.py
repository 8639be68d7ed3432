"""A lab's record: written before anything is made, and where that can't be done nothing is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from live import state
from sim.errors import LabError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "STATE", tmp_path / "run")
    return tmp_path / "run"


def fails(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """A call of Path fails as the kernel would let it fail, having done half of its work."""
    def fail(path: Path, *_: object, **__: object) -> None:
        if name == "write_text":
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, name, fail)


@pytest.mark.parametrize("call", ["write_text", "replace"])
@pytest.mark.parametrize("number", [28, 122, 30])
def test_a_lab_whose_record_can_not_be_written_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    fails(monkeypatch, call, number)
    with pytest.raises(LabError, match=rf"can't write .*record\.json: {os.strerror(number)}"):
        state.new_record("abcdef", kept=False, spec={})
    assert not folder.exists()


def test_a_lab_whose_folder_can_not_be_made_leaves_nothing(folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(LabError, match="can't make"):
        state.new_record("abcdef", kept=False, spec={})
    assert folder.read_text() == "a file"


def test_a_record_that_can_not_be_written_again_keeps_what_it_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = state.new_record("abcdef", kept=False, spec={})
    record.ready = True
    with monkeypatch.context() as patch:
        fails(patch, "write_text", 28)
        with pytest.raises(LabError, match="No space left"):
            record.save()
    found = state.load("abcdef")
    assert found is not None and not found.ready
    assert [path.name for path in (folder / "abcdef").iterdir()] == ["record.json"]


def test_another_labs_folder_is_not_touched(folder: Path) -> None:
    state.new_record("abcdef", kept=False, spec={})
    with pytest.raises(LabError, match="exists already"):
        state.new_record("abcdef", kept=False, spec={})
    assert state.load("abcdef") is not None
