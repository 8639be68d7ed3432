"""Whole commands on hostile files: an answer or one line that says no, and nothing that acts on a terminal.

`make test` draws other files each time; `.ci/run` draws the same ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.cli import app
from tests.experiments.test_printable import acts

NASTY = (
    "", " ", "a", "[red]x[/]", "[/]", ":smile:", "a\x1b[31mb", "\x9b2J", "\x1b]0;t\x07", "\u202eabc", "a\nb",
    "a\r\n\tb", "\0", "'", '"', "a'b\"c", "\\", "`x`", "|a|", "<b>", "$x", "$$", "$\\alpha$", "${A:-${B:-${C}}}",
    "%s{}{0}", "²", "٣", "1.2.3.²", "9" * 400, "-1", "1e999", "nan", "inf", "0x10", "08", "a" * 64,
    ".".join(["a" * 63] * 5), "a..b", ".", "-", "--help", "ü", "網" * 30, "☃\u200d☃", "a" * 5000, "null", "true", "~",
    "0.0.0.0", "255.255.255.255", "127.0.0.1", "::1", "10.0.0.0/8", "0.0.0.0/0", "224.0.0.1", "localhost", "host",
    "bridge", "none", "default", "container:x", "service:a", "a:b:c", "../..",
)
TEXT = st.sampled_from(NASTY) | st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=9)
ANY = st.recursive(TEXT | st.none() | st.booleans() | st.integers() | st.floats(), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)), max_leaves=5)
NAME = st.sampled_from(["a", "b", "c"])


def rarely(usual: st.SearchStrategy[Any], other: st.SearchStrategy[Any] = ANY) -> st.SearchStrategy[Any]:
    """Mostly what belongs there: else no file would be read to its end."""
    return st.integers(0, 79).flatmap(lambda drawn: usual if drawn else other)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with some of these keys, and seldom with another."""
    known = st.fixed_dictionaries({}, optional={key.strip("_").replace("__", "-"): rarely(value, TEXT | ANY)
                                                for key, value in fields.items()})
    return rarely(known, st.builds(lambda one, two: one | two, known, st.dictionaries(TEXT, ANY, max_size=1)))


def listed(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(rarely(of, TEXT), max_size=3, unique_by=str)


ADDRESS = st.sampled_from(["172.28.0.9", "10.9.0.2", "192.168.99.101", "8.8.8.8", "172.17.0.2"])
SUBNET = st.sampled_from(["172.28.0.0/16", "10.9.0.0/30", "10.9.0.0/29", "192.168.99.0/24", "10.0.0.0/8"])
PORT = st.sampled_from([80, "8080:80", "127.0.0.1:81:80/udp", "7000-7002:7000-7002", "53/udp", "0:80",
                        {"target": 80, "published": "8081"}])
QUESTION = st.sampled_from(["a -> b:80", "a -> b ping by name", "client -> a:80", "b -> c:53/udp", "host -> a:80",
                            "a -> 172.28.0.9:80", "client -> a:8080 published"])
SERVICE = some(
    image=st.sampled_from(["nginx", "redis:7", "x"]), hostname=TEXT, container_name=NAME, ports=listed(PORT),
    expose=listed(st.sampled_from([80, "53/udp", "1000-1200"])), dns=listed(ADDRESS), dns_opt=listed(
        st.sampled_from(["ndots:2", "ndots:x", "timeout:1"])), dns_search=listed(TEXT), extra_hosts=listed(
        st.sampled_from(["x:1.2.3.4", "y:host-gateway"])), labels=st.dictionaries(TEXT, TEXT, max_size=2),
    sysctls=st.dictionaries(st.sampled_from(["net.ipv4.ip_default_ttl", "net.ipv4.ip_forward"]), TEXT | st.just("1")),
    network_mode=st.sampled_from(["host", "none", "bridge", "service:a", "service:b", "container:a"]),
    networks=listed(st.sampled_from(["n", "m", "default"])) | st.dictionaries(st.sampled_from(["n", "m"]), some(
        aliases=listed(TEXT), ipv4_address=ADDRESS, priority=st.integers(-9, 9)), max_size=2),
    depends_on=listed(NAME), links=listed(st.sampled_from(["a", "b:x", "c"])), scale=st.integers(0, 3),
    restart=st.sampled_from(["always", "no"]), mac_address=st.just("02:42:ac:11:00:09"), environment=ANY,
    x__hopcast=some(listens=listed(st.sampled_from([80, "53/udp"]))), profiles=listed(TEXT),
)
NETWORK = some(
    driver=st.sampled_from(["bridge", "macvlan", "ipvlan", "overlay"]), internal=st.booleans(),
    name=TEXT | st.just("net"),
    attachable=st.booleans(), external=st.booleans(), labels=st.dictionaries(TEXT, TEXT, max_size=1),
    ipam=some(config=st.lists(some(subnet=SUBNET, gateway=ADDRESS, ip_range=SUBNET), max_size=1)),
    driver_opts=st.dictionaries(st.sampled_from([
        "com.docker.network.bridge.name", "com.docker.network.driver.mtu", "parent"]),
        TEXT | st.sampled_from(["br1", "1400", "eth0.10"]), max_size=2),
)
EXTENSION = some(
    hosts=st.dictionaries(st.sampled_from(["h1", "h2"]) | TEXT, some(
        engine=some(version=st.just("20.10"), mtu=st.sampled_from([1400, 1500]), icc=st.booleans(),
                    iptables=st.booleans(),
                    default__address__pools=st.lists(some(base=SUBNET, size=st.sampled_from([24, 30])), max_size=1)),
        link=some(rate=st.just("100mbit"), delay=st.just("2ms"), loss=st.just("1%"))), max_size=2),
    clients=st.dictionaries(st.just("client") | TEXT, some(
        routes=listed(st.just("172.16.0.0/12 via host"))), max_size=2),
    underlay=some(rate=st.sampled_from(["1gbit", "1bit"]), mtu=st.sampled_from([1500, 9000])),
    faults=st.dictionaries(TEXT, st.sampled_from(["link down host", "engine killed host"]), max_size=2),
    questions=listed(QUESTION | some(from_=NAME, to=NAME, port=st.just(80), comment=TEXT, group=TEXT)),
    stack=st.booleans(),
)
FILE = st.fixed_dictionaries(
    {"services": st.fixed_dictionaries({"a": SERVICE, "b": SERVICE}, optional={"c": SERVICE})},
    optional={"name": rarely(st.just("shop"), TEXT), "networks": st.dictionaries(
        rarely(st.sampled_from(["n", "m", "default"]), TEXT), NETWORK, max_size=3), "x-hopcast": rarely(EXTENSION)},
)
COMMANDS = (("predict",), ("predict", "--json"), ("walk",), ("walk", "--json"), ("config",), ("config", "--json"))


def run(command: tuple[str, ...], path: Path, columns: int) -> None:
    """The command, and that it behaved."""
    name, *flags = command
    result = CliRunner().invoke(app, [name, str(path), *(["a", "b"] if name == "walk" else []), *flags],
                                prog_name="hopcast", env={"COLUMNS": str(columns), "A": "\x1b[31m"})
    assert result.exit_code in (0, 2), f"{result.exit_code}: {result.stderr}"
    assert not acts(result.stdout) and not acts(result.stderr)
    if result.exit_code:
        assert result.stdout == "" and result.stderr.count("\n") == 1, result.stderr
    elif "--json" in flags:
        json.loads(result.stdout)
    else:
        assert name == "config" or max(map(len, result.stdout.splitlines()), default=0) <= max(columns, 20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(FILE, st.sampled_from(COMMANDS), st.sampled_from([20, 80, 1000]))
def test_any_file_is_answered_or_refused_in_one_line(
    tmp_path: Path, file: dict[str, Any], command: tuple[str, ...], columns: int
) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(json.dumps(file))
    run(command, path, columns)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=40) | st.text("[]{}:,-&*!|>'\"%@`#? \n\tax<$", max_size=40).map(str.encode),
       st.sampled_from([20, 80]))
def test_any_bytes_are_answered_or_refused_in_one_line(tmp_path: Path, data: bytes, columns: int) -> None:
    path = tmp_path / "compose.yaml"
    path.write_bytes(data)
    run(("predict",), path, columns)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=5)
@given(TEXT, TEXT)
def test_any_arguments_are_answered_or_refused_in_one_line(
    tmp_path: Path, command: tuple[str, ...], one: str, two: str
) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text("services: {a: {image: nginx, ports: ['80:80']}, b: {image: x}}")
    result = CliRunner().invoke(app, [command[0], str(path), *command[1:], "--", one, two], prog_name="hopcast")
    assert result.exit_code in (0, 2), result.stderr
    assert not acts(result.stdout) and not acts(result.stderr)
