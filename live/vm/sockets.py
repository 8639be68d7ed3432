"""Unix sockets in folders of any depth: an address has room for 107 bytes, so the folder is named by a descriptor."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def connect(path: Path) -> socket.socket:
    """A connection to the socket at `path`. OSError when nobody listens there."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(f"/proc/self/fd/{folder}/{path.name}")
        except BaseException:
            sock.close()
            raise
        return sock
    finally:
        os.close(folder)
