"""The cache: whole or not there, and no larger than it must be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from live.vm import cache
from sim.errors import LabError


def test_the_cache_is_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "hopcast" / "vm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.folder() == tmp_path / "home" / ".cache" / "hopcast" / "vm"


def test_a_cache_that_cannot_be_made_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(LabError, match="XDG_CACHE_HOME"):
        cache.folder()


def test_a_folder_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    target = tmp_path / "image"
    with pytest.raises(RuntimeError), cache.made(target) as part:
        (part / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_maker_left_goes_after_an_hour_and_no_sooner(tmp_path: Path) -> None:
    old, new = tmp_path / ".image-x.1.part", tmp_path / ".image-x.2.part"
    for part in (old, new):
        part.mkdir()
    os.utime(old, (1000, 1000))
    cache.forget_parts(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_a_folder_that_is_made_again_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "image"
    for name in ("old", "new"):
        with cache.made(target) as part:
            (part / name).touch()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_what_was_used_last_stays(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abc"]
    for age, file in enumerate(files):
        file.touch()
        os.utime(file, (1000 - age, 1000 - age))
    cache.used(files[2])
    assert cache.keep_newest(files, 2) == [files[1]]
    assert files[0].exists() and files[2].exists()


def test_parts_of_a_digest_do_not_run_into_each_other() -> None:
    assert cache.digest(["ab", "c"]) != cache.digest(["a", "bc"])
    assert cache.digest(["ab"]) == cache.digest([b"ab"])
