"""From what a person writes to a Question: `web -> db:5432`, or a source and a target as `hopcast walk` takes them.

What the words mean by themselves, unless `by`, `published` or `direct` says otherwise:

========================  =============================================================================
container -> container    by name, as an application's settings have it
container -> host/client  by its address
client -> container:port  the published port, if there is one for that port (or with that number on the host); else
                          the container's own address
host -> container         by its address; a container on another host: as a client would
anything -> 10.0.0.1      that address; `localhost` is 127.0.0.1
========================  =============================================================================

A name with a dot in it may be any; others must be somebody's, so that a slip of the pen is an error and not an answer.
"""

from __future__ import annotations

import re
from typing import Any

from sim import checks
from sim.errors import SpecError, did_you_mean
from sim.spec import Container, Question, Spec

LINE_MEND = "write it like 'web -> db:5432', 'client -> web:80 published' or 'c1 -> c2 ping by name'"
PROBES = ("ping", "tcp", "udp")
SCHEMES = {"http": 80, "https": 443, "tcp": 0, "udp": 0}


def parse_target(spec: Spec, source: str, target: str) -> Question:
    """The question of `hopcast walk FILE SOURCE TARGET`: `web:80`, `web`, `172.17.0.2`, `http://web/`, `dns:53/udp`.

    Raises SpecError when the source, the target or the port does not exist.
    """
    return ask(spec, source, target)


def parse_line(spec: Spec, line: str) -> Question:
    """`SOURCE -> TARGET[:PORT[/udp]] [ping|tcp|udp] [by name|by ip] [published|direct] [timeout S]`. Or a SpecError."""
    source, arrow, rest = line.partition("->")
    words = rest.split()
    if not arrow or not source.strip() or not words:
        raise SpecError(f"{line!r} is no question", mend=LINE_MEND)
    target, words = words[0], words[1:]
    options: dict[str, Any] = {}
    while words:
        match words:
            case [word, *words] if word in PROBES:
                options["probe"] = word
            case ["by", by, *words]:
                options["by"] = by
            case ["published" | "direct" as word, *words]:
                options["published"] = word == "published"
            case ["timeout", seconds, *words] if re.fullmatch(r"\d+(\.\d+)?", seconds):
                options["timeout"] = float(seconds)
            case [word, *_]:
                raise SpecError(f"{word!r} says nothing in a question", mend=LINE_MEND)
    return ask(spec, source.strip(), target, **options)


def ask(
    spec: Spec, source: str, target: str, *, probe: str = "", by: str = "", published: bool | None = None, **more: Any
) -> Question:
    """A question from its parts; what is not given follows from the table above.

    `more` goes to the Question as it is. Raises SpecError.
    """
    asker = spec.container(source)
    if asker is None and source not in spec.labels():
        known = [*spec.labels(), *(c.service for c in spec.containers)]
        raise SpecError(f"unknown source {source!r}", mend=did_you_mean(source, filter(None, known)))
    if by not in ("", "ip", "name"):
        raise SpecError(f"by {by!r} says nothing", mend="use ip or name")
    if probe not in ("", *PROBES):
        raise SpecError(f"unknown probe {probe!r}", mend=did_you_mean(probe, PROBES))
    name, port, protocol = _split(target)
    probe = probe or protocol or ("tcp" if port else "ping")
    if protocol and probe not in (protocol, "ping"):
        raise SpecError(f"{target!r} is a {protocol} port, and the probe is {probe}", mend=f"probe {protocol}")
    box = spec.container(name)
    known_machine = spec.host(name) is not None or spec.client(name) is not None
    literal = re.fullmatch(r"[\d.]+", name) is not None
    if box is None and not known_machine and not literal:
        _check_name(spec, name)
        if by == "ip":
            raise SpecError(f"{name!r} is a name, not a container: it has no address of its own", mend="ask by name")
    if literal and by == "name":
        raise SpecError(f"{name!r} is an address already", mend="ask by ip")
    if published is None:
        published = False
        if box is not None and not by and probe != "ping" and _from_outside(spec, source, asker, box):
            found = _published(spec, box, port, probe)
            published, port = found > 0, found or port
    elif published and box is not None:
        port = _published(spec, box, port, probe) or port
    if not by:
        from_container = asker is not None and not published
        by = "name" if (box is not None and from_container) or not (box or known_machine or literal) else "ip"
    question = Question.model_validate(
        {
            "source": asker.name if asker else source,
            "target": box.name if box and by == "ip" else name,
            "probe": probe,
            "port": port,
            "by": by,
            "published": published,
            **more,
        }
    )
    checks.check_question(spec, question, "")
    return question


def _split(text: str) -> tuple[str, int, str]:
    """`http://web:8080/x` -> ("web", 8080, ""); `dns:53/udp` -> ("dns", 53, "udp"); `web` -> ("web", 0, "")"""
    scheme, found, rest = text.partition("://")
    if found and scheme not in SCHEMES:
        raise SpecError(f"unknown scheme {scheme!r}", mend=did_you_mean(scheme, SCHEMES))
    protocol = scheme if found and scheme in PROBES else ""
    if not found:
        rest, _, suffix = text.partition("/")
        if suffix in ("tcp", "udp"):
            protocol = suffix
        elif suffix:
            raise SpecError(f"{text!r} is no target", mend="write it like web:80, dns:53/udp or 172.17.0.2")
    name, colon, number = rest.partition("/")[0].partition(":")
    if not name or (colon and not re.fullmatch(r"\d{1,9}", number, re.ASCII)):
        raise SpecError(f"{text!r} is no target", mend="write it like web:80, dns:53/udp or 172.17.0.2")
    port = int(number) if colon else SCHEMES.get(scheme, 0) if found else 0
    if colon and not 1 <= port <= 65535:
        raise SpecError(f"port {port} is out of range", mend="use 1-65535")
    return ("127.0.0.1" if name == "localhost" else name), port, protocol


def _from_outside(spec: Spec, source: str, asker: Container | None, box: Container) -> bool:
    """Does `source` meet `box` only over the underlay?"""
    return asker is None and (spec.client(source) is not None or source != box.host)


def _published(spec: Spec, box: Container, port: int, protocol: str) -> int:
    """The published container port that `port` means: itself, or the one behind that host port; 0: none."""
    if not spec.publishes(box.name):
        return 0
    ports = [p for p in box.ports if p.protocol == protocol]
    inside = [p.container_port for p in ports if p.container_port == port]
    return next(iter([*inside, *(p.container_port for p in ports if p.host_port == port)]), 0)


def _check_name(spec: Spec, name: str) -> None:
    known = {alias for c in spec.containers for a in c.attachments for alias in a.aliases}
    known |= {c.hostname for c in spec.containers} | {
        entry.partition(":")[0] for c in spec.containers for entry in c.extra_hosts
    }
    if name not in known and "." not in name:
        everybody = {*known, *spec.labels(), *(c.service for c in spec.containers)} - {""}
        raise SpecError(f"unknown target {name!r}", mend=did_you_mean(name, everybody))
