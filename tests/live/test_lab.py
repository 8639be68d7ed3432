"""The lab as a whole: machines on a wire, engines on hosts, and nothing of it outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live import cgroup, cleanup, netns, state
from live.deploy import deploy
from live.lab import Lab
from sim.errors import LabError, SpecError
from sim.spec import Attachment, Client, Container, Engine, Host, Network, PublishedPort, Spec
from tests.live.conftest import own_files, own_network, run_in

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("able")]

Up = Callable[..., Lab]
NXDOMAIN = "NXDOMAIN"


def left_of(run: str) -> list[str]:
    """What still exists of a run."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if run in line]
    groups = [str(point) for mount in set(cgroup.hierarchies().values()) for point in (mount / cgroup.ROOT).glob(run)]
    folders = [str(p) for p in state.STATE.glob(run)]
    return [*mounts, *groups, *folders, *netns.names(f"{cleanup.PREFIX}{run}-"), *map(str, cgroup.processes(run))]


def ours() -> list[str]:
    """Runs of this process; others may have labs of their own meanwhile."""
    return [record.run for record in state.records() if record.owner == os.getpid()]


@pytest.fixture(scope="module")
def lab(able: None) -> Iterator[Lab]:
    with Lab.up(Spec()) as up:
        yield up


def test_an_engine_comes_up_quickly_and_goes_without_a_trace_in_the_machines_own_network() -> None:
    before = own_network()
    began = time.monotonic()
    with Lab.up(Spec()) as lab:
        assert time.monotonic() - began < 15
        assert lab.engine("host").info()["Driver"] == "overlay2"
        assert "172.17.0.1/16" in run_in(lab.netns_path("host"), "ip", "-o", "addr")
        assert own_network() == before
    assert left_of(lab.run) == []
    assert own_network() == before


def test_a_swarm_with_overlays_and_its_containers_leave_the_machines_files_as_they_were() -> None:
    """Load balancers have files in /var/lib/docker whatever --data-root says, containerd has /opt/containerd."""
    before = own_files()
    hosts = Host(name="h1"), Host(name="h2", address="192.168.99.102/24")
    far = Network(name="far", driver="overlay", attachable=True)
    spec = Spec(hosts=hosts, clients=(), networks=(far,), containers=(
        Container(name="one", host="h1", attachments=(Attachment(network="far"),), ports=(
            PublishedPort(container_port=80, host_port=8080),)),
        Container(name="two", host="h2", attachments=(Attachment(network="far"),)),
        Container(name="bare", host="h2", mode="host")))
    with Lab.up(spec) as lab:
        deploy(lab, spec)
        assert own_files() == before
    assert left_of(lab.run) == []
    assert own_files() == before


@pytest.mark.parametrize(
    "folder", ["/", "/etc", "/var", "/var/lib", "/opt", "/root", "/home", "/srv", "/tmp", "/run", "/usr"])
def test_what_an_engine_writes_to_a_folder_of_the_machine_stays_in_the_lab(lab: Lab, folder: str) -> None:
    mark = Path(folder, f"hopcast-{lab.run}")
    subprocess.run(["nsenter", f"--target={lab.daemons['host'].pid}", "--mount", "touch", str(mark)],
                   stderr=subprocess.DEVNULL, timeout=10, check=False)
    assert not mark.exists()


def test_an_engine_and_what_it_starts_know_nothing_of_the_users_environment(
    bring_up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@proxy:3128")
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    spec = Spec(containers=(Container(name="web", mode="bridge", ports=(
        PublishedPort(container_port=80, host_port=8080),)),))
    lab = bring_up(spec)
    deploy(lab, spec)
    processes = cgroup.processes(lab.run)
    known = {variable for pid in processes for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}
    assert len(processes) > 4 and any(variable.startswith(b"PATH=") for variable in known)
    assert not [variable for variable in known if b"secret" in variable or b"elsewhere" in variable]
    assert lab.engine("host").info()["HttpProxy"] == ""


def test_an_engine_says_its_version_and_its_apis_in_the_answer_to_a_ping(bring_up: Up) -> None:
    lab = bring_up(Spec())
    said = lab.engine("host").version()
    assert lab.daemons["host"].version == said["Version"]
    assert lab.engine("host").api.api_version == said["ApiVersion"]


def test_the_wire_joins_the_machines_and_a_client_has_its_routes(bring_up: Up) -> None:
    lab = bring_up(Spec(clients=(Client(routes=("172.17.0.0/16 via 192.168.99.101",)),)))
    client = lab.netns_path("client")
    assert "172.17.0.0/16 via 192.168.99.101 dev eth0" in run_in(client, "ip", "route")
    assert "1 packets received" in run_in(client, "busybox", "ping", "-c1", "-W2", "172.17.0.1")
    assert "default" not in run_in(client, "ip", "route")


def test_the_labs_name_server_says_no_such_name_to_host_and_client(bring_up: Up) -> None:
    lab = bring_up(Spec())
    for label in ("host", "client"):
        assert (lab.etc(label) / "resolv.conf").read_text() == "nameserver 192.168.99.53\n"
        assert (lab.etc(label) / "hosts").read_text() == "127.0.0.1\tlocalhost\n"
        said = subprocess.run(
            ["nsenter", f"--net={lab.netns_path(label)}", "busybox", "nslookup", "web", "192.168.99.53"],
            capture_output=True, text=True, timeout=10, check=False)
        assert NXDOMAIN in said.stdout + said.stderr


def test_an_engine_finds_no_configuration_of_the_machine(bring_up: Up) -> None:
    lab = bring_up(Spec())
    info = lab.engine("host").info()
    assert info["Name"] == "host"
    assert not (lab.etc("host") / "docker" / "daemon.json").exists()
    assert not Path(f"/proc/{lab.daemons['host'].pid}/root/run/netns").exists()


def test_engine_options_become_flags_of_dockerd(bring_up: Up) -> None:
    options = Engine(bip="10.9.0.1/24", icc=False, userland_proxy=False, default_address_pools=(("10.64.0.0/16", 24),))
    lab = bring_up(Spec(hosts=(Host(engine=options),)))
    assert "10.9.0.1/24" in run_in(lab.netns_path("host"), "ip", "-o", "addr")
    assert "-A FORWARD -i docker0 -o docker0 -j DROP" in run_in(lab.netns_path("host"), "iptables-save")
    lab.engine("host").networks.create("front")
    assert "10.64.0.1/24" in run_in(lab.netns_path("host"), "ip", "-o", "addr")


def test_two_hosts_have_an_engine_each_and_reach_each_other(bring_up: Up) -> None:
    lab = bring_up(Spec(hosts=(Host(name="h1"), Host(name="h2", address="192.168.99.102/24")), clients=()))
    assert lab.engine("h1").info()["Name"] == "h1"
    assert lab.engine("h2").info()["Name"] == "h2"
    assert "1 packets received" in run_in(lab.netns_path("h1"), "busybox", "ping", "-c1", "-W2", "192.168.99.102")


def test_a_swarm_without_a_network_of_its_own_has_its_nodes_and_ingress(bring_up: Up) -> None:
    hosts = Host(name="h1"), Host(name="h2", address="192.168.99.102/24")
    lab = bring_up(spec := Spec(hosts=hosts, clients=(), swarm=True))
    deploy(lab, spec)
    nodes = lab.engine("h1").nodes.list()
    assert {node.attrs["Spec"]["Role"] for node in nodes} == {"manager", "worker"}
    assert all("ingress" in {n.name for n in lab.engine(name).networks.list()} for name in ("h1", "h2"))


def test_two_labs_live_side_by_side(bring_up: Up) -> None:
    first, second = bring_up(Spec()), bring_up(Spec())
    first.engine("host").networks.create("only-here")
    assert "only-here" not in [network.name for network in second.engine("host").networks.list()]
    first.down()
    assert left_of(first.run) == []
    assert second.engine("host").ping()


def test_a_daemon_option_that_dockerd_refuses_is_its_own_words_and_leaves_nothing() -> None:
    before = ours()
    with pytest.raises(LabError, match=r"(?s)dockerd of host ended.*10\.9\.0\.1/99"):
        Lab.up(Spec(hosts=(Host(engine=Engine.model_construct(**(Engine().model_dump() | {"bip": "10.9.0.1/99"}))),)))
    assert ours() == before


def test_an_engine_of_another_generation_is_refused_before_anything_is_made() -> None:
    before = ours()
    with pytest.raises(LabError, match=r"predicted for engine 99\.1"):
        Lab.up(Spec(hosts=(Host(engine=Engine.model_construct(**(Engine().model_dump() | {"version": "99.1"}))),)))
    assert ours() == before


def test_a_machine_can_not_take_the_name_of_the_labs_own() -> None:
    with pytest.raises(SpecError, match="'@dns'"):
        Lab.up(Spec(clients=(Client(name="@dns"),)))


def test_an_exception_in_the_block_ends_the_lab() -> None:
    with pytest.raises(KeyboardInterrupt), Lab.up(Spec()) as lab:
        raise KeyboardInterrupt
    assert left_of(lab.run) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_owner_ends_the_lab(number: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", "import time\nfrom live.lab import Lab\nfrom sim.spec import Spec\n"
         "with Lab.up(Spec()) as lab:\n    print(lab.run, flush=True)\n    time.sleep(60)"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[2], env=os.environ)
    assert owner.stdout is not None
    run = owner.stdout.readline().strip()
    assert run
    owner.send_signal(number)
    owner.wait(timeout=20)
    owner.stdout.close()
    assert left_of(run) == []
