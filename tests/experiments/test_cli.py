"""What a person at the terminal meets: exit codes, one line for a mistake, JSON and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import experiments.cli
import live.doctor
from experiments import article
from experiments.cli import app
from sim.errors import LabError, PlumbError

ROOT = Path(__file__).parents[2]
COMPOSE = """
name: shop
services:
  web: {image: nginx, ports: ["8080:80"]}
  db: {image: postgres, expose: [5432]}
"""


@pytest.fixture
def compose(tmp_path: Path) -> str:
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE)
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="hopcast")


def refused(result: Result, code: int = 2) -> str:
    """One line on stderr, nothing on stdout, no traceback; the line."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("hopcast: ")
    return line


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    assert all(name in text for name in ("doctor", "lab", "predict", "walk", "verify", "demo"))


@pytest.mark.parametrize("command", ["predict", "verify"])
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_file_that_does_not_exist_is_one_line(command: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    assert "nowhere.yaml" in refused(run(command, str(tmp_path / "nowhere.yaml"), *flags))


@pytest.mark.parametrize("text", [
    "services: [", "services: {web: {image: x, network_mod: host}}", "services: {web: {image: x, ports: ['80:70000']}}",
    "services: {web: {image: x, networks: [nowhere]}}", "\x00", "- a list", "",
])
def test_a_bad_file_is_one_line_that_names_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(text)
    assert "compose.yaml" in refused(run("predict", str(path)))


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_bytes(b"\xff\xfe\x00\x01" * 9)
    refused(run("predict", str(tmp_path)))


def test_an_unknown_label_is_one_line_with_a_suggestion(compose: str) -> None:
    assert "'wep'" in refused(run("walk", compose, "wep", "db"))
    assert "'dv'" in refused(run("walk", compose, "shop-web-1", "dv"))


def test_a_port_twice_is_one_line(compose: str) -> None:
    assert "two ports" in refused(run("walk", compose, "client", "web:80", "--port", "81"))


@pytest.mark.parametrize(("arguments", "wrong", "where"), [
    (("walk", "FILE", "client", "web", "--port", "70000"), "--port", "hopcast walk --help"),
    (("walk", "FILE", "client", "web", "--probe", "smoke"), "smoke", "hopcast walk --help"),
    (("walk", "FILE"), "[FILE] SRC DST", "hopcast walk --help"),
    (("predict", "--nix", "FILE"), "--nix", "hopcast predict --help"),
    (("verfy", "FILE"), "'verify'?", "hopcast --help"),
    (("lab", "up", "--hosts", "0"), "--hosts", "hopcast lab up --help"),
    (("lab", "upp"), "'upp'", "hopcast lab --help"),
])
def test_a_mistyped_command_line_is_one_line_that_says_where_to_read_more(
    compose: str, arguments: tuple[str, ...], wrong: str, where: str,
) -> None:
    line = refused(run(*(compose if each == "FILE" else each for each in arguments)))
    assert wrong in line
    assert line.endswith(f"({where})")


def test_nothing_asked_is_answered_with_help() -> None:
    assert "Usage" in run().output


def test_what_the_engine_would_refuse_is_one_line(compose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object, **__: object) -> None:
        raise PlumbError("Bind for 0.0.0.0:8080 failed:\nport is already allocated", where="container web")

    monkeypatch.setattr(experiments.cli, "predict_spec", no)
    assert "port is already allocated" in refused(run("predict", compose))
    assert "port is already allocated" in refused(run("verify", compose))


@pytest.mark.parametrize(("text", "said"), [
    ("services: {a: {image: x, networks: [n]}}\nnetworks: {n: {ipam: {config: [{subnet: 172.17.0.0/16}]}}}",
     [":2: networks.n: Pool overlaps", "172.17.0.0/16 meets 172.17.0.0/16", "another subnet"]),
    ("services: {a: {image: nginx, ports: ['80:80']}, b: {image: nginx, ports: ['80:80']}}",
     [":1: services.b: ", "Bind for 0.0.0.0:80 failed: port is already allocated", "another host port"]),
    ("services: {a: {image: nginx}}\nx-hopcast: {hosts: {host: {engine: {version: '27.0'}}}}",
     [":2: x-hopcast.hosts.host: ", "'27.0'", "20.10"]),
    ("services: {a: {image: nginx, ports: ['80:80']}}\nx-hopcast:\n  questions:\n    - client -> a:81 published",
     [":4: x-hopcast.questions[0]: ", "does not publish port 81/tcp", "ask for its own address"]),
    ("services:\n  a: {image: nginx}\n  b: {image: nginx, x-hopcast: {stack: false}}\nx-hopcast: {stack: true}",
     [":3: services.b: ", "not manually attachable", "`attachable: true`"]),
    ("services: {a: {networks: [n]}}\nnetworks: {n: {ipam: {config: [{subnet: 10.0.0.0/24}]}}}\n"
     "x-hopcast: {stack: true}", [":1: services.a: ", "not found", "10.0.0.0/24 meets 10.0.0.0/24, give another"]),
    ("services: {a: {image: nginx}}\nx-hopcast:\n  stack: true\n  hosts:\n    h1: {address: 10.7.0.1/24}\n"
     "    h2: {address: 10.8.0.1/24}", [":6: x-hopcast.hosts.h2: ", "can't join the swarm of h1", "one subnet"]),
    ("services: {a: {image: nginx}}\nx-hopcast:\n  stack: true\n  hosts:\n    h1:\n    h2: {link: {loss: 100%}}",
     [":6: x-hopcast.hosts.h2: ", "loses everything can't join a swarm", "a fault: `link down`"]),
    ("services: {a: {deploy: {replicas: 20}, networks: [n]}}\n"
     "networks: {n: {ipam: {config: [{subnet: 10.9.0.0/28}]}}}\nx-hopcast: {stack: true}",
     [":1: services.a: ", "in 10.9.0.0/28: No available addresses"]),
])
def test_what_the_engine_refuses_names_the_file_and_the_mend_and_no_notes(
    text: str, said: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(text)
    line = refused(run("predict", str(path)))
    assert line.startswith(f"hopcast: {path}:")
    assert all(words in line for words in said)


def test_times_are_called_nominal_unless_the_prices_are_calibrated(compose: str, tmp_path: Path) -> None:
    assert "times are nominal" in run("walk", compose, "client", "web:80").stdout
    assert "times are nominal" in run("predict", compose).stdout
    costs = tmp_path / "here.json"
    costs.write_text(regime('{"veth": 0.001}'))
    assert "times are calibrated: here" in run("walk", compose, "client", "web:80", "--costs", str(costs)).stdout
    slow = json.loads(run("predict", compose, "--costs", str(costs), "--json").stdout)
    assert slow["times"] == "calibrated: here"
    assert all(q["predicted"]["rtt"] > 0.001 for q in slow["questions"] if q["predicted"]["served_by"])


def regime(prices: str) -> str:
    return f'{{"regimes": {{"blocking": {{"prices": {prices}, "variation": 0, "interruptions": [], "seen": {{}}}}}}}}'


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"regimes": {}}', regime("[]"), regime('{"veth": -1}'), regime('{"velo": 1}')])
def test_a_file_of_costs_that_is_none_is_one_line(text: str, compose: str, tmp_path: Path) -> None:
    costs = tmp_path / "costs.json"
    costs.write_text(text)
    assert "hopcast calibrate" in refused(run("predict", compose, "--costs", str(costs)))
    assert "no such file" in refused(run("walk", compose, "client", "web:80", "--costs", f"{costs}.no"))


def test_a_missing_route_is_named(compose: str) -> None:
    text = run("walk", compose, "client", "db:5432").stdout
    assert "network unreachable" in text
    assert "because     client has no route to 172.18.0." in text


def test_a_narrow_terminal_gets_narrow_lines(compose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for text in (run("walk", compose, "client", "web:80").stdout, run("predict", compose).stdout):
        assert max(map(len, text.splitlines())) <= 80


def test_an_interrupt_ends_with_130_and_no_traceback(compose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments.cli, "predict_spec", interrupted)
    assert refused(run("predict", compose), code=130) == "hopcast: interrupted"


def test_a_full_disk_is_one_line(compose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/results")

    monkeypatch.setattr(experiments.cli, "predict_spec", full)
    assert "No space left" in refused(run("predict", compose), code=3)


def cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    item = live.doctor.Item("privilege", "root", False, "runs as uid 1000", "a lab", "run it as root", True)
    monkeypatch.setattr(live.doctor, "examine", lambda: live.doctor.Report((item,)))


def test_verify_where_no_lab_can_run_ends_with_3_and_says_why(compose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cannot_run(monkeypatch)
    line = refused(run("verify", compose), code=3)
    assert "uid 1000" in line and "qemu-system-x86" in line
    assert "hopcast doctor" in refused(run("verify", compose, "--no-vm"), code=3)


def test_doctor_ends_with_3_where_no_lab_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    cannot_run(monkeypatch)
    result = run("doctor", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["can_run_lab"] is False
    assert "No lab can run here" in run("doctor").stdout


def test_predict_and_walk_print_pure_json(compose: str) -> None:
    predicted = run("predict", compose, "--json")
    assert predicted.exit_code == 0, predicted.stderr
    data = json.loads(predicted.stdout)
    assert {"questions", "plumbing", "warnings", "notes"} <= data.keys()
    walked = run("walk", compose, "client", "web:80", "--json")
    assert walked.exit_code == 0, walked.stderr
    packets = json.loads(walked.stdout)["packets"]
    assert any(hop["changed"].get("tcp.dport") == [8080, 80] for p in packets for hop in p["hops"])


def test_the_same_file_gives_the_same_bytes(compose: str) -> None:
    first, second = (
        subprocess.run([sys.executable, "-c", "from experiments.cli import main; main()", "predict", compose, "--json"],
                       capture_output=True, cwd=ROOT, check=True).stdout for _ in range(2))
    assert first == second


def test_a_walk_names_the_rule_that_rewrites(compose: str) -> None:
    text = run("walk", compose, "client", "web:80").stdout
    assert "--dport 8080 -j DNAT" in text
    assert "tcp.dport 8080 -> 80" in text


def test_a_failed_walk_names_what_decided(compose: str) -> None:
    text = run("walk", compose, "client", "192.168.99.101:9").stdout
    assert "refused" in text
    assert "decided by  host: nobody listens on port 9" in text


def test_a_brief_walk_has_a_line_a_hop_and_all_has_every_step(compose: str) -> None:
    brief = run("walk", compose, "client", "web:80", "--brief").stdout
    assert [line.split()[0] for line in brief.splitlines() if " DNAT " in line] == ["host"]
    assert "rule:" not in brief and "more packets: ARP, or on a way that is shown" in brief
    assert "backlog" in run("walk", compose, "client", "web:80", "--all").stdout
    assert "backlog" not in run("walk", compose, "client", "web:80").stdout
    assert "give one of them" in refused(run("walk", compose, "client", "web:80", "--all", "--brief"))


@pytest.mark.parametrize("command", [["predict"], ["config"], ["walk", "client", "web:80"]])
def test_every_output_says_which_engine_it_assumes(command: list[str], compose: str) -> None:
    name, *words = command
    assert "assumes Docker Engine 20.10.24 on host" in run(name, compose, *words).stdout
    told = json.loads(run(name, compose, *words, "--json").stdout)
    assert "20.10.24" in (told["engine"] if name == "config" else told["assumes"]["engines"]["host"])


def test_reasons_are_in_json_with_where_the_packet_ended(compose: str) -> None:
    told = json.loads(run("walk", compose, "client", "192.168.99.101:9", "--json").stdout)
    assert told["because"].startswith("9 isn't published on host; 8080 -> 80 ")
    assert told["decided_by"] == "host: nobody listens on port 9"
    assert told["cautions"] == [] and told["assumes"]["engines"] == {"host": "20.10.24"}
    asked = json.loads(run("predict", compose, "--json").stdout)["questions"]
    assert all(bool(each["because"]) is (each["predicted"]["outcome"] != "reached") for each in asked)


def test_demo_without_a_lab_predicts_and_says_what_was_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cannot_run(monkeypatch)
    result = run("demo", "--out", str(tmp_path))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("0 of ") == len(article.SCENARIOS) and "uid 1000" in result.stdout
    assert {p.name for p in tmp_path.iterdir()} == {*article.SCENARIOS, "summary.md"}
    written = {p.name for p in (tmp_path / "single-host").iterdir()}
    assert written == {"data.json", "summary.md", "reachability.png", "reachability.svg", "path.png", "path.svg"}
    data = json.loads((tmp_path / "single-host" / "data.json").read_text())
    assert data["totals"]["all"]["checked"] == 0 and data["engine"] == ""
    assert all(q["measured"] is None and q["path"]["agreed"] is None for q in data["questions"])
    assert data["provenance"]["engine"].startswith("none")


def only(monkeypatch: pytest.MonkeyPatch, scenario: str) -> None:
    """The demo of an article with one scenario: each is verified on its own."""
    monkeypatch.setattr(article, "SCENARIOS", {scenario: article.SCENARIOS[scenario]})


def test_an_unmeasured_demo_never_replaces_a_measured_reference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cannot_run(monkeypatch)
    only(monkeypatch, "overlay")
    folder = tmp_path / "overlay"
    folder.mkdir()
    (folder / "data.json").write_text('{"engine": "20.10.24"}')
    assert run("demo", "--out", str(tmp_path)).exit_code == 0
    assert (folder / "data.json").read_text() == '{"engine": "20.10.24"}'
    assert (folder / "predicted-only" / "summary.md").exists()


def test_a_lab_that_fails_under_the_demo_ends_with_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import experiments.demo

    def fails(*_: object, **__: object) -> None:
        raise LabError("dockerd of host ended")

    only(monkeypatch, "single-host")
    monkeypatch.setattr(live.doctor, "examine", lambda: live.doctor.Report(()))
    monkeypatch.setattr(experiments.demo, "verify", fails)
    result = run("demo", "--out", str(tmp_path))
    assert result.exit_code == 3
    assert "dockerd of host ended" in result.stderr
    assert "0 of " in result.stdout


def test_hosts_are_counted_by_the_file_or_by_the_command_but_not_by_both(compose: str) -> None:
    assert "leave --hosts out" in refused(run("lab", "up", compose, "--hosts", "3"))


def test_a_lab_that_is_not_there_is_one_line() -> None:
    assert "no lab nosuch" in refused(run("lab", "down", "nosuch"), code=3)


def test_lab_status_prints_pure_json() -> None:
    result = run("lab", "status", "--json")
    assert result.exit_code == 0
    assert isinstance(json.loads(result.stdout)["labs"], list)


def test_predicting_needs_neither_scapy_nor_docker_nor_matplotlib() -> None:
    code = ("import sys, experiments.cli; "
            "assert not {'scapy', 'docker', 'pyroute2', 'matplotlib'} & set(sys.modules), 'heavy import'")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_reader_that_goes_away_is_no_disagreement() -> None:
    file = ROOT / "experiments" / "scenarios" / "article_single_host.yaml"
    with subprocess.Popen([sys.executable, "-c", "from experiments.cli import main; main()", "predict", str(file)],
                          cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdout is not None and reader.stderr is not None
        reader.stdout.close()
        assert reader.wait(60) == 141
        assert b"Traceback" not in reader.stderr.read()


def test_questions_of_the_command_line_are_asked_instead_of_the_files(compose: str) -> None:
    result = run("predict", compose, "--json", "-q", "web -> db:5432", "--question", "client -> web:80")
    assert [each["text"] for each in json.loads(result.stdout)["questions"]] == [
        "shop-web-1 -> db:5432 tcp by name", "client -> shop-web-1:80 tcp (published)"]
    assert "-q: web -> dbb:5432: unknown target 'dbb'; did you mean 'db'?" in refused(
        run("predict", compose, "-q", "web -> dbb:5432"))
    assert "-q: " in refused(run("verify", compose, "-q", "web and db"))


def test_what_a_file_beside_says_wrongly_is_one_line_with_its_place(compose: str, tmp_path: Path) -> None:
    (tmp_path / "hopcast.yaml").write_text("services:\n  wbe: {listens: [80]}\n")
    assert "hopcast.yaml:2: services.wbe: unknown service 'wbe'; did you mean 'web'?" in refused(
        run("predict", compose, "--with", str(tmp_path / "hopcast.yaml")))
    assert "no such file" in refused(run("predict", compose, "--with", str(tmp_path / "hopcat.yaml")))


def test_predicting_imports_neither_the_live_half_nor_what_draws_and_fits(compose: str) -> None:
    typed = f"from experiments.cli import app\napp(['predict', {compose!r}, '--json'], standalone_mode=False)"
    after = "import atexit, sys\natexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n"
    done = subprocess.run([sys.executable, "-c", after + typed], cwd=ROOT, capture_output=True, text=True, check=False)
    loaded = set(done.stderr.split())
    assert json.loads(done.stdout)["questions"]
    assert "sim.predict" in loaded
    assert not loaded & {"scapy", "docker", "pyroute2", "matplotlib", "numpy", "scipy", "live", "experiments.verify"}


def test_several_processes_print_the_same_bytes(compose: str) -> None:
    for flags in ((), ("--json",)):
        one, two = (run("predict", compose, "-j", jobs, *flags) for jobs in ("1", "2"))
        assert one.exit_code == two.exit_code == 0 and one.stdout == two.stdout and one.stderr == two.stderr
    assert "--jobs" in refused(run("predict", compose, "-j", "-1"))
