"""Docker Compose itself, for tests: its reading of a project is what ours is compared with.

Debian's package of it (forky's; the one of Debian 12 is the old Python program) is fetched by apt and unpacked into
the cache, by any user; nothing is installed. `docker-compose config` needs no engine, and a libc of 2.34 or newer.

    python -m live.compose        # fetches it, if it is not there
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from live.vm import apt, cache, tree
from sim.errors import LabError

PACKAGE, RELEASE = "docker-compose", "forky"
PROGRAM = Path("usr/libexec/docker/cli-plugins/docker-compose")


def folder() -> Path:
    """Where it is unpacked."""
    return cache.folder().parent / "compose"


def present() -> Path | None:
    """The program, if it was fetched."""
    program = folder() / PROGRAM
    return program if program.exists() else None


def ready(say: apt.Say) -> Path:
    """The program, fetched if need be (15 seconds or so). LabError where that can't be."""
    with cache.locked("compose"):
        found = present()
        if found is None:
            with cache.made(folder()) as part:
                deb = apt.fetch_one(PACKAGE, RELEASE, part / "apt", say)
                tree.tool(["dpkg-deb", "-x", str(deb), str(part)], name="dpkg-deb")
                tree.tool([str(part / PROGRAM), "version"], name=PACKAGE)
                shutil.rmtree(part / "apt")
                shutil.rmtree(part / "usr" / "share")
            found = folder() / PROGRAM
        return found


def main() -> None:
    """Fetches it. Without it everything works but the tests that need it, so a failure is said and no more."""
    try:
        if present() is None:
            ready(lambda what: print(what, file=sys.stderr))
    except LabError as error:
        print(f"no {PACKAGE} to compare with: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
