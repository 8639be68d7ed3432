"""A cable that is slower than what is sent through it: one machine whose uplink has a rate, and two ways through it.

Which of the two is asked decides who suffers. A packet that leaves its sender's machine through the slow cable, or
that only switches forwarded before, still belongs to the sender's socket while it waits: the socket fills, and the
sender waits in its system call; nothing is lost. One that a router (here: the engine's host, for its container)
took on the way no longer does: the queue fills to its limit, and the rest is dropped.
"""

from __future__ import annotations

from experiments.performance.cases import Offered
from experiments.performance.topology import PORT, WAYS, Way
from sim import topology
from sim.fabric.buffer import IP_HEADER, UDP_HEADER
from sim.fabric.cables import ETHERNET
from sim.spec import Spec

RATE = 100e6
"""bit/s."""
BYTES = 1000
"""Of a message."""
BURST = 200
"""Messages at once: three times what the token bucket lets pass (64 KiB), so that the rest waits whatever the load."""
BURSTS = (1, BURST)
LOADS = (0.5, 0.8, 1.1, 1.5)
"""Of what the cable carries."""
THROUGH = tuple(way for way in WAYS if way.name in (
    "client to host mode", "container to client, user bridge (masquerade)"))
"""The names are those of the calibration, which then must do without both."""
SAID = {"client to host mode": "client to host mode: the sender's own queue",
        "container to client, user bridge (masquerade)": "container to client: a queue behind a router"}


def spec() -> Spec:
    """`h1` hangs on a slow cable."""
    listens: list[int | str] = [PORT, f"{PORT}/udp"]
    return (topology("slow cable").host("h1", link={"rate": RATE}).client("client", listens=listens).network("front")
            .container("b1", networks=["front"], host="h1", listens=listens)
            .container("agent", mode="host", host="h1", listens=listens).spec())


def capacity() -> float:
    """Messages/s."""
    return RATE / 8 / (BYTES + UDP_HEADER + IP_HEADER + ETHERNET)


def asked() -> list[Offered]:
    """Every way, one by one and in bursts."""
    return [Offered(way, round(capacity() * share), BYTES, burst) for way in THROUGH for burst in BURSTS
            for share in LOADS]


def name(way: Way, burst: int) -> str:
    """For a panel."""
    return f"{SAID[way.name]}, {'one by one' if burst == 1 else f'{burst} at once'}"
