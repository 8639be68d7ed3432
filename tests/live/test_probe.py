"""Probes between two real machines: each way in which a question can end, and names resolved as the source would."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from scapy.layers.dns import DNS, DNSRR

from live import netns
from live.probe import probe
from live.responder import ListenerAt, Responders
from sim.errors import LabError
from sim.spec import Dial
from sim.trace import Answer, Outcome
from tests.live.two_machines import ADDRESS, TwoMachines, two_machines

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def machines() -> Iterator[TwoMachines]:
    with two_machines("probe") as pair:
        yield pair


@pytest.fixture(scope="module", autouse=True)
def servers(machines: TwoMachines) -> Iterator[Responders]:
    listeners = [ListenerAt("web", machines.netns["b"], 80), ListenerAt("web", machines.netns["b"], 5000, "udp")]
    with Responders(listeners) as running:
        yield running


def ask(machines: TwoMachines, kind: Literal["ping", "tcp", "udp"], port: int = 0, *, address: str = ADDRESS["b"],
        timeout: float = 1.5, source_port: int = 20000) -> Answer:
    return probe(Dial(source="a", probe=kind, address=address, port=port, timeout=timeout, source_port=source_port),
                 machines.netns["a"])


@contextmanager
def rule(machines: TwoMachines, label: str, text: str) -> Iterator[None]:
    machines.run(label, f"iptables -A {text}")
    try:
        yield
    finally:
        machines.run(label, f"iptables -D {text}")


def test_a_ping_is_answered_by_the_kernel(machines: TwoMachines) -> None:
    answer = ask(machines, "ping")
    assert (answer.outcome, answer.address, answer.served_by) == (Outcome.REACHED, "10.9.0.2", "")
    assert answer.rtt is not None and 0 < answer.rtt < 0.5


def test_a_tcp_server_says_who_it_is_and_whom_it_sees(machines: TwoMachines) -> None:
    assert ask(machines, "tcp", 80) == Answer(Outcome.REACHED, "10.9.0.2", "web", "10.9.0.1")


def test_a_udp_server_says_who_it_is_and_whom_it_sees(machines: TwoMachines) -> None:
    assert ask(machines, "udp", 5000) == Answer(Outcome.REACHED, "10.9.0.2", "web", "10.9.0.1")


def test_the_same_question_can_be_asked_again_at_once_from_the_same_port(machines: TwoMachines) -> None:
    for _ in range(5):
        assert ask(machines, "tcp", 80, source_port=20007).outcome is Outcome.REACHED


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_port_without_a_listener_refuses(machines: TwoMachines, kind: Literal["tcp", "udp"]) -> None:
    assert ask(machines, kind, 81).outcome is Outcome.REFUSED


def test_a_dropped_packet_is_a_timeout(machines: TwoMachines) -> None:
    with rule(machines, "b", "INPUT -p tcp --dport 80 -j DROP"):
        assert ask(machines, "tcp", 80, timeout=0.3).outcome is Outcome.TIMEOUT


def test_a_connection_that_is_accepted_and_closed_at_once_is_a_reset(machines: TwoMachines) -> None:
    for abort in (False, True):
        with closing_server(machines, abort=abort) as port:
            assert ask(machines, "tcp", port).outcome is Outcome.RESET


@contextmanager
def closing_server(machines: TwoMachines, *, abort: bool) -> Iterator[int]:
    """Accepts one client on b and hangs up: orderly, or with a reset (SO_LINGER 0)."""
    listener = netns.call(machines.netns["b"], socket.create_server, ("0.0.0.0", 90))

    def hang_up() -> None:
        client, _ = listener.accept()
        if abort:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    try:
        yield 90
    finally:
        thread.join(5)
        listener.close()


@pytest.mark.parametrize(("reject", "outcome"), [
    ("icmp-port-unreachable", Outcome.REFUSED),
    ("icmp-host-unreachable", Outcome.HOST_UNREACHABLE),
    ("icmp-net-unreachable", Outcome.NET_UNREACHABLE),
    ("icmp-host-prohibited", Outcome.PROHIBITED),
    ("icmp-admin-prohibited", Outcome.PROHIBITED),
])
def test_an_icmp_error_tells_which_way_the_other_side_said_no(
    machines: TwoMachines, reject: str, outcome: Outcome,
) -> None:
    with rule(machines, "b", f"INPUT -j REJECT --reject-with {reject}"):
        assert {ask(machines, kind, 80).outcome for kind in ("tcp", "udp")} == {outcome}
        if outcome is not Outcome.REFUSED:
            assert ask(machines, "ping").outcome is outcome


def test_an_output_rule_prohibits_datagrams_but_a_connection_attempt_just_goes_unanswered(
    machines: TwoMachines,
) -> None:
    with rule(machines, "a", "OUTPUT -d 10.9.0.2 -j DROP"):
        outcomes = [ask(machines, kind, 80, timeout=0.3).outcome for kind in ("ping", "udp", "tcp")]
    assert outcomes == [Outcome.PROHIBITED, Outcome.PROHIBITED, Outcome.TIMEOUT]


@pytest.mark.parametrize("kind", ["ping", "tcp", "udp"])
def test_no_route_is_network_unreachable(machines: TwoMachines, kind: Literal["ping", "tcp", "udp"]) -> None:
    assert ask(machines, kind, 80, address="192.0.2.1").outcome is Outcome.NET_UNREACHABLE


def test_a_neighbour_that_nobody_is_becomes_host_unreachable_after_three_seconds(machines: TwoMachines) -> None:
    assert ask(machines, "ping", address="10.9.0.77", timeout=0.2).outcome is Outcome.TIMEOUT
    start = time.monotonic()
    assert ask(machines, "tcp", 80, address="10.9.0.78", timeout=5).outcome is Outcome.HOST_UNREACHABLE
    assert 2.5 < time.monotonic() - start < 4.5


def test_a_taken_source_port_is_a_lab_error_and_no_answer(machines: TwoMachines) -> None:
    def occupy() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 20099))
        return sock

    with netns.call(machines.netns["a"], occupy), pytest.raises(LabError, match="Address already in use"):
        ask(machines, "udp", 5000, source_port=20099)


def test_a_namespace_that_is_not_there_is_a_lab_error() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    with pytest.raises(LabError, match="/run/netns/nowhere"):
        probe(Dial(source="a", probe="ping", address="10.9.0.2"), "/run/netns/nowhere")


def lookup(machines: TwoMachines, name: str, resolve_timeout: float = 3.0, **where: str | int | None) -> Answer:
    dial = Dial(source="a", probe="tcp", name=name, port=80, resolve_timeout=resolve_timeout)
    return probe(dial, machines.netns["a"], **where)  # type: ignore[arg-type]


def test_a_name_of_the_hosts_file_is_dialled(machines: TwoMachines, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("10.9.0.2 web\n")
    assert lookup(machines, "web", hosts=str(hosts)) == Answer(Outcome.REACHED, "10.9.0.2", "web", "10.9.0.1")


def test_a_name_that_only_the_name_server_knows_is_asked_there(machines: TwoMachines, tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 10.9.0.2\nsearch lab.test\n")
    with name_server(machines, {"web.lab.test": "10.9.0.2"}) as asked:
        assert lookup(machines, "web", resolv_conf=str(resolv_conf)).served_by == "web"
        assert asked == ["web.lab.test"]
        nobody = lookup(machines, "nobody", resolv_conf=str(resolv_conf))
    assert (nobody.outcome, nobody.address) == (Outcome.NO_SUCH_NAME, "")


def test_a_name_server_without_a_process_does_not_answer(machines: TwoMachines, tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 10.9.0.2\n")
    assert lookup(machines, "web", resolv_conf=str(resolv_conf)).outcome is Outcome.NAME_UNANSWERED


def test_a_silent_name_server_is_waited_for_no_longer_than_allowed(machines: TwoMachines, tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 10.9.0.2\n")
    start = time.monotonic()
    with rule(machines, "b", "INPUT -p udp --dport 53 -j DROP"):
        answer = lookup(machines, "web", resolv_conf=str(resolv_conf), resolve_timeout=0.5)
    assert answer.outcome is Outcome.NAME_UNANSWERED
    assert time.monotonic() - start < 1.5


def test_a_containers_own_files_are_read_in_its_mount_namespace(machines: TwoMachines, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("10.9.0.2 web\n")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    with container(tmp_path) as pid:
        assert lookup(machines, "web", resolver_pid=pid).served_by == "web"
        assert lookup(machines, "nobody", resolver_pid=pid).outcome is Outcome.NAME_UNANSWERED


def test_this_machines_own_files_stay_as_they_are(machines: TwoMachines, tmp_path: Path) -> None:
    before = Path("/etc/hosts").read_bytes(), Path("/proc/self/mountinfo").read_text()
    test_a_name_of_the_hosts_file_is_dialled(machines, tmp_path)
    assert (Path("/etc/hosts").read_bytes(), Path("/proc/self/mountinfo").read_text()) == before


PIVOT = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    assert result == 0, os.strerror(ctypes.get_errno())
etc = {name: open(f"{sys.argv[1]}/{name}").read() for name in os.listdir(sys.argv[1])}
root = sys.argv[1].encode()
check(libc.unshare(0x20000))
check(libc.mount(None, b"/", None, 0x44000, None))
check(libc.mount(b"tmpfs", root, b"tmpfs", 0, None))
os.chdir(root)
os.mkdir("etc")
for name, text in etc.items():
    open(f"etc/{name}", "w").write(text)
os.mkdir("old")
check(libc.pivot_root(b".", b"old"))
os.chdir("/")
check(libc.umount2(b"/old", 2))
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def container(etc: Path) -> Iterator[int]:
    """A process in a mount namespace whose root holds nothing but the files of `etc`, as /etc."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", PIVOT, str(etc)], stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@contextmanager
def name_server(machines: TwoMachines, zone: dict[str, str]) -> Iterator[list[str]]:
    """DNS on b's port 53: an A record for each name of `zone`, NXDOMAIN for others. Gives the names asked for."""
    asked: list[str] = []

    def listen() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 53))
        return sock

    def answer() -> None:
        while True:
            query, peer = sock.recvfrom(512)
            if query == b"stop":
                return
            question = DNS(query)
            name = question.qd[0].qname.decode().rstrip(".")
            asked.append(name)
            address = zone.get(name)
            reply = DNS(id=question.id, qr=1, rd=1, ra=1, qd=question.qd, rcode=0 if address else 3,
                        an=[DNSRR(rrname=f"{name}.", type="A", ttl=1, rdata=address)] if address else [])
            sock.sendto(bytes(reply), peer)

    sock = netns.call(machines.netns["b"], listen)
    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield asked
    finally:
        netns.call(machines.netns["b"], _stop)
        thread.join(5)
        sock.close()


def _stop() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"stop", ("127.0.0.1", 53))
