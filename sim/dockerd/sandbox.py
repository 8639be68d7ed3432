"""A container's network namespace: its interfaces, its default route, and the way to the embedded DNS.

Follows libnetwork of moby v20.10: sandbox.go (`SetKey`, `populateNetworkResources`), resolver_unix.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from sim.dockerd import dns
from sim.dockerd.endpoint import Endpoint, by_priority, gateway_endpoint
from sim.dockerd.process import ResolverProcess
from sim.dockerd.resolution import RESOLVER, Resolution
from sim.kernel.netns import Netns

UDP_PORT, TCP_PORT = 40053, 41053
"""Where the resolver listens. The real one takes what the kernel draws; comparisons rename ephemeral ports."""


@dataclass(slots=True)
class Sandbox:
    """`netns` is the container's own, or the host's where the driver shares it."""

    container: str
    netns: Netns
    files: Resolution
    endpoints: list[Endpoint] = field(default_factory=list)
    hostname: str = ""

    def populate(self) -> None:
        """Interfaces in order of priority, the first that has a gateway with the default route (`SetKey`)."""
        first = gateway_endpoint(self.endpoints)
        for index, endpoint in enumerate(by_priority(self.endpoints)):
            endpoint.network.driver.join(endpoint, self.netns, f"eth{index}")
            if endpoint is first:
                self.netns.add_route("default", dev=f"eth{index}", via=str(first.gateway))

    def close(self) -> None:
        """The namespace goes, and with each of its interfaces the other end."""
        for name in [name for name in self.netns.devices if name != "lo"]:
            self.netns.link_del(name)

    def start_resolver(self) -> ResolverProcess:
        """The embedded DNS: its rules, which turn port 53 into the drawn ports, and the process (`setupIPTable`)."""
        for command in (
            "-N DOCKER_OUTPUT",
            f"-I OUTPUT -d {RESOLVER} -j DOCKER_OUTPUT",
            "-N DOCKER_POSTROUTING",
            f"-I POSTROUTING -d {RESOLVER} -j DOCKER_POSTROUTING",
            f"-I DOCKER_OUTPUT -d {RESOLVER} -p udp --dport 53 -j DNAT --to-destination {RESOLVER}:{UDP_PORT}",
            f"-I DOCKER_POSTROUTING -s {RESOLVER} -p udp --sport {UDP_PORT} -j SNAT --to-source :53",
            f"-I DOCKER_OUTPUT -d {RESOLVER} -p tcp --dport 53 -j DNAT --to-destination {RESOLVER}:{TCP_PORT}",
            f"-I DOCKER_POSTROUTING -s {RESOLVER} -p tcp --sport {TCP_PORT} -j SNAT --to-source :53",
        ):
            self.netns.iptables(f"-t nat {command}")
        lookup = partial(
            dns.answer, endpoints=self.endpoints, external=self.files.external, ndots_set=self.files.ndots_set)
        return ResolverProcess(self.netns.label, UDP_PORT, TCP_PORT, lookup, self.files.host_loopback)
