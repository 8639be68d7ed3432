"""Why a name does not resolve: who shares a network with whom, and who answers for names there."""

from __future__ import annotations

import pytest

from tests.sim.reasons import forecast, reason

APART = """
name: n
services:
  app: {image: busybox, networks: [a]}
  db: {image: postgres, networks: {b: {aliases: [store]}, c: {}}}
  old: {image: nginx, network_mode: bridge}
  older: {image: busybox, network_mode: bridge}
  onhost: {image: nginx, network_mode: host}
  alone: {image: nginx, network_mode: none}
  near: {image: busybox, networks: [c]}
  idle: {image: nginx, scale: 0}
  side: {image: nginx, network_mode: "service:db", x-hopcast: {listens: [81]}}
networks: {a: {}, b: {}, c: {}}
x-hopcast:"""


@pytest.mark.parametrize(("asked", "cause"), [
    ("app -> db:5432 by name", "they share no network: n-app-1 is on n_a, n-db-1 is on n_b and n_c"),
    ("app -> old:80 by name", "they share no network: n-app-1 is on n_a, n-old-1 is on the default bridge"),
    ("app -> alone:80 by name", "they share no network: n-app-1 is on n_a, n-alone-1 is on no network "
                                "(network_mode: none)"),
    ("older -> old:80 by name", "the default bridge has no names, and n-older-1 is on no other network"),
    ("older -> db:5432 by name", "the default bridge has no names, and n-older-1 is on no other network; they share no "
                                 "network: n-older-1 is on the default bridge, n-db-1 is on n_b and n_c"),
    ("near -> store:5432 by name", "store is a name of n-db-1 on n_b only, and n-near-1 is not on it; on n_c it is "
                                   "called db"),
    ("app -> onhost:80 by name", "n-onhost-1 has no name in Docker's DNS: it is in the network of its host host "
                                 "(network_mode: host)"),
    ("app -> side:81 by name", "n-side-1 has no name in Docker's DNS, for it shares the network of n-db-1: ask for db"),
    ("alone -> db:5432 by name", "n-alone-1 has network mode none: no name server can be asked"),
    ("app -> idle:80 by name", "idle is scaled to no container"),
    ("app -> db.n_b:5432 by name", "they share no network: n-app-1 is on n_a, n-db-1 is on n_b and n_c"),
    ("app -> nobody.example ping by name", "nobody on n_a is called nobody.example, and the name server outside, @dns "
                                           "(192.168.99.53), does not know it either"),
])
def test_a_name_is_unknown_where_nobody_who_has_it_shares_a_network(asked: str, cause: str) -> None:
    assert reason(APART, asked) == cause


@pytest.mark.parametrize("source", ["host", "client", "onhost"])
def test_docker_dns_answers_containers_and_no_machine(source: str) -> None:
    said = reason(APART, f"{source} -> db:5432 by name")
    assert said.startswith("Docker's DNS answers inside of containers on user-defined networks only")
    assert said.endswith("dial an address or a published port of n-db-1")


def test_from_an_internal_network_nobody_outside_answers_for_a_name() -> None:
    said = reason("""
services:
  db: {image: busybox, networks: [back]}
  web: {image: nginx, networks: [front]}
networks: {back: {internal: true}, front: {}}
x-hopcast:""", "db -> web:80 by name")
    assert said.startswith("they share no network: ") and "internal network: nothing gets out of it" in said


def test_networks_of_one_name_on_two_engines_are_two_networks() -> None:
    said = reason("""
services:
  a: {image: busybox, networks: [n], x-hopcast: {host: h1}}
  b: {image: nginx, networks: [n], x-hopcast: {host: h2}}
networks: {n: {}}
x-hopcast:
  hosts: {h1: {}, h2: {}}""", "a -> b:80 by name")
    assert said.startswith("they share no network: each engine has a hopcast_n of its own")


def test_the_dns_of_an_engine_dies_with_it() -> None:
    during = forecast("""
name: f
services: {web: {image: nginx}, app: {image: busybox}}
x-hopcast:
  faults: {crash: engine killed host}
  questions: [app -> web:80 around crash]""").reasons
    assert during[0] == ""
    assert during[1] == "Docker's DNS (127.0.0.11) is part of the engine, and the engine of host is down"
    assert during[2] == ("f-app-1 does not run: it ended when the engine of host was killed and started again, and it "
                         "has no restart policy")


def test_an_address_from_extra_hosts_is_named_as_such() -> None:
    said = reason("""
services: {d: {image: busybox, extra_hosts: ["b:127.0.0.1"]}}
x-hopcast:""", "d -> b:80 by name")
    assert said == ("extra_hosts says b is 127.0.0.1; 127.0.0.1 is hopcast-d-1 itself, and nothing in hopcast-d-1 "
                    "listens on 80, nor on any other port")


def test_a_service_without_tasks_is_called_so() -> None:
    file = """
name: s
services: {a: {image: nginx, deploy: {replicas: 0}}, c: {image: busybox}}
x-hopcast:
  stack: true"""
    assert reason(file, "c -> a:80 by name") == "service s_a has no task that runs"
    assert reason(file, "c -> a:80 by ip").endswith("service s_a, which has no task that runs")
