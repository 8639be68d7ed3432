"""What a source and a target mean when a person writes them, and what a file without questions asks."""

from __future__ import annotations

import pytest

from sim.build import topology
from sim.compose import default_questions, loads, parse_target
from sim.errors import SpecError
from sim.questions import parse_line
from sim.spec import Spec


@pytest.fixture(scope="module")
def shop() -> Spec:
    return loads(
        """
name: shop
services:
  web: {image: nginx, ports: ["8080:80", "5353:53/udp"], networks: {front: {aliases: [www]}}}
  db: {image: postgres, networks: [front], extra_hosts: {backup: 10.0.0.9}}
  edge: {image: nginx, network_mode: host, ports: ["8081:80"]}
networks: {front: }
""",
        environment={},
    )


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("web", "db:5432", "shop-web-1 -> db:5432 tcp by name"),
        ("web", "db", "shop-web-1 -> db ping by name"),
        ("shop-web-1", "shop-db-1", "shop-web-1 -> shop-db-1 ping by name"),
        ("db", "www:80", "shop-db-1 -> www:80 tcp by name"),
        ("db", "backup:22", "shop-db-1 -> backup:22 tcp by name"),
        ("web", "172.18.0.3", "shop-web-1 -> 172.18.0.3 ping"),
        ("web", "client:7000", "shop-web-1 -> client:7000 tcp"),
        ("client", "web:80", "client -> shop-web-1:80 tcp (published)"),
        ("client", "web:8080", "client -> shop-web-1:80 tcp (published)"),
        ("client", "web:53/udp", "client -> shop-web-1:53 udp (published)"),
        ("client", "http://web/index.html", "client -> shop-web-1:80 tcp (published)"),
        ("client", "db:5432", "client -> shop-db-1:5432 tcp"),
        ("client", "web", "client -> shop-web-1 ping"),
        ("client", "edge:8081", "client -> shop-edge-1:8081 tcp"),
        ("host", "web:80", "host -> shop-web-1:80 tcp"),
        ("host", "localhost:8080", "host -> 127.0.0.1:8080 tcp"),
        ("client", "192.168.99.101:8080", "client -> 192.168.99.101:8080 tcp"),
        ("web", "https://example.org", "shop-web-1 -> example.org:443 tcp by name"),
    ],
)
def test_a_target_means_what_a_person_means_by_it(shop: Spec, source: str, target: str, expected: str) -> None:
    assert str(parse_target(shop, source, target)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("web -> db ping by ip", "shop-web-1 -> shop-db-1 ping"),
        ("client -> web:80 direct", "client -> shop-web-1:80 tcp"),
        ("client -> web:80 by ip", "client -> shop-web-1:80 tcp"),
        ("db -> web:80 published", "shop-db-1 -> shop-web-1:80 tcp (published)"),
        ("db->web:53 udp", "shop-db-1 -> web:53 udp by name"),
    ],
)
def test_a_line_can_say_how_to_dial(shop: Spec, line: str, expected: str) -> None:
    assert str(parse_line(shop, line)) == expected


def test_a_line_can_say_how_long_to_wait(shop: Spec) -> None:
    assert parse_line(shop, "web -> db timeout 4").timeout == 4


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("wbe", "db", "unknown source 'wbe'; did you mean 'web'?"),
        ("web", "dbb", "unknown target 'dbb'; did you mean 'db'?"),
        ("web", "db:99999", "port 99999 is out of range; use 1-65535"),
        ("web", "db:http", "'db:http' is no target"),
        ("web", "", "'' is no target"),
        ("web", "ftp://db", "unknown scheme 'ftp'"),
        ("web", "db:53/sctp", "'db:53/sctp' can't be asked: no probe speaks SCTP"),
        ("web", "db:53/dccp", "is no target; write it like"),
        ("web", "300.1.1.1", "'300.1.1.1' is not an IPv4 address"),
    ],
)
def test_what_does_not_exist_is_one_clear_line(shop: Spec, source: str, target: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_target(shop, source, target)
    assert expected in str(caught.value)


def test_default_questions_ask_every_pair_every_port_and_both_sides_of_the_host() -> None:
    spec = (
        topology()
        .network("front")
        .container("web", networks=["front"], ports=["8080:80"])
        .container("db", networks=["front"], listens=[5432])
        .container("island")
        .spec()
    )
    asked = [str(q) for q in default_questions(spec)]
    assert len(set(asked)) == len(asked)
    assert {
        "web -> db ping",
        "web -> db ping by name",
        "island -> web ping",
        "island -> web ping by name",
        "web -> db:5432 tcp by name",
        "island -> db:5432 tcp",
        "host -> 127.0.0.1:8080 tcp",
        "host -> web:80 tcp (published)",
        "client -> web:80 tcp (published)",
        "client -> db:5432 tcp",
        "db -> client ping",
    } <= set(asked)


def test_a_large_file_asks_in_proportion_to_its_services() -> None:
    shape = topology().network("front")
    for number in range(60):
        shape = shape.container(f"box{number}", networks=["front"], listens=[80])
    assert len(shape.spec().questions) < 60 * 8


def test_replicas_are_asked_once_for_all() -> None:
    spec = loads("services: {web: {image: nginx, scale: 20}, db: {image: postgres}}", environment={})
    assert {q.source for q in spec.questions} <= {"hopcast-web-1", "hopcast-db-1", "client", "host"}


def test_ports_on_a_macvlan_are_asked_for_where_the_file_promises_them() -> None:
    spec = loads(
        """
name: lan
services:
  web: {image: nginx, ports: ["8080:80"], networks: [lan]}
  legs: {image: nginx, ports: ["8081:80"], networks: [front, lan]}
networks: {front: , lan: {driver: macvlan, driver_opts: {parent: eth0}}}
""",
        environment={},
    )
    assert not spec.publishes("lan-web-1") and spec.publishes("lan-legs-1")
    asked = {str(question) for question in default_questions(spec)}
    assert "client -> 192.168.99.101:8080 tcp" in asked
    assert "client -> lan-web-1:80 tcp" in asked
    assert "client -> lan-legs-1:80 tcp (published)" in asked
    assert str(parse_line(spec, "client -> web:80")) == "client -> lan-web-1:80 tcp"


def test_replicas_are_asked_by_the_containers_name_for_the_services_means_any_of_them() -> None:
    spec = loads("services: {web: {image: nginx, scale: 2, expose: [80]}, db: {image: postgres}}", environment={})
    by_name = {q.target for q in spec.questions if q.by == "name"}
    assert by_name == {"hopcast-web-1", "db"}


# services of a swarm


@pytest.fixture(scope="module")
def stack() -> Spec:
    return loads(
        """
name: shop
services:
  web: {image: nginx, networks: [front, back], ports: ["8080:80"], deploy: {replicas: 3}}
  db: {image: postgres, networks: {back: {aliases: [sql]}}, deploy: {endpoint_mode: dnsrr}}
  near: {image: x, networks: [front], x-hopcast: {stack: false}}
networks: {front: {attachable: true}, back: }
x-hopcast: {hosts: {h1: , h2: , h3: }}
""",
        environment={},
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("near -> web:80", "shop-near-1 -> web:80 tcp by name"),
        ("near -> shop_web", "shop-near-1 -> shop_web ping by name"),
        ("near -> web:80 by ip", "shop-near-1 -> web:80 tcp"),
        ("near -> tasks.web:80", "shop-near-1 -> tasks.web:80 tcp by name"),
        ("web -> tasks.sql", "shop_web.1 -> tasks.sql ping by name"),
        ("shop_web -> sql:5432", "shop_web.1 -> sql:5432 tcp by name"),
        ("web -> shop_web.3:80", "shop_web.1 -> shop_web.3:80 tcp"),
        ("client -> web:80", "client -> web:80 tcp (published)"),
        ("client -> web:8080", "client -> web:80 tcp (published)"),
        ("client -> web:8080 at h3", "client -> web:80 tcp (published at h3)"),
        ("h2 -> web:80 at h2", "h2 -> web:80 tcp (published at h2)"),
        ("near -> web:80 published", "shop-near-1 -> web:80 tcp (published)"),
        ("client -> web:81", "client -> web:81 tcp"),
        ("client -> web:80 direct", "client -> web:80 tcp"),
        ("client -> h2:8080", "client -> h2:8080 tcp"),
    ],
)
def test_a_service_is_asked_by_name_from_inside_and_at_a_node_from_outside(
    stack: Spec, line: str, expected: str
) -> None:
    assert str(parse_line(stack, line)) == expected


def test_a_name_that_no_service_has_is_an_error() -> None:
    spec = topology("t").network("n", driver="overlay").service("web", networks=["n"]).spec()
    for line in ("web -> tasks.wbe", "web -> wbe"):
        with pytest.raises(SpecError, match=r"unknown target .*did you mean"):
            parse_line(spec, line)


def test_a_line_that_is_three_questions_is_no_single_one() -> None:
    spec = topology("t").container("c").fault("cut", "link down", "host").spec()
    with pytest.raises(SpecError, match="is several questions"):
        parse_line(spec, "client -> c around cut")


def test_the_default_questions_ask_each_service_in_every_way_and_the_mesh_at_every_node(stack: Spec) -> None:
    asked = [str(question) for question in default_questions(stack)]
    assert asked == [
        "shop-near-1 -> client ping",
        "shop-near-1 -> web ping by name",
        "shop-near-1 -> web:80 tcp by name",
        "shop-near-1 -> web ping",
        "shop-near-1 -> web:80 tcp",
        "shop-near-1 -> tasks.web ping by name",
        "shop-near-1 -> shop_web.1 ping",
        "shop-near-1 -> shop_web.3 ping",
        "shop_web.1 -> db ping by name",
        "shop_web.1 -> db:5432 tcp by name",
        "shop_web.1 -> tasks.db ping by name",
        "shop_web.1 -> shop_db.1 ping",
        "shop_web.1 -> client ping",
        "client -> web:80 tcp (published at h1)",
        "client -> web:80 tcp (published at h2)",
        "client -> web:80 tcp (published at h3)",
        "shop_db.1 -> client ping",
    ]


def test_a_large_stack_asks_a_few_questions_a_service() -> None:
    builder = topology("t").network("n", driver="overlay")
    for number in range(20):
        builder = builder.service(f"s{number}", networks=["n"], replicas=10, ports=[f"{8000 + number}:80"])
    assert len(builder.spec().questions) <= 20 * 12
