"""The bridge's forwarding database: which port leads to which MAC address (net/bridge/br_fdb.c).

Dynamic entries age out after 300 s (`ageing_time`); a frame to an address that is not here goes to every port.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.kernel.device import NetDevice

AGEING_TIME = 300.0
"""Seconds; the default of `ip link add type bridge`."""


@dataclass(slots=True)
class FdbEntry:
    port: NetDevice
    updated: float
    static: bool = False


class Fdb:
    def __init__(self, ageing_time: float = AGEING_TIME) -> None:
        self.ageing_time = ageing_time
        self.entries: dict[str, FdbEntry] = {}

    def learn(self, mac: str, port: NetDevice, now: float) -> bool:
        """Note that `mac` was seen on `port`; True when that is news. A static entry stays where it is."""
        entry = self.entries.get(mac)
        if entry is not None and entry.static:
            return False
        news = entry is None or entry.port is not port or now - entry.updated >= self.ageing_time
        self.entries[mac] = FdbEntry(port, now)
        return news

    def lookup(self, mac: str, now: float) -> NetDevice | None:
        """The port that leads to `mac`, or None when it was never learned or has aged out."""
        entry = self.entries.get(mac)
        if entry is None or (not entry.static and now - entry.updated >= self.ageing_time):
            return None
        return entry.port

    def add(self, mac: str, port: NetDevice) -> None:
        """`bridge fdb add … static`."""
        self.entries[mac] = FdbEntry(port, 0.0, static=True)

    def flush(self) -> None:
        """Forget the dynamic entries, as `bridge fdb flush` does."""
        self.entries = {mac: e for mac, e in self.entries.items() if e.static}
