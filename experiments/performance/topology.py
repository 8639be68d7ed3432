"""What is measured: two engines in a swarm, two clients on the wire, and every way from one program to another that
Docker's networks offer between them.

The idle networks make the tables of rules longer, as on a host that is in use. All programs listen on one port.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim import topology
from sim.spec import Probe, Question, Spec

PORT = 7000
PUBLISHED = {"web": 8080, "app": 8081, "far": 8080}
HOSTS = ("h1", "h2")
SUBNET, GATEWAY = "192.168.99.0/24", "192.168.99.1"


@dataclass(frozen=True, slots=True)
class Way:
    """A way from one program to another. `driver`: under which name the figures that compare network modes have it;
    empty for those that only calibrate. `local`: no cable is crossed, so that the hosts' uplinks don't matter."""

    name: str
    source: str
    target: str
    published: bool = False
    driver: str = ""
    address: str = ""
    """Dialled instead of the target's own, at the port that is published there if any is."""

    @property
    def dialled_port(self) -> int:
        return PUBLISHED[self.target] if self.published else PORT

    def question(self, protocol: Probe = "tcp") -> Question:
        if self.address:
            return Question(source=self.source, target=self.address, probe=protocol, port=self.dialled_port)
        return Question(source=self.source, target=self.target, probe=protocol, port=PORT, published=self.published)


def spec() -> Spec:
    """Everything that `WAYS` go through, on two hosts."""
    listens: list[int | str] = [PORT, f"{PORT}/udp"]

    def ports(name: str) -> list[str | int]:
        return [f"{PUBLISHED[name]}:{PORT}", f"{PUBLISHED[name]}:{PORT}/udp"]

    return (
        topology("performance").host("h1").host("h2")
        .client("client", listens=listens).client("peer", listens=listens)
        .network("idle1").network("idle2").network("front").network("ov", driver="overlay", attachable=True)
        .network("mac", driver="macvlan", subnet=SUBNET, gateway=GATEWAY, ip_range="192.168.99.224/28",
                 options={"parent": "eth0"})
        .container("web", mode="bridge", host="h1", ports=ports("web"), listens=listens)
        .container("a1", mode="bridge", host="h1", listens=listens)
        .container("b1", networks=["front"], host="h1", listens=listens)
        .container("app", networks=["front"], host="h1", ports=ports("app"), listens=listens)
        .container("agent", mode="host", host="h1", listens=listens)
        .container("alone", mode="none", host="h1", listens=listens)
        .container("m1", networks=["mac"], host="h1", listens=listens)
        .container("m2", networks=["mac"], host="h1", listens=listens)
        .container("o1", networks=["ov"], host="h1", listens=listens)
        .container("o2", networks=["ov"], host="h1", listens=listens)
        .container("o3", networks=["ov"], host="h2", listens=listens)
        .container("far", mode="bridge", host="h2", ports=ports("far"), listens=listens)
        .container("agent2", mode="host", host="h2", listens=listens)
        .spec())


WAYS = (
    Way("loopback in a container", "alone", "alone", address="127.0.0.1"),
    Way("loopback on a host", "h1", "agent"),
    Way("client to client", "peer", "client", driver="native"),
    Way("client to host mode", "client", "agent", driver="host"),
    Way("host to host", "h1", "agent2"),
    Way("docker0, container to container", "a1", "web"),
    Way("user bridge, container to container", "b1", "app"),
    Way("host to container, docker0", "h1", "web"),
    Way("host to container, user bridge", "h1", "app"),
    Way("container to host, docker0", "a1", "agent"),
    Way("container to host, user bridge", "b1", "agent"),
    Way("container to client, docker0 (masquerade)", "a1", "client"),
    Way("container to client, user bridge (masquerade)", "b1", "client", driver="bridge, going out"),
    Way("client to published port, docker0", "client", "web", published=True),
    Way("client to published port, user bridge", "client", "app", published=True, driver="bridge, published port"),
    Way("host to its own published port", "h1", "app", published=True),
    Way("container to another host's published port", "b1", "far", published=True),
    Way("macvlan, container to container", "m1", "m2"),
    Way("macvlan, client to container", "client", "m1", driver="macvlan"),
    Way("macvlan, container to another host", "m1", "agent2"),
    Way("overlay, container to container on one host", "o1", "o2"),
    Way("overlay, container to container on two hosts", "o1", "o3", driver="overlay"),
    Way("overlay, container to client (docker_gwbridge)", "o1", "client"),
    Way("container to its own bridge's published port, docker-proxy", "b1", "app", published=True),
    Way("host to 127.0.0.1, docker-proxy", "h1", "web", published=True, address="127.0.0.1"),
)
