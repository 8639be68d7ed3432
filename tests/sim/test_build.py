"""A topology in Python is the Spec that the same Compose file gives."""

from __future__ import annotations

import pytest

from sim.build import topology
from sim.compose import loads
from sim.errors import SpecError
from sim.spec import Listener


def test_a_topology_in_python_is_the_compose_files_spec() -> None:
    built = (
        topology("demo")
        .network("front", subnet="10.9.0.0/24")
        .container(
            "web",
            service="web",
            networks={"front": {"aliases": ("web", "www"), "ipv4_address": "10.9.0.9"}},
            ports=["8080:80"],
        )
        .container("c1", service="c1", mode="bridge")
        .client("client", listens=[7000])
        .ask("client -> web:80", group="outside")
        .ask("web -> c1 ping by ip")
        .spec()
    )
    read = loads(
        """
name: demo
services:
  web: {image: x, container_name: web, networks: {front: {aliases: [www], ipv4_address: 10.9.0.9}}, ports: ["8080:80"]}
  c1: {image: x, container_name: c1, network_mode: bridge}
networks: {front: {name: front, ipam: {config: [{subnet: 10.9.0.0/24}]}}}
x-hopcast:
  clients: {client: {listens: [7000]}}
  questions: [{from: client, to: "web:80", group: outside}, web -> c1 ping by ip]
""",
        environment={},
    )
    assert built == read.model_copy(update={"file": "", "places": {}})


def test_a_container_is_on_docker0_when_nothing_else_is_said() -> None:
    box = topology().container("web", ports=["127.0.0.1:8080:80", "53:53/udp"], expose=[9000]).spec().containers[0]
    assert box.mode == "bridge"
    assert box.listens == (Listener(port=9000), Listener(port=80), Listener(port=53, protocol="udp"))


def test_a_topology_that_is_kept_can_be_continued_in_two_ways() -> None:
    base = topology().container("web", ports=["8080:80"])
    assert len(base.container("other").spec().containers) == 2
    assert len(base.spec().containers) == 1


def test_hosts_have_engines_of_their_own() -> None:
    spec = topology().host("h1", icc=False).host("h2").container("web", host="h2").spec()
    assert [(h.name, h.address, h.engine.icc) for h in spec.hosts] == [
        ("h1", "192.168.99.101/24", False),
        ("h2", "192.168.99.102/24", True),
    ]


def test_without_questions_the_default_ones_are_asked() -> None:
    assert "client -> web:80 tcp (published)" in map(
        str, topology().container("web", ports=["8080:80"]).spec().questions
    )


def test_mistakes_in_a_topology_are_spec_errors() -> None:
    with pytest.raises(SpecError, match=r"topology: web\.ports: port 70000 is out of range"):
        topology().container("web", ports=["70000:80"])
    with pytest.raises(SpecError, match=r"ask\('client -> wbe'\): unknown target 'wbe'; did you mean 'web'"):
        topology().container("web").ask("client -> wbe").spec()
    with pytest.raises(SpecError, match="unknown network 'front'"):
        topology().container("web", networks=["front"]).spec()
    with pytest.raises(SpecError, match="no field 'subnets'; did you mean 'subnet'"):
        topology().network("front", subnets="10.0.0.0/8")


def test_services_are_placed_on_hosts_that_are_declared_later() -> None:
    spec = (
        topology("t").network("ov", driver="overlay").service("web", networks=["ov"], replicas=2, ports=["80:80"])
        .host("h1").host("h2", labels={"disk": "ssd"}, link={"mtu": 1400})
        .service("db", networks={"ov": {"aliases": ["sql"]}}, mode="global", constraints=["node.labels.disk == ssd"])
        .client("client", link={"delay": 0.01})
        .spec()
    )
    assert [(task.name, task.host) for task in spec.containers] == [("web.1", "h1"), ("web.2", "h2"), ("db.h2", "h2")]
    assert (spec.hosts[1].link.mtu, spec.clients[0].link.delay) == (1400, 0.01)
    assert spec.services[1].attachments[0].aliases == ("sql",)


def test_replicas_that_find_no_node_are_noted() -> None:
    builder = topology("t").network("ov", driver="overlay").service(
        "web", networks=["ov"], replicas=2, max_replicas_per_node=1)
    assert builder.spec().notes == (
        "service web: 1 tasks run, others stay pending: no suitable node (max replicas per node limit exceed)",)
    with pytest.raises(SpecError, match="service web: less than no replicas"):
        topology("t").service("web", networks=["ov"], replicas=-1)


def test_one_line_around_a_fault_is_three_questions_that_share_its_fields() -> None:
    builder = topology("t").container("c").fault("cut", "link down", "host")
    spec = builder.ask("client -> c around cut", group="g").spec()
    assert [(q.during, q.after, q.group) for q in spec.questions] == [("", "", "g"), ("cut", "", "g"), ("", "cut", "g")]
