"""Published ports: which host port, which rules, which process holds the port.

Follows libnetwork of moby v20.10: portallocator/, portmapper/, drivers/bridge/port_mapping.go, and nat/sort.go of
go-connections. Left out: IPv6 (a second proxy on [::]), port ranges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address

from sim import spec
from sim.dockerd.firewall.api import Firewall, PortMapping
from sim.dockerd.process import BoundPort, ProxyProcess
from sim.errors import PlumbError
from sim.kernel.netns import Netns
from sim.packet import ip

ANYWHERE = "0.0.0.0"
MAX_ATTEMPTS = 10
"""maxAllocatePortAttempts: how often a drawn port is replaced because somebody listens there."""


class PortAllocator:
    """Who was given which host port. One for the whole engine; each (address, protocol) is a book of its own."""

    def __init__(self, drawn_from: range) -> None:
        self.drawn_from = drawn_from
        self.given: dict[tuple[str, str], set[int]] = {}
        self.last: dict[tuple[str, str], int] = {}

    def request(self, host_ip: str, protocol: str, port: int) -> int:
        """`RequestPortInRange`: this port, or for 0 the next one behind the last that was drawn."""
        book = host_ip, protocol
        given = self.given.setdefault(book, set())
        if port:
            if port in given:
                raise PlumbError(f"Bind for {host_ip}:{port} failed: port is already allocated",
                                 mend="another container publishes it: give one of the two another host port")
        else:
            port = self._draw(book, given)
        given.add(port)
        return port

    def _draw(self, book: tuple[str, str], given: set[int]) -> int:
        ports = self.drawn_from
        behind = self.last.get(book, ports[-1]) + 1 - ports.start
        for step in range(len(ports)):
            port = ports[(behind + step) % len(ports)]
            if port not in given:
                self.last[book] = port
                return port
        raise PlumbError("all ports are allocated")

    def release(self, host_ip: str, protocol: str, port: int) -> None:
        self.given[host_ip, protocol].discard(port)


@dataclass(slots=True)
class PortMapper:
    """Maps ports in one host's namespace. `use_proxy`: docker-proxy holds the port, else dockerd itself."""

    netns: Netns
    firewall: Firewall
    allocator: PortAllocator
    use_proxy: bool
    proxies: list[ProxyProcess] = field(default_factory=list)
    bound: list[BoundPort] = field(default_factory=list)
    mappings: dict[str, list[PortMapping]] = field(default_factory=dict)
    """container -> its published ports, in the order in which they were mapped"""
    listening: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    """(protocol, port) -> the addresses at which a socket holds that port of the host, the engine's own or not"""

    def publish(self, box: spec.Container, bridge: str, address: IPv4Address, binding_ip: str) -> None:
        """All published ports of a container. `binding_ip`: where one without an address of its own is bound."""
        for port in binding_order(box.ports, box.expose):
            host_ip = port.host_ip if port.host_ip != ANYWHERE else binding_ip
            self.mappings.setdefault(box.name, []).append(self._map(port, host_ip, bridge, str(address)))

    def unpublish(self, box: str, container_ip: str) -> None:
        """The container's published ports go: the process that holds each, and the rules."""
        for mapping in self.mappings.pop(box, ()):
            here = mapping.protocol, mapping.host_ip, mapping.host_port
            self.firewall.port_unmapped(mapping)
            self.proxies[:] = [p for p in self.proxies if (p.protocol, p.host_ip, p.host_port) != here]
            self.bound[:] = [b for b in self.bound if (b.protocol, b.host_ip, b.host_port) != here]
            self.listening[mapping.protocol, mapping.host_port].remove(mapping.host_ip)
            self.netns.daemon_listeners.remove(here)
            self.allocator.release(mapping.host_ip, mapping.protocol, mapping.host_port)

    def _map(self, port: spec.PublishedPort, host_ip: str, bridge: str, container_ip: str) -> PortMapping:
        """`MapRange`: allocate, hold the port, write the rules; again when a drawn port turns out to be held."""
        refused: PlumbError | None = None
        for _ in range(1 if port.host_port else MAX_ATTEMPTS):
            host_port = self.allocator.request(host_ip, port.protocol, port.host_port)
            try:
                self._listen(port.protocol, host_ip, host_port)
            except PlumbError as error:
                refused = error
                self.allocator.release(host_ip, port.protocol, host_port)
                continue
            mapping = PortMapping(bridge, port.protocol, host_ip, host_port, container_ip, port.container_port)
            self.firewall.port_mapped(mapping)
            self._start(mapping)
            return mapping
        assert refused is not None
        raise refused

    def _listen(self, protocol: str, host_ip: str, host_port: int) -> None:
        """bind(2) of docker-proxy, or of dockerd's own dummy."""
        who = "Error starting userland proxy: " if self.use_proxy else ""
        # Go's net says which socket it was, its SCTP library the kernel's error alone
        socket = "" if protocol == "sctp" else f"listen {protocol}4 {host_ip}:{host_port}: bind: "
        given = ip(host_ip)
        # a group's or a broadcast address will do as well (inet_addr_valid_or_nonlocal)
        bindable = self.netns.is_local(given) or self.netns.is_broadcast(given) or IPv4Address(host_ip).is_multicast
        if host_ip != ANYWHERE and not bindable:
            raise PlumbError(f"{who}{socket}cannot assign requested address",
                             mend="a port can be published at the host's own addresses only")
        for address in self.listening.get((protocol, host_port), ()):
            if address == host_ip or ANYWHERE in (address, host_ip):
                raise PlumbError(f"{who}{socket}address already in use",
                                 mend=f"{address}:{host_port} is listened on already: give another host port")
        self.hold(protocol, host_ip, host_port)

    def hold(self, protocol: str, address: str, port: int) -> None:
        """Somebody listens there from now on."""
        self.listening.setdefault((protocol, port), []).append(address)

    def _start(self, mapping: PortMapping) -> None:
        here = self.netns.label, mapping.protocol, mapping.host_ip, mapping.host_port
        if self.use_proxy:
            self.proxies.append(ProxyProcess(*here, mapping.container_ip, mapping.container_port))
        else:
            self.bound.append(BoundPort(*here))
        self.netns.daemon_listeners.append(here[1:])


MAX_INSERTED = 12
"""Ports of a container that Go's sort.Sort inserts one by one."""


def binding_order(
    ports: tuple[spec.PublishedPort, ...], exposed: tuple[spec.Listener, ...] = ()
) -> list[spec.PublishedPort]:
    """The order in which dockerd maps a container's ports (`nat.SortPortMap`).

    Its comparison contradicts itself where a larger host port leads to a smaller container port, and it starts from a
    Go map, which has no order: such ports come in another order each time, and `sim.plumbing.unordered` takes that out
    of a comparison. Elsewhere larger ports come first. This is Go's insertion sort, used for up to twelve ports; of
    more ports the order is one that the comparison allows.
    """
    bindings = _bindings(ports, exposed)
    order: dict[tuple[int, str], dict[int, None]] = {}
    for host_port, number, protocol in _sorted(bindings):
        order.setdefault((number, protocol), {})[host_port] = None
    return [port for key, hosts in order.items() for host in hosts for port in bindings[key] if port.host_port == host]


def exposed_order(
    ports: tuple[spec.PublishedPort, ...], exposed: tuple[spec.Listener, ...]
) -> tuple[tuple[int, str], ...]:
    """(port, protocol) of all that a container exposes, published or not, in the order in which dockerd has them."""
    return tuple(dict.fromkeys((number, protocol) for _, number, protocol in _sorted(_bindings(ports, exposed))))


Bindings = dict[tuple[int, str], list[spec.PublishedPort]]


def _bindings(ports: tuple[spec.PublishedPort, ...], exposed: tuple[spec.Listener, ...]) -> Bindings:
    bindings: Bindings = {}
    for port in ports:
        bindings.setdefault((port.container_port, port.protocol), []).append(port)
    for listener in exposed:
        bindings.setdefault((listener.port, listener.protocol), [])
    return bindings


def _sorted(bindings: Bindings) -> list[tuple[int, int, str]]:
    """(host port, container port, protocol) of each binding."""
    entries: list[tuple[int, int, str]] = []
    for (number, protocol), found in bindings.items():
        entries += [(port.host_port, number, protocol) for port in found] or [(0, number, protocol)]
    if len(entries) > MAX_INSERTED:
        entries.sort(key=lambda entry: (-entry[0], -entry[1], entry[2] != "tcp"))
    for at in range(1, len(entries) if len(entries) <= MAX_INSERTED else 0):
        while at > 0 and _less(entries[at], entries[at - 1]):
            entries[at - 1], entries[at] = entries[at], entries[at - 1]
            at -= 1
    return entries


def _less(a: tuple[int, int, str], b: tuple[int, int, str]) -> bool:
    return a[0] > b[0] or a[1] > b[1] or (a[1] == b[1] and a[2] == "tcp")
