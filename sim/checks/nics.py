"""Names of a host's interfaces: `eth0`, `eno1`, `ens18`, `enp3s0`, `enx001122334455`, `bond0`.

Predictable names are systemd's (systemd.net-naming-scheme(7)). What such a name may be is the kernel's affair
(dev_valid_name in net/core/dev.c), and what the model has nothing for is refused by name.
"""

from __future__ import annotations

import re

from sim.checks import unique
from sim.errors import SpecError

DEVICE = re.compile(r"[^\s/:.@()]{1,15}")
USUAL = re.compile(r"(eth|em|lan|wan|bond|team|ib|usb)\d+|en[opsxbvcd][a-z0-9]+|p\d+p\d+(_\d+)?")
"""What an interface on a cable is usually called."""
NO_PARENT = "speaks of a bridge, and a bridge as a parent is not modelled"
WIRELESS = "speaks of a wireless interface, which carries no frames but those of its own MAC address"
OTHERS = {
    "lo": "is the loopback", "docker": "speaks of the engine's bridge", "veth": "speaks of a container's cable",
    "dm": "is the engine's own", "di": "is the engine's own", "wl": WIRELESS, "wlan": WIRELESS, "wlp": WIRELESS,
    **dict.fromkeys(("br", "virbr", "vmbr"), NO_PARENT), **dict.fromkeys(("tun", "tap", "wg"), "speaks of a tunnel"),
}
"""What a name begins with that belongs to no interface on a cable."""


def is_usual(name: str) -> bool:
    return USUAL.fullmatch(name) is not None


def check_nics(names: tuple[str, ...]) -> tuple[str, ...]:
    """Raises SpecError."""
    if not names:
        raise SpecError("a host without an interface", mend="leave nics out, or name one")
    for name in names:
        if not DEVICE.fullmatch(name):
            raise SpecError(f"{name!r} is no name for a network interface",
                            mend="use 1-15 letters without space, dot, / or : (`eno1.10` is made as a VLAN of eno1)")
        for beginning, why in OTHERS.items():
            if re.fullmatch(rf"{beginning}([\d-].*)?", name):
                raise SpecError(f"{name!r} {why}", mend="name the interface that the cable is in, like eth0 or eno1")
    unique(names, "two interfaces are named", "")
    return names
