"""The null driver, mode none: a namespace of its own with nothing but lo (libnetwork/drivers/null/null.go).

Published ports have no effect, and the engine does not say so.
"""

from __future__ import annotations

from sim.dockerd.drivers.api import Driver


class NullDriver(Driver):
    gives_addresses = False
    single = 'only one instance of "null" network is allowed'
    forwards = False
