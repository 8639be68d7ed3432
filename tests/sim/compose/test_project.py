"""`extends`, `include`, `!reset`, `!override`, several documents: a project out of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.compose import check, load, open_project
from sim.errors import SpecError


def written(folder: Path, **files: str) -> Path:
    """The folder with these files; `__` in a name is a slash."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def services(folder: Path, *files: str, **environment: str) -> dict[str, Any]:
    chosen = [str(folder / file) for file in files] or [str(folder)]
    read = open_project(*chosen, environment=environment)
    return {name: item.plain() for name, item in read.services.items()}


def place(folder: Path, *keys: str | int) -> str:
    """Where a value of the project stands."""
    item = open_project(folder, environment={}).root
    for key in keys:
        item = item.value[key]
    return f"{Path(item.file).name}:{item.line}"


def test_a_service_takes_over_what_it_extends_and_adds_to_its_lists(tmp_path: Path) -> None:
    written(tmp_path, compose="""
services:
  base: {image: nginx, ports: ["8000:80"], dns: 9.9.9.9, command: [a, b], sysctls: {a: 1}, hostname: base}
  web: {extends: base, ports: ["8001:80"], dns: [1.1.1.1], command: [c], sysctls: ["b=2"]}
""")
    web = services(tmp_path)["web"]
    assert [port["published"] for port in web["ports"]] == ["8000", "8001"]
    assert (web["dns"], web["command"], web["hostname"]) == (["9.9.9.9", "1.1.1.1"], ["c"], "base")
    assert (web["sysctls"], "extends" in web) == ({"a": "1", "b": "2"}, False)


def test_extends_follows_a_chain_through_files_with_paths_relative_to_each(tmp_path: Path) -> None:
    written(
        tmp_path,
        compose="services: {web: {extends: {file: lib/middle.yaml, service: middle}}}",
        lib__middle="services: {middle: {extends: {file: ../base.yaml, service: base}, env_file: own.env}}",
        base="services: {base: {image: nginx, expose: [80]}}")
    (tmp_path / "lib" / "own.env").write_text("A=1\n")
    web = services(tmp_path)["web"]
    assert (web["image"], web["expose"]) == ("nginx", ["80"])
    assert web["env_file"][0]["path"] == str(tmp_path / "lib" / "own.env")
    assert place(tmp_path, "services", "web", "image") == "base.yaml:1"
    load(tmp_path, environment={})


@pytest.mark.parametrize(("files", "said"), [
    ({"compose": "services: {a: {image: x, extends: b}, b: {image: x, extends: c}, c: {extends: a}}"},
     "services extend each other in a circle: a -> b -> c -> a"),
    ({"compose": "services: {a: {image: x, extends: a}}"}, "in a circle: a -> a"),
    ({"compose": "services: {a: {extends: {file: b.yaml, service: b}}}",
      "b": "services: {b: {extends: {file: compose.yaml, service: a}}}"}, "in a circle"),
    ({"compose": "services: {a: {extends: {file: b.yaml, service: c}}}", "b": "services: {b: {image: x}}"},
     "unknown service 'c' in"),
    ({"compose": "include: [b.yaml]\nservices: {a: {image: x}}", "b": "include: [compose.yaml]"},
     "files include each other in a circle"),
    ({"compose": "include: [b.yaml]\nservices: {a: {image: x}}", "b": "services: {a: {image: y}}"},
     "services.a conflicts with what"),
])
def test_what_goes_round_or_clashes_is_one_line(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        load(written(tmp_path, **files), environment={})
    assert ".yaml:" in str(caught.value) and "\n" not in str(caught.value)


def test_include_brings_services_with_variables_of_their_own_folder(tmp_path: Path) -> None:
    written(
        tmp_path,
        compose="include: [db/compose.yaml]\nservices: {web: {image: nginx, hostname: '${WHO}', depends_on: [db]}}",
        db__compose="include: [{path: ../cache.yaml}]\nservices: {db: {image: postgres, hostname: '${WHO}'}}\n"
                    "networks: {default: {driver_opts: {com.docker.network.bridge.name: br9}}}",
        cache="services: {cache: {image: redis, hostname: '${WHO}'}}")
    (tmp_path / "db" / ".env").write_text("WHO=db-folder\n")
    found = services(tmp_path)
    assert {name: service["hostname"] for name, service in found.items()} == {
        "web": "", "db": "db-folder", "cache": "db-folder"}
    assert {service["hostname"] for service in services(tmp_path, WHO="shell").values()} == {"shell"}
    spec = load(tmp_path, environment={})
    assert [box.service for box in spec.containers] == ["db", "web", "cache"]
    assert spec.networks[0].options == {"com.docker.network.bridge.name": "br9"}


def test_an_include_may_have_files_over_it_a_folder_and_env_files(tmp_path: Path) -> None:
    written(
        tmp_path,
        compose="include: [{path: [a/one.yaml, a/two.yaml], project_directory: b, env_file: [x.env, y.env]}]",
        a__one="services: {s: {image: x, env_file: own.env, hostname: '${H}'}}",
        a__two="services: {s: {domainname: two}}")
    (tmp_path / "b").mkdir()
    for name, text in {"x.env": "H=x\n", "y.env": "H=y\n", "b/own.env": "A=1\n"}.items():
        (tmp_path / name).write_text(text)
    service = services(tmp_path)["s"]
    assert (service["hostname"], service["domainname"]) == ("y", "two")
    assert service["env_file"][0]["path"] == str(tmp_path / "b" / "own.env")


def test_reset_removes_a_value_and_override_puts_another_in_its_place(tmp_path: Path) -> None:
    written(
        tmp_path,
        compose="services: {web: {image: x, ports: ['8000:80'], dns: [9.9.9.9], networks: [a, b], hostname: h}}\n"
                "networks: {a: , b: }",
        more="services: {web: {ports: !override ['8001:80'], dns: !reset [], networks: !override [b], "
             "hostname: !reset null}}")
    web = services(tmp_path, "compose.yaml", "more.yaml")["web"]
    assert [port["published"] for port in web["ports"]] == ["8001"]
    assert (web["networks"], "dns" in web, "hostname" in web) == ({"b": None}, False, False)


def test_documents_of_one_file_are_merged_like_files(tmp_path: Path) -> None:
    written(tmp_path, compose="services: {web: {image: x, expose: [80]}}\n---\nservices: {web: {expose: [81]}}\n---\n")
    assert services(tmp_path)["web"]["expose"] == ["80", "81"]


def test_yamls_own_tags_are_known_and_others_are_not(tmp_path: Path) -> None:
    written(tmp_path, compose='services: {web: {image: !!str nginx, scale: !!int "2", expose: !!seq [!!str 80]}}')
    web = services(tmp_path)["web"]
    assert (web["image"], web["scale"], web["expose"]) == ("nginx", 2, ["80"])
    with pytest.raises(SpecError, match="the tag '!secret' is not modelled"):
        services(written(tmp_path, compose="services: {web: {image: !secret x}}"))


def test_each_value_knows_its_file_and_line_after_merging(tmp_path: Path) -> None:
    written(tmp_path, compose="services:\n  web:\n    image: x\n    ports:\n      - 8000:80\n")
    (tmp_path / "compose.override.yaml").write_text("services:\n  web:\n    ports:\n      - 8001:80\n    hostname: h\n")
    assert place(tmp_path, "services", "web", "ports", 0, "published") == "compose.yaml:5"
    assert place(tmp_path, "services", "web", "ports", 1, "published") == "compose.override.yaml:4"
    (tmp_path / "compose.override.yaml").write_text("services:\n  web:\n    ports:\n      - 70000:80\n")
    with pytest.raises(SpecError, match=r"compose\.override\.yaml:4: services\.web\.ports\[0\]: port 70000"):
        load(tmp_path, environment={})


def test_files_of_variables_must_be_there_unless_they_say_otherwise(tmp_path: Path) -> None:
    optional = "services: {web: {image: x, env_file: [{path: gone.env, required: false}]}}"
    load(written(tmp_path, compose=optional), environment={})
    with pytest.raises(SpecError, match="there is no env_file"):
        load(written(tmp_path, compose="services: {web: {image: x, env_file: gone.env}}"), environment={})


def test_a_dependency_that_is_not_required_may_be_off(tmp_path: Path) -> None:
    text = "services: {{web: {{image: x, depends_on: {{db: {{condition: service_started, required: {}}}}}}}, " \
           "db: {{image: x, profiles: [off]}}}}"
    spec = load(written(tmp_path, compose=text.format("false")), environment={})
    assert [box.service for box in spec.containers] == ["web"]
    with pytest.raises(SpecError, match="its profiles are off"):
        load(written(tmp_path, compose=text.format("true")), environment={})


@pytest.mark.parametrize("times", [1, 2])
def test_files_that_include_each_other_without_end_are_refused(tmp_path: Path, times: int) -> None:
    for number in range(60):
        line = ", ".join([f"f{number + 1}.yaml"] * times)
        written(tmp_path, **{f"f{number}": f"include: [{line}]"})
    written(tmp_path, f60="services: {a: {image: x}}")
    with pytest.raises(SpecError, match="more than 500 files, or 50 that include each other"):
        load(tmp_path / "f0.yaml", environment={})


def test_a_long_chain_of_dependencies_is_followed(tmp_path: Path) -> None:
    chain = "".join(f"  s{n}: {{image: x, depends_on: [s{n + 1}]}}\n" for n in range(1500))
    read = open_project(written(tmp_path, compose=f"services:\n{chain}  s1500: {{image: x}}\n"), environment={})
    assert len(read.services) == 1501
    check(read)
