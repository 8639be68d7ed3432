"""A noisy run never becomes a reference, and a failed one leaves the former whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from experiments import results
from experiments.performance import reference
from experiments.performance.quality import Quality
from experiments.performance.study import where
from experiments.results import ResultsError
from live.noise import Noise

NOISE = Noise(steal=0.02, others=0.3, load=2.0, seconds=9.0)
QUIET = Quality(True, (), 0.01, NOISE)
NOISY = Quality(False, ("other programs used 30.0 % of the CPUs (limit 5.0 %)",), 0.01, NOISE)
DATA = {"title": "Made up", "provenance": {"engine": "20.10.24"}, "points": [1]}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, and the current folder beside it."""
    (tmp_path / "checkout" / "results").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(results, "RESULTS", tmp_path / "checkout" / "results")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def draw(data: Mapping[str, Any], folder: Path) -> None:
    (folder / "plot.png").write_bytes(b"drawn")
    (folder / "plot.svg").write_text(str(data["provenance"]["capture"]))


def said(text: str) -> Callable[[Mapping[str, Any]], str]:
    """A summary that says the same of everything."""
    return lambda data: text


def broken(data: Mapping[str, Any], folder: Path) -> None:
    (folder / "plot.png").write_bytes(b"half")
    raise ValueError("no such colour")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_summary_says_how_busy_the_machine_was_and_what_was_captured(root: Path) -> None:
    done = reference.publish("load", DATA, QUIET, draw=draw,
                             summary=lambda data: "; ".join(where(data)))
    text = (done.folder / "summary.md").read_text()
    assert "noise: steal 0.02, others 0.3, load 2.0" in text and "quiet yes, reasons none" in text
    assert "capture: none" in text and "engine: 20.10.24" in text
    assert where({"provenance": {"offloads": {"veth": {"tso": "on", "gro": "off"}, "bridge": {"tso": "on"}}}})[2] == (
        "- offloads: veth (tso on, gro off), bridge (tso on)")


def test_a_quiet_run_is_a_reference_result(root: Path) -> None:
    told: list[str] = []
    done = reference.publish("load", DATA, QUIET, draw=draw, summary=said("# Load\n"), say=told.append)
    assert done.folder == root / "checkout" / "results" / "load" and done.exit_code == 0
    assert sorted(content(done.folder)) == ["data.json", "plot.png", "plot.svg", "summary.md"]
    about = json.loads((done.folder / "data.json").read_text())["provenance"]
    assert about["engine"] == "20.10.24"
    assert about["capture"].startswith("none") and about["noise"]["steal"] == 0.02 and about["noise"]["spread"] == 0.01
    assert told == [f"wrote {done.folder}/"]
    assert "provenance" in DATA and "noise" not in DATA["provenance"]  # type: ignore[operator]


def test_a_noisy_run_leaves_the_reference_and_says_why(root: Path) -> None:
    told: list[str] = []
    first = reference.publish("load", DATA, QUIET, draw=draw, summary=said("# Load\n"), say=told.append)
    before = content(first.folder)
    done = reference.publish("load", DATA | {"points": [2]}, NOISY, draw=draw, summary=said("# Load\n\nWords.\n"),
                             say=told.append)
    assert done.folder == root / "here" / "hopcast-noisy" / "load" and done.exit_code == 4
    assert content(first.folder) == before
    assert "other programs used 30.0 %" in told[-1] and "left as it was" in told[-1] and "\n" not in told[-1]
    summary = (done.folder / "summary.md").read_text()
    assert summary.startswith("# Load\n\n> **A noisy run") and summary.endswith("\n\nWords.\n")


def test_a_noisy_run_goes_where_the_user_wants_it_but_not_among_the_references(root: Path) -> None:
    done = reference.publish("load", DATA, NOISY, draw=draw, summary=said("Load"), out=root / "mine",
                             say=lambda _: None)
    assert done.folder == root / "mine" and (root / "mine" / "summary.md").read_text().endswith("Load")
    sneaky = root / "here" / ".." / "checkout" / "results" / "other"
    assert reference.target("load", NOISY, sneaky) == root / "here" / "hopcast-noisy" / "load"
    assert reference.target("load", QUIET, sneaky) == sneaky


def test_a_failure_while_drawing_leaves_the_former_result_whole(root: Path) -> None:
    first = reference.publish("load", DATA, QUIET, draw=draw, summary=said("# Load\n"), say=lambda _: None)
    before = content(first.folder.parent)
    with pytest.raises(ValueError, match="no such colour"):
        reference.publish("load", DATA | {"points": [2]}, QUIET, draw=broken, summary=said("# New\n"),
                          say=lambda _: None)
    assert content(first.folder.parent) == before
    assert [path.name for path in first.folder.parent.iterdir()] == ["load"]


def test_a_failure_while_moving_puts_everything_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = reference.publish("load", DATA, QUIET, draw=draw, summary=said("# Load\n"), say=lambda _: None)
    before, rename = content(first.folder), Path.rename

    def full(self: Path, to: Path) -> Path:
        if self.parent.name == "made" and self.name == "plot.svg":
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(ResultsError, match="No space left"):
        reference.publish("load", DATA | {"points": [2]}, QUIET, draw=draw, summary=said("# New\n"), say=lambda _: None)
    assert content(first.folder) == before


def test_files_that_are_not_the_runs_own_stay(root: Path) -> None:
    out = root / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    reference.publish("load", DATA, QUIET, draw=draw, summary=said("# Load\n"), out=out, say=lambda _: None)
    assert (out / "thesis.tex").read_text() == "years of work" and (out / "data.json").is_file()


def test_a_folder_that_is_a_file_is_one_line(root: Path) -> None:
    (root / "file").write_text("")
    for out in (root / "file", root / "file" / "below"):
        with pytest.raises(ResultsError, match="can't write"):
            reference.publish("load", DATA, QUIET, draw=draw, summary=said("# Load\n"), out=out, say=lambda _: None)
    assert sorted(path.name for path in root.iterdir()) == ["checkout", "file", "here"]


def test_results_can_be_read_by_others_than_who_ran_it(root: Path) -> None:
    done = reference.publish("load", DATA, QUIET, draw=draw, summary=said("# Load\n"), say=lambda _: None)
    assert os.stat(done.folder).st_mode & 0o055 and os.stat(done.folder / "data.json").st_mode & 0o044
