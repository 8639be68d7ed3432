"""`services` of a Compose file: which ones run, on which networks, in which order.

A service's networks are attached as compose-go's NetworksByPriority has them: by falling `priority`, then by key.
Services come in the order in which they start: each after what it depends on, otherwise as the file lists them.
(Compose starts independent services at the same time; one order had to be chosen, for addresses depend on it.)
Left out: options of a single endpoint: errors. Services whose profiles are off do not run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sim.checks.sysctls import idle
from sim.compose import keys
from sim.compose.document import Item
from sim.compose.networks import is_external
from sim.errors import did_you_mean


@dataclass(slots=True)
class Service:
    """A service as the files have it, merged. `item` is its place; `fields` the keys that matter."""

    name: str
    item: Item
    fields: dict[str, Item]
    networks: list[tuple[str, Item]] = field(default_factory=list)
    """(key, what is said of the attachment), in the order of attachment; empty with a network_mode."""
    joined: bool = False
    """It is on its network by `network_mode: NETWORK`: without aliases, for Compose gives none there."""
    swarm: bool = False
    """Deployed as a service of the swarm (`stack.py`), and not as plain containers."""

    def text(self, key: str) -> str:
        return self.fields[key].text() if key in self.fields else ""

    def texts(self, key: str) -> list[Item]:
        return self.fields[key].texts() if key in self.fields else []

    @property
    def deploy(self) -> dict[str, Item]:
        """The entries of `deploy`. Raises SpecError."""
        return self.fields["deploy"].fields(keys.DEPLOY, of="deploy") if "deploy" in self.fields else {}

    @property
    def extension(self) -> dict[str, Item]:
        """The entries of the service's own x-hopcast. Raises SpecError."""
        return self.fields["x-hopcast"].fields(keys.EXTENSION, of="x-hopcast") if "x-hopcast" in self.fields else {}

    @property
    def replicas(self) -> int:
        """How many containers: `scale`, or `deploy.replicas`, or one. Raises SpecError."""
        count = self.fields.get("scale") or self.deploy.get("replicas")
        if count is not None and not 0 <= count.number() <= 250:
            count.fail(f"{count.number()} containers", "use 0-250")
        return count.number() if count is not None else 1

    def container_name(self, project: str, number: int = 1) -> str:
        return self.text("container_name") or f"{project}-{self.name}-{number}"


def read_service(name: str, item: Item, ignored: dict[str, list[str]]) -> Service:
    """One entry of `services`; keys that can't matter go to `ignored`, unread. Raises SpecError."""
    fields = {}
    for key, entry in item.mapping().items():
        if key in keys.REFUSED_SERVICE:
            entry.fail(f"{key!r} is not modelled", keys.REFUSED_SERVICE[key])
        if key in keys.IGNORED_SERVICE:
            ignored.setdefault(key, []).append(name)
        elif (key in keys.READ_SERVICE or key == "x-hopcast") and entry.value is not None:
            fields[key] = entry
    service = Service(name, item, fields)
    for sysctl, value in fields["sysctls"].pairs("=") if "sysctls" in fields else ():
        if idle(sysctl, value.value):
            ignored.setdefault(f"sysctl {sysctl}", []).append(name)
    attach(service)
    return service


def attach(service: Service) -> None:
    """Read `networks` and `network_mode`. Raises SpecError."""
    if "network_mode" in service.fields:
        return
    entries = service.fields["networks"].mapping() if "networks" in service.fields else {}
    entries = entries or {"default": service.item.emptied()}  # a stack's, which has no network_mode
    ranks = {}
    for key, entry in entries.items():
        fields = entry.mapping()
        for refused, mend in keys.REFUSED_ATTACHMENT.items():
            if refused in fields:
                fields[refused].fail(f"{refused!r} is not modelled", mend)
        fields = entry.fields(keys.READ_ATTACHMENT, of=f"the attachment to network {key!r}")
        ranks[key] = -fields["priority"].number() if "priority" in fields else 0
    service.networks = sorted(entries.items(), key=lambda pair: (ranks[pair[0]], pair[0]))


MODES = ("bridge", "default", "host", "none")


def join(services: dict[str, Service], declared: dict[str, Item]) -> None:
    """Attaches services whose `network_mode` is the name of a network: one that Compose makes, for a service is on it,
    or that is there before. Raises SpecError."""
    used = {key for service in services.values() for key, _ in service.networks}
    made = {item.mapping()["name"].text(): key for key, item in declared.items() if key in used or is_external(item)}
    for service in services.values():
        mode = service.text("network_mode")
        if not mode or mode in MODES or ":" in mode:
            continue
        item = service.fields["network_mode"]
        if mode not in made:
            own = next((key for key, entry in declared.items() if mode in (key, entry.mapping()["name"].text())), None)
            if own is not None and declared[own].mapping()["name"].text() in made:
                name = declared[own].mapping()["name"].text()
                item.fail(f"network_mode names networks as the engine does, and {mode!r} is called {name!r} there",
                          f"write `network_mode: {name}`, or `networks: [{own}]`")
            if own is not None:
                item.fail(f"network {mode} not found: no service has it under `networks`, so Compose does not make it",
                          f"write `networks: [{own}]`")
            item.fail(f"{mode!r} is no network mode",
                      did_you_mean(mode, [*MODES, *made, "service:NAME", "container:NAME"]))
        service.networks = [(made[mode], item.emptied())]
        service.joined = True


def dependencies(service: Service) -> list[str]:
    """The services that it starts after."""
    said = service.item.mapping()
    return list(said["depends_on"].mapping()) if "depends_on" in said else []


def in_start_order(services: dict[str, Service]) -> list[Service]:
    """Each service after those that it depends on, else in the files' order. There is no circle (`consistency`)."""
    done: dict[str, Service] = {}
    for first in services.values():
        waiting = [first]
        while waiting:
            service = waiting[-1]
            missing = [services[name] for name in dependencies(service) if name in services and name not in done]
            if missing and service.name not in done:
                waiting.append(missing[0])
            else:
                done.setdefault(service.name, waiting.pop())
    return list(done.values())


def gateway_priorities(services: Iterable[Service]) -> list[str]:
    """Notes: who says `gw_priority`, which Compose passes on and engines before 28.0 ignore."""
    return [
        f"gw_priority of {service.name} on network {key}: engines before 28.0 ignore it; the default route leads by "
        "the first network, by name, that is not internal"
        for service in services for key, entry in service.networks if "gw_priority" in entry.mapping()
    ]
