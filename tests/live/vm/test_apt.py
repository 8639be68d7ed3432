"""Whose mirrors the guest's packages come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.vm import apt
from live.vm.apt import Source
from sim.errors import LabError

DEB822 = """# comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://other.example/debian
Suites: trixie
Components: main

Types: deb
URIs: https://node.example
Suites: nodistro
Components: main
"""
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_a_machine_on_another_release_asks_its_own_mirror_for_the_guests_release() -> None:
    wanted = apt.for_release(apt.parse_deb822(DEB822))
    assert [source.suite for source in wanted] == [apt.RELEASE, f"{apt.RELEASE}-updates"]
    assert {source.uri for source in wanted} == {"http://mirror.example/debian"}
    assert wanted[0].signed_by == KEYRING


def test_repositories_that_are_not_debians_are_left_alone() -> None:
    others = apt.parse_list("deb https://engine.example/debian nodistro stable\ndeb http://x/debian sid contrib")
    assert apt.for_release(others) == []


def test_the_security_suite_of_an_older_release_has_todays_name() -> None:
    assert apt.for_release([Source("http://s/security", "buster/updates")])[0].suite == f"{apt.RELEASE}-security"


def test_one_mirror_is_asked_once_however_often_it_is_listed() -> None:
    twice = apt.parse_list("deb http://m/debian trixie main\ndeb http://m/debian bookworm main non-free")
    assert len(apt.for_release(twice)) == 1


def test_source_packages_and_comments_are_no_mirrors() -> None:
    assert apt.parse_list("# deb http://m/debian sid main\ndeb-src http://m/debian sid main") == []


def test_a_source_is_a_line_that_apt_reads() -> None:
    line = str(Source("http://m/debian", "bookworm", ("main",), KEYRING))
    assert line == f"deb [arch=amd64 signed-by={KEYRING}] http://m/debian bookworm main"
    assert apt.parse_list(line) == [Source("http://m/debian", "bookworm", ("main",), KEYRING)]


def test_both_forms_of_the_machines_sources_are_read(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://one/debian bookworm main\n")
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "old.list.disabled").write_text("deb http://gone/debian bookworm main\n")
    assert [s.uri for s in apt.machine_sources(tmp_path)] == [
        "http://one/debian", "http://mirror.example/debian", "http://mirror.example/debian"]


def test_a_machine_without_a_mirror_of_debian_is_told_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://archive.example/ubuntu noble main\n")
    with pytest.raises(LabError, match=apt.SOURCES_VARIABLE):
        apt.machine_sources(tmp_path)
