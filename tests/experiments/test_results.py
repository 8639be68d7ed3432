"""Files are whole or not there, and the same content is the same bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from experiments import results
from experiments.provenance import provenance


def test_json_is_the_same_whatever_the_order_of_keys() -> None:
    assert results.to_json({"b": 1, "a": {"d": 2, "c": 3}}) == results.to_json({"a": {"c": 3, "d": 2}, "b": 1})
    assert results.to_json({}).endswith("\n")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results.write(tmp_path / "data.json", "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(results.ResultsError, match=r"data\.json: No space left"):
        results.write(tmp_path / "data.json", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["data.json"]
    assert (tmp_path / "data.json").read_text() == "old"


def test_folders_are_made_and_json_is_read_back(tmp_path: Path) -> None:
    path = results.write_json(tmp_path / "a" / "b.json", {"x": [1, 2]})
    assert results.read_json(path) == {"x": [1, 2]}


def test_a_missing_or_broken_result_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(results.ResultsError, match="can't read"):
        results.read_json(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(results.ResultsError, match="is not JSON"):
        results.read_json(tmp_path / "bad.json")


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(results.ResultsError, match="can't write"):
        results.write(tmp_path / "file" / "x", "y")


def test_provenance_names_code_machine_engine_and_moment() -> None:
    origin = provenance(engine="20.10.24")
    assert origin["engine"] == "20.10.24"
    assert origin["kernel"] and origin["cpu"] and origin["date"].endswith("Z")
    assert provenance()["engine"].startswith("none")
