"""IPVS of one namespace: virtual services, their destinations, and whose turn it is
(net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_sched.c, ip_vs_rr.c). What then happens to a packet is `ipvs_core.py`.

A service takes what carries its firewall mark, keeps the destination port and hands the connection to one of its
destinations by rewriting (forwarding method "masq"). As in the kernel its hooks are registered from the first service
to the last, so a namespace without services pays nothing.

Round robin goes on where it stopped, and destinations lie in the order in which the engine happened to hear of them:
neither can be seen from outside. So each choice among destinations that had no connection since the caches were cold
is a draw (`draws.py`); once all had one, the order is known, and round robin follows it.

Left out: services by address, other schedulers and forwarding methods, persistence, synchronisation with a backup.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sim.errors import PlumbError
from sim.kernel import ipvs_core
from sim.kernel.connection import Tuple
from sim.kernel.draws import Draws
from sim.kernel.ipvs_conn import Connection, ConnectionTable, Endpoint, Flow
from sim.packet import dotted

if TYPE_CHECKING:
    from sim.kernel.netns import Netns

CONNTRACK_SYSCTL = "net.ipv4.vs.conntrack"
"""0 in the kernel; with 1 connections stay tracked, so that rules of the nat table apply to them too."""
EXPIRE_SYSCTL = "net.ipv4.vs.expire_nodest_conn"
"""0 in the kernel; with 1 connections end with their destination."""


@dataclass(slots=True, eq=False)
class Destination:
    """struct ip_vs_dest. With weight 0 it keeps its connections and gets no new one."""

    address: int
    weight: int = 1


@dataclass(slots=True, eq=False)
class Service:
    """struct ip_vs_service, of a firewall mark."""

    fwmark: int
    scheduler: str = "rr"
    destinations: list[Destination] = field(default_factory=list)
    _turn: list[Destination] = field(default_factory=list)
    """The order as far as it is known: who had a connection since the caches were cold."""
    _last: Destination | None = None

    def destination(self, address: int) -> Destination | None:
        return next((d for d in self.destinations if d.address == address), None)

    def schedule(self, draws: Draws) -> Destination | None:
        """`ip_vs_rr_schedule`: the next destination with a weight; None where there is none."""
        order = [d for d in self._behind(self.destinations) if d.weight > 0]
        unknown = [d for d in order if d not in self._turn]
        if unknown:
            self._last = unknown[draws.draw(len(unknown))]
            self._turn.append(self._last)
        elif order:
            self._last = next(d for d in self._behind(self._turn) if d.weight > 0)
        else:
            return None
        return self._last

    def _behind(self, ring: list[Destination]) -> list[Destination]:
        """The ring from behind the last one chosen."""
        at = ring.index(self._last) + 1 if self._last in ring else 0
        return ring[at:] + ring[:at]

    def remove(self, destination: Destination) -> None:
        """`ip_vs_rr_del_dest`: the turn steps back to who was before."""
        self.destinations.remove(destination)
        if destination in self._turn:
            at = self._turn.index(destination)
            self._turn.remove(destination)
            if self._last is destination:
                self._last = self._turn[at - 1] if self._turn else None

    def forget_turn(self) -> None:
        self._turn.clear()
        self._last = None


class Ipvs:
    """One namespace's. `services`: firewall mark -> service."""

    def __init__(self, netns: Netns) -> None:
        self.netns = netns
        self.services: dict[int, Service] = {}
        self.connections = ConnectionTable()

    # the verbs of ipvsadm(8)

    def add_service(self, fwmark: int, scheduler: str = "rr") -> None:
        """`ipvsadm -A -f FWMARK -s SCHEDULER`"""
        if fwmark < 1:
            raise self._refused("invalid fwmark", fwmark)
        if fwmark in self.services:
            raise self._refused("Service already exists", fwmark)
        if scheduler != "rr":
            raise PlumbError(f"the scheduler `{scheduler}' is not modelled by Hopcast", where=self.netns.label)
        if not self.services:
            self.netns.netfilter.register(ipvs_core.handlers(self))
        self.services[fwmark] = Service(fwmark, scheduler)

    def remove_service(self, fwmark: int) -> None:
        """`ipvsadm -D -f FWMARK`"""
        for destination in [*self._service(fwmark).destinations]:
            self.remove_destination(fwmark, destination.address)
        del self.services[fwmark]
        if not self.services:
            self.netns.netfilter.unregister(ipvs_core.handlers(self))

    def add_destination(self, fwmark: int, address: int, weight: int = 1) -> None:
        """`ipvsadm -a -f FWMARK -r ADDRESS -m -w WEIGHT`"""
        service = self._service(fwmark)
        if service.destination(address) is not None:
            raise self._refused("Destination already exists", fwmark, address)
        service.destinations.append(Destination(address, weight))

    def update_destination(self, fwmark: int, address: int, weight: int) -> None:
        """`ipvsadm -e -f FWMARK -r ADDRESS -m -w WEIGHT`"""
        self._destination(fwmark, address).weight = weight

    def remove_destination(self, fwmark: int, address: int) -> None:
        """`ipvsadm -d -f FWMARK -r ADDRESS`. Its connections stay, and what belongs to them is dropped."""
        destination = self._destination(fwmark, address)
        self.services[fwmark].remove(destination)
        if self.sysctl(EXPIRE_SYSCTL):  # expire_nodest_conn_handler
            for connection in self.connections.to(fwmark, address):
                self.expire(connection)

    def lines(self) -> list[str]:
        """As `sim.plumbing.Namespace.balanced` wants them."""
        lines = []
        for fwmark, service in sorted(self.services.items()):
            head = f"fwmark {fwmark} {service.scheduler}"
            lines += [f"{head} -> {dotted(d.address)} masq weight {d.weight}"
                      for d in sorted(service.destinations, key=lambda d: d.address)] or [head]
        return lines

    def _service(self, fwmark: int) -> Service:
        if fwmark not in self.services:
            raise self._refused("No such service", fwmark)
        return self.services[fwmark]

    def _destination(self, fwmark: int, address: int) -> Destination:
        found = self._service(fwmark).destination(address)
        if found is None:
            raise self._refused("No such destination", fwmark, address)
        return found

    def _refused(self, problem: str, fwmark: int, address: int | None = None) -> PlumbError:
        where = f"{self.netns.label}: fwmark {fwmark}"
        return PlumbError(problem, where=where if address is None else f"{where} -> {dotted(address)}")

    # connections

    def schedule(self, service: Service, flow: Flow) -> Connection | None:
        """`ip_vs_schedule`: a new connection, to the destination whose turn it is; None where there is none."""
        chosen = service.schedule(self.netns.draws)
        if chosen is None:
            return None
        connection = Connection(
            flow.proto, flow.src, flow.dst, Endpoint(chosen.address, flow.dst.port), service.fwmark,
            self.sysctl(CONNTRACK_SYSCTL))
        self.connections.add(connection)
        return connection

    def available(self, connection: Connection) -> bool:
        """Does the service still have its destination (IP_VS_DEST_F_AVAILABLE)?"""
        service = self.services.get(connection.fwmark)
        return service is not None and service.destination(connection.destination.address) is not None

    def sysctl(self, name: str) -> bool:
        return self.netns.sysctls.number(name) == 1

    def expire(self, connection: Connection) -> None:
        """Forget a connection, and with it conntrack's (`ip_vs_conn_drop_conntrack`)."""
        self.connections.expire(connection)
        conntrack = self.netns.netfilter.conntrack
        found = conntrack.find(Tuple(*connection.client, *connection.virtual, connection.proto), 0.0)
        if connection.tracked and found is not None:
            conntrack.kill(found[0])

    def flush(self) -> None:
        """Forget every connection, and where round robin stopped."""
        self.connections.flush()
        for service in self.services.values():
            service.forget_turn()
