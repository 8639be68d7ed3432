"""Docker Compose's reading of a project beside ours: what it prints with `config --format json`, and what we read.

Both are cut down to what a packet can depend on, and to what is not empty.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live import compose as real
from sim import compose
from sim.compose.document import Decimal
from sim.errors import SpecError

SERVICE = {
    "cap_add", "container_name", "depends_on", "deploy", "dns", "dns_opt", "dns_search", "domainname", "expose",
    "external_links", "extra_hosts", "hostname", "image", "links", "mac_address", "network_mode", "networks", "ports",
    "privileged", "profiles", "restart", "scale", "sysctls",
}
NETWORK = {
    "attachable", "driver", "driver_opts", "enable_ipv4", "enable_ipv6", "external", "internal", "ipam", "name",
}
DEPLOY = {"mode", "replicas", "endpoint_mode", "placement"}
PLAIN_PATH = {"HOME": os.environ.get("HOME", "/root"), "PATH": os.environ.get("PATH", "/usr/bin:/bin")}


@dataclass(frozen=True)
class Said:
    """What a reader made of a project, or why it refused it."""

    project: dict[str, Any] | None
    refusal: str = ""


def _run(
    folder: Path, options: Sequence[str], form: str, environment: Mapping[str, str],
) -> subprocess.CompletedProcess[str]:
    program = real.present()
    assert program is not None, "docker-compose was not fetched: python -m live.compose"
    return subprocess.run(
        [program, *options, "config", "--format", form], cwd=folder, capture_output=True, text=True,
        env={**PLAIN_PATH, "PWD": str(folder), **environment}, stdin=subprocess.DEVNULL, check=False, timeout=60)


def by_compose(folder: Path, options: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Said:
    """Compose's reading, started in a folder."""
    done = _run(folder, options, "json", environment or {})
    if done.returncode != 0:
        return Said(None, done.stderr.strip())
    return Said(_cut(json.loads(done.stdout.replace("$$", "$"))))


def printed_by_compose(folder: Path, options: Sequence[str] = ()) -> str:
    """What `docker compose config` prints, to be read again."""
    done = _run(folder, options, "yaml", {})
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_us(
    folder: Path, options: Sequence[str] = (), environment: Mapping[str, str] | None = None,
) -> Said:
    """Our reading, with what Compose's own command line says."""
    given: dict[str, Any] = {}
    names = {"-f": "files", "--profile": "profiles", "--env-file": "env_files", "-p": "name",
             "--project-directory": "directory"}
    for option, value in zip(options[::2], options[1::2], strict=True):
        if names[option] in ("name", "directory"):
            given[names[option]] = value
        else:
            given.setdefault(names[option], []).append(value)
    files = given.pop("files", [])
    before = Path.cwd()
    os.chdir(folder)
    try:
        read = compose.open_project(
            *files, environment={**PLAIN_PATH, "PWD": str(folder), **(environment or {})}, **given)
        compose.check(read)
    except SpecError as error:
        return Said(None, str(error))
    finally:
        os.chdir(before)
    plain = read.root.plain()
    on = {name: service for name, service in plain.get("services", {}).items() if read.runs(name)}
    return Said(_cut({**plain, "name": read.name, "services": on}))


def _cut(project: dict[str, Any]) -> dict[str, Any]:
    """What a packet can depend on: services with their keys of SERVICE, networks that they use."""
    services = {name: _service(service) for name, service in project.get("services", {}).items()}
    used = {key for service in services.values() for key in service.get("networks", {})}
    networks = {key: {name: value for name, value in (network or {}).items() if name in NETWORK}
                for key, network in project.get("networks", {}).items() if key in used}
    for network in networks.values():
        if network.get("ipam"):  # Compose reads past its options
            network["ipam"] = {key: value for key, value in network["ipam"].items() if key != "options"}
    found = _full({"name": project.get("name"), "networks": networks, "x-hopcast": project.get("x-hopcast")})
    return {**found, "services": {name: _full(service) for name, service in services.items()}}


def _service(service: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in service.items() if key in SERVICE}
    found["networks"] = {key: attachment or {} for key, attachment in (found.get("networks") or {}).items()}
    if isinstance(found.get("deploy"), dict):
        found["deploy"] = {key: value for key, value in found["deploy"].items() if key in DEPLOY}
        if "scale" in found:  # Compose writes it there as well
            found["deploy"].setdefault("replicas", found["scale"])
    if isinstance(found.get("extra_hosts"), dict):
        found["extra_hosts"] = sorted(f"{name}={address}" for name, addresses in found["extra_hosts"].items()
                                      for address in addresses)
    for entry in (found.get("depends_on") or {}).values():
        entry.pop("restart", None)
    return found


def _full(value: Any) -> Any:
    """Without what is empty, where it is; names of services and networks stay."""
    if isinstance(value, dict):
        inner = {key: _full(each) for key, each in value.items() if not key.startswith("x-") or key == "x-hopcast"}
        return {key: each for key, each in inner.items() if each not in (None, "", [], False) and not (
            each == {} and key not in ("networks",)) and not (key == "priority" and each == 0)}
    if isinstance(value, Decimal):
        return float(value)
    return [_full(each) for each in value] if isinstance(value, list) else value


def differences(theirs: Any, ours: Any, at: str = "") -> list[str]:
    """Where two readings differ, in words."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [line for key in sorted({*theirs, *ours})
                for line in differences(theirs.get(key), ours.get(key), f"{at}.{key}".lstrip("."))]
    return [] if theirs == ours else [f"{at}: Compose {theirs!r}, we {ours!r}"]


NOT_MODELLED = re.compile(r"not modelled|IPv6|is no local file|no services|two .* needs")
