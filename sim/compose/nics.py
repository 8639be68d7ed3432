"""What hosts' interfaces are called: `x-hopcast: {hosts: {h1: {nics: [eno1, eno2]}}}`, else as networks' parents.

A file that says `parent: eno1` is for hosts with such an interface. So a host that says nothing of its interfaces has
those that macvlan and ipvlan networks name as parents, in the order of the networks, but eth0 first; all of them are on
the one wire, and the first has the host's address. That is noted. A name that no interface on a cable usually has
(`br0`, a slip of the pen) is taken for none: the engine refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sim.checks import WIRE_DRIVERS
from sim.checks.nics import check_nics, is_usual
from sim.compose.document import Item
from sim.spec import UPLINK, Host, Network


def read_nics(fields: dict[str, Item]) -> dict[str, Any]:
    """The field `nics` of a Host, where the file says something of it. Raises SpecError."""
    if "nics" not in fields:
        return {}
    with fields["nics"].blamed():
        return {"nics": check_nics(tuple(nic.value for nic in fields["nics"].texts()))}


def with_nics(
    hosts: tuple[Host, ...], networks: Mapping[str, Network], notes: list[str]
) -> tuple[Host, ...]:
    """The hosts, those that say nothing of their interfaces with the ones that networks (by key) have for parents."""
    found = _named(networks.values())
    silent = [host for host in hosts if "nics" not in host.model_fields_set]
    if found == (UPLINK,) or not silent:
        return hosts
    who = "the host" if len(hosts) == 1 else ", ".join(host.name for host in silent)
    beside = f", beside it {', '.join(found[1:])} without an address, all on one wire" if found[1:] else ""
    notes.append(
        f"interfaces of {who} are called as networks name their parents: the uplink {found[0]}{beside} "
        f"(x-hopcast: {{hosts: {{{silent[0].name}: {{nics: […]}}}}}} says otherwise)"
    )
    return tuple(host.model_copy(update={"nics": found}) if host in silent else host for host in hosts)


def _named(networks: Iterable[Network]) -> tuple[str, ...]:
    parents = [network.options.get("parent", "") for network in networks if network.driver in WIRE_DRIVERS]
    names = dict.fromkeys(parent.partition(".")[0] for parent in parents)
    return tuple(sorted(filter(is_usual, names), key=lambda name: name != UPLINK)) or (UPLINK,)
