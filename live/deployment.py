"""A topology that runs: where each of its namespaces is, and what the engines gave its containers.

Built by `deploy`, or over containers that run already: all it needs is an engine's API and something that knows where
the machines' namespaces are (`Machines`: the lab; for a user's own engine, that engine's namespace and /etc).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import docker
from docker.errors import APIError, DockerException

from sim.errors import LabError, PlumbError
from sim.spec import Spec

INGRESS, INGRESS_SANDBOX = "ingress", "ingress_sbox"


class Machines(Protocol):
    """Where hosts and clients are. `Lab` is one."""

    def netns_path(self, label: str) -> Path:
        """The network namespace of a host or client."""

    def etc(self, label: str) -> Path:
        """The folder of its resolv.conf and hosts."""

    def engine(self, host: str) -> docker.DockerClient:
        """The client of a host's engine."""

    def sandboxes(self, host: str) -> Path:
        """The folder where a host's engine keeps the namespaces of its sandboxes."""

    def own_labels(self) -> tuple[str, ...]:
        """Namespaces that belong to the underlay and are no part of the Spec."""


class Deployment:
    """`containers`: label -> the engine's id. What engines say is asked once and kept (`refresh` asks again)."""

    def __init__(
        self, spec: Spec, machines: Machines, containers: Mapping[str, str], warnings: tuple[str, ...] = (),
    ) -> None:
        self.spec, self.machines = spec, machines
        self.containers = dict(containers)
        self.warnings = list(warnings)
        self._inspected: dict[str, dict[str, Any]] = {}
        self.network_ids = {
            (host.name, network["Name"]): str(network["Id"])
            for host in spec.hosts for network in machines.engine(host.name).api.networks()
        }

    def inspect(self, container: str) -> dict[str, Any]:
        """What `docker inspect` says. PlumbError when the engine does not know it, KeyError when the Spec does not."""
        if container not in self._inspected:
            box = self.spec.container(container)
            if box is None:
                raise KeyError(container)
            try:
                answer = self.machines.engine(box.host).api.inspect_container(self.containers[box.name])
            except APIError as error:
                raise PlumbError(str(error.explanation), where=f"container {container}") from error
            except DockerException as error:
                raise LabError(f"the engine of {box.host} does not answer: {error}") from error
            self._inspected[container] = answer
        return self._inspected[container]

    def refresh(self) -> None:
        self._inspected.clear()

    def pid(self, container: str) -> int:
        """The container's first process. LabError when it does not run."""
        state = self.inspect(container)["State"]
        if not state["Pid"]:
            raise LabError(f"container {container} does not run: {state.get('Error') or state.get('Status')}")
        return int(state["Pid"])

    def netns_path(self, label: str) -> Path:
        """The namespace in which `label`'s processes run."""
        owner = self.spec.netns_of(label)
        if self.spec.container(owner):
            return Path(f"/proc/{self.pid(owner)}/ns/net")
        return self.machines.netns_path(owner)

    def namespaces(self) -> dict[str, Path]:
        """Every namespace of the Spec once, by the label of its owner: hosts, clients, containers, then the
        engines' own.
        """
        owners = dict.fromkeys(map(self.spec.netns_of, self.spec.labels()))
        return {owner: self.netns_path(owner) for owner in owners} | self.engine_namespaces()

    def engine_namespaces(self) -> dict[str, Path]:
        """Of each engine in a swarm: what swarm itself puts there. The engine names them by the beginning of an id."""
        if not self.spec.in_swarm:
            return {}
        found: dict[str, Path] = {}
        for (host, name), ident in self.network_ids.items():
            folder = self.machines.sandboxes(host)
            candidates = {f"ov({name})@{host}": f"1-{ident[:10]}", f"lb({name})@{host}": f"lb_{ident[:9]}"}
            if name == INGRESS:
                candidates[f"{INGRESS_SANDBOX}@{host}"] = INGRESS_SANDBOX
            found |= {label: folder / file for label, file in candidates.items() if (folder / file).exists()}
        return found

    def underlay(self) -> dict[str, Path]:
        """The namespaces that are not the Spec's: the wire and its name server."""
        return {label: self.machines.netns_path(label) for label in self.machines.own_labels()}

    def etc(self, label: str) -> Path:
        """The folder with the resolv.conf and hosts that a process of `label` reads (a container in mode host has its
        own, though it shares the host's network)."""
        return Path(f"/proc/{self.pid(label)}/root/etc") if self.spec.container(label) else self.machines.etc(label)

    def address_of(self, container: str, network: str) -> str | None:
        """IPv4 address of a container on a network (by the engine's name); None when it has none there."""
        found = self.inspect(container)["NetworkSettings"]["Networks"].get(network)
        return (found and found["IPAddress"]) or None

    def published_port(self, container: str, port: int, protocol: str = "tcp") -> int | None:
        """The host's port that is published for a container's port, the first in the Spec's order; None when there is
        none (mode host discards them)."""
        bindings = self.inspect(container)["NetworkSettings"]["Ports"].get(f"{port}/{protocol}") or []
        given = [int(binding["HostPort"]) for binding in bindings if ":" not in binding["HostIp"]]
        box = self.spec.container(container)
        wished = [p.host_port for p in (box.ports if box else ()) if (p.container_port, p.protocol) == (port, protocol)]
        drawn = [number for number in given if number not in wished]
        for number in wished:
            if number in given or (number == 0 and drawn):
                return number or drawn[0]
        return given[0] if given else None
