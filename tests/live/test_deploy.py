"""A Spec on a real engine: what it gives, what it warns of, what it refuses. One lab serves the reading tests."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import pytest

from live import cold, image, names, netns, rules
from live.deploy import body, deploy
from live.deployment import Deployment
from live.lab import Lab
from sim.errors import PlumbError
from sim.spec import Attachment, Container, Network, PublishedPort, Spec
from tests.live.conftest import run_in

pytestmark = pytest.mark.live

HOST_MODE = "Published ports are discarded when using host network mode"
SPEC = Spec(
    networks=(
        Network(name="front"), Network(name="back", subnet="10.5.0.0/24", gateway="10.5.0.254"),
        Network(name="inner", internal=True), Network(name="named", options={"com.docker.network.bridge.name": "mybr"}),
    ),
    containers=(
        Container(name="plain", mode="bridge"),
        Container(
            name="web", service="www", image="nginx:alpine", hostname="w",
            attachments=(Attachment(network="front"), Attachment(network="back", ipv4_address="10.5.0.9")),
            ports=(PublishedPort(container_port=80, host_port=8080), PublishedPort(container_port=53, protocol="udp"))),
        Container(name="shut", attachments=(Attachment(network="inner"),)),
        Container(name="odd", attachments=(Attachment(network="named"),), mac_address="02:00:00:00:00:07"),
        Container(name="bare", mode="host", ports=(PublishedPort(container_port=81, host_port=8081),)),
        Container(name="alone", mode="none"),
        Container(name="side", mode="container:web"),
    ),
)


@pytest.fixture(scope="module")
def deployment(able: None) -> Iterator[Deployment]:
    with Lab.up(SPEC) as lab:
        yield deploy(lab, SPEC)


def test_containers_get_the_addresses_that_the_engine_gives(deployment: Deployment) -> None:
    assert deployment.address_of("plain", "bridge") == "172.17.0.2"
    assert deployment.address_of("web", "front") == "172.18.0.2"
    assert deployment.address_of("web", "back") == "10.5.0.9"
    assert deployment.address_of("web", "inner") is None
    assert deployment.address_of("alone", "none") is None


def test_a_published_port_is_what_was_asked_for_or_what_the_engine_drew(deployment: Deployment) -> None:
    assert deployment.published_port("web", 80) == 8080
    assert (deployment.published_port("web", 53, "udp") or 0) >= 32768
    assert deployment.published_port("web", 81) is None


def test_host_mode_discards_published_ports_and_the_engine_warns(deployment: Deployment) -> None:
    assert deployment.warnings == [HOST_MODE]
    assert deployment.published_port("bare", 81) is None


def test_each_mode_runs_in_the_namespace_that_it_says(deployment: Deployment) -> None:
    inode = {label: deployment.netns_path(label).stat().st_ino for label in SPEC.labels()}
    assert inode["bare"] == inode["host"]
    assert inode["side"] == inode["web"]
    assert len({inode[label] for label in ("host", "client", "plain", "web", "shut", "odd", "alone")}) == 7
    assert run_in(deployment.netns_path("alone"), "ip", "-br", "link").split()[0] == "lo"


def test_resolvers_are_the_engines_own_on_user_networks_and_the_hosts_elsewhere(deployment: Deployment) -> None:
    seen = {label: (deployment.etc(label) / "resolv.conf").read_text().split()[1] for label in SPEC.labels()}
    assert {label for label, server in seen.items() if server == "127.0.0.11"} == {"web", "side", "shut", "odd"}
    assert {server for server in seen.values() if server != "127.0.0.11"} == {"192.168.99.53"}


def test_any_image_runs_without_a_registry(deployment: Deployment) -> None:
    client = deployment.machines.engine("host")
    assert client.images.get("nginx:alpine").id == client.images.get("hopcast/responder").id


def test_the_snapshot_has_every_namespace_once_with_canonical_names(deployment: Deployment) -> None:
    seen = rules.read(deployment)[1]
    assert set(seen.namespaces) == {"host", "client", "plain", "web", "shut", "odd", "alone"}
    host = seen.namespaces["host"]
    assert set(host.interfaces) == {
        "lo", "eth0", "docker0", "br(front)", "br(back)", "br(inner)", "mybr", "veth(plain@bridge)", "veth(web@front)",
        "veth(web@back)", "veth(shut@inner)", "veth(odd@named)"}
    assert host.interfaces["veth(web@back)"].master == "br(back)"
    assert host.interfaces["docker0"].mac == "mac(host:docker0)"
    assert host.interfaces["eth0"].kind == "link"
    assert seen.namespaces["plain"].interfaces["eth0"].mac == "02:42:ac:11:00:02"
    assert seen.namespaces["odd"].interfaces["eth0"].mac == "02:00:00:00:00:07"
    assert seen.warnings == [HOST_MODE]
    text = json.dumps(seen.as_dict())
    assert "br-" not in text
    assert "[0:0]" not in text


def test_the_snapshot_has_rules_in_order_and_only_the_engines_listeners(deployment: Deployment) -> None:
    seen = rules.read(deployment)[1].namespaces
    nat = seen["host"].rules["nat"]
    assert nat[0] == ":PREROUTING ACCEPT"
    assert "-A POSTROUTING -s 172.18.0.0/16 ! -o br(front) -j MASQUERADE" in nat
    assert "-A DOCKER ! -i br(back) -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.5.0.9:80" in nat
    assert ("tcp", "0.0.0.0", 8080) in seen["host"].listeners
    assert [protocol for protocol, _, _ in seen["host"].listeners] == ["tcp", "udp"]
    assert seen["plain"].rules == {}
    assert "DOCKER_OUTPUT" in "".join(seen["web"].rules["nat"])
    assert seen["client"].listeners == []


def test_flushing_makes_neighbours_fdb_and_conntrack_cold_everywhere(deployment: Deployment) -> None:
    plain, host = deployment.netns_path("plain"), deployment.netns_path("host")
    run_in(plain, "busybox", "ping", "-c1", "-W2", "192.168.99.200")
    assert "172.17.0.1" in run_in(plain, "ip", "neigh")
    assert "192.168.99.200" in run_in(host, "conntrack", "-L")
    mac = "02:42:ac:11:00:02"
    assert mac in run_in(host, "bridge", "fdb", "show", "br", "docker0")
    with cold.Caches(deployment) as caches:
        caches.flush()
    assert run_in(plain, "ip", "neigh") == ""
    assert "192.168.99.200" not in run_in(host, "conntrack", "-L")
    assert mac not in run_in(host, "bridge", "fdb", "show", "br", "docker0")
    assert "permanent" in run_in(host, "bridge", "fdb", "show", "br", "docker0")


def dial_nobody() -> socket.socket:
    """In the calling thread's namespace."""
    sock = socket.socket()
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.connect(("172.17.0.77", 80))
    return sock


def test_flushing_ends_connections_that_are_half_open(deployment: Deployment) -> None:
    plain = deployment.netns_path("plain")
    with netns.call(plain, dial_nobody):
        assert "SYN_SENT" in run_in(plain, "busybox", "netstat", "-tn")
        cold.flush(deployment)
        assert "SYN_SENT" not in run_in(plain, "busybox", "netstat", "-tn")


def test_devices_can_be_found_by_their_canonical_names(deployment: Deployment) -> None:
    known = names.learn(deployment)
    real = known.real("host", "veth(web@front)")
    assert real.startswith("veth") and real in run_in(deployment.netns_path("host"), "ip", "-br", "link")
    assert ("host", "br(front)", known.real("host", "br(front)")) in known.points()
    assert not [label for label, _, _ in known.points() if label in ("@wire", "@dns")]


@pytest.mark.parametrize(("spec", "words"), [
    (Spec(networks=(Network(name="a", subnet="10.1.0.0/16"), Network(name="b", subnet="10.1.2.0/24"))),
     "network b: Pool overlaps with other one on this address space"),
    (Spec(containers=(
        Container(name="one", mode="bridge", ports=(PublishedPort(container_port=80, host_port=8080),)),
        Container(name="two", mode="bridge", ports=(PublishedPort(container_port=80, host_port=8080),)))),
     "container two: .*port is already allocated"),
    (Spec(containers=(Container(name="one", mode="bridge", image="No/Such Image"),)), "image No/Such Image"),
])
def test_what_the_engine_refuses_is_an_error_in_its_own_words(
    bring_up: Callable[..., Lab], spec: Spec, words: str,
) -> None:
    with pytest.raises(PlumbError, match=words):
        deploy(bring_up(spec), spec)


def test_an_address_of_everywhere_is_left_for_the_engine_to_choose() -> None:
    box = Container(name="web", mode="bridge", ports=(
        PublishedPort(container_port=80, host_port=80),
        PublishedPort(container_port=80, host_port=81, host_ip="127.0.0.1")))
    assert body(box)["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "80"}, {"HostIp": "127.0.0.1", "HostPort": "81"}]}


@pytest.mark.parametrize(("asked", "name"), [
    ("nginx", "nginx:latest"), ("reg:5000/a/b", "reg:5000/a/b:latest"), ("a:1@sha256:00", "a:1")])
def test_an_image_is_known_in_the_lab_by_its_tag(asked: str, name: str) -> None:
    assert image.local_name(asked) == name
