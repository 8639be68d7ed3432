"""A network as the daemon keeps it: its driver, its addresses, and the names that its endpoints go by.

Follows libnetwork of moby v20.10: network.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from sim import spec
from sim.dockerd.ipam import Ipam, Pool
from sim.errors import PlumbError

if TYPE_CHECKING:
    from sim.dockerd.drivers.api import Driver


@dataclass(slots=True)
class Network:
    """`predefined`: one of bridge, host and none, which the daemon makes itself; the others are "user-defined".

    Only user-defined networks have the embedded DNS, aliases, and addresses that the user chooses.
    """

    spec: spec.Network
    driver: Driver
    predefined: bool = False
    pool: Pool | None = None
    """None where the driver wants no addresses."""
    gateway: IPv4Address | None = None
    way_out: bool = False
    """The engine's own bridge, for containers whose networks lead nowhere else."""
    only_routes: bool = False
    """Swarm's `ingress`: nobody has a name there."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """DNS name in lower case -> addresses, in the order in which they were added (libnetwork's svcRecords)."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def scope(self) -> str:
        return self.spec.scope

    @property
    def internal(self) -> bool:
        return self.spec.internal

    def add_name(self, name: str, address: str) -> None:
        """`addSvcRecords`: more than one endpoint may have the same name."""
        known = self.names.setdefault(name.lower(), [])
        if address not in known:
            known.append(address)

    def allocate(self, ipam: Ipam) -> None:
        """`ipamAllocateVersion`: the pool, the gateway, then the addresses that are set aside. Raises PlumbError."""
        given = self.spec
        pool = self.pool = ipam.request_pool(given.subnet, given.ip_range)
        try:
            self.gateway = pool.request(given.gateway)
        except PlumbError as error:
            raise PlumbError(
                f"failed to allocate gateway ({given.gateway}): {error.refusal}", mend=error.mend) from None
        for index, address in enumerate(given.aux_addresses):
            if IPv4Address(address) not in pool.network:
                raise PlumbError(
                    f"auxiliary address: (aux{index}:{address}) must belong to the master pool: {pool.network}")
            try:
                pool.request(address)
            except PlumbError as error:
                raise PlumbError(
                    f"failed to allocate secondary ip address (aux{index}:{address}): {error.refusal}") from None
