"""What a forecast takes for granted is said once, and follows from the plumbing."""

from __future__ import annotations

from experiments.assumptions import assumptions, in_a_line
from sim import compose
from sim.predict import predict


def line(text: str) -> str:
    spec = compose.loads(text, environment={})
    return in_a_line(spec, predict(spec, questions=[]).plumbing)


def test_a_plain_file_is_predicted_for_dockers_defaults() -> None:
    assert line("services: {a: {image: nginx}}") == (
        "assumes Docker Engine 20.10.24 on host; INPUT accepts; FORWARD drops by policy; firewall rules are Docker's "
        "alone; sysctls are Linux's but for the file's and Docker's; no host has a default gateway; the hosts' name "
        "server knows no names")


def test_engines_with_other_options_and_other_policies_are_told_apart() -> None:
    said = line("""
services: {a: {image: nginx}}
x-hopcast: {hosts: {h1: {}, h2: {}, h3: {engine: {iptables: false, userland-proxy: false}}}}""")
    assert "Docker Engine 20.10.24 on h1 and h2, Docker Engine 20.10.24 (userland-proxy: false, iptables: " in said
    assert "FORWARD drops by policy on h1 and h2 and accepts on h3" in said


def test_a_firewall_of_the_files_own_is_no_assumption() -> None:
    said = line("""
services: {a: {image: nginx}}
x-hopcast: {hosts: {host: {firewall: ["-P INPUT DROP"]}}}""")
    assert "INPUT drops by policy" in said and "firewall rules are Docker's, and the file has some for host" in said


def test_a_gateway_and_names_that_the_file_has_are_no_assumption() -> None:
    said = line("""
services: {a: {image: nginx}}
x-hopcast: {internet: true, names: {example.org: 203.0.113.7}}""")
    assert "no host has a default gateway" not in said and "knows 1 of the file names" not in said
    assert "the hosts' name server knows 1 name of the file" in said


def test_programs_get_the_engine_of_each_host() -> None:
    spec = compose.loads("services: {a: {image: nginx}}", environment={})
    assert assumptions(spec, predict(spec, questions=[]).plumbing)["engines"] == {"host": "20.10.24"}
