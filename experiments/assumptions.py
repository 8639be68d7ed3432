"""What a forecast takes for granted of engines and hosts, said once: a compact line for people, data for programs.

Read from the plumbing where that has it, so that nothing is claimed that the model doesn't do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sim import compose
from sim.dockerd.profile import profile_of
from sim.errors import SpecError
from sim.plumbing import Plumbing
from sim.reasons.facts import listed
from sim.spec import Engine, Host, Spec

OPTIONS = tuple(name for name, field in Engine.model_fields.items() if field.annotation is bool)
"""dockerd's switches."""


def assumptions(spec: Spec, plumbing: Plumbing) -> dict[str, Any]:
    """`engines`: host -> version of the Docker Engine that is predicted, with the options that are not its defaults;
    `hosts`: what else is taken for granted, a phrase each."""
    return {"engines": {host.name: engine_of(host) for host in spec.hosts}, "hosts": _hosts(spec, plumbing)}


def in_a_line(spec: Spec, plumbing: Plumbing) -> str:
    """`assumes Docker Engine 20.10.24 on host; …`"""
    return "assumes " + "; ".join([engines(spec), *_hosts(spec, plumbing)])


def engines(spec: Spec) -> str:
    """`Docker Engine 20.10.24 on h1 and h2`"""
    versions: dict[str, list[str]] = {}
    for host in spec.hosts:
        versions.setdefault(engine_of(host), []).append(host.name)
    return ", ".join(f"Docker Engine {version} on {listed(names)}" for version, names in versions.items())


def engines_of(read: compose.Project) -> dict[str, str]:
    """`engine`: what a project's hosts are predicted as; where it can't be read as a topology, `refused` says why."""
    try:
        return {"engine": engines(compose.spec_of(read))}
    except SpecError as error:
        return {"engine": f"Docker Engine {engine_of(Host())}", "refused": str(error)}


def engine_of(host: Host) -> str:
    """`20.10.24 (userland-proxy: false)`"""
    release = profile_of(host.engine.version).release
    default = Engine()
    changed = [f"{name.replace('_', '-')}: {str(getattr(host.engine, name)).lower()}" for name in OPTIONS
               if getattr(host.engine, name) != getattr(default, name)]
    return f"{release} ({', '.join(changed)})" if changed else release


def _hosts(spec: Spec, plumbing: Plumbing) -> list[str]:
    names = [host.name for host in spec.hosts]
    said = [f"{chain} {_policies(plumbing, names, chain)}" for chain in ("INPUT", "FORWARD")]
    given = [host.name for host in spec.hosts if host.firewall.before or host.firewall.after]
    said.append(f"firewall rules are Docker's{f', and the file has some for {listed(given)}' if given else ' alone'}")
    said.append("sysctls are Linux's but for the file's and Docker's")
    if not any(route.dst == "default" for name in names for route in plumbing.namespaces[name].routes):
        said.append("no host has a default gateway")
    count = len(spec.names)
    known = f"{count} name{'s' if count > 1 else ''} of the file" if count else "no names"
    return [*said, f"the hosts' name server knows {known}"]


def _policies(plumbing: Plumbing, hosts: Iterable[str], chain: str) -> str:
    """`accepts`, `drops by policy`, or both with the hosts that do so."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        lines = plumbing.namespaces[host].rules.get("filter", [])
        drops = any(text.startswith(f":{chain} DROP") for text in lines)
        found.setdefault("drops by policy" if drops else "accepts", []).append(host)
    if len(found) == 1:
        return next(iter(found))
    return " and ".join(f"{verb} on {listed(names)}" for verb, names in found.items())
