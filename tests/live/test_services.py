"""Services on a real swarm: where tasks run, what they are given, and that this can be foreseen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from live import features, names, netns, rules, services, swarm
from live.deploy import deploy
from live.deployment import Deployment
from live.lab import Lab
from live.nodes import Nodes
from sim.errors import PlumbError
from sim.plumbing import Namespace
from sim.spec import Attachment, Container, Host, Network, Service, ServicePort, Spec

live = pytest.mark.live

HOSTS = tuple(
    Host(name=f"h{n}", address=f"192.168.99.10{n}/24", labels={"disk": "ssd"} if n == 3 else {}) for n in (1, 2, 3))
NAMES = tuple(host.name for host in HOSTS)


def attached(*networks: str, alias: str = "") -> tuple[Attachment, ...]:
    return tuple(Attachment(network=network, aliases=(alias,) if alias else ()) for network in networks)


def task(service: str, last: str, host: str, *networks: str, **fields: Any) -> Container:
    return Container(name=f"{service}.{last}", task_of=service, host=host, attachments=attached(*networks), **fields)


SPEC = Spec(
    hosts=HOSTS,
    networks=(Network(name="alpha", driver="overlay", attachable=True), Network(name="zeta", driver="overlay")),
    containers=(
        Container(name="plain", host="h2", attachments=attached("alpha")),
        task("web", "1", "h3", "zeta", "alpha", rivals=("h1",)),
        task("web", "2", "h1", "zeta", "alpha"),
        task("web", "3", "h2", "zeta", "alpha"),
        task("pair", "1", "h3", "alpha", hostname="boss"),
        task("everywhere", "h2", "h2", "alpha"),
        task("everywhere", "h3", "h3", "alpha"),
    ),
    services=(
        Service(name="web", attachments=attached("zeta", "alpha", alias="www"), ports=(
            ServicePort(target=80, published=8088), ServicePort(target=53, protocol="udp"),
            ServicePort(target=81, published=8090, mode="host"))),
        Service(name="pair", endpoint_mode="dnsrr", attachments=attached("alpha"),
                constraints=("node.labels.disk == ssd",)),
        Service(name="everywhere", mode="global", attachments=attached("alpha"), constraints=("node.role != manager",)),
    ),
)


@pytest.fixture(scope="module")
def deployment(able: None) -> Iterator[Deployment]:
    with Lab.up(SPEC) as lab:
        yield deploy(lab, SPEC)


@pytest.fixture(scope="module")
def seen(deployment: Deployment) -> Mapping[str, Namespace]:
    return rules.read(deployment)[1].namespaces


@live
def test_a_task_runs_where_it_was_predicted(deployment: Deployment) -> None:
    for label in ("web.1", "web.2", "web.3", "pair.1"):
        assert deployment.inspect(label)["Name"].startswith(f"/{label}.")
    for label in ("everywhere.h2", "everywhere.h3"):
        assert deployment.inspect(label)["Config"]["Labels"]["com.docker.swarm.service.name"] == "everywhere"


@live
def test_every_node_takes_tasks_again_afterwards(deployment: Deployment) -> None:
    nodes = Nodes(deployment.machines.engine("h1")).look()
    assert {host: node["Spec"]["Availability"] for host, node in nodes.items()} == dict.fromkeys(NAMES, "active")
    assert nodes["h3"]["Spec"]["Labels"] == {"disk": "ssd"}


@live
def test_a_service_has_its_virtual_addresses_before_its_tasks_have_theirs(deployment: Deployment) -> None:
    assert deployment.vip_of("web", "ingress") == "10.0.0.5"  # behind the gateway and the nodes' own places
    assert [deployment.address_of(f"web.{slot}", "ingress") for slot in (1, 2, 3)] == [
        "10.0.0.6", "10.0.0.7", "10.0.0.8"]
    # A node's load balancer gets its address behind the first task there.
    assert deployment.vip_of("web", "zeta") == "10.0.2.2"
    assert [deployment.address_of(f"web.{slot}", "zeta") for slot in (1, 2, 3)] == ["10.0.2.3", "10.0.2.5", "10.0.2.7"]


@live
def test_a_service_of_mode_dnsrr_has_no_virtual_address(deployment: Deployment) -> None:
    assert deployment.vip_of("pair", "alpha") is None
    assert deployment.vip_of("everywhere", "alpha") is not None
    assert deployment.vip_of("everywhere", "zeta") is None


@live
def test_swarm_draws_ports_of_the_routing_mesh_from_30000(deployment: Deployment) -> None:
    assert deployment.published_port("web", 80) == 8088
    assert deployment.published_port("web", 53, "udp") == 30000
    assert deployment.published_port("web", 81) is None


@live
def test_a_port_in_mode_host_is_published_by_the_engine_of_the_task(
    deployment: Deployment, seen: Mapping[str, Namespace],
) -> None:
    assert deployment.published_port("web.2", 81) == 8090
    for host in NAMES:
        assert ("tcp", "0.0.0.0", 8090) in seen[host].listeners
        assert {port for _, _, port in seen[host].listeners} <= {8090, 8088, 30000}


@live
def test_a_service_is_known_by_name_and_alias_on_every_node(deployment: Deployment) -> None:
    vip, tasks = deployment.vip_of("web", "alpha"), {deployment.address_of(f"web.{n}", "alpha") for n in (1, 2, 3)}
    for asker in ("plain", "pair.1", "everywhere.h3"):
        path = deployment.netns_path(asker)
        for name in ("web", "www", "web.alpha"):
            assert netns.call(path, swarm.resolve, name) == {vip}
        assert netns.call(path, swarm.resolve, "tasks.web") == tasks
        assert netns.call(path, swarm.resolve, "tasks.www") == tasks
        assert netns.call(path, swarm.resolve, "pair") == {deployment.address_of("pair.1", "alpha")}
        assert netns.call(path, swarm.resolve, "boss") == {deployment.address_of("pair.1", "alpha")}
        assert netns.call(path, swarm.resolve, "web.1") == set()


@live
def test_a_tasks_interfaces_are_in_the_order_of_its_networks_names(seen: Mapping[str, Namespace]) -> None:
    devices = seen["web.1"].interfaces
    assert [devices[f"eth{n}"].addresses[0].rpartition(".")[0] for n in range(4)] == [
        "10.0.1", "10.0.0", "10.0.2", "172.18.0"]


@live
def test_the_other_ends_of_a_tasks_interfaces_have_canonical_names(seen: Mapping[str, Namespace]) -> None:
    assert {"veth(web.3@docker_gwbridge)", "veth(plain@docker_gwbridge)"} <= set(seen["h2"].interfaces)
    assert "veth(web.3@ingress)" in seen["ov(ingress)@h2"].interfaces
    assert {"veth(web.3@zeta)", "veth(lb@zeta)"} <= set(seen["ov(zeta)@h2"].interfaces)
    assert set(seen) >= {"ingress_sbox@h1", "lb(alpha)@h2", "lb(zeta)@h3", "everywhere.h2"}


@live
def test_a_task_takes_only_its_published_ports_from_the_routing_mesh(seen: Mapping[str, Namespace]) -> None:
    nat, packets = seen["web.2"].rules["nat"], seen["web.2"].rules["filter"]
    assert "-A PREROUTING -d 10.0.0.7/32 -p tcp -m tcp --dport 8088 -j REDIRECT --to-ports 80" in nat
    assert "-A PREROUTING -d 10.0.0.7/32 -p udp -m udp --dport 30000 -j REDIRECT --to-ports 53" in nat
    assert packets.index("-A INPUT -d 10.0.0.7/32 -p tcp -j DROP") > packets.index(
        "-A INPUT -d 10.0.0.7/32 -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT")
    assert "filter" not in seen["pair.1"].rules


@live
def test_every_node_balances_to_all_tasks_where_the_kernel_can(
    deployment: Deployment, seen: Mapping[str, Namespace],
) -> None:
    tasks = {f"-> 10.0.0.{n} masq weight 1" for n in (6, 7, 8)}
    for host in NAMES:
        balanced = {line[line.index("->"):] for line in seen[f"ingress_sbox@{host}"].balanced}
        assert balanced == (set() if features.tried()["ip_vs"] else tasks)


@live
def test_what_is_balanced_finds_its_way_back_as_on_a_machine_of_its_own(deployment: Deployment) -> None:
    for label in ("ingress_sbox@h1", "lb(alpha)@h2", "lb(zeta)@h3"):
        path = deployment.engine_namespaces()[label]
        assert netns.call(path, netns.get_sysctl, swarm.IP_FORWARD) == "1"


@live
def test_names_can_be_learned_of_everything_that_runs(deployment: Deployment) -> None:
    known = names.learn(deployment)
    assert not [point for point in known.points() if point[1].startswith("veth") and "(" not in point[1]]


@live
@pytest.mark.parametrize(("constraint", "words"), [
    ("node.hostname == h2", r"task odd.1: the swarm runs it on h2, predicted was h1"),
    ("node.hostname == nowhere", r"task odd.1: no suitable node \(scheduling constraints not satisfied on 3 nodes\)"),
])
def test_a_task_that_comes_to_run_elsewhere_or_nowhere_is_said_in_one_line(
    deployment: Deployment, constraint: str, words: str,
) -> None:
    spec = Spec(hosts=HOSTS, containers=(task("odd", "1", "h1", mode="bridge"),),
                services=(Service(name="odd", constraints=(constraint,)),))
    try:
        with pytest.raises(PlumbError, match=words):
            services.deploy(deployment.machines, spec, lambda _: None)
    finally:
        api: Any = deployment.machines.engine("h1").api
        api.remove_service("odd")


def test_a_request_says_all_that_the_engine_must_know() -> None:
    box = Container(name="web.1", task_of="web", image="nginx@sha256:00ff", hostname="w", dns=("10.0.0.1",),
                    extra_hosts=("db:10.9.9.9",), attachments=attached("alpha"))
    service = Service(name="web", endpoint_mode="dnsrr", attachments=attached("alpha", alias="www"),
                      ports=(ServicePort(target=80, mode="host"),))
    said = services.body(service, (box,))
    container = said["TaskTemplate"]["ContainerSpec"]
    assert container["Image"] == "nginx:latest"
    assert container["Hosts"] == ["10.9.9.9 db"]
    assert container["DNSConfig"]["Nameservers"] == ["10.0.0.1"]
    assert said["TaskTemplate"]["Networks"] == [{"Target": "alpha", "Aliases": ["www"]}]
    assert said["EndpointSpec"] == {
        "Mode": "dnsrr", "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishMode": "host"}]}
    assert said["Mode"] == {"Replicated": {"Replicas": 0}}
