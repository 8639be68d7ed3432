"""Images without a registry: a static busybox under whatever name a container asks for.

Hopcast never looks at what an application does, only at its packets, and those come from Hopcast's own responders,
which run in the container's namespaces. So in the lab every image is the same one: a shell to look around in, and a
process that sleeps. An image that the engine has already keeps its name and content.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from live import engine
from sim.errors import LabError, PlumbError

SLEEP = ("/bin/busybox", "sleep", "2147483647")
"""As a container's first process it ignores SIGTERM, so such containers are made with SIGKILL as their stop signal."""
APPLETS = ("sh", "ls", "cat", "ip", "ping", "nslookup", "wget", "nc", "traceroute", "arp", "netstat", "route", "ps")
HOST_CONF = b"multi on\n"
"""As in images of Debian: of a hosts file glibc reads all lines of a name, as musl always does."""
BOX = "hopcast/box:latest"


def ensure(client: docker.DockerClient, images: Iterable[str]) -> None:
    """Gives the engine every image of `images` that it lacks. LabError without a static busybox; PlumbError for a name
    that the engine refuses, in its words."""
    missing = [name for name in dict.fromkeys(map(local_name, images)) if not _has(client, name)]
    if not missing:
        return
    if not _has(client, BOX):
        repository, tag = split(BOX)
        client.api.import_image_from_data(_archive(), repository=repository, tag=tag)
    for name in missing:
        repository, tag = split(name)
        try:
            client.api.tag(BOX, repository, tag)
        except APIError as error:
            raise PlumbError(str(error.explanation), where=f"image {name}") from error


def local_name(image: str) -> str:
    """The name under which the lab has an image: a digest can't be given to another content, so it goes.

    >>> local_name("nginx:alpine@sha256:00ff"), local_name("reg:5000/app"), local_name("web@sha256:00ff")
    ('nginx:alpine', 'reg:5000/app:latest', 'web:latest')
    """
    repository, tag = split(image.partition("@")[0])
    return f"{repository}:{tag}"


def split(image: str) -> tuple[str, str]:
    """Repository and tag.

    >>> split("reg:5000/app:1.2"), split("reg:5000/app")
    (('reg:5000/app', '1.2'), ('reg:5000/app', 'latest'))
    """
    head, slash, last = image.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{head}{slash}{name}", tag or "latest"


def _has(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    except APIError as error:
        raise PlumbError(str(error.explanation), where=f"image {name}") from error
    return True


def _archive() -> bytes:
    busybox = engine.which("busybox")
    if not busybox:
        raise LabError("no busybox on this machine", mend="apt-get install busybox-static")
    if b"/ld-linux" in Path(busybox).read_bytes():
        raise LabError(f"{busybox} is not static: alone it can't run", mend="apt-get install busybox-static")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for folder in ("bin", "etc", "tmp", "var"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        entry = tarfile.TarInfo("etc/host.conf")
        entry.size, entry.mode = len(HOST_CONF), 0o644
        tar.addfile(entry, io.BytesIO(HOST_CONF))
        tar.add(Path(busybox).resolve(), "bin/busybox")
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return content.getvalue()
