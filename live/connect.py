"""A connection for each request: the client's process and the responder's, as `live/connections.py` starts them.

Run as a script, `connect.py ask ADDRESS PORT MOST PERCENTILES` or `connect.py answer PORT`. It imports nothing but the
standard library, so that it starts in a few hundredths of a second. Who asks does so for as many seconds as each line
of its standard input says, and says "." then; at the end of its input it reports one line of JSON.
"""

from __future__ import annotations

import gc
import json
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any

MESSAGE = b"hopcast-times\n"
"""14 bytes, as many as sockperf's smallest message."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER, on and 0 seconds: close() resets what is left of the connection (socket(7))."""
WARM_UP = 200
"""Requests that are not counted: caches, the neighbour's address, the CPU's own clock."""


def ask(address: str, port: int, most: int) -> list[int]:
    """Nanoseconds of each cycle: socket, connect, send, read to the end, close. An OSError ends it."""
    took: list[int] = []
    clock, peer = time.perf_counter_ns, (address, port)
    gc.disable()
    for line in sys.stdin:
        for _ in range(0 if took else WARM_UP):
            once(peer)
        end = clock() + int(float(line) * 1e9)
        while len(took) < most:
            began = clock()
            once(peer)
            ended = clock()
            took.append(ended - began)
            if ended > end:
                break
        print(".", flush=True)
    return took


def once(peer: tuple[str, int]) -> None:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.connect(peer)
    connection.send(MESSAGE)
    while connection.recv(64):
        pass
    connection.close()


def answer(port: int) -> None:
    """Reads one message of each client, sends it back, closes. Until it is killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))
        listener.listen(128)
        gc.disable()
        while True:
            connection, _ = listener.accept()
            with suppress(OSError):  # the client may be gone again
                connection.send(connection.recv(64))
            connection.close()


def statistics(took: list[int], percentiles: tuple[float, ...]) -> dict[str, Any]:
    """As sockperf's: a percentile is the observation at that rank, rounded. Seconds."""
    took = sorted(took)
    ranks = {p: max(0, int(0.5 + p / 100 * len(took)) - 1) for p in percentiles}
    return {"observations": len(took), "mean": sum(took) / len(took) * 1e-9,
            "percentiles": {str(p): took[rank] * 1e-9 for p, rank in ranks.items()}}


if __name__ == "__main__":
    try:
        if sys.argv[1] == "answer":
            answer(int(sys.argv[2]))
        times = ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        print(json.dumps(statistics(times, tuple(float(p) for p in sys.argv[5].split(",")))))
    except OSError as error:
        sys.exit(error.strerror or str(error))
