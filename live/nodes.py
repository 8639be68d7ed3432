"""The nodes of a lab's swarm, as its manager keeps them: `docker node ls`, `docker node update`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from live.refusals import engine_answers

Availability = Literal["active", "pause", "drain"]
"""May a node get tasks? Of a paused one those that it has stay, of a drained one they move."""


class Nodes:
    """Asked from one engine, the manager's. Hosts are called by their labels, which are the nodes' host names."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self.host_of: dict[str, str] = {}
        """A node's id -> its host, as of the last look."""
        self.look()

    def look(self) -> dict[str, dict[str, Any]]:
        """Host -> what `docker node inspect` says. Of a host that left and joined again, its newest node."""
        with engine_answers("the swarm's nodes"):
            nodes = sorted(self.manager.api.nodes(), key=lambda node: str(node["CreatedAt"]))
        self.host_of = {node["ID"]: node["Description"]["Hostname"] for node in nodes}
        return {self.host_of[node["ID"]]: node for node in nodes}

    def make(self, availability: Mapping[str, Availability]) -> None:
        """Host -> what it shall be; those that are so already are left alone."""
        for host, node in self.look().items():
            wanted = availability.get(host)
            if wanted and node["Spec"].get("Availability") != wanted:
                self._update(host, node, Availability=wanted)

    def label(self, labels: Mapping[str, Mapping[str, str]]) -> None:
        """Host -> the labels that its node shall have besides those that it has."""
        for host, node in self.look().items():
            if labels.get(host):
                self._update(host, node, Labels={**(node["Spec"].get("Labels") or {}), **labels[host]})

    def attachments(self, host: str) -> list[str]:
        """The addresses that plain containers of `host` hold on the swarm's networks, as the manager has them: each is
        a task, and its address is free when that has gone."""
        with engine_answers("the swarm's attachments"):
            tasks = self.manager.api.tasks(filters={"runtime": ["attachment"]})
        return [address for task in tasks if self.host_of.get(task.get("NodeID")) == host
                for held in task.get("NetworksAttachments") or [] for address in held["Addresses"]]

    def _update(self, host: str, node: dict[str, Any], **changes: object) -> None:
        with engine_answers(f"node {host}"):
            self.manager.api.update_node(node["ID"], node["Version"]["Index"], {**node["Spec"], **changes})
