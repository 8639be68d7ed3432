"""The simulated engine beside a real one (tests/goldens/): every rule, interface, route, port and resolver file."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sim import spec
from sim.dockerd.daemon import Daemon
from sim.kernel.netns import Netns
from sim.packet import dotted
from sim.plumbing import unordered
from tests.sim.dockerd.engines import GOLDENS, topology

TOPOLOGIES = sorted(path for path in GOLDENS.glob("*.yaml") if path.stem != "refusals")

pytestmark = pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)


@cache
def predicted(path: Path) -> tuple[Daemon, list[spec.Container]]:
    return topology(path)


@cache
def golden(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_suffix(".json").read_text()))


def namespaces(path: Path) -> dict[str, Netns]:
    """The namespaces that a golden tells of, as predicted."""
    daemon, _ = predicted(path)
    return {label: daemon.netns if label == "host" else daemon.sandboxes[label] for label in golden(path)["namespaces"]}


def test_every_rule_is_where_dockerd_writes_it(path: Path) -> None:
    for label, netns in namespaces(path).items():
        ours = {
            table: unordered([re.sub(r"40053", "UDP", re.sub(r"41053", "TCP", line)) for line in lines])
            for table, lines in netns.netfilter.save().items()
        }
        theirs = golden(path)["namespaces"][label]["rules"]
        assert ours == {table: unordered(lines) for table, lines in theirs.items()}, label


def test_every_interface_has_dockers_addresses_and_bridge(path: Path) -> None:
    for label, netns in namespaces(path).items():
        seen = {
            name: {
                "mac": i.mac, "mtu": i.mtu, "master": i.master, "up": i.up, "addresses": list(i.addresses),
                "hairpin": netns.devices[name].hairpin,
            }
            for name, i in netns.snapshot().interfaces.items() if (label, name) != ("host", "eth0")
        }
        assert seen == golden(path)["namespaces"][label]["interfaces"], label


def test_every_route_is_dockers(path: Path) -> None:
    for label, netns in namespaces(path).items():
        seen = sorted([r.dst, r.dev, r.via, r.src] for r in netns.snapshot().routes)
        assert seen == golden(path)["namespaces"][label]["routes"], label


def test_every_sysctl_is_dockers(path: Path) -> None:
    for label, netns in namespaces(path).items():
        theirs = golden(path)["namespaces"][label]["sysctls"]
        assert {key: netns.sysctls.get(key, "0") for key in theirs} == theirs, label


def test_every_published_port_is_held(path: Path) -> None:
    daemon, _ = predicted(path)
    theirs = [tuple(row) for row in golden(path)["namespaces"]["host"]["listeners"]]
    assert sorted(daemon.netns.daemon_listeners) == theirs
    assert len(daemon.ports.proxies) + len(daemon.bound_ports) == len(theirs)


def test_dockerd_warns_of_the_same(path: Path) -> None:
    assert predicted(path)[0].warnings == golden(path)["warnings"]


def test_every_resolver_file_reads_as_dockerd_wrote_it(path: Path) -> None:
    daemon, boxes = predicted(path)
    for box in boxes:
        files, theirs = daemon.resolutions[box.name], golden(path)["resolution"][box.name]
        lines = [line.split() for line in theirs["resolv.conf"]]
        assert list(files.nameservers) == [words[1] for words in lines if words[0] == "nameserver"], box.name
        assert list(files.search) == [w for words in lines if words[0] == "search" for w in words[1:]], box.name
        assert list(files.options) == [w for words in lines if words[0] == "options" for w in words[1:]], box.name
        # the networks of one container join in an order that is drawn
        hosts = [" ".join([dotted(address), *names]) for address, names in files.hosts]
        assert sorted(hosts) == sorted(theirs["hosts"]), box.name
