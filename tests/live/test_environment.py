"""What of the user's environment reaches the programs that Hopcast starts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from live import environment

LIVE = Path(__file__).parents[2] / "live"
SECRETS = ("http_proxy", "HTTPS_PROXY", "DOCKER_HOST", "DOCKER_CONFIG", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH",
           "AWS_SECRET_ACCESS_KEY", "XTABLES_LIBDIR", "MODPROBE_OPTIONS")


def test_proxies_docker_settings_loader_variables_and_secrets_stay_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.setenv("PATH", "/opt/engine/bin:/bin")
    assert environment.minimal().keys() <= {"PATH", "LC_ALL", *environment.KEPT}
    assert environment.minimal()["PATH"] == "/opt/engine/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def test_a_program_that_fetches_something_is_told_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert environment.minimal(*environment.PROXIES)["http_proxy"] == "http://proxy:3128"


def starts(tree: ast.AST) -> list[ast.Call]:
    """Calls of subprocess.run and subprocess.Popen, and partial ones."""
    def is_start(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and ast.unparse(node) in ("subprocess.run", "subprocess.Popen")

    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)
            and (is_start(node.func) or any(map(is_start, node.args)))]


def test_no_program_of_the_live_half_is_started_with_the_users_own_environment() -> None:
    found = {f"{file.relative_to(LIVE)}:{call.lineno}": {word.arg for word in call.keywords}
             for file in LIVE.rglob("*.py") for call in starts(ast.parse(file.read_text()))}
    assert len(found) > 10
    assert [place for place, words in found.items() if "env" not in words] == []
