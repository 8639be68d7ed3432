"""The files /etc/resolv.conf and /etc/hosts that dockerd writes for a container.

Follows libnetwork of moby v20.10: sandbox_dns_unix.go, resolvconf/resolvconf.go, etchosts/etchosts.go. Left out: IPv6,
and what the engine reads instead where 127.0.0.53 is the only name server (/run/systemd/resolve/resolv.conf).
A host name that dockerd draws from the container's id is written `id(CONTAINER)`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address

from sim import spec
from sim.dockerd.endpoint import Endpoint
from sim.errors import PlumbError
from sim.kernel.netns import Netns
from sim.kernel.resolver import HostsLine, ResolverFiles
from sim.packet import ip

RESOLVER = "127.0.0.11"
HOST_GATEWAY = "host-gateway"


@dataclass(frozen=True, slots=True)
class Resolution(ResolverFiles):
    """What a process finds in its resolver files. `external`: whom the embedded DNS asks; `ndots_set`: by the user."""

    external: tuple[str, ...] = ()
    host_loopback: frozenset[str] = frozenset()
    ndots_set: bool = False

    def write(self, netns: Netns) -> None:
        """Into the namespace whose processes read these files."""
        netns.nameservers, netns.search = list(self.nameservers), list(self.search)
        netns.resolv_options, netns.hosts = list(self.options), list(self.hosts)


def files_of(
    box: spec.Container, endpoints: list[Endpoint], host: Netns, substitutes: tuple[str, ...],
    host_gateway: IPv4Address | None, linked: tuple[HostsLine, ...] = (), *, on_host: bool,
) -> Resolution:
    """Both files of a container. `on_host`: in the host's namespace, whose hosts file it has unless it adds to it.
    `linked`: the lines that its links add."""
    files = resolv_conf(box, host, substitutes, on_host=on_host)
    if needs_resolver(endpoints):
        files = with_resolver(files)
    if on_host and not box.extra_hosts:
        return replace(files, hosts=tuple(host.hosts))
    lines, own = (*hosts_file(box, host_gateway), *linked), own_lines(box, endpoints)
    # the engine joins networks in the order of a Go map, the default one first (`allocateNetwork`)
    drawn = len(own) - any(endpoint.network.predefined for endpoint in endpoints)
    return replace(files, hosts=(*lines, *own), drawn=drawn)


def needs_resolver(endpoints: list[Endpoint]) -> bool:
    """Whether there is a user-defined network among those joined: only these have the embedded DNS."""
    return any(not endpoint.network.predefined for endpoint in endpoints)


def resolv_conf(box: spec.Container, host: Netns, substitutes: tuple[str, ...], *, on_host: bool) -> Resolution:
    """`setupDNS`: what the user gave, else the host's without the name servers on its loopback. No hosts file yet.

    A container in the host's namespace with no option of its own gets the host's file as it is (`on_host`).
    """
    given = host.files
    if box.dns or box.dns_search or box.dns_opt:
        servers = box.dns or given.nameservers
        search = box.dns_search or given.search
        # a search list of one dot means none (resolvconf.Build)
        search = () if search == (".",) else search
        return Resolution(servers, search, box.dns_opt or given.options, external=servers)
    if on_host:
        return Resolution(given.nameservers, given.search, given.options)
    reachable = tuple(s for s in given.nameservers if not is_loopback(s))
    loopback = frozenset(given.nameservers) - frozenset(reachable)
    nameservers = reachable or substitutes
    # the embedded DNS asks those on the loopback as well: it can do so from the host's namespace
    return Resolution(nameservers, given.search, given.options, external=given.nameservers or nameservers,
                      host_loopback=loopback)


def with_resolver(files: Resolution) -> Resolution:
    """`rebuildDNS`: the embedded DNS takes the name servers' place; names are asked as they are (ndots:0).
    Raises PlumbError."""
    said = next((option for option in files.options if "ndots" in option), None)
    ndots_set = said is not None
    if said is not None and said.count(":") != 1:
        raise PlumbError(f"invalid ndots option {said}")
    if said is not None and not re.fullmatch(r"\+?[0-9]{1,18}", said.partition(":")[2]):
        raise PlumbError(f"invalid number for ndots option: {said.partition(':')[2]}")
    options = files.options if ndots_set else (*files.options, "ndots:0")
    return replace(files, nameservers=(RESOLVER,), options=options, ndots_set=ndots_set)


def hosts_file(box: spec.Container, host_gateway: IPv4Address | None) -> tuple[HostsLine, ...]:
    """`buildHostsFile`, before there is any endpoint."""
    return (ip("127.0.0.1"), ("localhost",)), *(extra_host(text, host_gateway) for text in box.extra_hosts)


def own_lines(box: spec.Container, endpoints: list[Endpoint]) -> tuple[HostsLine, ...]:
    """`updateHostsFile` for each endpoint as it joins, but not where a network only routes. The host name may be given
    with its domain, or in two parts."""
    fqdn = ".".join(filter(None, (hostname(box), box.domainname)))
    short, dot, _ = fqdn.partition(".")
    names = (fqdn, short) if dot and (box.hostname or box.domainname) else (fqdn,)
    return tuple((int(e.address), names) for e in endpoints
                 if e.address is not None and not e.network.only_routes)


def hostname(box: spec.Container) -> str:
    """The one that was given, or the beginning of its id."""
    return box.hostname or f"id({box.name})"


def extra_host(text: str, host_gateway: IPv4Address | None) -> HostsLine:
    """`--add-host NAME:ADDRESS`; `host-gateway` stands for the default bridge's address. Raises PlumbError."""
    name, colon, address = text.partition(":")
    if not colon or not name:
        raise PlumbError(f'bad format for add-host: "{text}"')
    if address == HOST_GATEWAY:
        if host_gateway is None:
            raise PlumbError("unable to derive the IP value for host-gateway")
        return int(host_gateway), (name,)
    try:
        return int(IPv4Address(address)), (name,)
    except AddressValueError:
        raise PlumbError(f'invalid IP address in add-host: "{address}"') from None


def is_loopback(address: str) -> bool:
    return ip(address) >> 24 == 127
