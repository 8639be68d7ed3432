"""What a Compose file means, form by form. Wrong ones are in test_compose_refusals.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.compose import load, loads
from sim.spec import Listener, PublishedPort, Spec

SCENARIOS = Path(__file__).parents[2] / "experiments" / "scenarios"


def spec_of(text: str, **environment: str) -> Spec:
    return loads(text, environment=environment)


def service(body: str) -> str:
    return f"services:\n  web:\n    image: busybox\n    {body}\n"


def ports_of(entry: str) -> list[tuple[str, int, int, str]]:
    box = spec_of(service(f"ports: [{entry}]")).containers[0]
    return [(p.host_ip, p.host_port, p.container_port, p.protocol) for p in box.ports]


# ports


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("80", [("0.0.0.0", 0, 80, "tcp")]),
        ('"80"', [("0.0.0.0", 0, 80, "tcp")]),
        ("8080:80", [("0.0.0.0", 8080, 80, "tcp")]),
        ("22:22", [("0.0.0.0", 22, 22, "tcp")]),  # YAML 1.1 would make it 1342
        ('"127.0.0.1:8080:80/udp"', [("127.0.0.1", 8080, 80, "udp")]),
        ('"127.0.0.1::80"', [("127.0.0.1", 0, 80, "tcp")]),
        ('"3000-3002:4000-4002"', [("0.0.0.0", 3000 + i, 4000 + i, "tcp") for i in range(3)]),
        ('"3000-3001/udp"', [("0.0.0.0", 0, 3000, "udp"), ("0.0.0.0", 0, 3001, "udp")]),
        ('"9000-9005:80"', [("0.0.0.0", 9000, 80, "tcp")]),
        ("{target: 80, published: 8080}", [("0.0.0.0", 8080, 80, "tcp")]),
        (
            '{target: 80, published: "8080", host_ip: 127.0.0.1, protocol: udp, mode: host, app_protocol: http}',
            [("127.0.0.1", 8080, 80, "udp")],
        ),
        ("{target: 80}", [("0.0.0.0", 0, 80, "tcp")]),
    ],
)
def test_every_form_of_a_published_port_is_read(entry: str, expected: list[tuple[str, int, int, str]]) -> None:
    assert ports_of(entry) == expected


def test_replicas_take_the_next_host_ports_of_a_range() -> None:
    spec = spec_of(service('ports: ["9000-9002:80"]\n    scale: 3'))
    assert [box.ports[0].host_port for box in spec.containers] == [9000, 9001, 9002]
    assert [box.name for box in spec.containers] == [f"hopcast-web-{n}" for n in (1, 2, 3)]


@given(host=st.integers(1, 65535), inside=st.integers(1, 65535), protocol=st.sampled_from(["tcp", "udp"]))
def test_a_short_port_and_its_long_form_are_the_same_port(host: int, inside: int, protocol: str) -> None:
    long = f"{{target: {inside}, published: {host}, protocol: {protocol}}}"
    assert ports_of(f'"{host}:{inside}/{protocol}"') == ports_of(long) == [("0.0.0.0", host, inside, protocol)]


def test_a_service_in_host_mode_keeps_its_ports_for_the_engine_to_discard() -> None:
    box = spec_of(service('network_mode: host\n    ports: ["8081:80"]')).containers[0]
    assert (box.mode, box.ports, box.listens) == (
        "host",
        (PublishedPort(container_port=80, host_port=8081),),
        (Listener(port=80),),
    )


# networks


def test_without_networks_services_join_the_projects_default_bridge() -> None:
    spec = loads("name: shop\nservices: {web: {image: nginx}, db: {image: postgres}}", environment={})
    assert [(n.name, n.key, n.driver) for n in spec.networks] == [("shop_default", "default", "bridge")]
    assert [[a.network for a in c.attachments] for c in spec.containers] == [["shop_default"], ["shop_default"]]


def test_only_used_networks_are_made_default_first_then_in_the_files_order() -> None:
    spec = spec_of("""
services:
  a: {image: x, networks: [zeta, default]}
  b: {image: x, networks: [alpha]}
  c: {image: x}
networks: {zeta: {}, unused: {}, alpha: {name: plain}, outer: {external: true}}
""")
    assert [n.name for n in spec.networks] == ["hopcast_default", "hopcast_zeta", "plain"]
    assert any("'unused' is used by no service" in note for note in spec.notes)


def test_an_external_network_exists_before_the_others_under_its_own_name() -> None:
    spec = spec_of("services: {a: {networks: [b, ext]}}\nnetworks: {b: {}, ext: {external: true, name: corp}}")
    assert [n.name for n in spec.networks] == ["corp", "hopcast_b"]


def test_networks_are_attached_by_priority_and_then_by_key() -> None:
    spec = spec_of("""
services: {a: {networks: {c: , a: {priority: 1}, b: {priority: 10, aliases: [x], ipv4_address: 10.9.0.5}}}}
networks: {a: , b: {ipam: {config: [{subnet: 10.9.0.0/24}]}}, c: }
""")
    attachments = spec.containers[0].attachments
    assert [a.network for a in attachments] == ["hopcast_b", "hopcast_a", "hopcast_c"]
    assert (attachments[0].aliases, attachments[0].ipv4_address) == (("a", "x"), "10.9.0.5")


def test_ipam_options_and_flags_of_a_network_are_read() -> None:
    net = spec_of("""
services: {a: {networks: [n]}}
networks:
  n:
    internal: true
    attachable: yes
    driver_opts: {com.docker.network.bridge.name: mybr0, com.docker.network.bridge.enable_icc: "false"}
    ipam:
      config:
        - {subnet: 172.28.5.4/16, gateway: 172.28.5.254, ip_range: 172.28.5.0/24, aux_addresses: {h: 172.28.1.5}}
""").networks[0]
    assert (net.internal, net.attachable) == (True, True)
    assert net.options == {"com.docker.network.bridge.name": "mybr0", "com.docker.network.bridge.enable_icc": "false"}
    assert (net.subnet, net.gateway, net.ip_range) == ("172.28.5.4/16", "172.28.5.254", "172.28.5.0/24")
    assert net.aux_addresses == ("172.28.1.5",)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("bridge", "bridge"),
        ("host", "host"),
        ("none", "none"),
        ('"service:db"', "container:hopcast-db-1"),
        ('"container:hopcast-db-1"', "container:hopcast-db-1"),
    ],
)
def test_network_modes_are_dockers(mode: str, expected: str) -> None:
    spec = spec_of(f"services:\n  web: {{network_mode: {mode}}}\n  db: {{image: x}}")
    box = spec.container("web")
    assert box is not None and (box.mode, box.attachments) == (expected, ())


# services


def test_names_hosts_and_resolver_options_are_read() -> None:
    box = spec_of("""
services:
  web:
    container_name: my_web
    hostname: webby
    mac_address: 02:42:11:11:00:02
    expose: [3000, "53/udp", "8000-8001"]
    dns: 9.9.9.9
    dns_search: [a.example, b.example]
    dns_opt: ["ndots:2"]
    extra_hosts: ["db.example:10.0.0.9", "gw=host-gateway"]
    sysctls: {net.ipv4.ip_forward: 0}
""").containers[0]
    assert (box.name, box.service, box.hostname, box.mac_address) == ("my_web", "web", "webby", "02:42:11:11:00:02")
    assert box.expose == tuple(
        Listener(port=p, protocol=t)
        for p, t in (  # type: ignore[arg-type]
            (3000, "tcp"),
            (53, "udp"),
            (8000, "tcp"),
            (8001, "tcp"),
        )
    )
    assert (box.dns, box.dns_search, box.dns_opt) == (("9.9.9.9",), ("a.example", "b.example"), ("ndots:2",))
    assert box.extra_hosts == ("db.example:10.0.0.9", "gw:host-gateway")
    assert box.sysctls == {"net.ipv4.ip_forward": "0"}
    assert box.listens == box.expose


def test_extra_hosts_may_be_a_map() -> None:
    assert spec_of(service("extra_hosts: {db: 10.0.0.9}")).containers[0].extra_hosts == ("db:10.0.0.9",)


def test_services_start_after_what_they_depend_on() -> None:
    spec = spec_of("""
services:
  web: {depends_on: [api]}
  cache: {}
  api: {depends_on: {db: {condition: service_healthy}}}
  db: {}
""")
    assert [c.service for c in spec.containers] == ["db", "api", "web", "cache"]


def test_a_link_is_no_alias_of_the_linked_container_but_a_name_of_the_linking_one() -> None:
    spec = spec_of("""
services:
  web: {networks: [front], links: ["db:database"]}
  db: {networks: [back, front]}
networks: {front: , back: }
""")
    db, web = spec.container("db"), spec.container("web")
    assert db is not None and web is not None
    assert {a.network: a.aliases for a in db.attachments} == {"hopcast_back": ("db",), "hopcast_front": ("db",)}
    assert web.links[0] == "hopcast-db-1:database"


def test_a_network_as_network_mode_is_joined_without_aliases() -> None:
    spec = spec_of("services: {web: {networks: [front]}, job: {network_mode: hopcast_front}}\nnetworks: {front: }")
    job = next(box for box in spec.containers if box.service == "job")
    assert (job.mode, [(a.network, a.aliases, a.service_name) for a in job.attachments]) == (
        "networks", [("hopcast_front", (), False)])
    assert "job" not in {question.target for question in spec.questions}


def test_a_service_with_a_profile_stays_out_until_the_profile_is_on() -> None:
    text = "services: {web: {}, debug: {profiles: [dev], volumes: [x]}}"
    spec = spec_of(text)
    assert [c.service for c in spec.containers] == ["web"]
    assert [note for note in spec.notes if "debug" in note] == ["left out, for their profiles are off: debug"]
    assert len(spec_of(text, COMPOSE_PROFILES="dev").containers) == 2


def test_what_cannot_change_a_packets_fate_is_said_once() -> None:
    spec = spec_of("""
services:
  a: {image: x, volumes: [v], command: "echo $(date)", environment: {A: 1}}
  b: {build: ., volumes: [v], restart: always, logging: {driver: none}}
volumes: {v: }
""")
    assert spec.notes == (
        "not read, for it can't change a packet's fate: build (b), command (a), environment (a), "
        "logging (b), volumes (a, b)",
    )


def test_restart_policy_is_read_without_its_number_of_attempts() -> None:
    spec = spec_of("""
services:
  a: {image: x, restart: always}
  b: {image: x, restart: "on-failure:3"}
  c: {image: x, restart: no}
  d: {image: x}
""")
    assert [box.restart for box in spec.containers] == ["always", "on-failure", "no", "no"]


def test_a_well_known_image_listens_where_it_usually_does() -> None:
    spec = spec_of(
        "services: {db: {image: docker.io/library/postgres:16@sha256:0}, web: {image: nginx, ports: ['81:81']}}"
    )
    assert [c.listens for c in spec.containers] == [(Listener(port=5432),), (Listener(port=81),)]
    assert any("assumed from the image: db on 5432" in note for note in spec.notes)


def test_containers_that_share_a_namespace_share_its_ports() -> None:
    spec = spec_of("services: {a: {image: nginx}, b: {image: nginx, network_mode: 'service:a'}}")
    assert [c.listens for c in spec.containers] == [(Listener(port=80),), ()]
    assert any("hopcast-b-1 shares its network namespace with hopcast-a-1" in note for note in spec.notes)


# the document


def test_anchors_merges_and_extension_keys_work() -> None:
    spec = spec_of("""
x-base: &base {image: nginx, ports: ["8080:80"], expose: ["1"]}
services:
  web: {<<: *base, expose: ["2"], x-team: blue}
""")
    assert spec.containers[0].ports[0].host_port == 8080
    assert spec.containers[0].expose == (Listener(port=2),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$PORT", 81),
        ("${PORT}", 81),
        ("${PORT:-90}", 81),
        ("${NONE:-90}", 90),
        ("${NONE-90}", 90),
        ("${EMPTY:-90}", 90),
        ("${NONE:-${PORT}}", 81),
        ("${PORT:+92}", 92),
        ("9${NONE:+1}0", 90),
        ("${PORT:?must}", 81),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, expected: int) -> None:
    box = spec_of(service(f'expose: ["{text}"]'), PORT="81", EMPTY="").containers[0]
    assert box.expose == (Listener(port=expected),)


def test_two_dollars_are_one_and_a_missing_variable_is_noted() -> None:
    spec = spec_of(service('hostname: "a$$b${GONE}"'))
    assert spec.containers[0].hostname == "a$b"
    assert "variables that are not set, taken as empty: GONE" in spec.notes


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(service('expose: ["${A}", "${B}"]'))
    (tmp_path / ".env").write_text("# ports\nexport A=1\nB='2' # two\n")
    box = load(tmp_path, environment={"A": "3"}).containers[0]
    assert [p.port for p in box.expose] == [3, 2]


def test_the_project_is_named_as_compose_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "_My Shop.v2"
    folder.mkdir()
    file = folder / "docker-compose.yml"
    file.write_text("services: {web: {}}")
    assert load(file, environment={}).name == "myshopv2"
    assert load(file, environment={"COMPOSE_PROJECT_NAME": "other"}).containers[0].name == "other-web-1"
    file.write_text("name: given\nservices: {web: {}}")
    assert load(file, environment={}).name == "given"


# x-hopcast


def test_hosts_clients_and_engine_options_are_read() -> None:
    spec = spec_of("""
services: {web: {x-hopcast: {listens: [80, 53/udp], host: h2}}}
x-hopcast:
  hosts:
    h1: {engine: {version: 20.10, userland-proxy: false, icc: false, bip: 10.1.0.1/24, mtu: 1400,
                  default-address-pools: [{base: 10.9.0.0/16, size: 24}]}}
    h2: {address: 192.168.99.150/24}
  clients:
    c1: {routes: [172.16.0.0/12 via h1], listens: [7000]}
""")
    h1, h2 = spec.hosts
    assert (h1.address, h2.address) == ("192.168.99.101/24", "192.168.99.150/24")
    assert (h1.engine.version, h1.engine.userland_proxy, h1.engine.icc, h1.engine.mtu) == ("20.10", False, False, 1400)
    assert h1.engine.default_address_pools == (("10.9.0.0/16", 24),)
    assert spec.clients[0].routes == ("172.16.0.0/12 via 192.168.99.101",)
    assert (spec.containers[0].host, spec.containers[0].listens) == (
        "h2",
        (Listener(port=80), Listener(port=53, protocol="udp")),
    )


def test_the_default_machines_give_way_to_containers_of_their_names() -> None:
    spec = spec_of("services: {a: {container_name: client}, b: {container_name: host}}")
    assert (spec.hosts[0].name, spec.clients[0].name) == ("host-2", "client-2")
    assert spec_of("services: {client: {}}").clients[0].name == "client-2"


# the scenarios


def test_the_articles_scenario_asks_at_least_32_questions_in_groups() -> None:
    spec = load(SCENARIOS / "article_single_host.yaml")
    assert len(spec.questions) >= 32
    assert {
        "default bridge",
        "user-defined bridge",
        "published port",
        "host network",
        "none",
        "internal network",
        "icc off",
    } <= {q.group for q in spec.questions}
    assert [c.mode for c in spec.containers if c.mode != "networks"] == ["bridge", "bridge", "bridge", "host", "none"]
    assert len({(q.source, q.target, q.probe, q.port, q.by, q.published) for q in spec.questions}) == len(
        spec.questions
    )


def test_an_ordinary_persons_compose_file_runs_unchanged() -> None:
    spec = load(SCENARIOS / "shop.yaml", environment={})
    assert [c.name for c in spec.containers] == ["shop-db-1", "shop-redis-1", "shop-api-1", "shop-web-1"]
    assert [n.name for n in spec.networks] == ["shop_front", "shop_back"]
    asked = {str(q) for q in spec.questions}
    assert {
        "host -> 127.0.0.1:8080 tcp",
        "client -> shop-web-1:80 tcp (published)",
        "shop-redis-1 -> db:5432 tcp by name",
        "shop-web-1 -> shop-db-1:5432 tcp",
        "client -> shop-db-1:5432 tcp",
    } <= asked


def test_a_macvlan_over_two_engines_says_which_addresses_may_be_given_twice() -> None:
    text = """
services:
  one: {image: nginx, container_name: one, networks: [lan], x-hopcast: {host: h1}}
  two: {image: nginx, container_name: two, networks: {lan: {ipv4_address: 10.1.0.9}}, x-hopcast: {host: h2}}
networks: {lan: {driver: macvlan, driver_opts: {parent: eth0}, ipam: {config: [{subnet: 10.1.0.0/24}]}}}
x-hopcast: {hosts: {h1: , h2: }}
"""
    notes = [note for note in loads(text, environment={}).notes if "on its own" in note]
    assert len(notes) == 1 and "without an ipv4_address one may" in notes[0]


def test_underlay_gives_the_addresses_that_the_file_does_not() -> None:
    spec = loads(
        "services: {web: {image: nginx}}\n"
        "x-hopcast: {underlay: {subnet: 10.9.0.0/16, mtu: 9000, rate: 2.5gbit, delay: 500us}}",
        environment={})
    assert (spec.hosts[0].address, spec.clients[0].address) == ("10.9.0.101/16", "10.9.0.200/16")
    assert (spec.underlay.mtu, spec.underlay.rate, spec.underlay.delay) == (9000, 2.5e9, 0.0005)


def test_sctp_ports_are_published_and_a_note_says_that_nobody_asks_for_them() -> None:
    text = ("services:\n  web: {image: x}\n"
            "  sig: {image: x, ports: ['2905:2906/sctp', '80'], expose: ['9/sctp', '53/udp']}\n")
    spec = loads(text, environment={})
    sig = spec.container("sig")
    assert sig is not None
    assert [(port.container_port, port.protocol) for port in sig.ports] == [(2906, "sctp"), (80, "tcp")]
    assert [str(listener) for listener in sig.listens] == ["53/udp", "80/tcp"]
    assert {question.probe for question in spec.questions} == {"ping", "tcp", "udp"}
    assert [note for note in spec.notes if "SCTP" in note] == [
        "SCTP's ports are predicted as plumbing, and no question asks for them: sig"]
