"""`networks` at the top of a Compose file, as the engine's networks.

An `external` network exists before the project, and is made first here. Its own x-hopcast says what it is:

    networks: {lan: {external: true}}
    x-hopcast: {networks: {lan: {driver: macvlan, parent: eno1, subnet: 192.168.1.0/24, gateway: 192.168.1.1}}}

One that nothing is said of is assumed to be a plain user-defined bridge, in a stack an attachable overlay, and that is
noted; where the file lets one suspect something else (a fixed address, `macvlan` in its name), it is refused.
A stack's networks are overlays unless the file says another driver, and the CLI passes only the subnet of what `ipam`
says (`convert.Networks`).
Left out: IPv6, IPAM drivers other than the default one, more than one subnet to a network: errors.
"""

from __future__ import annotations

import re

from sim import checks
from sim.compose import keys
from sim.compose.document import Item
from sim.errors import did_you_mean
from sim.spec import DEFAULT_NETWORK, Network

IPAM_KEYS = {"driver", "config", "options"}
CONFIG_KEYS = {"subnet", "gateway", "ip_range", "aux_addresses"}
SAID_KEYS = CONFIG_KEYS | {"driver", "driver_opts", "parent", "internal", "attachable", "ipam"}
"""What x-hopcast says of an external network: as the network's own keys, and shorter ways for the usual ones."""
OTHER_DRIVERS = re.compile(r"mac-?_?vlan|ip-?_?vlan|vlan|overlay|swarm", re.IGNORECASE)
"""What a name has that is no bridge's."""


def read_network(key: str, item: Item, project: str, notes: list[str], *, stack: bool = False) -> Network:
    """One entry of `networks`. Raises SpecError."""
    fields = item.fields(keys.READ_NETWORK | keys.IGNORED_NETWORK, of=f"network {key!r}")
    external = is_external(item)
    name = fields["name"].text() if "name" in fields else key if external else f"{project}_{key}"
    if name in (DEFAULT_NETWORK, "host", "none"):
        other = "tasks on a node's own networks are not modelled"
        mend = other if stack else f"give the services `network_mode: {name}`"
        fields.get("name", item).fail(f"{name!r} is one of Docker's own networks", mend)
    said = item.mapping().get("x-hopcast")
    if external:
        extra = sorted(key for key in set(fields) - {"name", "external", "labels"} if fields[key].value)
        if extra:
            fields[extra[0]].fail(
                f"{extra[0]!r} on an external network",
                f"it is made outside this file: say it under x-hopcast: {{networks: {{{key}: {{…}}}}}}",
            )
        return _external_network(key, item, name, notes, stack=stack)
    if said is not None:
        said.fail("x-hopcast says what an external network is like, and this file makes this one",
                  "write it into the network itself, or say `external: true` there")
    for flag, wanted, mend in (
        ("enable_ipv6", False, "Hopcast models IPv4 only; remove it"),
        ("enable_ipv4", True, "Hopcast models IPv4 only; remove it"),
    ):
        if flag in fields and fields[flag].flag() is not wanted:
            fields[flag].fail(f"{flag}: {str(not wanted).lower()} is not modelled", mend)
    driver = _driver(fields, "overlay" if stack else "bridge")
    options = _options(driver, fields, notes)
    with fields.get("ipam", item).blamed():
        return Network(
            name=name,
            key=key,
            driver=driver,
            options=options,
            **_ipam(fields.get("ipam"), stack=stack),
            internal="internal" in fields and fields["internal"].flag(),
            attachable="attachable" in fields and fields["attachable"].flag(),
        )


def _external_network(key: str, item: Item, name: str, notes: list[str], *, stack: bool) -> Network:
    """What x-hopcast says of it, or what is assumed. Raises SpecError."""
    said = item.mapping().get("x-hopcast")
    if said is None:
        driver = "overlay" if stack else "bridge"
        tell = f"x-hopcast: {{networks: {{{key}: {{driver: …, subnet: …}}}}}}"
        if found := OTHER_DRIVERS.search(name):
            item.fail(f"network {name!r} is external, nothing says what it is, and its name speaks of {found[0]!r}",
                      f"say it: {tell}, with the parent of a macvlan")
        kind = "attachable overlay" if stack else "user-defined bridge"
        notes.append(
            f"network {name!r} is external and nothing says what it is: assumed {'an' if stack else 'a'} {kind} with "
            f"nobody else on it ({tell} says otherwise)"
        )
        with item.blamed():
            return Network(name=name, key=key, driver=driver, attachable=stack)
    fields = said.fields(SAID_KEYS, of=f"external network {key!r}")
    driver = _driver(fields, "overlay" if stack else "bridge")
    options = _options(driver, fields, notes)
    if "parent" in fields:
        if options.setdefault("parent", fields["parent"].text()) != fields["parent"].text():
            fields["parent"].fail("the parent is given twice", "leave one of the two out")
        with fields["parent"].blamed():
            checks.check_driver_option(driver, "parent", options["parent"])
    plain = {each: fields[each] for each in CONFIG_KEYS if each in fields}
    if "ipam" in fields and plain:
        fields["ipam"].fail("ipam beside a subnet", "keep one of the two")
    ipam = said.holding({"config": said.holding([said.holding(plain)])}) if plain else fields.get("ipam")
    with said.blamed():
        return Network(
            name=name,
            key=key,
            driver=driver,
            options=options,
            **_ipam(ipam, stack=False),
            internal="internal" in fields and fields["internal"].flag(),
            attachable=fields["attachable"].flag() if "attachable" in fields else driver in checks.SWARM_DRIVERS,
        )


def _driver(fields: dict[str, Item], default: str) -> str:
    driver = fields["driver"].text() if "driver" in fields else default
    if driver not in checks.MODELLED_DRIVERS:
        mend = (
            f"use `network_mode: {driver}` in the services"
            if driver in ("host", "none")
            else did_you_mean(driver, checks.MODELLED_DRIVERS)
        )
        fields["driver"].fail(f"driver {driver!r} is not modelled", mend)
    return driver


def _options(driver: str, fields: dict[str, Item], notes: list[str]) -> dict[str, str]:
    options = {}
    for option, value in (fields["driver_opts"].mapping() if "driver_opts" in fields else {}).items():
        options[option] = value.text()
        with value.blamed():
            checks.check_driver_option(driver, option, options[option])
        if option in checks.IGNORED_OPTIONS.get(driver, ()):
            notes.append(f"{value.path}: the engine of the model does not know this option and ignores it, as any "
                         "before 27.0 does")
        elif checks.DRIVER_OPTIONS[driver][option] == "flag" and options[option].lower() in checks.OFF:
            notes.append(f"{value.path}: {options[option]!r} switches it on all the same, for the engine looks at the "
                         "key alone")
    return options


def is_external(item: Item) -> bool:
    """Whether a network exists before the project."""
    return "external" in item.mapping() and item.mapping()["external"].flag()


def _ipam(item: Item | None, *, stack: bool) -> dict[str, str | tuple[str, ...]]:
    """subnet, gateway, ip_range and aux_addresses, each checked where it stands."""
    if item is None:
        return {}
    fields = item.fields(IPAM_KEYS, of="ipam")
    if "driver" in fields and fields["driver"].text() != "default":
        fields["driver"].fail(
            f"IPAM driver {fields['driver'].text()!r} is not modelled", "use default, or leave it out"
        )
    if "options" in fields and fields["options"].mapping():
        fields["options"].fail("IPAM options are not modelled", "remove them")
    configs = fields["config"].sequence() if "config" in fields else []
    if len(configs) > 1:
        configs[1].fail("the model has one IPv4 subnet a network", "keep one entry under config")
    if not configs:
        return {}
    found: dict[str, str | tuple[str, ...]] = {}
    entries = configs[0].fields(CONFIG_KEYS, of="ipam.config")
    for key in sorted(set(entries) - {"subnet"}) if stack else ():
        entries[key].fail(f"{key!r} in a stack: docker stack deploy passes a network's subnet only", "remove it")
    for key, check in (
        ("subnet", checks.check_cidr),
        ("gateway", checks.check_address),
        ("ip_range", checks.check_cidr),
    ):
        if key in entries and (text := entries[key].text()):
            with entries[key].blamed():
                found[key] = check(text)
    addresses = []
    for _, address in entries["aux_addresses"].pairs() if "aux_addresses" in entries else []:
        with address.blamed():
            addresses.append(checks.check_address(address.value))
    if addresses:
        found["aux_addresses"] = tuple(addresses)
    for key in ("gateway", "ip_range", "aux_addresses"):
        if key in entries:
            with entries[key].blamed():
                texts = addresses if key == "aux_addresses" else [entries[key].text()]
                checks.check_inside(key, texts, str(found.get("subnet", "")))
    return found
