"""Debian packages with all that they depend on, fetched by apt itself, by any user, without touching the machine's apt.

apt gets a state of its own in a folder: an empty list of installed packages, so that it works out the whole closure;
its mirrors are those of the machine, whose sources are read and asked for another release of Debian where need be.
Signatures are checked as always, with the machine's keyrings. Nothing is installed and no maintainer script runs.

sources.list(5), apt.conf(5). Left out: machines whose apt knows no mirror of Debian (see SOURCES_VARIABLE).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from live import environment
from sim.errors import LabError

RELEASE = "bookworm"
"""Debian 12: Engine 20.10.24, kernel 6.1, Python 3.11."""
ARCHITECTURE = "amd64"
SOURCES_VARIABLE = "HOPCAST_DEBIAN_SOURCES"
"""A sources.list that is used in place of the machine's."""
CODENAMES = ("buster", "bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable")
SUITE = re.compile(rf"({'|'.join(CODENAMES)})(-updates|-security|/updates)?")
LIMIT = 900.0
"""Seconds that apt may take; a slow mirror needs minutes for the 130 MB."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One mirror's suite, as a line of sources.list."""

    uri: str
    suite: str
    components: tuple[str, ...] = ("main",)
    signed_by: str = ""

    def __str__(self) -> str:
        options = [f"arch={ARCHITECTURE}", *([f"signed-by={self.signed_by}"] if self.signed_by else [])]
        return f"deb [{' '.join(options)}] {self.uri} {self.suite} {' '.join(self.components)}"


def parse_list(text: str) -> list[Source]:
    """The `deb` lines of a sources.list.

    >>> parse_list("deb [signed-by=/k.gpg] http://mirror/debian trixie main contrib # mine")
    [Source(uri='http://mirror/debian', suite='trixie', components=('main', 'contrib'), signed_by='/k.gpg')]
    """
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)", line)
        if match:
            options, uri, suite, components = match.groups()
            signed = re.search(r"signed-by=(\S+)", options or "", re.IGNORECASE)
            found.append(Source(uri, suite, tuple(components.split()), signed[1] if signed else ""))
    return found


def parse_deb822(text: str) -> list[Source]:
    """The stanzas of a `.sources` file that are enabled. A key that stands in the file itself is left to the keyrings.

    >>> [str(s) for s in parse_deb822("Types: deb\\nURIs: http://m/debian\\nSuites: sid\\nComponents: main")]
    ['deb [arch=amd64] http://m/debian sid main']
    """
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[key] = f"{fields.get(key, '')} {line.strip()}"
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        signed = fields.get("signed-by", "")
        found += [Source(uri, suite, tuple(fields.get("components", "").split()), signed if signed[:1] == "/" else "")
                  for uri in fields.get("uris", "").split() for suite in fields.get("suites", "").split()]
    return found


def for_release(sources: Iterable[Source], release: str = RELEASE) -> list[Source]:
    """Those of Debian's archive, asked for `release` whatever release the machine runs."""
    found: dict[Source, None] = {}
    for source in sources:
        suite = SUITE.fullmatch(source.suite)
        if suite and "main" in source.components:
            pocket = (suite[2] or "").replace("/updates", "-security")
            found[Source(source.uri, f"{release}{pocket}", ("main",), source.signed_by)] = None
    return list(found)


def machine_sources(etc: Path = Path("/etc/apt"), release: str = RELEASE) -> list[Source]:
    """What the machine's apt uses. LabError when no mirror of Debian is among it."""
    found: list[Source] = []
    for file in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))):
        if file.suffix in (".list", ".sources") and file.is_file():
            text = file.read_text(errors="replace")
            found += parse_list(text) if file.suffix == ".list" else parse_deb822(text)
    if wanted := for_release(found, release):
        return wanted
    raise LabError(f"no mirror of Debian among the sources of this machine's apt ({etc})",
                   mend=f"write a line `deb URI {release} main` into a file and set {SOURCES_VARIABLE} to its path")


def missing_tools() -> list[str]:
    return [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]


def fetch_one(package: str, release: str, folder: Path, say: Say) -> Path:
    """Downloads one package of a release into `folder`, without what it depends on; the .deb file. LabError."""
    options = _updated(folder, say, release)
    say(f"downloading Debian's {package}")
    _run(options, "download", package, where=folder)
    return next(folder.glob(f"{package}_*.deb"))


def fetch(packages: Sequence[str], folder: Path, say: Say) -> list[Path]:
    """Downloads `packages` and all that they depend on into `folder`; the .deb files. LabError with apt's words."""
    options = _updated(folder, say, RELEASE)
    say(f"downloading {len(packages)} Debian packages with what they depend on")
    _run(options, "install", "--yes", "--download-only", *packages)
    found = sorted((folder / "cache" / "archives").glob("*.deb"))
    if not found:
        raise LabError("apt downloaded nothing", mend="see apt-get's configuration on this machine")
    return found


def _updated(folder: Path, say: Say, release: str) -> list[str]:
    """apt's options for a state of its own in `folder`, with the package lists of a release."""
    if missing := missing_tools():
        raise LabError(f"fetching Debian's packages needs {', '.join(missing)}", mend="do it on Debian or Ubuntu")
    options = _private(folder, release)
    say(f"reading Debian's package lists ({release})")
    _run(options, "update")
    return options


def _private(folder: Path, release: str) -> list[str]:
    """apt's options for a state of its own in `folder`."""
    for part in ("state/lists/partial", "cache/archives/partial", "log"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "state" / "status").touch()
    sources = folder / "sources.list"
    sources.write_text(_sources(release))
    settings = {
        "Dir::State": folder / "state", "Dir::State::status": folder / "state" / "status",
        "Dir::Cache": folder / "cache", "Dir::Log": folder / "log",
        "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": ARCHITECTURE, "APT::Architectures": ARCHITECTURE, "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "", "Acquire::Languages": "none",
    }
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def _sources(release: str) -> str:
    given = os.environ.get(SOURCES_VARIABLE, "")
    if not given:
        return "".join(f"{line}\n" for line in machine_sources(release=release))
    text = Path(given).read_text()
    return text if release == RELEASE else "".join(f"{line}\n" for line in for_release(parse_list(text), release))


def _run(options: list[str], *arguments: str, where: Path | None = None) -> None:
    try:
        done = subprocess.run(["apt-get", "-qq", *options, *arguments], capture_output=True, text=True, timeout=LIMIT,
                              stdin=subprocess.DEVNULL, cwd=where, check=False,
                              env=environment.minimal("TMPDIR", *environment.PROXIES))
    except subprocess.TimeoutExpired as error:
        raise LabError(f"apt-get {arguments[0]} took longer than {LIMIT:.0f} s",
                       mend="see whether this machine reaches its mirror") from error
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))] or done.stderr.splitlines()
        raise LabError(f"apt-get {arguments[0]} failed: {' '.join(said[-3:])}",
                       mend="see whether this machine reaches its mirror")
