"""Where swarm's scheduler puts tasks: spread, filters, and what stays pending."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.build import topology
from sim.errors import SpecError
from sim.placement import Scheduler
from sim.spec import Attachment, Container, Host, Network, Service, ServicePort

HOSTS = (
    Host(name="h1", address="192.168.99.101/24"),
    Host(name="h2", address="192.168.99.102/24", labels={"disk": "ssd", "Zone": "a"}),
    Host(name="h3", address="192.168.99.103/24", labels={"disk": "hdd"}),
)
NETWORKS = (Network(name="ov", driver="overlay"), Network(name="front"))
TASK = Container(name="task", attachments=(Attachment(network="ov"),))


def scheduler(*plain: Container) -> Scheduler:
    return Scheduler.of(HOSTS, NETWORKS, plain)


def service(name: str = "web", **fields: object) -> Service:
    return Service.model_validate({"name": name, "attachments": (Attachment(network="ov"),), **fields})


def hosts_of(tasks: list[Container]) -> list[str]:
    return [task.host for task in tasks]


def placed(replicas: int, **fields: object) -> list[str]:
    return hosts_of(scheduler().place(service("web", **fields), TASK, replicas)[0])


def test_tasks_spread_over_the_nodes_and_a_tie_goes_to_the_first_host() -> None:
    tasks, reason = scheduler().place(service(), TASK, 4)
    assert [(t.name, t.host, t.rivals) for t in tasks] == [
        ("web.1", "h1", ("h2", "h3")), ("web.2", "h2", ("h3",)), ("web.3", "h3", ()), ("web.4", "h1", ("h2", "h3"))]
    assert {t.task_of for t in tasks} == {"web"} and reason == ""


def test_tasks_of_the_same_service_count_before_tasks_of_others() -> None:
    manager = scheduler()
    for _ in range(3):
        manager.nodes[1].tasks += 1
    assert hosts_of(manager.place(service(), TASK, 3)[0]) == ["h1", "h3", "h2"]


def test_a_second_service_goes_where_the_fewest_tasks_are() -> None:
    manager = scheduler()
    manager.place(service("web"), TASK, 1)
    assert hosts_of(manager.place(service("db"), TASK, 1)[0]) == ["h2"]


def test_each_attachment_of_a_plain_container_to_an_overlay_is_a_task_of_its_node() -> None:
    plain = Container(name="c", host="h1", attachments=(Attachment(network="ov"),))
    local = Container(name="d", host="h2", attachments=(Attachment(network="front"),))
    assert hosts_of(scheduler(plain, local).place(service(), TASK, 1)[0]) == ["h2"]


@pytest.mark.parametrize(
    ("constraint", "hosts"),
    [
        ("node.hostname == h2", ["h2"]),
        ("node.hostname!=H2", ["h1", "h3"]),
        ("node.role == manager", ["h1"]),
        ("node.role != Manager", ["h2", "h3"]),
        ("node.role == worker", ["h2", "h3"]),
        ("node.labels.disk == SSD", ["h2"]),
        ("node.labels.disk != ssd", ["h1", "h3"]),
        ("Node.Labels.Zone==a", ["h2"]),
        ("node.labels.gone != x", ["h1", "h2", "h3"]),
    ],
)
def test_a_constraint_keeps_a_global_service_to_some_nodes(constraint: str, hosts: list[str]) -> None:
    tasks, reason = scheduler().place(service(mode="global", constraints=(constraint,)), TASK, 1)
    assert hosts_of(tasks) == hosts and reason == ""
    assert [task.name for task in tasks] == [f"web.{host}" for host in hosts]
    assert not any(task.rivals for task in tasks)


def test_a_labels_own_letters_count() -> None:
    with pytest.raises(SpecError, match="scheduling constraints not satisfied on 3 nodes"):
        placed(1, constraints=("node.labels.zone == a",))


def test_all_constraints_have_to_hold() -> None:
    assert placed(2, constraints=("node.role == worker", "node.labels.disk != ssd")) == ["h3", "h3"]


def test_replicas_beyond_the_most_that_a_node_may_have_stay_pending() -> None:
    tasks, reason = scheduler().place(service(), TASK, 5, max_replicas_per_node=1)
    assert hosts_of(tasks) == ["h1", "h2", "h3"]
    assert reason.endswith("no suitable node (max replicas per node limit exceed)")


def test_a_port_in_mode_host_is_free_once_on_each_node() -> None:
    port = ServicePort(target=80, published=8080, mode="host")
    manager = scheduler()
    tasks, reason = manager.place(service(ports=(port,)), TASK, 4)
    assert hosts_of(tasks) == ["h1", "h2", "h3"]
    assert reason.endswith("no suitable node (host-mode port already in use on 3 nodes)")
    with pytest.raises(SpecError, match=r"service api: no suitable node \(host-mode port already in use on 1 node\)"):
        manager.place(service("api", ports=(port,), mode="global"), TASK, 0)


def test_host_ports_that_the_engine_draws_keep_nobody_out() -> None:
    assert len(placed(6, ports=(ServicePort(target=80, mode="host"),))) == 6


def test_why_there_is_no_node_is_told_in_the_schedulers_words() -> None:
    port = ServicePort(target=80, published=8080, mode="host")
    tasks, reason = scheduler().place(
        service(ports=(port,), constraints=("node.role == worker",)), TASK, 3)
    assert hosts_of(tasks) == ["h2", "h3"]
    assert reason == (
        "service web: 2 tasks run, others stay pending: no suitable node (host-mode port already in use on 2 nodes; "
        "scheduling constraints not satisfied on 1 node)")


def test_a_service_that_no_node_can_take_is_an_error_that_names_its_constraints() -> None:
    with pytest.raises(SpecError) as error:
        placed(2, constraints=("node.hostname == h9",))
    assert "service web: no suitable node (scheduling constraints not satisfied on 3 nodes)" in str(error.value)
    assert "node.hostname == h9" in error.value.mend


def test_a_service_without_replicas_has_no_task_and_is_no_error() -> None:
    assert scheduler().place(service(), TASK, 0) == ([], "")


@given(replicas=st.integers(1, 12), other=st.integers(0, 5))
def test_no_node_has_two_tasks_more_of_a_service_than_another(replicas: int, other: int) -> None:
    manager = scheduler()
    if other:
        manager.place(service("other"), TASK, other)
    hosts = hosts_of(manager.place(service(), TASK, replicas)[0])
    counts = [hosts.count(host.name) for host in HOSTS]
    assert max(counts) - min(counts) <= 1


def test_a_node_of_another_architecture_takes_only_what_its_name_in_docker_info_allows() -> None:
    made = topology().host("h1").host("pi", arch="aarch64").network("n", driver="overlay")
    found = []
    for said in ("node.platform.arch == aarch64", "node.platform.arch != AARCH64", "node.platform.os == linux"):
        placed = made.service("web", networks=["n"], constraints=[said]).spec()
        found.append([task.host for task in placed.tasks("web")])
    assert found == [["pi"], ["h1"], ["h1"]]
    with pytest.raises(SpecError, match=r"node\.platform\.arch == amd64"):  # the engine calls it x86_64
        made.service("web", networks=["n"], constraints=["node.platform.arch == amd64"]).spec()
