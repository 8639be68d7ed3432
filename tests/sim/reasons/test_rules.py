"""Why a rule drops a packet: what Docker's rules stand for, and other people's rules by chain and text."""

from __future__ import annotations

import pytest

from sim.build import topology
from sim.predict import predict
from sim.reasons import Case, Facts, because
from sim.spec import Spec
from sim.world import World, build
from tests.sim.reasons import reason

FILE = """
name: r
services:
  a: {image: nginx, networks: [front], ports: ["8080:80"]}
  b: {image: nginx, networks: [other]}
  v: {image: nginx, networks: [vault]}
  q: {image: nginx, networks: [quiet]}
  r: {image: nginx, networks: [quiet]}
networks:
  front: {}
  other: {}
  vault: {internal: true}
  quiet: {driver_opts: {com.docker.network.bridge.enable_icc: "false"}}
x-hopcast:
  clients: {client: {routes: ["172.16.0.0/12 via host"]}}"""


@pytest.mark.parametrize(("asked", "cause"), [
    ("a -> b:80 by ip", "they share no network: r-a-1 is on r_front, r-b-1 is on r_other; Docker isolates bridge "
                        "networks from each other"),
    ("v -> client ping", "r_vault is an internal network: nothing gets out of it"),
    ("a -> v:80 by ip", "they share no network: r-a-1 is on r_front, r-v-1 is on r_vault; r_vault is an internal "
                        "network: nothing gets into it"),
    ("client -> v:80 direct", "r_vault is an internal network: nothing gets into it"),
    ("q -> r:80 by name", "r_quiet has icc=false: its containers do not reach each other's ports"),
    ("client -> a:443 direct", "443 of r-a-1 isn't published, so nobody from elsewhere is let in; 8080 -> 80 is"),
    ("client -> b:80 direct", "80 of r-b-1 isn't published, so nobody from elsewhere is let in; nothing is"),
    ("client -> a ping", "from elsewhere Docker lets in only what is for published ports of r-a-1, and a ping is for "
                         "none; 8080 -> 80 is"),
])
def test_a_drop_of_dockers_rules_stands_for_something_in_the_file(asked: str, cause: str) -> None:
    assert reason(FILE, asked) == cause


def web() -> Spec:
    return (topology().network("front").container("web", networks=["front"], ports=["8080:80"])
            .container("onhost", mode="host", listens=[90]).client("client")
            .ask("client -> web:80 published").ask("client -> host:90").spec())


def asked(world: World, index: int) -> str:
    question = world.spec.questions[index]
    dial = world.dial(question, index)
    answer, trace = world.ask(dial)
    return because(Case(Facts(world), question, dial, answer, trace))


@pytest.mark.parametrize(("rule", "index", "cause"), [
    ("-A INPUT -p tcp -m tcp --dport 90 -j DROP", 1,
     "the firewall of host drops it in chain INPUT: `-p tcp -m tcp --dport 90 -j DROP`"),
    ("-A INPUT -p tcp -m tcp --dport 90 -j REJECT --reject-with tcp-reset", 1,
     "the firewall of host rejects it in chain INPUT: `-p tcp -m tcp --dport 90 -j REJECT --reject-with tcp-reset`"),
    ("-I DOCKER-USER -i eth0 -s 192.168.99.200 -j DROP", 0,
     "the firewall of host drops it in chain DOCKER-USER: `-s 192.168.99.200/32 -i eth0 -j DROP`"),
    ("-P INPUT DROP", 1, "the firewall of host drops it in chain INPUT by its policy"),
])
def test_a_rule_that_is_not_dockers_is_named_with_its_chain(rule: str, index: int, cause: str) -> None:
    world = build(web())
    assert asked(world, index) == ""
    world.namespaces["host"].iptables(rule)
    assert asked(world, index) == cause


@pytest.mark.parametrize(("line", "cause"), [
    ("-I FORWARD -i eth0 -p tcp --dport 80 -j DROP", "drops it in chain FORWARD: `-i eth0 -p tcp -m tcp --dport 80 -j "
                                                     "DROP`"),
    ("-I FORWARD 1 -s 192.168.99.200 -j REJECT", "rejects it in chain FORWARD: `-s 192.168.99.200/32 -j REJECT "
                                                 "--reject-with icmp-port-unreachable`"),
    ("-I DOCKER-USER -i eth0 -j DROP", "drops it in chain DOCKER-USER: `-i eth0 -j DROP`"),
])
def test_an_operators_rule_in_a_chain_of_dockers_is_not_taken_for_dockers(line: str, cause: str) -> None:
    said = reason(f"""
services: {{web: {{image: nginx, ports: ["8080:80"]}}}}
x-hopcast:
  hosts: {{host: {{firewall: {{after: ["{line}"]}}}}}}""", "client -> web:80 published")
    assert said == f"the firewall of host {cause}"


def test_where_one_of_several_ways_fails_its_reason_is_told() -> None:
    spec = (topology().network("n").container("one", networks={"n": {"aliases": ["web"]}}, listens=[80])
            .container("two", networks={"n": {"aliases": ["web"]}}).container("asker", networks=["n"])
            .ask("asker -> web:80 tcp by name").spec())
    assert predict(spec).reasons == ["nothing in two listens on 80, nor on any other port"]
