"""The repository keeps its word: small files with telling names, and documents whose commands exist."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from experiments.cli import app

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for folder in ("sim", "live", "experiments") for path in (ROOT / folder).rglob("*.py"))
LONGEST = 400
"""Most files stay under 300 lines (ARCHITECTURE's style); none is longer than this."""
NOBODYS_NAMES = re.compile(r"(^|_)(tmp|temp|old|new|utils?|helpers?|misc|common|stuff|managers?|handlers?)(_|$)")
TOP_LEVEL = {
    ".ci", ".git", ".gitignore", "ARCHITECTURE.md", "CHANGELOG.md", "Makefile", "README.md", "docs", "experiments",
    "live", "pyproject.toml", "results", "sim", "tests",
}


ONE_SCREEN = 60
"""Lines of the README; the rest is in docs/."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def documents() -> str:
    """What a user reads: the README and the pages under docs/."""
    return "\n".join(page.read_text() for page in PAGES)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def hopcast_commands() -> set[str]:
    """Every command as it is typed: `predict`, `lab up`."""
    top = commands_of(typer.main.get_command(app))
    return {*top, *(f"{name} {sub}" for name, command in top.items() for sub in commands_of(command))}


def commands_of(group: Any) -> dict[str, Any]:
    """Those of a group; none where it is a plain command."""
    return getattr(group, "commands", {})


def groups() -> set[str]:
    return {name.split()[0] for name in hopcast_commands() if " " in name}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_is_short_and_named_for_its_concept(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST
    assert not NOBODYS_NAMES.search(path.stem), "name the concept"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.read_text().strip()], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_source_file_begins_with_its_first_page(path: Path) -> None:
    assert path.read_text().startswith('"""')


def test_nothing_stands_beside_the_houses_rooms() -> None:
    kept = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=False,
                          capture_output=True, text=True)
    if kept.returncode != 0 or not kept.stdout:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in kept.stdout.splitlines()} <= TOP_LEVEL


def test_the_readme_is_one_screen_that_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= ONE_SCREEN
    beginning = "\n".join(lines[:12])
    assert "make demo" in beginning and "make test" in beginning


def test_every_make_target_of_the_documents_exists_and_the_other_way_round() -> None:
    typed = re.findall(r"`[^`\n]+`|^make .*$", documents(), re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z]+)", "\n".join(typed)))
    assert named <= make_targets()
    assert make_targets() - {"help"} <= named


def test_every_hopcast_command_of_the_documents_exists_and_the_other_way_round() -> None:
    named = set()
    for first, second in re.findall(r"\bhopcast ([a-z]+)(?: ([a-z]+)\b)?", "\n".join(
            re.findall(r"`hopcast [^`\n]+`|^hopcast .*$", documents(), re.MULTILINE))):
        named.add(f"{first} {second}" if first in groups() else first)
    assert named <= hopcast_commands()
    assert hopcast_commands() - groups() <= named


def test_the_python_of_the_documents_runs_and_says_what_its_comments_say(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", documents(), re.DOTALL)
    for block in blocks:
        exec(compile(block, "docs", "exec"), {})
    said = [comment for block in blocks for comment in re.findall(r"print\(.*\)\s+# (.+)$", block, re.MULTILINE)]
    assert said and capsys.readouterr().out.splitlines() == said


def test_the_exit_codes_of_the_documents_are_those_of_the_errors() -> None:
    from sim.errors import LabError, PlumbError, SpecError

    table = dict(re.findall(r"^\| (\d+) \| (.+) \|$", documents(), re.MULTILINE))
    assert set(table) == {"0", "1", "2", "3", "4", "70", "130", "141"}
    assert "input" in table[str(SpecError("x").exit_code)] and "input" in table[str(PlumbError("x").exit_code)]
    assert "can't be done here" in table[str(LabError("x").exit_code)]


def test_links_between_the_documents_lead_somewhere() -> None:
    for page in (*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_scripts_of_ci_are_programs() -> None:
    for script in sorted((ROOT / ".ci").iterdir()):
        assert os.access(script, os.X_OK), script.name
        assert script.read_text().startswith("#!/usr/bin/env bash\n")
        subprocess.run(["bash", "-n", str(script)], check=True)
