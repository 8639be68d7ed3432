"""`x-hopcast: underlay`: the wire between the machines; and `link`: one machine's cable, where it differs.

    underlay: {subnet: 10.1.0.0/24, mtu: 9000, rate: 100mbit, delay: 2ms, loss: 0.1%}
    hosts: {h2: {link: {mtu: 1400, delay: 20ms, loss: 1%}}}

Times, rates and shares are written as tc(8) takes them: `2ms`, `500us`, `0.01s`; `100mbit`, `1gbit`, `56kbit`; `0.1%`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network

from sim import checks
from sim.compose.document import Item
from sim.errors import SpecError
from sim.spec import Link, Spec, Underlay

LINK_KEYS = {"mtu", "delay", "rate", "loss"}
UNDERLAY_KEYS = LINK_KEYS | {"subnet"}
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
BITS = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
SHARE = {"%": 0.01}
MEASURES = {"delay": (SECONDS, "2ms"), "rate": (BITS, "100mbit"), "loss": (SHARE, "0.1%")}
"""key -> units, and how it is written"""
WHOLE = 1.0
"""A share can't be more."""


def read_underlay(item: Item | None) -> Underlay:
    """The underlay, or the one that there is when nothing is said. Raises SpecError."""
    if item is None:
        return Underlay()
    fields = item.fields(UNDERLAY_KEYS, of="underlay")
    found = _cable(fields)
    if "subnet" in fields:
        with fields["subnet"].blamed():
            found["subnet"] = str(checks.subnet_of(checks.check_cidr(fields["subnet"].text())))
    with item.blamed():
        return Underlay.model_validate(found)


def read_link(item: Item | None) -> Link:
    """A machine's own cable; what is not said is the underlay's. Raises SpecError."""
    if item is None:
        return Link()
    found = _cable(item.fields(LINK_KEYS, of="a link"))
    with item.blamed():
        return Link.model_validate(found)


def _cable(fields: dict[str, Item]) -> dict[str, object]:
    found: dict[str, object] = {key: _measure(fields[key], *MEASURES[key]) for key in MEASURES if key in fields}
    if found.get("rate") == 0:
        fields["rate"].fail("a cable with no rate carries nothing", "leave it out for no limit, or use loss: 100%")
    if "mtu" in fields:
        found["mtu"] = fields["mtu"].number()
    return found


def _measure(item: Item, units: Mapping[str, float], example: str) -> float:
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([a-z]+|%)", item.text().lower(), re.ASCII)
    if match is None or match[2] not in units:
        item.fail(f"{item.text()!r} has no unit of {', '.join(units)}", f"write it like {example}")
    measure = float(match[1]) * units[match[2]]
    if units is SHARE and measure > WHOLE:
        item.fail(f"{item.text()} is more than all", "use 0-100%")
    return measure


def addresses_at_risk(spec: Spec) -> list[str]:
    """Notes: networks on one wire over several engines, each of which counts its addresses from the same beginning."""
    notes = []
    for network in spec.networks:
        hosts = spec.hosts_of(network.name)
        loose = [box.name for box in spec.containers for attachment in box.attachments
                 if attachment.network == network.name and not attachment.ipv4_address]
        if network.driver in checks.WIRE_DRIVERS and len(hosts) > 1 and loose:
            notes.append(
                f"network {network.key or network.name!r} is made on {', '.join(hosts)}, and each engine gives "
                f"addresses on its own: without an ipv4_address {', '.join(loose)} may have another's")
    return notes


def default_address(underlay: Underlay, last: int) -> str:
    """A machine's address where the file gives none: number `last` of the subnet; SpecError where that is too small."""
    network = IPv4Network(underlay.subnet or "192.168.99.0/24")
    if last >= network.num_addresses - 1:
        raise SpecError(f"{network} has no number {last}", mend="give each machine an address")
    return f"{network.network_address + last}/{network.prefixlen}"
