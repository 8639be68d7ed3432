"""Which Compose files are stacks, and what `docker stack deploy` makes of them."""

from __future__ import annotations

import pytest

from sim.compose import loads
from sim.errors import SpecError
from sim.spec import Service, ServicePort, Spec

HOSTS = "x-hopcast: {stack: true, hosts: {h1: , h2: {labels: {disk: ssd}}, h3: }}\n"


def stack(text: str, head: str = HOSTS) -> Spec:
    return loads(f"name: shop\n{head}{text}", file="c.yaml", environment={})


def only_service(spec: Spec) -> Service:
    (service,) = spec.services
    return service


# is it one?


@pytest.mark.parametrize(
    "body",
    [
        "{deploy: {mode: global}}",
        "{deploy: {endpoint_mode: vip}}",
        "{deploy: {placement: {constraints: [node.role == manager]}}}",
        "{deploy: {update_config: {parallelism: 1}}}",
        "{deploy: {rollback_config: {parallelism: 1}}}",
        "{deploy: {replicas: 2}, networks: [ov]}",
    ],
)
def test_what_only_a_stack_heeds_makes_a_file_a_stack_and_the_note_says_why(body: str) -> None:
    spec = stack(f"services: {{web: {body}}}\nnetworks: {{ov: {{driver: overlay}}}}", head="")
    assert [service.name for service in spec.services] == ["shop_web"]
    assert any("only a stack heeds services.web.deploy" in note for note in spec.notes)


@pytest.mark.parametrize(
    "body",
    [
        "{image: x}",
        "{deploy: {replicas: 2, resources: {limits: {cpus: '1'}}, restart_policy: {condition: any}}}",
        "{deploy: {mode: replicated, placement: {}}}",
        "{ports: [{target: 80, published: 8080, mode: ingress}]}",  # as `docker compose config` writes every port
        "{deploy: {replicas: 2}, networks: [open]}",
    ],
)
def test_what_compose_heeds_as_well_leaves_a_file_a_compose_project(body: str) -> None:
    spec = stack(f"services: {{web: {body}}}\nnetworks: {{open: {{driver: overlay, attachable: true}}}}", head="")
    assert not spec.services
    assert spec.containers[0].name == "shop-web-1"


def test_a_file_may_say_that_it_is_no_stack() -> None:
    spec = stack("services: {web: {deploy: {mode: global}}}", head="x-hopcast: {stack: false}\n")
    assert not spec.services and not spec.in_swarm


def test_a_service_may_stay_a_plain_container_beside_the_stack() -> None:
    spec = stack("""
services:
  web: {networks: [ov]}
  client1: {networks: [ov], x-hopcast: {stack: false, host: h3}}
networks: {ov: {attachable: true}}
""")
    assert [(c.name, c.host, c.task_of) for c in spec.containers] == [
        ("shop-client1-1", "h3", ""), ("shop_web.1", "h1", "shop_web")]


def test_a_service_that_wants_to_be_plain_makes_no_stack() -> None:
    spec = stack("services: {web: {deploy: {endpoint_mode: vip}, x-hopcast: {stack: false}}}", head="")
    assert not spec.services


# what it makes


def test_services_networks_and_tasks_have_the_names_that_the_cli_gives() -> None:
    spec = stack("services: {web: {image: nginx, deploy: {replicas: 2}}}")
    assert [(n.name, n.driver, n.scope) for n in spec.networks] == [("shop_default", "overlay", "swarm")]
    service = only_service(spec)
    assert (service.name, service.key) == ("shop_web", "web")
    assert [(t.name, t.host, t.service, t.mode) for t in spec.tasks("shop_web")] == [
        ("shop_web.1", "h1", "web", "networks"), ("shop_web.2", "h2", "web", "networks")]
    assert [p.port for p in spec.containers[0].listens] == [80]
    assert spec.swarm_service("web") is spec.swarm_service("shop_web") is service


def test_networks_are_attached_by_their_full_names_and_the_key_is_the_last_alias() -> None:
    spec = stack("""
services: {web: {networks: {zeta: {aliases: [www]}, alpha: }}}
networks: {zeta: {name: aa}, alpha: }
""")
    assert [(a.network, a.aliases) for a in only_service(spec).attachments] == [
        ("aa", ("www", "web")), ("shop_alpha", ("web",))]
    assert spec.containers[0].attachments == only_service(spec).attachments


def test_an_external_network_of_a_stack_is_an_attachable_overlay() -> None:
    spec = stack("services: {web: {networks: [corp]}}\nnetworks: {corp: {external: true}}")
    assert [(n.name, n.driver, n.attachable) for n in spec.networks] == [("corp", "overlay", True)]


def test_a_global_service_has_a_task_on_each_node_named_after_it() -> None:
    spec = stack("services: {web: {deploy: {mode: global, placement: {constraints: [node.labels.disk != ssd]}}}}")
    assert [(t.name, t.host) for t in spec.containers] == [("shop_web.h1", "h1"), ("shop_web.h3", "h3")]


def test_what_the_scheduler_draws_is_the_first_host_and_the_others_are_rivals() -> None:
    spec = stack("services: {web: {deploy: {replicas: 2}}}")
    assert [(t.host, t.rivals) for t in spec.containers] == [("h1", ("h2", "h3")), ("h2", ("h3",))]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("80", [(80, 0, "tcp", "ingress")]),
        ('"8080:80"', [(80, 8080, "tcp", "ingress")]),
        ('"5353:53/udp"', [(53, 5353, "udp", "ingress")]),
        ('"3000-3001:4000-4001"', [(4000, 3000, "tcp", "ingress"), (4001, 3001, "tcp", "ingress")]),
        ('"9000-9002:80"', [(80, n, "tcp", "ingress") for n in (9000, 9001, 9002)]),
        ("{target: 80, published: 8080}", [(80, 8080, "tcp", "ingress")]),
        ("{target: 80, published: 8080, mode: host, protocol: udp}", [(80, 8080, "udp", "host")]),
        ('"9090:90", "8080:80"', [(80, 8080, "tcp", "ingress"), (90, 9090, "tcp", "ingress")]),
    ],
)
def test_every_form_of_a_services_port_is_read(entry: str, expected: list[tuple[int, int, str, str]]) -> None:
    service = only_service(stack(f"services: {{web: {{ports: [{entry}]}}}}"))
    assert [(p.target, p.published, p.protocol, p.mode) for p in service.ports] == expected


def test_a_port_in_mode_host_is_published_by_each_tasks_own_container() -> None:
    spec = stack("services: {web: {ports: ['8080:80', {target: 81, published: 8081, mode: host}]}}")
    assert [(p.host_port, p.container_port) for p in spec.containers[0].ports] == [(8081, 81)]
    assert [p.port for p in spec.containers[0].listens] == [80, 81]
    assert only_service(spec).ingress_ports == (ServicePort(target=80, published=8080),)


def test_an_address_before_a_port_is_ignored_and_the_note_says_so() -> None:
    spec = stack("services: {web: {ports: ['127.0.0.1:8080:80']}}")
    assert only_service(spec).ports == (ServicePort(target=80, published=8080),)
    assert any("service will listen on '0.0.0.0'" in note for note in spec.notes)


def test_what_docker_stack_deploy_ignores_is_said_once() -> None:
    spec = stack("""
services:
  web: {container_name: w, depends_on: [db], links: [db], networks: {n: {ipv4_address: 10.9.0.5}}}
  db: {network_mode: host, networks: }
networks: {n: {ipam: {config: [{subnet: 10.9.0.0/24}]}}}
""".replace(", networks: }", "}"))
    assert [service.name for service in spec.services] == ["shop_web", "shop_db"]
    assert [a.network for a in spec.services[1].attachments] == ["shop_default"]
    (note,) = [note for note in spec.notes if note.startswith("ignored, as docker stack deploy does")]
    assert "container_name (web)" in note and "network_mode (db)" in note and "networks' ipv4_address (web)" in note
    assert spec.services[0].attachments[0].ipv4_address == ""


def test_replicas_that_no_node_can_take_stay_pending_and_are_no_containers() -> None:
    spec = stack("services: {web: {deploy: {replicas: 5, placement: {max_replicas_per_node: 1}}}}")
    assert len(spec.containers) == 3
    assert any("others stay pending: no suitable node (max replicas per node limit exceed)" in n for n in spec.notes)


def test_a_stack_in_a_stack_file_needs_no_version_and_keeps_unused_networks_out() -> None:
    spec = stack("version: '3.8'\nservices: {web: {}}\nnetworks: {unused: }")
    assert [n.name for n in spec.networks] == ["shop_default"]


WEB = "services:\n  web:\n    image: x\n"
BAD: list[tuple[str, list[str]]] = [
    (WEB + "    deploy: {mode: replicated-job}", ["c.yaml:6: services.web.deploy.mode", "is not modelled"]),
    (WEB + "    deploy: {mode: global, replicas: 2}", ["replicas: replicas can only be used with replicated mode"]),
    (WEB + "    deploy: {endpoint_mode: dns}", ["deploy.endpoint_mode: 'dns' is no endpoint_mode", "dnsrr"]),
    (
        WEB + "    ports: ['80:80']\n    deploy: {endpoint_mode: dnsrr}",
        ["c.yaml:6: services.web.ports", "port published with ingress mode can't be used with dnsrr mode"],
    ),
    (WEB + "    deploy: {placement: {constraints: node.role == manager}}", ["constraints: should be a list"]),
    (WEB + "    deploy: {placement: {constraints: [node.role]}}", ["constraint expected one operator from ==, !="]),
    (WEB + "    deploy: {placement: {constraints: ['-x == 1']}}", ["constraints[0]: key '-x' is invalid"]),
    (WEB + "    deploy: {placement: {constraints: ['node.role == a,b']}}", ["value 'a,b' is invalid"]),
    (WEB + "    deploy: {placement: {constraints: [node.roll == x]}}", ["no node has 'node.roll'", "'node.role'"]),
    (
        WEB + "    deploy: {placement: {constraints: [engine.labels.os == x]}}",
        ["constraint on engine.labels.os is not modelled; give the host labels"],
    ),
    (WEB + "    deploy: {placement: {constraints: [node.platform.oss == linux]}}", ["did you mean 'node.platform.os'"]),
    (WEB + "    deploy: {placement: {constraints: [node.id == abc]}}", ["node.id is not", "use node.hostname"]),
    (
        WEB + "    deploy:\n      placement: {constraints: [node.hostname == h9]}",
        [
            "c.yaml:7: services.web.deploy.placement: no suitable node (scheduling constraints not satisfied on 3",
            "node.hostname == h9",
        ],
    ),
    (WEB + "    deploy: {placement: {preferences: [{spread: node.labels.a}]}}", ["preferences are not modelled"]),
    (WEB + "    deploy: {placement: {constraint: [a == b]}}", ["unknown key 'constraint' in placement"]),
    (WEB + "    deploy: {placement: {max_replicas_per_node: -1}}", ["max_replicas_per_node: -1 replicas"]),
    (WEB + "    ports: [{target: 80, host_ip: 127.0.0.1}]", ["ports[0].host_ip: a stack knows no host_ip"]),
    (WEB + "    ports: [{target: 80, mode: hots}]", ["mode: 'hots' is no mode of a port; did you mean 'host'?"]),
    (WEB + "    ports: [{target: 80, published: 80-81}]", ["ports[0].published: '80-81' is not a whole number"]),
    (WEB + "    ports: ['80-82:80-81']", ["3 host ports for 2 container ports"]),
    (WEB + "    ports: ['80:80', '80:81']", ["EndpointSpec: duplicate published ports provided"]),
    (
        WEB + "    ports: ['80:80']\n  api:\n    ports: ['80:81']",
        ["c.yaml:7: services.api: port '80' is already in use by service 'shop_web' as an ingress port"],
    ),
    (
        WEB + "    ports: ['80:80']\n  api:\n    ports: [{target: 80, published: 80, mode: host}]",
        ["services.api: port '80' is already in use by service 'shop_web' as an ingress port"],
    ),
    (
        WEB + "    networks: [n]\nnetworks: {n: {driver: bridge}}",
        ["c.yaml:4: services.web: The network shop_n cannot be used with services.", "give it driver: overlay"],
    ),
    (
        WEB + "    networks: [n]\nnetworks: {n: {ipam: {config: [{subnet: 10.9.0.0/24, gateway: 10.9.0.9}]}}}",
        ["gateway: 'gateway' in a stack: docker stack deploy passes a network's subnet only; remove it"],
    ),
    (
        WEB + "    networks: [n]\nnetworks: {n: {external: true, name: host}}",
        ["networks.n.name: 'host' is one of Docker's own networks", "not modelled"],
    ),
    (WEB + "    scale: 2", ["c.yaml:6: services.web.scale: 'scale' in a stack", "use deploy.replicas"]),
    (WEB + "    dns_opt: [ndots:1]", ["services.web.dns_opt"]),
    (WEB + "    x-hopcast: {host: h2}", ["the swarm's scheduler chooses a task's host", "node.hostname == h2"]),
    (
        WEB + "  side: {network_mode: 'service:web', x-hopcast: {stack: false}}",
        ["services.side.network_mode: 'web' is a service of the swarm"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[row[1][-1][:50] for row in BAD])
def test_a_wrong_stack_is_one_line_with_file_key_and_mend(text: str, expected: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        stack(text)
    said = str(caught.value)
    assert "\n" not in said and said.startswith("c.yaml:")
    for part in expected:
        assert part in said


def test_stack_true_belongs_at_the_top() -> None:
    with pytest.raises(SpecError, match=r"the file is no stack; write `x-hopcast: \{stack: true\}` at its top"):
        stack(WEB + "    x-hopcast: {stack: true}", head="")
