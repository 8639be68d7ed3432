"""What a swarm's manager is asked to make of its nodes, without a swarm."""

from __future__ import annotations

from typing import Any

from live.nodes import Nodes


class Manager:
    """The part of the engine's API that Nodes asks."""

    def __init__(self, **availability: str) -> None:
        self.api = self
        self.updates: list[tuple[str, int, dict[str, Any]]] = []
        self.found = [
            {"ID": f"id-{host}", "CreatedAt": host, "Version": {"Index": 7}, "Description": {"Hostname": host},
             "Spec": {"Availability": now, "Role": "worker"}} for host, now in availability.items()]

    def nodes(self) -> list[dict[str, Any]]:
        return self.found

    def update_node(self, ident: str, version: int, spec: dict[str, Any]) -> None:
        self.updates.append((ident, version, spec))


def test_a_node_that_is_as_it_shall_be_is_left_alone() -> None:
    manager = Manager(h1="active", h2="pause", h3="active")
    Nodes(manager).make({"h1": "pause", "h2": "pause"})
    assert manager.updates == [("id-h1", 7, {"Availability": "pause", "Role": "worker"})]


def test_labels_are_added_to_those_that_a_node_has() -> None:
    manager = Manager(h1="active", h2="active")
    Nodes(manager).label({"h1": {"disk": "ssd"}, "h2": {}})
    assert manager.updates == [("id-h1", 7, {"Availability": "active", "Role": "worker", "Labels": {"disk": "ssd"}})]


def test_a_host_that_left_and_joined_again_is_its_newest_node() -> None:
    manager = Manager(h1="active", h2="active")
    old, new = manager.found
    old["Description"] = new["Description"]
    assert Nodes(manager).look()["h2"] is new
    assert Nodes(manager).host_of == {"id-h1": "h2", "id-h2": "h2"}
