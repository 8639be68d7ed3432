"""Which files Compose reads, in which folder, with which variables."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from sim.compose import load
from sim.compose.files import STDIN, find
from sim.errors import SpecError
from sim.spec import Spec

WEB = "services: {web: {image: nginx, ports: ['8000:80']}}"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder called shop with a compose.yaml, and the current one."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "compose.yaml").write_text(WEB)
    monkeypatch.chdir(folder)
    return folder


def host_ports(spec: Spec) -> list[int]:
    return [port.host_port for box in spec.containers for port in box.ports]


@pytest.mark.parametrize(("there", "read"), [
    (["docker-compose.yaml", "docker-compose.yml", "compose.yml", "compose.yaml"], "compose.yaml"),
    (["docker-compose.yaml", "docker-compose.yml", "compose.yml"], "compose.yml"),
    (["docker-compose.yaml", "docker-compose.yml"], "docker-compose.yml"),
    (["docker-compose.yaml"], "docker-compose.yaml"),
])
def test_of_several_files_the_first_of_composes_names_is_read(tmp_path: Path, there: list[str], read: str) -> None:
    for name in there:
        (tmp_path / name).write_text(WEB)
    found = find([tmp_path], environment={})
    assert found.files == (str(tmp_path / read),)
    assert len(found.notes) == (len(there) > 1)


@pytest.mark.parametrize("name", [
    "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"])
def test_ports_of_an_override_file_are_added(shop: Path, name: str) -> None:
    (shop / name).write_text("services: {web: {ports: ['8001:80']}}")
    assert host_ports(load(environment={})) == [8000, 8001]
    assert host_ports(load(shop, environment={})) == [8000, 8001]


def test_a_file_that_is_named_is_read_without_its_override_and_that_is_said(shop: Path) -> None:
    (shop / "compose.override.yaml").write_text("services: {web: {ports: ['8001:80']}}")
    spec = load("compose.yaml", environment={})
    assert host_ports(spec) == [8000]
    assert [note for note in spec.notes if "compose.override.yaml is not read" in note]


def test_files_are_merged_in_the_order_in_which_they_are_named(shop: Path) -> None:
    (shop / "more.yaml").write_text("name: more\nservices: {web: {hostname: b}, db: {image: postgres}}")
    spec = load("compose.yaml", "more.yaml", environment={})
    assert (spec.name, [box.service for box in spec.containers]) == ("more", ["web", "db"])


def test_compose_file_lists_files_and_the_shell_wins_over_the_env_file(shop: Path) -> None:
    (shop / "prod.yaml").write_text("services: {web: {ports: ['443:443']}}")
    (shop / ".env").write_text("COMPOSE_FILE=compose.yaml:prod.yaml\nCOMPOSE_PROJECT_NAME=myproj\n")
    spec = load(environment={})
    assert (spec.name, host_ports(spec)) == ("myproj", [8000, 443])
    assert host_ports(load(shop, environment={})) == [8000, 443]
    assert host_ports(load(environment={"COMPOSE_FILE": "compose.yaml"})) == [8000]
    piped = {"COMPOSE_FILE": "compose.yaml|prod.yaml", "COMPOSE_PATH_SEPARATOR": "|"}
    assert host_ports(load(environment=piped)) == [8000, 443]
    assert host_ports(load("compose.yaml", environment=piped)) == [8000]


def test_without_a_file_the_nearest_folder_above_that_has_one_is_read(
    shop: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    below = shop / "src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    spec = load(environment={})
    assert (spec.name, Path(spec.file).resolve()) == ("shop", shop / "compose.yaml")


def test_the_project_directory_is_where_env_files_and_the_name_come_from(shop: Path) -> None:
    other = shop / "Other.Place"
    other.mkdir()
    (other / ".env").write_text("HOST=from-other\n")
    (shop / "compose.yaml").write_text("services: {web: {image: x, hostname: '${HOST}'}}")
    spec = load("compose.yaml", directory=other, environment={})
    assert (spec.name, spec.containers[0].hostname) == ("otherplace", "from-other")


def test_env_files_that_are_named_take_the_place_of_the_env_file(shop: Path) -> None:
    (shop / ".env").write_text("A=1\n")
    (shop / "one.env").write_text("B=one\nC=$B\n")
    (shop / "two.env").write_text("B=two\n")
    (shop / "compose.yaml").write_text("services: {web: {image: x, hostname: 'a${A}-${B}-${C}'}}")
    assert load(env_files=["one.env", "two.env"], environment={}).containers[0].hostname == "a-two-one"
    assert load(environment={"COMPOSE_ENV_FILES": "one.env,two.env"}).containers[0].hostname == "a-two-one"
    assert load(environment={"COMPOSE_DISABLE_ENV_FILE": "1"}).containers[0].hostname == "a--"
    with pytest.raises(SpecError, match="no such file"):
        load(env_files=["gone.env"], environment={})


def test_profiles_of_the_command_line_take_the_place_of_compose_profiles(shop: Path) -> None:
    (shop / "compose.yaml").write_text(
        "services: {web: {image: x}, a: {image: x, profiles: [a]}, b: {image: x, profiles: [b, c]}}")

    def services(**options: list[str]) -> list[str]:
        found = load(environment={"COMPOSE_PROFILES": "x, a"}, **options)  # type: ignore[arg-type]
        return [box.service for box in found.containers]

    assert services() == ["web", "a"]
    assert services(profiles=["b"]) == ["web", "b"]
    assert services(profiles=["*"]) == ["web", "a", "b"]


def test_a_project_is_named_by_option_then_variable_then_file_then_folder(shop: Path) -> None:
    (shop / "compose.yaml").write_text("name: My Shop\n" + WEB)
    assert load(environment={}).name == "myshop"
    assert load(environment={"COMPOSE_PROJECT_NAME": "shell"}).name == "shell"
    assert load(name="given", environment={"COMPOSE_PROJECT_NAME": "shell"}).name == "given"
    for options in ({"name": "My Shop"}, {"environment": {"COMPOSE_PROJECT_NAME": "My Shop"}}):
        with pytest.raises(SpecError, match="'My Shop' is no name for a project"):
            load(**{"environment": {}, **options})  # type: ignore[arg-type]


def test_a_dash_is_stdin_and_the_folder_is_the_current_one(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / ".env").write_text("P=9000\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"services: {web: {image: x, ports: ['${P}:80']}}")))
    spec = load(STDIN, environment={})
    assert (spec.name, host_ports(spec), spec.file) == ("shop", [9000], "-")


@pytest.mark.parametrize(("environment", "said"), [
    ({"COMPOSE_FILE": "gone.yaml"}, "COMPOSE_FILE: no such file: 'gone.yaml'"),
    ({"COMPOSE_FILE": "compose.yaml:"}, "COMPOSE_FILE: an empty name of a file"),
    ({"COMPOSE_DISABLE_ENV_FILE": "perhaps"}, "COMPOSE_DISABLE_ENV_FILE: 'perhaps' is neither true nor false"),
])
def test_a_variable_that_names_nothing_is_an_error(shop: Path, environment: dict[str, str], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(environment=environment)
    assert str(caught.value).startswith(said)
