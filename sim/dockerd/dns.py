"""The embedded DNS: what a sandbox's resolver answers to a name.

Follows libnetwork of moby v20.10: resolver.go (`ServeDNS`), `ResolveName` in sandbox.go and network.go. A name that no
network of the sandbox knows goes to the external servers, single-label ones too, unless the user set `ndots` himself.
A name that the container's links give counts before all others, for that container alone, and hides one of the
network's (libnetwork compares it letter by letter, a network's names without regard to case).
Addresses come back in the order in which they were added; the real one shuffles them. Left out: AAAA, PTR, SRV.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.dockerd.endpoint import Endpoint, by_priority
from sim.dockerd.process import NameAnswer

MAX_EXTERNAL = 3
"""maxExtDNS"""


def answer(name: str, endpoints: list[Endpoint], external: tuple[str, ...], ndots_set: bool) -> NameAnswer:
    """What the resolver of a sandbox with these endpoints does with a question for an A record."""
    name = name.removesuffix(".")
    for request, network in splits(name):
        there = [each for each in by_priority(endpoints) if network in ("", each.network.name)]
        asked = [(each, each.links[request]) for each in there if request in each.links]
        asked += [(each, request) for each in there if request not in each.links]
        for endpoint, wanted in asked:
            known = endpoint.network.names.get(wanted.lower())
            if known:
                return NameAnswer(tuple(known))
    if ndots_set and "." not in name:
        return NameAnswer()
    return NameAnswer(upstream=external[:MAX_EXTERNAL])


def splits(name: str) -> Iterator[tuple[str, str]]:
    """(name, network): first the whole on any network, then each way to read it as NAME.NETWORK.

    >>> list(splits("web.front"))
    [('web.front', ''), ('web', 'front')]
    """
    yield name, ""
    at = name.rfind(".")
    while at != -1:
        yield name[:at], name[at + 1 :]
        at = name.rfind(".", 0, at)
