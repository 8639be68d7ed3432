"""Hosts that differ in one number only: how many networks an engine has, or how many ports it publishes.

All of it is one lab, so that a round measures every number once and what drifts drifts for all. `h1` is the zero of
both rows. userland-proxy is off everywhere: two hundred published ports would be as many docker-proxies, and what
answers a client on another machine are the rules in either case.

The container that is asked has its rules behind those of all the others: on docker0, whose rules in FORWARD are the
last ones (every new network puts its own before them), and with a port that was published after all others. `app` is
the other end of that: on the network that was made last.
"""

from __future__ import annotations

from experiments.performance.topology import PORT, WAYS, Way
from sim import topology
from sim.spec import Spec

NETWORKS = (0, 9, 18, 28)
"""Besides docker0 and the one that is made last. Docker's own address pools end at thirty networks."""
PORTS = (0, 50, 100, 200)
"""Published by another container, before that which is asked."""
FIRST = 20000
"""Host's port of the first of those."""

LOOPBACK, LOOPBACK_HOST = "loopback in a container", "loopback on a host"
WIRE, WIRE_HOST = "client to client", "client to host mode"
PUBLISHED, PUBLISHED_APP = "client to published port, docker0", "client to published port, user bridge"
ANCHORS = tuple(way for way in WAYS if way.name in ("host to container, user bridge", "container to host, user bridge"))
"""What tells the machine's speed today: no rule of FORWARD is on it."""


def known(name: str) -> Way:
    """A way of the calibration that is here too."""
    return next(way for way in WAYS if way.name == name)


def networks_host(number: int) -> str:
    """The host with so many networks."""
    return f"n{number}" if number else "h1"


def ports_host(number: int) -> str:
    """The host with so many ports."""
    return f"p{number}" if number else "h1"


def web(host: str) -> Way:
    """From a client to the port that a container on docker0 publishes."""
    return known(PUBLISHED) if host == "h1" else Way(f"{PUBLISHED}, {host}", "client", f"web-{host}", published=True)


def app(host: str) -> Way:
    """The same on the network that was made last."""
    return known(PUBLISHED_APP) if host == "h1" else Way(
        f"{PUBLISHED_APP}, {host}", "client", f"app-{host}", published=True)


def spec() -> Spec:
    """The lab."""
    listens: list[int | str] = [PORT]
    made = topology("crowded").client("client", listens=listens).client("peer", listens=listens)
    hosts = dict.fromkeys([*map(networks_host, NETWORKS), *map(ports_host, PORTS)])
    for host in hosts:
        made = made.host(host, userland_proxy=False)
    for number in NETWORKS:
        host = networks_host(number)
        for index in range(number):
            made = made.network(f"{host}-{index}")
        if number:
            made = made.container(f"idle-{host}", networks=[f"{host}-{index}" for index in range(number)], host=host)
    for host in hosts:
        made = made.network(f"front-{host}")
    for number in PORTS:
        if number:
            host = ports_host(number)
            crowd = [f"{FIRST + index}:{PORT + 1 + index}" for index in range(number)]
            made = made.container(f"crowd-{host}", mode="bridge", host=host, ports=crowd, listens=[])
    for host in hosts:
        made = made.container(_label("web", host), mode="bridge", host=host, ports=[f"8080:{PORT}"], listens=listens)
        made = made.container(_label("app", host), networks=[f"front-{host}"], host=host, ports=[f"8081:{PORT}"],
                              listens=listens)
    return (made.container("b1", networks=["front-h1"], host="h1", listens=listens)
            .container("agent", mode="host", host="h1", listens=listens)
            .container("alone", mode="none", host="h1", listens=listens).spec())


def _label(name: str, host: str) -> str:
    """As the calibration calls it, where that has it."""
    return name if host == "h1" else f"{name}-{host}"
