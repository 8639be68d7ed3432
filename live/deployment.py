"""A topology that runs: where each of its namespaces is, and what the engines gave its containers.

Built by `deploy`, or over containers that run already: all it needs is an engine's API and something that knows where
the machines' namespaces are (`Machines`: the lab; for a user's own engine, that engine's namespace and /etc).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import docker

from live.refusals import engine_answers
from sim.errors import LabError
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
        self._services: dict[str, dict[str, Any]] = {}
        self.network_ids: dict[tuple[str, str], str] = {}
        """(host, network) -> the engine's id, of all that an engine knows."""
        self._read_networks()
        self.ended: set[str] = set()
        """Containers that a fault has ended: whoever wants to look into them must not."""

    def inspect(self, container: str) -> dict[str, Any]:
        """What `docker inspect` says. PlumbError when the engine does not know it, KeyError when the Spec does not."""
        if container not in self._inspected:
            box = self.spec.container(container)
            if box is None:
                raise KeyError(container)
            with engine_answers(f"container {container} on {box.host}"):
                answer = self.machines.engine(box.host).api.inspect_container(self.containers[box.name])
            self._inspected[container] = answer
        return self._inspected[container]

    def refresh(self) -> None:
        """Forgets what engines said, and asks anew which networks they have: an engine has one of a swarm as long as
        somebody there is on it."""
        self._inspected.clear()
        self._services.clear()
        self._read_networks()

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
        there = [owner for owner in owners if owner not in self.ended]
        return {owner: self.netns_path(owner) for owner in there} | self.engine_namespaces()

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
            found |= {label: folder / file for label, file in candidates.items() if _stands(folder / file)}
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

    def vip_of(self, service: str, network: str) -> str | None:
        """The virtual address of a swarm service (by either name) on a network (by the engine's); None: it has none
        there."""
        ident = self.network_ids.get((self._manager, network))
        given = self._endpoint(service).get("VirtualIPs") or ()
        return next((vip["Addr"].partition("/")[0] for vip in given if vip.get("Addr") and vip["NetworkID"] == ident),
                    None)

    def published_port(self, container: str, port: int, protocol: str = "tcp") -> int | None:
        """The host's port that is published for a container's port, the first in the Spec's order; None when there is
        none (mode host discards them). Of a swarm service: the port of the routing mesh."""
        if self.spec.swarm_service(container):
            mesh = [p for p in self._endpoint(container).get("Ports") or () if p["PublishMode"] == INGRESS]
            return next((int(p["PublishedPort"]) for p in mesh if (p["TargetPort"], p["Protocol"]) == (port, protocol)),
                        None)
        bindings = self.inspect(container)["NetworkSettings"]["Ports"].get(f"{port}/{protocol}") or []
        given = [int(binding["HostPort"]) for binding in bindings if ":" not in binding["HostIp"]]
        box = self.spec.container(container)
        wished = [p.host_port for p in (box.ports if box else ()) if (p.container_port, p.protocol) == (port, protocol)]
        drawn = [number for number in given if number not in wished]
        for number in wished:
            if number in given or (number == 0 and drawn):
                return number or drawn[0]
        return given[0] if given else None

    @property
    def _manager(self) -> str:
        return self.spec.hosts[0].name

    def _endpoint(self, service: str) -> dict[str, Any]:
        """What `docker service inspect` says of its addresses and ports."""
        known = self.spec.swarm_service(service)
        if known is None:
            raise KeyError(service)
        if known.name not in self._services:
            api: Any = self.machines.engine(self._manager).api
            with engine_answers(f"service {known.name}"):
                self._services[known.name] = api.inspect_service(known.name)
        endpoint: dict[str, Any] = self._services[known.name].get("Endpoint") or {}
        return endpoint

    def _read_networks(self) -> None:
        for host in self.spec.hosts:
            with engine_answers(f"host {host.name}"):
                networks = self.machines.engine(host.name).api.networks()
            self.network_ids = {key: ident for key, ident in self.network_ids.items() if key[0] != host.name}
            self.network_ids |= {(host.name, network["Name"]): str(network["Id"]) for network in networks}


def _stands(name: Path) -> bool:
    """Is a namespace mounted here? Names of those that have gone stay until the engine sweeps, once a minute."""
    try:
        return name.stat().st_dev != name.parent.stat().st_dev
    except OSError:
        return False
