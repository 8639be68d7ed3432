"""How the lab waits for a swarm, and how it reads the answers of an engine's DNS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from live import deploy, image, services, swarm
from sim.spec import Container, Host, Service, Spec


class Joining:
    """The engine of a node that is still setting up its ingress network: docker_gwbridge comes with the second
    question, the sandbox's place there with the third."""

    def __init__(self) -> None:
        self.api, self.asked = self, 0

    def inspect_network(self, name: str) -> dict[str, Any]:
        self.asked += 1
        if self.asked < 2:
            raise NotFound(f"network {name} not found")
        return {"Containers": {"ingress-sbox": {"Name": "gateway_ingress-sbox"}} if self.asked > 2 else {}}


def test_a_service_waits_until_every_node_has_its_ingress_sandbox_on_docker_gwbridge(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = {"h1": Joining(), "h2": Joining()}
    spec = Spec(hosts=(Host(name="h1"), Host(name="h2", address="192.168.99.102/24")),
                services=(Service(name="web"),),
                containers=(Container(name="web.1", host="h2", task_of="web"),))
    asked: list[int] = []
    monkeypatch.setattr(image, "ensure", lambda *_: None)
    monkeypatch.setattr(swarm, "settle", lambda _: None)
    monkeypatch.setattr(deploy, "Deployment", lambda *_: None)
    monkeypatch.setattr(services, "deploy",
                        lambda *_: asked.extend(engine.asked for engine in engines.values()) or {})
    machines = SimpleNamespace(engine=engines.__getitem__, netns_path=lambda _: "/run/netns/nobody")
    deploy.deploy(machines, spec)  # type: ignore[arg-type]
    assert asked == [3, 3]


def test_an_answers_records_are_read_whether_it_repeats_the_name_or_points_to_it() -> None:
    fixed = bytes.fromhex("0001 0001 00000258 0004")
    whole, pointer = b"\x03web\x00" + fixed + bytes([10, 0, 1, 3]), b"\xc0\x0c" + fixed + bytes([10, 0, 1, 5])
    assert [record[-4:] for record in swarm._records(whole + pointer, 0, 2)] == [whole[-4:], pointer[-4:]]
