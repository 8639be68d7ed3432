"""What the programs that Hopcast starts get of the user's environment: the search path, and Hopcast's own variables.

Everything else stays behind. A proxy, DOCKER_HOST or LD_PRELOAD would change what an engine or a tool does, and then
what is measured; and a password has no business in the environment of a container's engine.
"""

from __future__ import annotations

import os

from live import patience, where

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""What a plain user's PATH lacks."""
KEPT = (patience.VARIABLE, where.VARIABLE)
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY")
"""For the one program that fetches something: apt-get."""


def search_path() -> str:
    """The user's PATH, then SBIN."""
    return os.pathsep.join([*filter(None, [os.environ.get("PATH", "/usr/bin:/bin")]), *SBIN])


def minimal(*also: str, **given: str) -> dict[str, str]:
    """The environment of a program. `also`: variables of the user's that it needs besides; `given`: what else is set.

    >>> minimal(HOME="/root")["LC_ALL"]
    'C'
    """
    kept = {name: os.environ[name] for name in (*KEPT, *also) if name in os.environ}
    return {"PATH": search_path(), "LC_ALL": "C", **kept, **given}
