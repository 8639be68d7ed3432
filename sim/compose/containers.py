"""The containers of a service, with what each process listens on.

An image says with EXPOSE where its process listens; Hopcast pulls no image, so: `x-hopcast: {listens: […]}` if given,
else `expose` and the targets of `ports`, else what a well-known image does (`sim/compose/keys.py`).
`links` and `external_links` are passed on to the engine as Compose does: three names for each container that is linked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim import checks
from sim.compose import keys
from sim.compose.document import Item
from sim.compose.ports import HostPortRanges, read_exposed, read_listeners, read_ports
from sim.compose.services import MODES, Service
from sim.errors import did_you_mean
from sim.spec import Attachment, Container, Listener, Network, Spec

RESTART = ("no", "always", "on-failure", "unless-stopped")


def containers_of(
    service: Service,
    project: str,
    networks: dict[str, Network],
    services: dict[str, Service],
    ranges: HostPortRanges,
    host: str,
) -> Iterator[Container]:
    """The containers of one service as they are made; on `host` unless it names another. Raises SpecError."""
    attachments = tuple(
        _attachment(networks[key], entry, _aliases(service, entry), service_name=not service.joined)
        for key, entry in service.networks
    )
    for number in range(1, service.replicas + 1):
        ports = read_ports(service.fields["ports"], ranges) if "ports" in service.fields else ()
        yield container_of(
            service,
            _name(service, project, number),
            mode=_mode(service, project, services),
            host=service.extension["host"].text() if "host" in service.extension else host,
            attachments=attachments,
            ports=ports,
            restart=_restart(service),
            # with `network_mode: NETWORK` Compose says them where the engine does not look
            links=() if service.joined else _links(service, project, number, services),
            targets=tuple((p.container_port, p.protocol) for p in ports),
        )


def check_replicas(spec: Spec, services: dict[str, Service]) -> None:
    """Containers of one service that publish the same port of one host: the engine starts the first and refuses the
    next. A stack's tasks would share it, and that is what such a file is mostly for. Raises SpecError."""
    seen: dict[tuple[str, int, str, str], str] = {}
    for box in spec.containers:
        for port in box.ports if spec.publishes(box.name) and not box.task_of and box.service in services else ():
            key = (box.service, port.host_port, port.protocol, port.host_ip)
            if port.host_port and seen.setdefault(key, box.name) != box.name:
                services[box.service].fields["ports"].fail(
                    f"{seen[key]} and {box.name} both publish port {port.host_port} of {box.host}, and the engine "
                    "refuses the second",
                    "run one container, give it a range of ports or no host port; a file for docker stack deploy "
                    "says `x-hopcast: {stack: true}`",
                )


def container_of(
    service: Service, name: str, *, targets: tuple[tuple[int, str], ...], **fields: Any
) -> Container:
    """A container with what the service says of each of its containers. `targets`: the container ports, with their
    protocols, that it publishes in whatever way. Raises SpecError."""
    expose = said = read_exposed(service.fields["expose"]) if "expose" in service.fields else ()
    if fields.get("mode") == "bridge":  # what the image itself exposes, links open as well
        expose = tuple(dict.fromkeys([*said, *image_listens(service)]))
    published = tuple(Listener.model_validate({"port": port, "protocol": protocol}) for port, protocol in targets)
    mac_address = service.text("mac_address")
    if mac_address:
        with service.fields["mac_address"].blamed():
            checks.check_mac(mac_address)
    with service.item.blamed():
        return Container(
            name=name,
            service=service.name,
            hostname=service.text("hostname"),
            domainname=service.text("domainname"),
            expose=expose,
            listens=read_listeners(service.extension["listens"])
            if "listens" in service.extension
            else tuple(each for each in dict.fromkeys([*said, *published]) if each.can_be_asked)
            or image_listens(service),
            mac_address=mac_address,
            dns=tuple(_address(item) for item in service.texts("dns")),
            dns_search=tuple(item.value for item in service.texts("dns_search")),
            dns_opt=tuple(item.value for item in service.texts("dns_opt")),
            extra_hosts=tuple(
                _extra_host(name, item) for name, items in _entries(service, "extra_hosts") for item in items.texts()),
            sysctls={key: item.text() for key, item in _entries(service, "sysctls")},
            **fields,
        )


def one_listener_a_port(boxes: list[Container], services: dict[str, Service], notes: list[str]) -> list[Container]:
    """Where a namespace is shared, a port is theirs who say so (x-hopcast); of the others the first has it."""
    modes = {box.name: box for box in boxes}
    found: dict[str, str] = {}

    def namespace(box: Container) -> str:
        chain = []
        while box.mode.startswith("container:") and box.name not in found:
            found[box.name] = box.name  # for the circle that `Spec` will refuse
            chain.append(box.name)
            box = modes.get(box.mode.removeprefix("container:"), box)
        end = found.get(box.name) or (f"host {box.host}" if box.mode == "host" else box.name)
        found.update(dict.fromkeys(chain, end))
        return end

    def said(box: Container) -> bool:
        return "listens" in services[box.service].extension

    taken: dict[str, list[tuple[Listener, str]]] = {}
    kept: dict[str, Container] = {}
    for box in sorted(boxes, key=lambda box: not said(box)):
        there = taken.setdefault(namespace(box), [])
        free = []
        for listener in box.listens:
            holder = next((name for other, name in there if listener.clashes(other)), None)
            if holder is not None and not said(box):
                notes.append(
                    f"{box.name} shares its network namespace with {holder}, which listens on {listener} already"
                )
                continue
            free.append(listener)
        there += [(listener, box.name) for listener in free]
        kept[box.name] = box.model_copy(update={"listens": tuple(free)})
    return [kept[box.name] for box in boxes]


def _name(service: Service, project: str, number: int) -> str:
    name, item = service.container_name(project, number), service.fields.get("container_name", service.item)
    with item.blamed():
        checks.check_name(name, "container")
    if len(name) < 2:
        item.fail(f"{name!r} is too short a name for a container", "use two letters or more")
    return name


def _restart(service: Service) -> str:
    """`docker run --restart`, without the number of attempts."""
    if "restart" not in service.fields:
        return "no"
    item = service.fields["restart"]
    policy = "no" if item.value is False else item.text().partition(":")[0]  # YAML reads a bare `no` as false
    if policy not in RESTART:
        item.fail(f"unknown restart policy {policy!r}", did_you_mean(policy, RESTART))
    return policy


def _mode(service: Service, project: str, services: dict[str, Service]) -> str:
    """Docker's network mode, or `networks`."""
    item = service.fields.get("network_mode")
    if item is None or service.joined:
        return "networks"
    text = item.text()
    kind, _, name = text.partition(":")
    if kind == "service" and name:
        if services[name].replicas == 0:
            item.fail(f"service {name!r} runs no container", "give it one")
        if services[name].swarm:
            item.fail(f"{name!r} is a service of the swarm: its tasks share their namespaces with nobody",
                      "give the container a network")
        return f"container:{services[name].container_name(project)}"
    if kind == "container" and name:
        plain = [s for s in services.values() if not s.swarm]
        known = [s.container_name(project, n + 1) for s in plain for n in range(s.replicas)]
        if name not in known:
            near = did_you_mean(name, known)
            item.fail(f"no container {name!r} in this project, and others are not known here",
                      f"{near}, or add a service with `container_name: {name}`" if near.startswith("did") else
                      f"add a service with `container_name: {name}`")
        return text
    if text not in MODES:  # `container:` without a name, say; names of networks were found by `services.join`
        item.fail(f"{text!r} is no network mode", did_you_mean(text, [*MODES, "service:NAME", "container:NAME"]))
    return "bridge" if text == "default" else text


def _attachment(net: Network, entry: Item, aliases: tuple[str, ...], *, service_name: bool) -> Attachment:
    fields, texts = entry.mapping(), {}
    for key, check in (("ipv4_address", checks.check_address), ("mac_address", checks.check_mac)):
        if key in fields:
            with fields[key].blamed():
                texts[key] = check(fields[key].text())
    if "ipv4_address" in texts:
        with fields["ipv4_address"].blamed():
            checks.check_fixed_address(texts["ipv4_address"], net)
    return Attachment(network=net.name, aliases=aliases, service_name=service_name, **texts)


def _links(service: Service, project: str, number: int, services: dict[str, Service]) -> tuple[str, ...]:
    """What Compose passes on to the engine (`getLinks` in its create.go). Raises SpecError."""
    found = []
    plain = [each for each in services.values() if not each.swarm]
    for link in service.texts("links"):
        target, _, alias = link.value.partition(":")
        other = next((each for each in plain if each.name == target), None)
        if other is None:
            link.fail(f"{target!r} runs no container of its own", "link a service that is no stack's")
        for one in range(1, other.replicas + 1):
            names = (alias or target, f"{target}-{number}", f"{project}-{target}-{number}")
            found += [f"{other.container_name(project, one)}:{name}" for name in names]
    known = [each.container_name(project, n + 1) for each in plain for n in range(each.replicas)]
    for link in service.texts("external_links"):
        target, _, alias = link.value.partition(":")
        if target not in known:
            link.fail(f"no container {target!r} in this project, and others are not known here",
                      f"add a service with `container_name: {target}`, on the network that both are on")
        found.append(f"{target}:{alias or target}")
    return tuple(dict.fromkeys(found))


def _aliases(service: Service, entry: Item) -> tuple[str, ...]:
    """The service's name first, then its aliases."""
    names = [] if service.joined else [service.name]
    if "aliases" in entry.mapping():
        names += [item.value for item in entry.mapping()["aliases"].texts()]
    return tuple(dict.fromkeys(names))


def image_listens(service: Service) -> tuple[Listener, ...]:
    """Where the service's image is known to listen."""
    texts = [service.item.holding(text) for text in keys.ports_of_image(service.text("image"))]
    return read_exposed(service.item.holding(texts))


def _entries(service: Service, key: str) -> list[tuple[str, Item]]:
    return list(service.fields[key].mapping().items()) if key in service.fields else []


def _extra_host(name: str, item: Item) -> str:
    if item.value != "host-gateway":
        _address(item)
    return f"{name}:{item.value}"


def _address(item: Item) -> str:
    with item.blamed():
        return checks.check_address(item.value)
