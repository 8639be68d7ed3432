"""Whatever goes wrong behind a command ends in one line and a code of its own, on whatever streams and terminals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import experiments.cli
from experiments import results
from experiments.cli import app
from live import doctor

ROOT = Path(__file__).parents[2]
TEXT = r"""
name: shop
services: {web: {image: nginx, ports: ["8080:80"]}, db: {image: postgres, expose: [5432]}}
x-hopcast:
  questions:
    - {from: web, to: db, port: 5432, comment: "[red]µ[/] \e[31m\x9b\u202e", group: "[/] \e]0;x\a"}
    - client -> web:8080
"""


@pytest.fixture
def compose(tmp_path: Path) -> str:
    path = tmp_path / "compose.yaml"
    path.write_text(TEXT)
    return str(path)


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="hopcast", env=environment)


def started(*arguments: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A process of its own, with what a shell says of its streams."""
    command = f'exec "$0" -c "from experiments.cli import main; main()" "$@" {shell}'
    return subprocess.run(["sh", "-c", command, sys.executable, *arguments], cwd=ROOT, capture_output=True, check=False,
                          env=os.environ | environment, timeout=60)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("\x1b[2Jwhat\nnobody\nforesaw")

    monkeypatch.setattr(experiments.cli, "predict_spec", fails)


@pytest.mark.usefixtures("broken")
def test_what_nobody_foresaw_is_one_line_with_a_code_of_its_own_and_how_to_report_it(compose: str) -> None:
    for command in (("predict", compose), ("walk", compose, "web", "db"), ("predict", compose, "--json")):
        result = run(*command)
        assert result.exit_code == 70 and result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith("hopcast: unforeseen KeyError at test_door.py:") and "\x1b" not in line
        assert "report it" in line and "hopcast --debug" in line


@pytest.mark.usefixtures("broken")
def test_debug_shows_where_it_happened(compose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in run("predict", compose).stderr
    assert "Traceback" in run("predict", compose, HOPCAST_DEBUG="1").stderr
    monkeypatch.setenv("HOPCAST_DEBUG", "0")  # what --debug sets there is undone with the test
    result = run("--debug", "predict", compose)
    assert result.exit_code == 70 and "Traceback" in result.stderr and "in fails" in result.stderr


def test_debug_behind_the_command_is_told_where_it_stands(compose: str) -> None:
    result = run("predict", compose, "--debug")
    assert result.exit_code == 2 and "hopcast --debug" in result.stderr


@pytest.mark.parametrize("command", [("predict", "FILE"), ("walk", "FILE", "client", "web"), ("--help",)])
@pytest.mark.parametrize("columns", ["20", "1000000000", "9" * 50, "0", "", "-7", "²", "wide"])
def test_a_terminal_of_any_width_is_served(command: tuple[str, ...], columns: str, compose: str) -> None:
    result = run(*(compose if each == "FILE" else each for each in command), COLUMNS=columns, LINES=columns)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= (20 if columns == "20" else 1000)


def test_nothing_of_a_file_acts_on_the_terminal(compose: str) -> None:
    result = run("predict", compose)
    assert r"[red]µ[/] \x1b[31m\x9b\u202e" in result.stdout and r"[/] \x1b]0;x\x07" in result.stdout
    said = json.loads(run("predict", compose, "--json").stdout)["questions"][0]["question"]
    assert said["comment"] == "[red]µ[/] \x1b[31m\x9b\u202e"


def test_closed_streams_are_no_crash(compose: str) -> None:
    done = started("predict", compose, shell=">&-")
    assert (done.returncode, done.stderr) == (3, b"hopcast: stdout is closed\n")
    done = started("predict", compose, "--json", shell="2>&- <&-")
    assert done.returncode == 0 and json.loads(done.stdout)["name"] == "shop"
    assert started("predict", "none", shell=">&- 2>&- <&-").returncode == 2


def test_a_result_that_a_full_disk_does_not_take_is_an_error(compose: str) -> None:
    done = started("predict", compose, "--json", shell=">/dev/full")
    assert done.returncode == 3 and done.stderr == b"hopcast: No space left on device\n"


@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
def test_a_terminal_of_another_encoding_gets_what_it_can_show(encoding: str, compose: str) -> None:
    done = started("predict", compose, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "reached" in done.stdout.decode(encoding)
    if encoding == "ascii":
        assert " us " in done.stdout.decode()
    told = started("predict", compose, "--json", PYTHONIOENCODING=encoding).stdout.decode(encoding)
    assert json.loads(told)["questions"][0]["question"]["comment"].startswith("[red]µ")


def test_a_name_that_is_no_text_is_told_by_its_bytes(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\x1b[31m.yaml"
    Path(os.fsdecode(name)).write_text(TEXT)
    done = subprocess.run([sys.executable, "-c", "from experiments.cli import main; main()", "predict", name, "--json"],
                          cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["file"].endswith("/\\xff\x1b[31m.yaml")
    done = subprocess.run([sys.executable, "-c", "from experiments.cli import main; main()", "predict", name + b"?"],
                          cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    assert rb"/\xff\x1b[31m.yaml?: no such file" in done.stderr


@pytest.mark.parametrize("command", [("verify", "FILE"), ("demo",), ("calibrate",)])
def test_where_results_go_is_tried_before_anything_is_measured(
    command: tuple[str, ...], compose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.doctor.examine", lambda: pytest.fail("measured already"))
    monkeypatch.setattr("experiments.performance.session.session", lambda **_: pytest.fail("measured already"))
    result = run(*(compose if each == "FILE" else each for each in command), "--out", f"{compose}/below/here.json")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1 and "can't write to" in result.stderr and "Not a directory" in result.stderr


def test_a_result_that_can_not_be_written_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import experiments.demo
    from experiments import article

    def full(*_: object) -> None:
        raise results.ResultsError("can't write summary.md: No space left on device")

    monkeypatch.setattr(article, "SCENARIOS", {"single-host": article.SCENARIOS["single-host"]})
    monkeypatch.setattr("live.doctor.examine", lambda: doctor.Report((doctor.Item(
        "privilege", "root", False, "", "a lab", "run it as root", True),)))
    monkeypatch.setattr(experiments.demo, "publish", full)
    result = run("demo", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert "0 of " in result.stdout and "No space left" in result.stderr
