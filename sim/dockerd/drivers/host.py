"""The host driver: a container in the host's own namespace (libnetwork/drivers/host/host.go). Nothing is plumbed."""

from __future__ import annotations

from sim.dockerd.drivers.api import Driver


class HostDriver(Driver):
    gives_addresses = False
    single = 'only one instance of "host" network is allowed'
    shares_host = True
    forwards = False
    ports_discarded = "Published ports are discarded when using host network mode"
