"""Topologies that nobody thought of: a seed gives a Spec with its questions, within what one host can have.

`python -m tests.live.random_topology SEED...` verifies each on a real engine and prints what disagrees (`make fuzz`).
Bridge and engine options, attachments, ports, modes and questions are drawn; two equal seeds are two equal Specs.
"""

from __future__ import annotations

import sys
from random import Random
from typing import Any

from sim.build import Topology, topology
from sim.errors import SpecError
from sim.spec import Spec

HOST = "192.168.99.101"
BRIDGE = "com.docker.network.bridge."
ASKED = 24


def make(seed: int) -> Spec:
    """The topology of a seed, with its questions."""
    draw = Random(seed)
    routes = [f"172.16.0.0/12 via {HOST}"] if draw.random() < 0.6 else []
    drawn = topology(f"random{seed}").host("host", **_engine(draw)).client(
        "client", routes=routes, listens=[7000, "7001/udp"])
    networks = [f"n{i}" for i in range(draw.randint(1, 4))]
    for number, name in enumerate(networks):
        drawn = drawn.network(name, **_network(draw, number))
    published: dict[str, list[str]] = {}
    for number in range(draw.randint(2, 6)):
        drawn, ports = _container(draw, drawn, number, networks, 8000 + 2 * number)
        published[f"c{number}"] = ports
    alone = {box.name for box in drawn.containers if box.mode == "none"}
    for _ in range(ASKED):
        try:
            asked = drawn.ask(_question(draw, published, alone), timeout=draw.choice([1.2, 1.2, 3.6]))
            asked.spec()
        except SpecError:
            continue  # a question that can't be asked of this topology
        drawn = asked
    return drawn.spec()


def _engine(draw: Random) -> dict[str, Any]:
    options: dict[str, tuple[float, Any]] = {
        "userland_proxy": (0.35, False), "icc": (0.15, False), "ip_masq": (0.15, False), "bip": (0.2, "10.9.0.1/16"),
        "mtu": (0.2, 1400),
    }
    return {name: value for name, (chance, value) in options.items() if draw.random() < chance}


def _network(draw: Random, number: int) -> dict[str, Any]:
    options: dict[str, tuple[float, str]] = {
        f"{BRIDGE}enable_icc": (0.25, "false"), f"{BRIDGE}enable_ip_masquerade": (0.2, "false"),
        f"{BRIDGE}host_binding_ipv4": (0.2, draw.choice(["127.0.0.1", HOST])),
        f"{BRIDGE}name": (0.2, f"mybr{number}"), "com.docker.network.driver.mtu": (0.2, "1300"),
    }
    fields: dict[str, Any] = {
        "options": {name: value for name, (chance, value) in options.items() if draw.random() < chance}}
    if draw.random() < 0.25:
        fields["internal"] = True
    if draw.random() < 0.3:
        fields["subnet"] = f"10.{20 + number}.0.0/{draw.choice([16, 24, 28])}"
    return fields


def _container(
    draw: Random, drawn: Topology, number: int, networks: list[str], host_port: int
) -> tuple[Topology, list[str]]:
    addresses = ["", "", "127.0.0.1:", f"{HOST}:"]
    ports = [f"{draw.choice(addresses)}{host_port + n}:{draw.choice(['80', '53/udp', '99'])}"
             for n in range(draw.choice([0, 0, 1, 2]))]
    mode = draw.choices(["bridge", "none", "host", ""], [20, 4, 8, 68])[0]
    fields: dict[str, Any] = {"listens": [80, "53/udp"]}
    if mode == "host":
        ports = []
        fields["listens"] = [9000 + number]
    elif mode == "none":
        ports = []
    else:
        fields["ports"] = ports
    if mode:
        fields["mode"] = mode
    else:
        fields["networks"] = draw.sample(networks, draw.randint(1, min(3, len(networks))))
    return drawn.container(f"c{number}", **fields), ports


def _question(draw: Random, published: dict[str, list[str]], alone: set[str]) -> str:
    """`alone`: containers without a network, which have no address to dial."""
    source, target = draw.choice([*published, "host", "client"]), draw.choice(list(published))
    if target in alone:
        return f"{source} -> {target} ping by name"
    kinds = [
        f"{target} ping by ip", f"{target} ping by name",
        f"{target}:80 tcp by ip direct", f"{target}:53/udp by ip direct",
        "client:7000", f"{target}:81 {draw.choice(['tcp', 'udp'])} by ip direct",
    ]
    for port in published[target]:
        *_, host_port, inner = port.split(":")
        kinds += [f"{address}:{host_port}{'/udp' if 'udp' in inner else ''}" for address in ("127.0.0.1", HOST)]
    return f"{source} -> {draw.choice(kinds)}"


def main(seeds: list[int]) -> int:
    """Verify each seed; the number of seeds of which something disagreed."""
    from experiments.verify import verify

    failed = 0
    for seed in seeds:
        verification = verify(make(seed))
        total = verification.totals.of()
        print(f"seed {seed}: {total.agreed} of {total.checked} agreed, {total.not_made} not made, "
              f"{verification.seconds['all']:.0f} s", flush=True)
        wrong = [check for check in verification.checks if check.agreed is not True]
        failed += bool(wrong)
        for check in wrong:
            print(f"  {check.level}: {check.subject}\n    {check.detail[:1500]}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(min(1, main([int(seed) for seed in sys.argv[1:]])))
