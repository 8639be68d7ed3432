"""The network drivers, one file each. This registry is the only place that knows a driver by its name."""

from __future__ import annotations

from collections.abc import Callable

from sim.dockerd.drivers.api import Driver, Engine
from sim.dockerd.drivers.bridge import BridgeDriver
from sim.dockerd.drivers.host import HostDriver
from sim.dockerd.drivers.ipvlan import IpvlanDriver
from sim.dockerd.drivers.macvlan import MacvlanDriver
from sim.dockerd.drivers.none import NullDriver
from sim.dockerd.drivers.overlay import OverlayDriver
from sim.dockerd.swarm import Swarm
from sim.errors import PlumbError
from sim.kernel.netns import Netns

DRIVERS: dict[str, type[Driver]] = {
    "bridge": BridgeDriver, "host": HostDriver, "ipvlan": IpvlanDriver, "macvlan": MacvlanDriver,
    "null": NullDriver,
}

PREDEFINED = {"none": "null", "host": "host", "bridge": "bridge"}
"""The networks that the engine makes at start, in its order, and their drivers."""

REFUSALS = {
    "overlay": 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node '
    "to swarm and try again.",
}
"""Drivers that the engine has and refuses as things stand."""


class Registry:
    """The drivers of one engine, each made once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.drivers = {name: make(engine) for name, make in DRIVERS.items()}

    def join_swarm(self, swarm: Swarm, tunnel: int, new_netns: Callable[[str], Netns]) -> None:
        """The engine is a node now, with the address `tunnel`: it has the driver of swarm networks."""
        self.drivers["overlay"] = OverlayDriver(self.engine, swarm, tunnel, new_netns)

    def leave_swarm(self) -> list[str]:
        """The engine is no node any more: the labels of the namespaces that go with the swarm's networks."""
        overlay = self.drivers.pop("overlay", None)
        return overlay.leave_swarm() if overlay is not None else []

    def get(self, name: str) -> Driver:
        """Raises PlumbError for a driver that the engine does not have, or that it would refuse."""
        driver = self.drivers.get(name)
        if driver is None:
            raise PlumbError(REFUSALS.get(name, f'plugin "{name}" not found'))
        return driver
