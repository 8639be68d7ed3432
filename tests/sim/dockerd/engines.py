"""What the tests of the simulated dockerd share: a host with an engine on it, and the goldens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sim import spec
from sim.dockerd.daemon import Daemon
from sim.dockerd.profile import profile_of
from sim.kernel.netns import Netns

GOLDENS = Path(__file__).parents[2] / "goldens" / "rules-20.10"
NAMESERVER = "192.168.99.53"


def engine(
    address: str = "192.168.99.101/24", *, resolv_conf: list[str] | None = None, **options: Any
) -> Daemon:
    """A 20.10 engine on a host with one uplink."""
    host = spec.Host(name="host", address=address, engine=spec.Engine(**options))
    netns = Netns("host")
    wire = Netns("wire")
    wire.add_bridge("switch", "mac(wire:switch)")
    uplink = wire.devices["switch"]
    uplink.name, uplink.netns = "eth0", netns
    uplink.kind = "link"
    netns.devices["eth0"] = uplink
    netns.add_address("eth0", address)
    for line in resolv_conf if resolv_conf is not None else [f"nameserver {NAMESERVER}"]:
        key, *values = line.split()
        match key:
            case "nameserver":
                netns.nameservers += values
            case "search":
                netns.search = values
            case "options":
                netns.resolv_options = values
    return Daemon(host, netns, profile_of("20.10"), Netns)


def network(name: str, **more: Any) -> spec.Network:
    return spec.Network(name=name, **more)


def on(*networks: str, name: str = "", **more: Any) -> spec.Container:
    """A container on user-defined networks, or on docker0 when none is named."""
    if not networks:
        return spec.Container(name=name, mode="bridge", **more)
    return spec.Container(name=name, attachments=[{"network": n} for n in networks], **more)


def port(container_port: int, host_port: int = 0, **more: Any) -> spec.PublishedPort:
    return spec.PublishedPort(container_port=container_port, host_port=host_port, **more)


def refused(given: Any, fields: dict[str, Any]) -> Any:
    """A spec object that has passed no check of the spec's, so that dockerd's own answer shows."""
    parts = {"attachments": spec.Attachment, "ports": spec.PublishedPort, "expose": spec.Listener}
    return given.model_construct(**{
        key: tuple(refused(parts[key], part) for part in value) if key in parts else value
        for key, value in fields.items()})


def topology(path: Path) -> tuple[Daemon, list[spec.Container]]:
    """A golden's topology, run on the simulated engine."""
    given = yaml.safe_load(path.read_text())
    host = spec.Host(**given.get("host", {}))
    daemon = engine(host.address, resolv_conf=given.get("resolv_conf"), **host.engine.model_dump())
    for each in given.get("networks", []):
        daemon.network_create(spec.Network(**each))
    boxes = [spec.Container(**each) for each in given.get("containers", [])]
    for box in boxes:
        daemon.container_run(box)
    return daemon, boxes
