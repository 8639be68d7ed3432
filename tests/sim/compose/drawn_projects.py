"""Compose projects drawn at random: several files, `extends`, `include`, variables, profiles, both syntaxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

NAMES = ("web", "db", "api")
NETWORKS = ("front", "back")


@dataclass(frozen=True)
class Tagged:
    """A value with `!override` or `!reset` before it."""

    tag: str
    value: Any


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _tagged(dumper: yaml.SafeDumper, data: Tagged) -> yaml.Node:
    node = dumper.represent_data(data.value)
    node.tag = data.tag
    return node


_Dumper.add_representer(Tagged, _tagged)


@dataclass(frozen=True)
class Drawn:
    """A folder's files, and how Compose is called in it."""

    files: Mapping[str, str]
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


def lists(*values: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique_by=str)


def maybe(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key.replace("__", "-"): value for key, value in keys.items()})


PORTS = lists(
    80, "80", "8080:80", "8081:80", "8080:80/udp", "127.0.0.1:8080:80", "0.0.0.0:8080:80", "9000-9002:90-92",
    "3000-3001", "9000-9005:80", "${PORT:-8080}:80", "53:53/udp", "127.0.0.1::80", "132/sctp",
    {"target": 80, "published": "8080"}, {"target": 80, "published": 8080, "protocol": "udp"}, {"target": "81"},
    {"target": 80, "host_ip": "127.0.0.1", "published": "8080", "mode": "host"}, {"target": 80, "x-a": 1},
    {"target": 443, "published": "8000-8010", "name": "tls", "app_protocol": "https"},
)
ATTACHMENT = st.one_of(st.none(), maybe(
    aliases=lists("a", "b", "c"), ipv4_address=st.sampled_from(["10.9.0.5", "${IP}"]), priority=st.integers(0, 3),
    mac_address=st.just("02:42:0a:09:00:05"), gw_priority=st.just(5), x__y=st.just(1)))
BASES = st.builds(lambda name, file: {"service": name, "file": file}, st.sampled_from(["base", "top"]),
                  st.sampled_from(["base.yaml", "sub/base.yaml"]))
DEPENDENCY = st.fixed_dictionaries(
    {"condition": st.sampled_from(["service_started", "service_healthy"])},
    optional={"required": st.booleans(), "restart": st.booleans()})
SERVICE = maybe(
    image=st.sampled_from(["nginx", "postgres:${TAG:-16}"]), ports=PORTS, expose=lists(80, "81", "82/udp", "90-92"),
    networks=st.one_of(lists(*NETWORKS, "default"), st.dictionaries(
        st.sampled_from([*NETWORKS, "default"]), ATTACHMENT, max_size=2)),
    network_mode=st.sampled_from(["host", "none", "service:db", "bridge", "container:x"]),
    depends_on=st.one_of(lists("db", "api"), st.dictionaries(st.sampled_from(["db", "api"]), DEPENDENCY, max_size=2)),
    links=lists("db", "db:database", "api"), external_links=lists("other:o", "other"),
    dns=st.one_of(st.sampled_from(["9.9.9.9", "${NONE}", ""]), lists("9.9.9.9", "1.1.1.1", "${NONE}")),
    dns_search=st.one_of(st.just("a.example"), lists("a.example", "b.example")), dns_opt=lists("ndots:2", "ndots:3"),
    extra_hosts=st.one_of(
        lists("db:10.0.0.1", "db=10.0.0.1", "x=10.0.0.2", "y:10.0.0.3,10.0.0.4", "v6=[::1]"),
        st.dictionaries(st.sampled_from(["db", "x"]), st.sampled_from(["10.0.0.1", ["10.0.0.1", "10.0.0.2"]]),
                        max_size=2)),
    sysctls=st.one_of(
        lists("net.ipv4.ip_forward=1", "net.core.somaxconn=64", "a.b"),
        st.dictionaries(st.sampled_from(["net.ipv4.ip_forward", "net.core.somaxconn"]),
                        st.sampled_from([0, 1, "2", True, None, 1.5, 2.0]), max_size=2)),
    hostname=st.sampled_from(["h", "${HOST}", "$$h", "a$(b)", "${A:-${B:-deep}}", "${B:+b}", "${HOST-}${B-x}"]),
    domainname=st.just("example"), container_name=st.sampled_from(["c1", "c2"]), profiles=lists("dev", "prod", "all"),
    scale=st.sampled_from([0, 1, "1"]), cap_add=lists("NET_ADMIN", "SYS_TIME"),
    deploy=maybe(replicas=st.sampled_from([1, 2, "2"]), mode=st.just("replicated"),
                 placement=maybe(constraints=lists("node.role == manager", "node.labels.a == b"))),
    restart=st.sampled_from(["no", "always", "on-failure:3"]),
    environment=st.one_of(lists("A=1", "B", "A=2"), st.just({"A": 1, "B": None})),
    env_file=st.sampled_from(["a.env", ["a.env", {"path": "gone.env", "required": False}]]),
    labels=st.sampled_from([["a=b"], {"a": "b", "c": 1}]), mac_address=st.just("02:42:ac:11:00:09"),
    command=st.sampled_from(["echo $$x", ["a", "b"], None]),
    healthcheck=st.sampled_from([{"test": ["CMD", "x"]}, {"disable": "true"}, {"interval": "3s"}]),
    volumes=lists("data:/data", "/a:/b", "./a:/a", "/anonymous", {"type": "volume", "target": "/t"}),
    privileged=st.sampled_from([True, "yes"]), x__hopcast=st.just({"listens": [80]}),
    volumes_from=lists("db", "api:ro", "container:x"), pid=st.sampled_from(["host", "service:api"]),
    extends=st.one_of(
        st.sampled_from(["db", "api"]), st.builds(lambda name: {"service": name}, st.sampled_from(["db", "api"])),
        BASES, BASES),
)
NEEDS = {"depends_on", "links", "volumes_from", "pid", "network_mode", "extends"}
"""Keys by which a service may need another one: only `web` has them, or most projects would be circles."""
WRONG: tuple[dict[str, Any], ...] = (
    {"ports": ["80-82:80-81"]}, {"ports": ["a:b"]}, {"ports": [{"published": 80}]}, {"ports": 80}, {"ports": None},
    {"ports": ["80/icmp"]}, {"ports": ["70000"]}, {"expose": [80, "80"]}, {"networks": ["nowhere"]},
    {"networks": ["front", "front"]}, {"networks": {"front": {"alias": ["a"]}}}, {"depends_on": {"db": {}}},
    {"depends_on": ["gone"]}, {"depends_on": {"db": {"condition": "soon"}}}, {"links": ["gone"]}, {"links": "db"},
    {"extra_hosts": ["bad"]}, {"extra_hosts": ["=1.1.1.1"]}, {"sysctls": {"a": [1]}}, {"sysctls": "a=1"},
    {"hostname": "${GONE:?give it}"}, {"hostname": "${"}, {"hostname": "${a b}"}, {"hostname": 5},
    {"hostname": "${HOST:-${GONE?why}}"}, {"scale": "x"}, {"scale": -1}, {"scale": 2, "deploy": {"replicas": 3}},
    {"env_file": "gone.env"}, {"env_file": ["bad.env"]}, {"labels": {"a": [1]}}, {"command": 5},
    {"healthcheck": {"test": ["ls"]}}, {"healthcheck": {"intervall": "3s"}}, {"volumes": ["gone:/gone"]},
    {"privileged": "maybe"}, {"extends": "gone"}, {"extends": {"file": "base.yaml"}}, {"colour": "blue"},
    {"extends": {"service": "base", "file": "gone.yaml"}}, {"extends": {"service": "gone", "file": "base.yaml"}},
    {"deploy": {"replica": 1}}, {"container_name": "c", "scale": 2}, {"secrets": ["gone"]}, {"configs": ["gone"]},
    {"network_mode": "host", "networks": ["front"]}, {"network_mode": "service:gone"}, {"dns": [1]}, {"dns": 1},
    {"image": 5}, {"restart": True}, {"environment": ["A", "A"]}, {"cap_add": "NET_ADMIN"}, {"mac_address": None},
    {"profiles": "dev"}, {"external_links": ["a", "a"]}, {"ulimits": {"nofile": {"soft": 1}}},
    {"build": {"contxt": "."}},
)
NETWORK = st.one_of(st.none(), maybe(
    driver=st.sampled_from(["bridge", "macvlan", "overlay"]), internal=st.sampled_from([True, False, "yes", "off"]),
    name=st.sampled_from(["plain", "${NET:-named}"]), attachable=st.booleans(), enable_ipv6=st.booleans(),
    external=st.sampled_from([True, False, "true"]), labels=st.just({"a": "b"}),
    driver_opts=st.dictionaries(st.sampled_from(["com.docker.network.bridge.name", "parent", "mtu"]),
                                st.sampled_from(["br9", 1400, "eth0", 1.5]), max_size=2),
    ipam=maybe(driver=st.just("default"), options=st.just({"a": "b"}), config=st.lists(maybe(
        subnet=st.sampled_from(["10.9.0.0/24", "10.8.0.0/24"]), gateway=st.sampled_from(["10.9.0.1", "10.9.0.254"]),
        ip_range=st.just("10.9.0.0/28"), aux_addresses=st.just({"h": "10.9.0.9"})), max_size=2))))
WRONG_NETWORKS = (
    {"internal": "maybe"}, {"drivr": "bridge"}, {"driver_opts": {"a": True}}, {"ipam": {"config": {"subnet": "x"}}},
    {"name": "a", "external": {"name": "b"}}, {"ipam": []}, [], "front", {"driver": 5}, {"ipam": {"config": ["x"]}},
)


def tagged(of: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Of the keys of a mapping one may have `!override` or `!reset` before its value."""
    def tag(keys: dict[str, Any], which: int, kind: str) -> dict[str, Any]:
        if not keys or kind == "":
            return keys
        chosen = sorted(keys)[which % len(keys)]
        if keys[chosen] is None:
            return keys
        return {**keys, chosen: Tagged(kind, keys[chosen])}

    return st.builds(tag, of, st.integers(0, 30), st.sampled_from(["", "", "!override", "!reset"]))


def few(keys: st.SearchStrategy[dict[str, Any]], count: int) -> st.SearchStrategy[dict[str, Any]]:
    """At most `count` of the keys: with all of them at once nothing would be accepted."""
    return st.builds(
        lambda drawn, start: dict((sorted(drawn.items()) * 2)[start % max(len(drawn), 1):][:count] if drawn else []),
        keys, st.integers(0, 40))


@st.composite
def files(draw: st.DrawFn, services: tuple[str, ...] = NAMES, *, override: bool = False) -> dict[str, Any]:
    """A Compose file's content. The services of an override may leave out what they are made of."""
    found: dict[str, Any] = {}
    for name in services:
        if override and draw(st.booleans()):
            continue
        keys = few(SERVICE, 4)
        if name != "web":
            keys = keys.map(lambda drawn: {key: value for key, value in drawn.items() if key not in NEEDS})
            if services != NAMES:
                keys = keys.map(lambda drawn: {key: value for key, value in drawn.items() if key != "networks"})
        if override and "web" in services:
            keys = st.builds(
                lambda drawn, base: {**drawn, "extends": base} if "extends" in drawn else drawn, keys, BASES)
        service = draw(tagged(keys) if override else keys)
        found[name] = service if override else {"image": "nginx", **service}
    content: dict[str, Any] = {"services": found} if found else {}
    own = dict.fromkeys(NETWORKS, NETWORK) if services == NAMES else {}
    networks = draw(st.fixed_dictionaries(
        {} if override else own, optional={**(own if override else {}), "default": NETWORK}))
    if networks:
        content["networks"] = networks
    if not override:
        content["volumes"] = {"data": None}
    return content


def spoilt(draw: st.DrawFn, content: dict[str, Any]) -> None:
    """Puts one thing into a file that Compose refuses, mostly."""
    if draw(st.integers(0, 7)) == 7 and "networks" in content:
        content["networks"]["front"] = draw(st.sampled_from(WRONG_NETWORKS))
    elif "services" in content:
        name = draw(st.sampled_from(sorted(content["services"])))
        content["services"][name] = {**content["services"][name], **draw(st.sampled_from(WRONG))}


def text(content: Any) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False)


SETTINGS = (
    "TAG=17", "PORT=8888", "HOST=box", "IP=10.9.0.7", "B=", "A='$TAG'", 'A="${TAG:-x}"', "COMPOSE_PROFILES=dev",
    "COMPOSE_PROJECT_NAME=fromenv", "COMPOSE_FILE=compose.yaml:more.yaml", "GONE=here", "export NET=exported # why",
)
"""Lines of `.env`."""
FILES: tuple[tuple[str, ...], ...] = (
    (), (), ("-f", "compose.yaml"), ("-f", "compose.yaml", "-f", "more.yaml"),
    ("-f", "docker-compose.yml", "-f", "compose.yaml"),
)
PROFILES: tuple[tuple[str, ...], ...] = (
    (), (), ("--profile", "dev"), ("--profile", "*"), ("--profile", "a", "--profile", "prod"))
OTHERS: tuple[tuple[str, ...], ...] = (
    (), (), (), (), ("-p", "given"), ("-p", "given"), ("--env-file", "a.env"), ("--project-directory", "sub"))
SHELLS: tuple[dict[str, str], ...] = (
    {}, {}, {}, {"COMPOSE_PROFILES": "prod, all"},
    {"COMPOSE_FILE": "compose.yaml|more.yaml", "COMPOSE_PATH_SEPARATOR": "|"}, {"COMPOSE_PROJECT_NAME": "shellname"},
    {"COMPOSE_DISABLE_ENV_FILE": "1"}, {"COMPOSE_ENV_FILES": "a.env"},
)


@st.composite
def projects(draw: st.DrawFn) -> Drawn:
    main = draw(files())
    if draw(st.integers(0, 5)) == 0:
        spoilt(draw, main)
    if draw(st.integers(0, 3)) == 0:
        main["name"] = draw(st.sampled_from(["shop", "My Shop", "${PROJECT:-drawn}"]))
    if draw(st.integers(0, 3)) == 0:
        main["include"] = draw(st.lists(st.sampled_from([
            "inc/compose.yaml", {"path": "inc/compose.yaml"}, {"path": ["inc/compose.yaml", "inc/more.yaml"]},
            {"path": "inc/compose.yaml", "project_directory": ".", "env_file": "a.env"}]),
            min_size=1, max_size=1)) + ["round.yaml"] * (draw(st.integers(0, 9)) == 0)
    written = {
        "compose.yaml": text(main),
        "base.yaml": text({"services": {
            "base": draw(few(SERVICE, 4)), "top": {"extends": "base", **draw(few(SERVICE, 2))}}}),
        "sub/base.yaml": text({"services": {
            "base": draw(few(SERVICE, 3)), "top": {"extends": {"service": "top", "file": "../base.yaml"}}}}),
        "sub/a.env": "S=1\n",
        "inc/compose.yaml": text(draw(files(("inner",)))),
        "inc/more.yaml": text(draw(files(("inner",), override=True))),
        "round.yaml": text({"include": ["compose.yaml"]}),
        "a.env": "A=1\nTAG=from-a\n",
        "bad.env": "no name\n",
    }
    if draw(st.booleans()):
        written["compose.override.yaml"] = text(draw(files(override=True)))
    written["docker-compose.yml"] = text(draw(files()))
    if draw(st.booleans()):
        written["inc/.env"] = "TAG=included\nPORT=7000\n"
    if draw(st.integers(0, 4)) == 0:
        written["compose.yaml"] += "---\n" + text(draw(files(override=True)))
    settings = draw(st.lists(st.sampled_from(SETTINGS), max_size=4, unique=True))
    if settings:
        written[".env"] = "\n".join(settings) + "\n"
    written["more.yaml"] = text(draw(files(override=True)))
    options = draw(st.sampled_from(FILES)) + draw(st.sampled_from(PROFILES)) + draw(st.sampled_from(OTHERS))
    environment = draw(st.dictionaries(st.sampled_from(["TAG", "PORT", "HOST", "GONE", "B"]),
                                       st.sampled_from(["", "1", "shell"]), max_size=2))
    environment |= draw(st.sampled_from(SHELLS))
    return Drawn(written, options, environment)
