"""What the Compose reader says about a wrong file: one line with file, line, key and mend, never another exception."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.compose import load, loads
from sim.errors import SpecError

# each row: a file, and what the error must say


WEB = "services:\n  web:\n    image: x\n"
BAD: list[tuple[str, list[str]]] = [
    ("", ["c.yaml: the file is empty", "declare at least one service"]),
    ("services:\n\tweb: x", ["c.yaml:2: not valid YAML", "never with tabs"]),
    ("services: [a", ["c.yaml:1: not valid YAML"]),
    ("- a", ["c.yaml:1: not a Compose file", "begin with `services:`"]),
    ("services: &a {web: *a}", ["an alias contains itself"]),
    ("services: {}", ["c.yaml:1: services: no services"]),
    ("service:\n  web: {}", ["c.yaml:1: service: unknown key 'service'; did you mean 'services'?"]),
    ("x-hopcst: {}\nservices: {a: {}}", ["c.yaml:1: x-hopcst", "did you mean 'x-hopcast'?"]),
    ("include: [gone.yaml]\nservices: {a: {}}", ["c.yaml:1: include[0]: no such file"]),
    ("include: ['oci://registry/x']\nservices: {a: {}}", ["c.yaml:1: include[0]: ", "Hopcast fetches nothing"]),
    ("name: '#'\nservices: {a: {}}", ["c.yaml:1: name: '#' is no name for a project; use small letters"]),
    (WEB + "    port: [80]", ["c.yaml:4: services.web.port: unknown key 'port' in a service; did you mean 'ports'?"]),
    (WEB + "    extends: {service: wbe}", ["c.yaml:4: services.web.extends.service: unknown service 'wbe'", "'web'"]),
    (WEB + "    extends: api\n  api: {extends: web}", ["extend each other in a circle: web -> api -> web"]),
    (WEB + "    extends: {file: gone.yaml, service: a}", ["c.yaml:4: services.web.extends.file: no such file"]),
    (WEB + "    env_file: gone.env", ["c.yaml:4: services.web.env_file: there is no env_file", "`required: false`"]),
    (WEB + "    volumes: ['data:/data']", ["unknown volume 'data'; declare it under the top-level `volumes:`"]),
    (WEB + "    mem_limit: much", ["services.web.mem_limit: 'much' is no amount of memory; write it like 512m"]),
    (WEB + "    healthcheck: {interval: 5}", ["healthcheck.interval: should be a text, is 5; put it in quotes"]),
    (WEB + "    stop_grace_period: 5", ["stop_grace_period: should be a text"]),
    (WEB + "    stop_grace_period: 5 s", ["stop_grace_period: '5 s' is no duration; write it like 1m30s"]),
    (WEB + "    network_mode: front\n  api: {networks: [front]}\nnetworks: {front: }",
     ["'front' is called 'hopcast_front' there; write `network_mode: hopcast_front`, or `networks: [front]`"]),
    (WEB + "    network_mode: hopcast_front\nnetworks: {front: }",
     ["network hopcast_front not found: no service has it under `networks`, so Compose does not make it"]),
    (WEB + "    environment: 5", ["c.yaml:4: services.web.environment: should be a list or a mapping, is 5"]),
    (WEB + "    hostname: a\n    hostname: b", ["c.yaml:4: services.web.hostname", "given again on line 5"]),
    (
        WEB + "    ports:\n      - 1:80\n      - 70000:80",
        ["c.yaml:6: services.web.ports[1]: port 70000 is out of range; use 1-65535"],
    ),
    (WEB + "    ports: ['0']", ["services.web.ports[0]: port 0 is out of range"]),
    (
        WEB + "    ports: [{target: 80, published: 99999}]",
        ["services.web.ports[0].published: port 99999 is out of range"],
    ),
    (WEB + "    ports: [{published: 80}]", ["services.web.ports[0]: a port needs a target"]),
    (WEB + "    ports: [{target: 80, publish: 1}]", ["ports[0].publish: unknown key", "did you mean 'published'?"]),
    (WEB + "    ports: ['web:80']", ["ports[0]: 'web' is no port; write it like 8080:80"]),
    (WEB + "    ports: ['[::1]:80:80']", ["ports[0]", "IPv6", "bind an IPv4 address"]),
    (WEB + "    ports: [{target: 80, host_ip: '::'}]", ["ports[0]", "IPv6"]),
    (WEB + "    ports: ['127.0.0.1:80']", ["ports[0]", "write 127.0.0.1::80"]),
    (WEB + "    ports: ['localhost:80:80']", ["ports[0]: 'localhost' is not an IPv4 address"]),
    (WEB + "    ports: ['80-82:80-81']", ["3 host ports for 2 container ports; make both ranges equally long"]),
    (WEB + "    ports: ['82-80']", ["runs backwards; write 80-82"]),
    (WEB + "    ports: ['80/dccp']", ["'dccp' is no protocol of ports; use tcp, udp or sctp"]),
    (WEB + "    build: {dockerfile: a, dockerfile_inline: FROM x}", ["a build with dockerfile and dockerfile_inline"]),
    (WEB + "    build: {context: ., platforms: [linux/arm64]}\n    platform: linux/amd64", ["is none that is built"]),
    (WEB + "    build: {context: ., secrets: [s]}", ["unknown secret 's'"]),
    (WEB + "    develop: {watch: [{path: a, action: sync}]}", ["'sync' needs a target"]),
    (WEB + "    volumes: ['data::ro']", ["'data::ro' has an empty section between colons"]),
    (WEB + "    volumes: ['']", ["a volume is empty"]),
    (WEB + "    volumes: ['/data:/b:ro:x']", ["'/data:/b:ro:x' has too many colons"]),
    (WEB + "    x-hopcast: {listens: [80/sctp]}", ["no probe speaks SCTP"]),
    (WEB + "    ports: 80", ["c.yaml:4: services.web.ports: should be a list, is 80"]),
    (WEB + "    ports: [[80]]", ["ports[0]: should be a text, is a list"]),
    (WEB + "    ports: ['80-81:80']\n    scale: 3", ["more containers than the 2 host ports 80-81; widen the range"]),
    (WEB + "    expose: [x]", ["services.web.expose[0]: 'x' is no port"]),
    (
        WEB + "    networks: [frnt]\nnetworks: {front: }",
        ["c.yaml:4: services.web.networks[0]: unknown network 'frnt'; did you mean 'front'?"],
    ),
    (WEB + "    networks: [front]", ["unknown network 'front'; declare it under the top-level `networks:`"]),
    (
        WEB + "    networks: [a]\n    network_mode: host\nnetworks: {a: }",
        ["c.yaml:4: services.web.networks: networks and network_mode exclude each other; keep one"],
    ),
    (WEB + "    networks: {a: {ipv4_adress: 1.2.3.4}}\nnetworks: {a: }", ["did you mean 'ipv4_address'?"]),
    (WEB + "    networks: {a: {ipv6_address: '::1'}}\nnetworks: {a: }", ["ipv6_address", "IPv4 only; remove it"]),
    (
        WEB + "    networks: {a: {ipv4_address: 10.9.1.5}}\nnetworks: {a: {ipam: {config: [{subnet: 10.9.0.0/24}]}}}",
        [
            "c.yaml:4: services.web.networks.a.ipv4_address: ipv4_address 10.9.1.5 is outside the subnet 10.9.0.0/24",
            "use an address in 10.9.0.0/24",
        ],
    ),
    (
        WEB + "    networks: {a: {ipv4_address: 10.9.1.5}}\nnetworks: {a: }",
        ["needs a network with a subnet of its own"],
    ),
    (
        WEB + "    restart: alway",
        ["c.yaml:4: services.web.restart: unknown restart policy 'alway'", "did you mean 'always'?"],
    ),
    (
        WEB + "    network_mode: brigde",
        ["c.yaml:4: services.web.network_mode: 'brigde' is no network mode; did you mean 'bridge'?"],
    ),
    (WEB + "    network_mode: service:wbe\n  api: {}", ["unknown service 'wbe'; did you mean 'web'?"]),
    (
        WEB + "    network_mode: container:gone",
        ["no container 'gone' in this project", "add a service with `container_name: gone`"],
    ),
    (WEB + "    network_mode: service:web", ["in a circle: web -> web"]),
    (
        WEB + "    network_mode: service:api\n    ports: ['80']\n  api: {}",
        ["can't be published from another", "publish them on"],
    ),
    (WEB + "    depends_on: [api]\n  api: {depends_on: [web]}", ["c.yaml:5", "in a circle: web -> api -> web"]),
    (
        WEB + "    depends_on: [ap]\n  api: {}",
        ["c.yaml:4: services.web.depends_on[0]: unknown service 'ap'; did you mean 'api'?"],
    ),
    (WEB + "    depends_on: [api]\n  api: {profiles: [x]}", ["its profiles are off; set COMPOSE_PROFILES"]),
    (WEB + "    container_name: a b", ["c.yaml:4: services.web.container_name: 'a b' is no name for a container"]),
    (WEB + "    container_name: x", ["'x' is no name for a container; it has two or more"]),
    (
        WEB + "    container_name: xy\n  api: {container_name: xy}",
        ["c.yaml:5: services.api.container_name: two containers are named 'xy'"],
    ),
    (WEB + "    container_name: xy\n    scale: 2", ["2 containers can't share one name; remove container_name"]),
    (WEB + "    scale: many", ["services.web.scale: 'many' is not a whole number"]),
    (WEB + "    scale: 2\n    deploy: {replicas: 3}", ["scale and deploy.replicas differ"]),
    (
        WEB + "    scale: 2\n    ports: ['8080:80']",
        ["services.web.ports: ", "-web-1 and ", "-web-2 both publish port 8080 of host", "x-hopcast: {stack: true}"],
    ),
    (WEB + "    deploy: {replica: 3}", ["did you mean 'replicas'?"]),
    (WEB + "    deploy: {replicas: }", ["replicas: should be a whole number, is empty; give it a value, or remove"]),
    (WEB + "    zzz: 1", ["unknown key 'zzz' in a service; Compose has no such key: remove it, or begin it with x-"]),
    (WEB + "    mac_address: zz", ["c.yaml:4: services.web.mac_address: 'zz' is not a MAC address"]),
    (WEB + "    mac_address: 03:42:ac:11:00:02", ["multicast"]),
    (WEB + "    dns: [one.one.one.one]", ["services.web.dns[0]: 'one.one.one.one' is not an IPv4 address"]),
    (WEB + "    extra_hosts: [db]", ["services.web.extra_hosts[0]: 'db' is no pair; write NAME=VALUE"]),
    (WEB + "    extra_hosts: {db: x}", ["services.web.extra_hosts.db: 'x' is not an IPv4 address"]),
    (WEB + "    external_links: [db]", ["services.web.external_links[0]: no container 'db' in this project"]),
    (
        WEB + "    hostname: ${X:?give it}",
        ["c.yaml:4: services.web.hostname: the variable X is required: give it; set it in"],
    ),
    (WEB + "    hostname: ${X", ["invalid interpolation '${X'"]),
    (WEB + "    hostname: !vault x", ["the tag '!vault' is not modelled"]),
    (
        WEB + "networks: {a: {driver: brigde}}",
        ["c.yaml:4: networks.a.driver: driver 'brigde' is not modelled; did you mean 'bridge'?"],
    ),
    (WEB + "networks: {a: {driver: weavenet}}", ["driver 'weavenet' is not modelled"]),
    (WEB + "networks: {a: {driver: macvlan, driver_opts: {macvlan_mode: brigde}}}", ["none of macvlan's", "'bridge'"]),
    (WEB + "networks: {a: {driver: macvlan, driver_opts: {com.docker.network.bridge.name: x}}}", ["not one that"]),
    (WEB + "x-hopcast: {underlay: {rate: 100}}", ["c.yaml:4: x-hopcast.underlay.rate", "write it like 100mbit"]),
    (WEB + "x-hopcast: {underlay: {subnet: 10.0.0.0/30}}", ["has no number", "give each machine an address"]),
    (
        WEB + "x-hopcast: {underlay: {subnet: 10.0.0.0/24}, hosts: {h: {address: 10.0.1.1/24}}}",
        ["hosts.h.address: address 10.0.1.1 is outside the subnet 10.0.0.0/24"],
    ),
    (WEB + "networks: {a: {driver: host}}", ["use `network_mode: host`"]),
    (
        WEB + "networks: {a: {external: true, name: bridge}}",
        ["networks.a.name: 'bridge' is one of Docker's own networks"],
    ),
    (
        WEB + "networks: {a: {external: true, internal: true}}",
        ["networks.a.internal: 'internal' on an external network"],
    ),
    (WEB + "networks: {a: {enable_ipv6: true}}", ["networks.a.enable_ipv6", "IPv4 only"]),
    (WEB + "networks: {a: {intrenal: true}}", ["unknown key 'intrenal' in a network; did you mean 'internal'?"]),
    (WEB + "networks: {a: {internal: maybe}}", ["networks.a.internal: 'maybe' is neither true nor false"]),
    (
        WEB + "networks: {a: {driver_opts: {com.docker.network.bridge.enable_ic: 1}}}",
        ["c.yaml:4: networks.a.driver_opts", "did you mean 'com.docker.network.bridge.enable_icc'?"],
    ),
    (
        WEB + "networks: {a: {driver_opts: {com.docker.network.bridge.enable_icc: off}}}",
        ["'off' is neither true nor false"],
    ),
    (
        WEB + "networks: {a: {driver_opts: {com.docker.network.bridge.name: averyveryverylongname}}}",
        ["no name for a device"],
    ),
    (
        WEB + "networks: {a: {ipam: {config: [{subnet: 10.9.0.0}]}}}",
        ["c.yaml:4: networks.a.ipam.config[0].subnet: '10.9.0.0' is not a subnet in CIDR notation; write it like"],
    ),
    (WEB + "networks: {a: {ipam: {config: [{subnet: 10.9.0.0/33}]}}}", ["not a subnet"]),
    (WEB + "networks: {a: {ipam: {config: [{subnet: 'fd00::/64'}]}}}", ["IPv6"]),
    (
        WEB + "networks: {a: {ipam: {config: [{subnet: 10.9.0.0/24, gateway: 10.8.0.1}]}}}",
        ["c.yaml:4: networks.a.ipam.config[0].gateway: gateway 10.8.0.1 is outside the subnet 10.9.0.0/24; use one in"],
    ),
    (WEB + "networks: {a: {ipam: {config: [{gateway: 10.8.0.1}]}}}", ["gateway 10.8.0.1 without a subnet"]),
    (
        WEB + "networks: {a: {ipam: {config: [{subnet: 10.1.0.0/24}, {subnet: 10.2.0.0/24}]}}}",
        ["one IPv4 subnet a network"],
    ),
    (WEB + "networks: {a: {ipam: {driver: dhcp}}}", ["IPAM driver 'dhcp' is not modelled"]),
    (
        WEB + "  api: {networks: [a, b]}\nnetworks: {a: {name: n1}, b: {name: n1}}",
        ["networks 'a' and 'b' have the same name 'n1'"],
    ),
    (WEB + "x-hopcast: {question: []}", ["c.yaml:4: x-hopcast.question: unknown key", "did you mean 'questions'?"]),
    (
        WEB + "x-hopcast: {questions: ['wbe -> web']}",
        ["c.yaml:4: x-hopcast.questions[0]: unknown source 'wbe'; did you mean 'web'?"],
    ),
    (WEB + "x-hopcast: {questions: ['client -> wbe:80']}", ["questions[0]: unknown target 'wbe'; did you mean 'web'?"]),
    (WEB + "x-hopcast: {questions: ['client web']}", ["'client web' is no question; write it like"]),
    (WEB + "x-hopcast: {questions: ['client -> web loudly']}", ["'loudly' says nothing in a question"]),
    (WEB + "x-hopcast: {questions: [{from: client}]}", ["a question needs 'to'"]),
    (WEB + "x-hopcast: {questions: [{from: client, to: web, prot: 80}]}", ["did you mean 'port'?"]),
    (WEB + "x-hopcast: {questions: [{from: client, to: web, probe: http}]}", ["unknown probe 'http'"]),
    (
        WEB + "x-hopcast: {questions: [{from: client, to: web, timeout: 1000}]}",
        ["questions[0]: timeout 1000.0 is out of range; use at most 60"],
    ),
    (
        WEB + "x-hopcast: {questions: [{from: client, to: web, published: true}]}",
        ["published asks for a container's port"],
    ),
    (WEB + "x-hopcast: {questions: [{from: client, to: web, probe: tcp}]}", ["a tcp probe needs a port"]),
    (
        WEB + "x-hopcast: {hosts: {h1: {adress: 1}}}",
        ["x-hopcast.hosts.h1.adress: unknown key", "did you mean 'address'?"],
    ),
    (
        WEB + "x-hopcast: {hosts: {h1: {address: 1.2.3.4}}}",
        ["hosts.h1.address: '1.2.3.4' is not an address with its prefix length; write it like 192.168.99.101/24"],
    ),
    (WEB + "x-hopcast: {hosts: {h1: {engine: {icc: 7}}}}", ["engine.icc: '7' is neither true nor false"]),
    (WEB + "x-hopcast: {hosts: {h1: {engine: {version: new}}}}", ["engine.version: 'new'"]),
    (WEB + "x-hopcast: {hosts: {h1: {engine: {mtu: 5}}}}", ["engine.mtu: mtu 5 is out of range; use at least 68"]),
    (
        WEB + "x-hopcast: {hosts: {h1: , h2: {address: 192.168.99.101/24}}}",
        ["192.168.99.101 is the address of 'h1' already"],
    ),
    (
        WEB + "    container_name: client\nx-hopcast: {clients: {client: }}",
        ["x-hopcast.clients.client", "each needs its own"],
    ),
    (WEB + "x-hopcast: {clients: {c: {routes: [172.16.0.0/12]}}}", ["is no route; write it like"]),
    (WEB + "    x-hopcast: {host: h9}", ["c.yaml:2: services.web: unknown host 'h9'; known: host"]),
    (WEB + "    x-hopcast: {listen: [80]}", ["did you mean 'listens'?"]),
    (
        WEB
        + "    network_mode: host\n    x-hopcast: {listens: [80]}\n"
        "  b: {network_mode: host, x-hopcast: {listens: [80]}}",
        ["c.yaml:6: services.b: port 80/tcp is in use by hopcast-web-1"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[row[1][-1][:50] for row in BAD])
def test_a_wrong_file_is_one_line_with_file_key_and_mend(text: str, expected: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        loads(text, file="c.yaml", environment={})
    said = str(caught.value)
    assert "\n" not in said and said.startswith("c.yaml")
    for part in expected:
        assert part in said


def test_a_missing_or_unreadable_file_is_a_spec_error(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="no Compose file in this folder"):
        load(tmp_path)
    with pytest.raises(SpecError, match=r"no such file; did you mean 'other\.yaml'"):
        load(tmp_path / "othr.yaml")
    with pytest.raises(SpecError, match="not a text file"):
        load(tmp_path / "other.yaml")


YAML_BITS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(max_size=8),
        st.sampled_from(["80:80", "host", "web", "$A", "::"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "services",
                    "web",
                    "ports",
                    "networks",
                    "network_mode",
                    "target",
                    "published",
                    "ipam",
                    "config",
                    "subnet",
                    "x-hopcast",
                    "hosts",
                    "questions",
                    "depends_on",
                    "deploy",
                    "replicas",
                    "scale",
                    "expose",
                    "aliases",
                    "default",
                    "driver_opts",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(
    web=st.dictionaries(
        st.sampled_from(
            [
                "ports",
                "networks",
                "network_mode",
                "depends_on",
                "deploy",
                "scale",
                "expose",
                "links",
                "dns",
                "extra_hosts",
                "x-hopcast",
                "container_name",
                "hostname",
                "profiles",
                "sysctls",
                "mac_address",
            ]
        ),
        YAML_BITS,
        max_size=4,
    ),
    networks=YAML_BITS,
    extension=YAML_BITS,
)
def test_no_file_makes_the_reader_fail_in_another_way_than_a_spec_error(
    web: object, networks: object, extension: object
) -> None:
    text = json.dumps({"services": {"web": web, "db": {}}, "networks": networks, "x-hopcast": extension})
    try:
        loads(text, environment={})
    except SpecError as error:
        assert "\n" not in str(error).replace("\\n", "")
