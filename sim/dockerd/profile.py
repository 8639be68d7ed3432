"""In what the generations of Docker Engine differ, as one table. Nothing else in `sim/dockerd` asks for a version.

A new generation is a new row, and where it writes other rules, a new file in `firewall/`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.dockerd.firewall.api import Firewall
from sim.dockerd.firewall.legacy import LegacyFirewall
from sim.errors import SpecError, did_you_mean
from sim.kernel.netns import Netns


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """One generation. `generation` is its key, `release` the one that was looked at."""

    generation: str
    release: str
    firewall: Callable[[Netns, bool], Firewall]
    """(host's namespace, hairpin mode) -> the rules of this era"""
    mac_from_address: bool
    """A container's MAC address is 02:42 and its IPv4 address (`netutils.GenerateMACFromIP`); else it is random."""
    endpoint_mac_address: bool
    """The API takes a MAC address for each network. Before 25.0 it is dropped (`cleanOperationalData`)."""
    default_pools: tuple[tuple[str, int], ...]
    """(base, size): libnetwork/ipamutils/utils.go"""
    host_ports: range
    """What a published port without a host port is drawn from: `net.ipv4.ip_local_port_range`."""
    localhost_substitutes: tuple[str, ...]
    """Name servers of a container where the host has none but on its loopback (`resolvconf.FilterResolvDNS`)."""


PROFILES = {
    "20.10": EngineProfile(
        generation="20.10",
        release="20.10.24",
        firewall=LegacyFirewall,
        mac_from_address=True,
        endpoint_mac_address=False,
        default_pools=(
            ("172.17.0.0/16", 16), ("172.18.0.0/16", 16), ("172.19.0.0/16", 16), ("172.20.0.0/14", 16),
            ("172.24.0.0/14", 16), ("172.28.0.0/14", 16), ("192.168.0.0/16", 20),
        ),
        host_ports=range(32768, 61000),
        localhost_substitutes=("8.8.8.8", "8.8.4.4"),
    ),
}


def profile_of(version: str) -> EngineProfile:
    """The generation that a version belongs to: "20.10.24" is of "20.10". SpecError for one that is not modelled."""
    parts = version.split(".")
    for length in range(len(parts), 0, -1):
        profile = PROFILES.get(".".join(parts[:length]))
        if profile is not None:
            return profile
    raise SpecError(f"engine version {version!r} is not modelled", mend=did_you_mean(version, PROFILES))
