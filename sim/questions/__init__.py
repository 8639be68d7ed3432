"""From what a person writes to a Question: `web -> db:5432`, or a source and a target as `hopcast walk` takes them.

What the words mean by themselves, unless `by`, `published` or `direct` says otherwise:

========================  =============================================================================
container -> container    by name, as an application's settings have it
container -> host/client  by its address
client -> container:port  the published port, if there is one for that port (or with that number on the host); else
                          the container's own address
host -> container         by its address; a container on another host: as a client would
container -> service      a service of the swarm: by name; `tasks.NAME` is a name as well
other -> service:port     the published port, if there is one for that port, at the first host (`at h2`: at that one);
                          else its virtual address
anything -> a task        by its address, for nobody's DNS knows `shop_web.1`
anything -> 10.0.0.1      that address; `localhost` is 127.0.0.1, unless it is asked by name
========================  =============================================================================

A name with a dot in it may be any; others must be somebody's, so that a slip of the pen is an error and not an answer.

What is asked before, during and after a fault is three questions: `web -> db:80 around cut`; or one of them: `during
cut`, `after cut`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sim.checks.spec import check_question
from sim.errors import SpecError, did_you_mean
from sim.spec import Container, Question, Service, Spec

__all__ = ["around", "ask", "parse_line", "parse_lines", "parse_target"]

LINE_MEND = "write it like 'web -> db:5432', 'client -> web:80 published' or 'c1 -> c2 ping by name'"
PROBES = ("ping", "tcp", "udp")
SAY = {**dict.fromkeys(PROBES, "probe"), "published": "published", "direct": "published"}
"""Words that say something by themselves, and of what."""
WANTED = {
    "by": (".+", "`name` or `ip`"), "at": (".+", "a host"),
    "timeout": (r"[0-9]{1,9}(\.[0-9]{1,9})?", "seconds, like 1.5"),
    "during": (".+", "a fault"), "after": (".+", "a fault"), "around": (".+", "a fault"),
}
"""Words that want one behind them: its form, and what it is."""
NOT_SAID = {"before": "a question that names no fault is asked before; `around FAULT` asks before, during and after it"}
BODY_TIMEOUT = 2.0
"""Seconds to wait for an answer to a request with a body: TCP's third time-out falls on one and a half."""
SCHEMES = {"http": 80, "https": 443, "tcp": 0, "udp": 0}


def parse_target(spec: Spec, source: str, target: str) -> Question:
    """The question of `hopcast walk FILE SOURCE TARGET`: `web:80`, `web`, `172.17.0.2`, `http://web/`, `dns:53/udp`.

    Raises SpecError when the source, the target or the port does not exist.
    """
    return ask(spec, source, target)


def parse_line(spec: Spec, line: str) -> Question:
    """`SOURCE -> TARGET[:PORT[/udp]]`, then in any order `ping|tcp|udp`, `by name|ip`, `published|direct`, `at HOST`,
    `timeout S`, `during FAULT|after FAULT`. Or a SpecError.
    """
    first, *more = parse_lines(spec, line)
    if more:
        raise SpecError(f"{line!r} is several questions", mend="ask before, during and after one by one")
    return first


def parse_lines(spec: Spec, line: str) -> tuple[Question, ...]:
    """As `parse_line`, and `around FAULT`, which makes it three questions."""
    source, arrow, rest = line.partition("->")
    words = rest.split()
    if not arrow or not source.strip() or not words:
        raise SpecError(f"{line!r} is no question", mend=LINE_MEND)
    target, words = words[0], words[1:]
    options: dict[str, Any] = {}
    faults: list[str] = []
    while words:
        word, *words = words
        if word in SAY:
            key, said = SAY[word], word
        elif word in WANTED:
            key, said = word, words.pop(0) if words else ""
            form, wanted = WANTED[word]
            if not re.fullmatch(form, said):
                raise SpecError(f"{word!r} wants {wanted}{f', not {said!r}' if said else ''}", mend=LINE_MEND)
        else:
            raise SpecError(f"{word!r} says nothing in a question", mend=NOT_SAID.get(word, LINE_MEND))
        if options.get(key, said) != said:
            raise SpecError(f"{options[key]!r} and {said!r} exclude each other", mend="ask two questions")
        if key == "around":
            faults.append(said)
        else:
            options[key] = said
    if "published" in options:
        options["published"] = options["published"] == "published"
    if "timeout" in options:
        options["timeout"] = float(options["timeout"])
    return around(spec, ask(spec, source.strip(), target, **options), faults)


def around(spec: Spec, question: Question, faults: Iterable[str]) -> tuple[Question, ...]:
    """The question itself, and then during and after each of the faults. Raises SpecError."""
    asked = [question]
    for fault in faults:
        if question.during or question.after:
            raise SpecError("around says before, during and after", mend="leave during and after out")
        asked += [question.model_copy(update={moment: fault}) for moment in ("during", "after")]
    for each in asked:
        check_question(spec, each, "")
    return tuple(asked)


def ask(
    spec: Spec, source: str, target: str, *, probe: str = "", by: str = "", published: bool | None = None, **more: Any
) -> Question:
    """A question from its parts; what is not given follows from the table above.

    `more` goes to the Question as it is. Raises SpecError.
    """
    asker = spec.container(source) or next(iter(_tasks(spec, source)), None)
    if asker is None and source not in spec.labels_and_services:
        known = [*spec.labels(), *(c.service for c in spec.containers)]
        raise SpecError(f"unknown source {source!r}", mend=did_you_mean(source, filter(None, known)))
    if by not in ("", "ip", "name"):
        raise SpecError(f"by {by!r} says nothing", mend="use ip or name")
    if probe not in ("", *PROBES):
        raise SpecError(f"unknown probe {probe!r}", mend=did_you_mean(probe, PROBES))
    name, port, protocol = _split(target)
    if name == "localhost" and by != "name":
        name = "127.0.0.1"
    probe = probe or protocol or ("tcp" if port else "ping")
    if protocol and probe not in (protocol, "ping"):
        raise SpecError(f"{target!r} is a {protocol} port, and the probe is {probe}", mend=f"probe {protocol}")
    if probe == "tcp" and "size" in more:
        more["body"] = more.pop("size")
        more.setdefault("timeout", BODY_TIMEOUT)
    service = spec.swarm_service(name)
    box = spec.container(name) if service is None else None
    known_machine = spec.host(name) is not None or spec.client(name) is not None
    literal = re.fullmatch(r"[0-9.]+", name) is not None
    if not (box or service or known_machine or literal):
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
        if service is not None and probe != "ping" and (more.get("at") or (asker is None and not by)):
            found = _mesh_port(service, port, probe)
            published, port = found > 0, found or port
    elif published and service is not None:
        port = _mesh_port(service, port, probe) or port
    elif published and box is not None:
        port = _published(spec, box, port, probe) or port
    if not by:
        from_container = asker is not None and not published
        named = service or (box and not box.task_of)
        by = "name" if (named and from_container) or not (service or box or known_machine or literal) else "ip"
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
    check_question(spec, question, "")
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
        elif suffix == "sctp":
            raise SpecError(f"{text!r} can't be asked: no probe speaks SCTP", mend="ask over tcp or udp, or ping it")
        elif suffix:
            raise SpecError(f"{text!r} is no target", mend="write it like web:80, dns:53/udp or 172.17.0.2")
    name, colon, number = rest.partition("/")[0].partition(":")
    if not name or (colon and not re.fullmatch(r"\d{1,9}", number, re.ASCII)):
        raise SpecError(f"{text!r} is no target", mend="write it like web:80, dns:53/udp or 172.17.0.2")
    port = int(number) if colon else SCHEMES.get(scheme, 0) if found else 0
    if colon and not 1 <= port <= 65535:
        raise SpecError(f"port {port} is out of range", mend="use 1-65535")
    return name, port, protocol


def _from_outside(spec: Spec, source: str, asker: Container | None, box: Container) -> bool:
    """Does `source` meet `box` only over the underlay?"""
    return asker is None and (spec.client(source) is not None or source != box.host)


def _published(spec: Spec, box: Container, port: int, protocol: str) -> int:
    """The published container port that `port` means: itself, or the one behind that host port; 0: none. Ports are
    those of the namespace: a container that shares another one's is behind that one's."""
    box = spec.owner(box)
    if not spec.publishes(box.name):
        return 0
    ports = [p for p in box.ports if p.protocol == protocol]
    inside = [p.container_port for p in ports if p.container_port == port]
    return next(iter([*inside, *(p.container_port for p in ports if p.host_port == port)]), 0)


def _mesh_port(service: Service, port: int, protocol: str) -> int:
    """As `_published`, of a service of the swarm."""
    ports = [p for p in service.ports if p.protocol == protocol]
    inside = [p.target for p in ports if p.target == port]
    return next(iter([*inside, *(p.target for p in ports if p.published == port)]), 0)


def _tasks(spec: Spec, name: str) -> tuple[Container, ...]:
    """Those of a service of the swarm, by either of its names."""
    service = spec.swarm_service(name)
    return spec.tasks(service.name) if service else ()


def _check_name(spec: Spec, name: str) -> None:
    known = {alias for c in spec.containers for a in c.attachments for alias in a.aliases}
    known |= {c.hostname for c in spec.containers} | {c.hostname.partition(".")[0] for c in spec.containers} | {
        entry.partition(":")[0] for c in spec.containers for entry in c.extra_hosts
    }
    known |= {link.partition(":")[2] for c in spec.containers for link in c.links}
    known |= {"localhost", *(name for each in spec.services for name in (each.name, each.key)), *spec.idle}
    known |= {f"tasks.{each}" for each in known if spec.services}
    everybody = {*known, *spec.labels(), *(c.service for c in spec.containers)} - {"", "tasks."}
    anyhow = name.lower() in map(str.lower, everybody)  # a resolver and a name server don't look at the case
    if not anyhow and ("." not in name or name.startswith("tasks.")):
        raise SpecError(f"unknown target {name!r}", mend=did_you_mean(name, everybody))
