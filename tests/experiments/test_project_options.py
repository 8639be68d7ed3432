"""The options that every command takes where a FILE stands, and `hopcast config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from experiments.cli import app

BASE = 'services:\n  web:\n    image: nginx\n    ports: ["8000:80"]\n  debug: {image: busybox, profiles: [dev]}\n'
MORE = 'services:\n  web:\n    ports: ["${PORT:-8001}:80"]\n'


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "compose.yaml").write_text(BASE)
    (folder / "more.yaml").write_text(MORE)
    monkeypatch.chdir(folder)
    for name in ("COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "COMPOSE_ENV_FILES", "PORT"):
        monkeypatch.delenv(name, raising=False)
    return folder


def answered(*arguments: str, stdin: str | None = None) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"], prog_name="hopcast", input=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def published(read: Any) -> list[str]:
    return [port["published"] for port in read["project"]["services"]["web"]["ports"]]


def test_files_may_be_options_arguments_or_found(shop: Path) -> None:
    assert published(answered("config")) == ["8000"]
    assert published(answered("config", "-f", "compose.yaml", "-f", "more.yaml")) == ["8000", "8001"]
    assert published(answered("config", "compose.yaml", "-f", "more.yaml")) == ["8000", "8001"]
    assert published(answered("config", "-", stdin=MORE + "    image: nginx\n")) == ["8001"]


def test_profiles_names_folders_and_files_of_variables_are_options(shop: Path) -> None:
    (shop / "my.env").write_text("PORT=9000\n")
    read = answered("config", "-f", "compose.yaml", "-f", "more.yaml", "--profile", "dev", "-p", "given",
                    "--env-file", "my.env", "--project-directory", str(shop.parent))
    assert (read["name"], published(read), read["profiles_off"]) == ("given", ["8000", "9000"], [])
    assert set(read["project"]["services"]) == {"web", "debug"}


def test_walk_takes_its_words_with_a_file_and_without(shop: Path) -> None:
    words = ("client", "web:80")
    assert answered("walk", *words) == answered("walk", "-f", "compose.yaml", *words)
    assert answered("walk", *words) == answered("walk", "compose.yaml", *words)


def test_config_says_where_each_value_comes_from(shop: Path) -> None:
    (shop / "compose.override.yaml").write_text(MORE)
    read = answered("config")
    assert read["where"]["services.web.image"] == "compose.yaml:3"
    assert read["where"]["services.web.ports[0].published"] == "compose.yaml:4"
    assert read["where"]["services.web.ports[1].published"] == "compose.override.yaml:3"
    assert read["profiles_off"] == ["debug"]
    result = CliRunner().invoke(app, ["config"], prog_name="hopcast")
    (line,) = [line for line in result.stdout.splitlines() if "8001" in line]
    assert line.split()[-1] == "compose.override.yaml:3"
    assert "debug" in result.stderr and "image: nginx" in result.stdout


def test_a_project_that_can_not_be_read_is_one_line(shop: Path) -> None:
    (shop / "compose.override.yaml").write_text("services: {web: {volumes: ['data:/data']}}")
    result = CliRunner().invoke(app, ["config"], prog_name="hopcast")
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("hopcast: compose.override.yaml:1: services.web.volumes[0]: unknown volume 'data'")


def test_without_a_project_it_is_said_where_one_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMPOSE_FILE", raising=False)
    result = CliRunner().invoke(app, ["predict"], prog_name="hopcast")
    assert result.exit_code == 2 and "no Compose file in this folder or one above it" in result.stderr
