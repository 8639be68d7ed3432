"""What a Spec with services and faults refuses: in swarmkit's words where it is a manager's refusal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.checks.swarm import Constraint, read_constraint
from sim.errors import SpecError
from sim.spec import Attachment, Container, Fault, Host, Network, Question, Service, ServicePort, Spec

HOSTS = (Host(name="h1"), Host(name="h2", address="192.168.99.102/24"))
OV = Network(name="ov", driver="overlay")
ON = (Attachment(network="ov"),)
HTTP = ServicePort(target=80, published=8080)
ON_HOST = ServicePort(target=80, published=8080, mode="host")
TASK = Container(name="web.1", service="web", task_of="web", host="h1", attachments=ON)


def spec(*services: Service, faults: tuple[Fault, ...] = (), **fields: object) -> Spec:
    return Spec.model_validate({"hosts": HOSTS, "networks": (OV,), "services": services, "faults": faults, **fields})


def web(**fields: object) -> Service:
    return Service.model_validate({"name": "web", "attachments": ON, **fields})


def fault(kind: str, host: str = "h2", name: str = "f") -> Fault:
    return Fault.model_validate({"name": name, "kind": kind, "host": host})


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: web(ports=(HTTP, ServicePort(target=81, published=8080))), "service web: EndpointSpec: duplicate"),
    (lambda: web(ports=(HTTP,), endpoint_mode="dnsrr"), "port published with ingress mode can't be used with"),
    (lambda: web(attachments=(Attachment(network="ov", ipv4_address="10.0.0.9"),)), "a task can't choose its address"),
    (lambda: web(constraints=("node.role=worker",)), "service web: constraint expected one operator from ==, !="),
    (lambda: web(mode="job"), "unknown mode 'job'; known: global, replicated"),
    (lambda: spec(web(), web()), "services: two services are named 'web'"),
    (lambda: spec(web(key="api"), Service(name="api", attachments=ON)), "two services are named 'api'"),
    (lambda: spec(web(), containers=(Container(name="web", mode="bridge", host="h1"),)), "a service and a namespace"),
    (lambda: spec(web(key="h1")), "a service and a namespace are both named 'h1'"),
    (lambda: spec(web(attachments=(Attachment(network="vo"),))), "service web: unknown network 'vo'; known: ov"),
    (
        lambda: spec(web(), networks=(Network(name="ov"),)),
        "service web: The network ov cannot be used with services. Only networks scoped to the swarm can be used",
    ),
    (
        lambda: spec(web(ports=(HTTP,)), Service(name="api", attachments=ON, ports=(HTTP,))),
        "service api: port '8080' is already in use by service 'web' as an ingress port",
    ),
    (
        lambda: spec(web(ports=(ON_HOST,)), Service(name="api", attachments=ON, ports=(HTTP,))),
        "port '8080' is already in use by service 'web' as a host-published port",
    ),
    (lambda: spec(containers=(TASK,)), "container web.1: a task of 'web', which is no service"),
    (lambda: spec(faults=(fault("link down", "h3"),)), "fault f: unknown host 'h3'"),
    (lambda: spec(faults=(fault("link down"), fault("link down", "h1"))), "faults: two faults are named 'f'"),
    (lambda: spec(faults=(fault("node left", "h1"),)), "node left: h1 is the only manager"),
    (lambda: spec(faults=(fault("node left"),), networks=()), "node left: the hosts form no swarm"),
    (lambda: spec(questions=(Question(source="h1", target="h2", during="f"),)), "unknown fault 'f'; declare it"),
    (
        lambda: spec(
            faults=(fault("link down"),),
            questions=(Question(source="h1", target="h2", during="f", after="f"),),
        ),
        "during and after exclude each other",
    ),
]


@pytest.mark.parametrize(("make", "expected"), BAD, ids=[row[1][:60] for row in BAD])
def test_a_wrong_service_or_fault_is_a_spec_error_in_one_line(make: Callable[[], object], expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_two_services_may_publish_a_port_in_mode_host_the_scheduler_keeps_them_apart() -> None:
    assert spec(web(ports=(ON_HOST,)), Service(name="api", attachments=ON, ports=(ON_HOST,)))


def test_one_number_may_be_published_for_tcp_and_for_udp() -> None:
    other = ServicePort(target=53, published=8080, protocol="udp")
    assert spec(web(ports=(HTTP,)), Service(name="api", attachments=ON, ports=(other,)))


def test_a_drawn_port_is_in_nobodys_way() -> None:
    drawn = ServicePort(target=80)
    assert spec(web(ports=(drawn, ServicePort(target=81))), Service(name="api", attachments=ON, ports=(drawn,)))


def test_the_manager_can_be_drained_and_its_engine_killed() -> None:
    assert spec(faults=(fault("node drained", "h1", "a"), fault("engine killed", "h1", "b")))


def test_a_constraint_is_a_key_an_operator_and_a_value() -> None:
    assert read_constraint(" NODE.Role!= Worker ") == Constraint("node.role", False, "Worker")
    assert read_constraint("Node.Labels.Disk==ssd drive") == Constraint("node.labels.Disk", True, "ssd drive")


def test_equals_is_looked_for_before_unequal_as_swarmkit_does() -> None:
    with pytest.raises(SpecError, match=r"key 'node.role != a' is invalid"):
        read_constraint("node.role != a == b")
