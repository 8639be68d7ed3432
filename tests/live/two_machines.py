"""Two machines `a` and `b` on a switch `w` (which has an address of its own), in namespaces that the tests make."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from live import netns
from live.capture import Point

ADDRESS = {"a": "10.9.0.1", "b": "10.9.0.2", "w": "10.9.0.254"}


class TwoMachines:
    def __init__(self, paths: dict[str, Path]) -> None:
        self.netns = {label: str(path) for label, path in paths.items()}

    def points(self) -> list[Point]:
        where = [("a", "lo"), ("a", "eth0"), ("w", "va"), ("w", "br0"), ("w", "vb"), ("b", "eth0"), ("b", "lo")]
        return [Point(label, device, self.netns[label], device) for label, device in where]

    def run(self, label: str, command: str) -> None:
        netns.call(self.netns[label], subprocess.run, command.split(), check=True)

    def forget_neighbours(self) -> None:
        for label in self.netns:
            self.run(label, "ip neigh flush all")


@contextmanager
def two_machines(suite: str) -> Iterator[TwoMachines]:
    """Skips without root. `suite` keeps the namespaces of test files that run at the same time apart."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    names = {label: f"hctest-{suite}-{os.getpid()}-{label}" for label in ADDRESS}
    try:
        paths = {label: netns.create(name) for label, name in names.items()}
        netns.bridge(paths["w"], "br0")
        for label in "ab":
            netns.veth(paths[label], "eth0", paths["w"], f"v{label}")
            netns.address(paths[label], "eth0", f"{ADDRESS[label]}/24")
        netns.enslave(paths["w"], "br0", ["va", "vb"])
        netns.address(paths["w"], "br0", f"{ADDRESS['w']}/24")
        machines = TwoMachines(paths)
        for label in names:
            # Else Linux sends one peer no more than six ICMP errors in a row, and then one a second.
            machines.run(label, "sysctl -qw net.ipv4.icmp_ratelimit=0")
        yield machines
    finally:
        for name in names.values():
            netns.delete(name)
