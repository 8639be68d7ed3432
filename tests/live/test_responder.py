"""The servers that answer probes: whose name they say, when they refuse to start, and how they end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    with two_machines("responder") as pair:
        yield pair


@pytest.fixture(scope="module", autouse=True)
def servers(machines: TwoMachines) -> Iterator[Responders]:
    listeners = [ListenerAt("web", machines.netns["b"], 80), ListenerAt("web", machines.netns["b"], 5000, "udp")]
    with Responders(listeners) as running:
        yield running


def ask(machines: TwoMachines, port: int, *, source_port: int = 20000) -> Answer:
    return probe(Dial(source="a", probe="tcp", address=ADDRESS["b"], port=port, source_port=source_port),
                 machines.netns["a"])


def test_a_taken_port_names_the_label_and_the_port(machines: TwoMachines) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(LabError, match=r"web2 can't listen on tcp port 80"):
        Responders([ListenerAt("web2", machines.netns["b"], 80)])
    with pytest.raises(LabError, match=r"web2 can't listen on udp port 5000"):
        Responders([ListenerAt("web2", machines.netns["b"], 5000, "udp")])
    assert len(os.listdir("/proc/self/fd")) == before


def test_responders_end_when_their_owner_is_killed(machines: TwoMachines) -> None:
    path = machines.netns["b"]
    owner = subprocess.Popen([sys.executable, "-c", f"""
import time
from live.responder import ListenerAt, Responders
responders = Responders([ListenerAt("short", {path!r}, 8081)])
print(responders.pid, flush=True)
time.sleep(60)
"""], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert owner.stdout
    child = Path("/proc", owner.stdout.readline().decode().strip())
    assert child.exists()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    end = time.monotonic() + 5
    while child.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not child.exists()


def test_closed_responders_free_their_ports(machines: TwoMachines) -> None:
    responders = Responders([ListenerAt("short", machines.netns["b"], 8080)])
    assert ask(machines, 8080).served_by == "short"
    responders.close()
    responders.close()
    assert not Path(f"/proc/{responders.pid}").exists()
    assert ask(machines, 8080).outcome is Outcome.REFUSED
    with Responders([ListenerAt("next", machines.netns["b"], 8080)]):
        assert ask(machines, 8080, source_port=20010).served_by == "next"


def test_one_server_holds_many_clients_at_once(machines: TwoMachines) -> None:
    def connect() -> list[socket.socket]:
        return [socket.create_connection((ADDRESS["b"], 80)) for _ in range(50)]

    idle = netns.call(machines.netns["a"], connect)
    try:
        assert ask(machines, 80).served_by == "web"
    finally:
        for sock in idle:
            sock.close()


def test_a_server_on_one_address_refuses_those_who_ask_at_another(machines: TwoMachines) -> None:
    here = machines.netns["b"]
    with Responders([ListenerAt("local", here, 8080, "tcp", "127.0.0.1")]):
        assert ask(machines, 8080).outcome is Outcome.REFUSED
        own = probe(Dial(source="b", probe="tcp", address="127.0.0.1", port=8080, source_port=20002), here)
        assert (own.outcome, own.served_by) == (Outcome.REACHED, "local")
