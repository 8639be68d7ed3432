"""A digest of everything that a checkout predicts: to hold a change that must change nothing against what was before.

    python tests/digest.py > before; python tests/digest.py OTHER_CHECKOUT > after; diff before after

One line a case: every answer and every step with its detail, time and cost, of each way of each question; the plumbing;
the warm round trips; and what `hopcast predict` prints. The inputs are those of this checkout: the scenarios, drawn
topologies and a large one. A packet's number is not compared; which packet it is, is.
Cases can be chosen: `python tests/digest.py . drain mesh`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DRAWN = range(1, 41)
"""Seeds of `tests/live/random_topology.py`."""
LARGE = 30
"""Containers of the large topology, on five bridges."""
ROUND_TRIPS = 6
"""Questions of each case whose warm round trip is looked at."""
TYPED = "from experiments.cli import main; main()"


def files() -> list[Path]:
    return sorted((ROOT / "experiments" / "scenarios").glob("*.yaml"))


def large() -> str:
    """A Compose file whose containers all publish a port; every seventh is on two networks."""
    lines = ["services:"]
    for n in range(LARGE):
        networks = f"n{n % 5}, n{(n + 1) % 5}" if n % 7 == 0 else f"n{n % 5}"
        ports = f"'{10000 + n}:80', '{53000 + n}:53/udp'"
        lines.append(f"  s{n}: {{image: busybox, networks: [{networks}], ports: [{ports}]}}")
    return "\n".join([*lines, "networks:", *(f"  n{n}: {{}}" for n in range(5))]) + "\n"


def of_spec(spec: Any) -> Iterator[tuple[str, Any]]:
    """(what, data) of a topology."""
    from sim.predict import predict, round_trip
    from sim.world import build

    for observed in (False, True):
        forecast = predict(spec, observed=observed)
        yield "plumbing", forecast.plumbing.as_dict()
        for index in range(len(forecast.questions)):
            for answer, trace in forecast.ways(index):
                yield "answer", answer.as_dict()
                names: dict[int, int] = {}
                for step in trace:
                    row = step.as_dict() | {"at": step.at, "cost": step.cost}
                    if "packet" in row:
                        row["packet"] = names.setdefault(row["packet"], len(names))
                    yield "step", row
    world = build(spec)
    timed = 0
    for question in spec.questions:
        if timed < ROUND_TRIPS and question.by == "ip" and question.probe != "ping" and not (
                question.during or question.after):
            timed += 1
            try:
                trip = round_trip(world, question)
            except Exception as error:
                yield "round trip", str(error)
            else:
                yield "round trip", [sorted(trip.counts.items()), trip.seconds]


def digest(rows: Iterator[tuple[str, Any]]) -> str:
    """The number of rows of each sort, and the hash of them all."""
    whole, counts = hashlib.sha256(), dict[str, int]()
    for what, data in rows:
        counts[what] = counts.get(what, 0) + 1
        whole.update(f"{what} {json.dumps(data, sort_keys=True)}\n".encode())
    return f"{', '.join(f'{n} {what}' for what, n in counts.items())}: {whole.hexdigest()[:16]}"


def printed(checkout: Path, file: Path) -> str:
    """What `hopcast predict` prints of a file, as tables and as JSON: exit codes and hashes."""
    told = []
    for more in ((), ("--json",)):
        done = subprocess.run([sys.executable, "-c", TYPED, "predict", file.name, *more], cwd=file.parent, check=False,
                              env=os.environ | {"PYTHONPATH": str(checkout)}, capture_output=True,
                              stdin=subprocess.DEVNULL)
        told.append(f"{done.returncode} {hashlib.sha256(done.stdout + done.stderr).hexdigest()[:16]}")
    return ", ".join(told)


def cases(checkout: Path, folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """(name, what gives its digest)."""
    from sim import compose
    from tests.live.random_topology import make

    big = folder / "big" / "large.yaml"  # the folder's name is the project's
    big.parent.mkdir()
    big.write_text(large())
    for path in [*files(), big]:
        yield path.stem, lambda path=path: f"{digest(of_spec(compose.load(path)))}; printed {printed(checkout, path)}"
    for seed in DRAWN:
        yield f"drawn-{seed}", lambda seed=seed: digest(of_spec(make(seed)))


def main(arguments: list[str]) -> None:
    checkout = Path(arguments[0] if arguments else ROOT).resolve()
    sys.path[:0] = [str(checkout)]
    import sim

    assert Path(sim.__file__).is_relative_to(checkout), f"{sim.__file__} is not of {checkout}"
    with tempfile.TemporaryDirectory() as folder:
        for name, told in cases(checkout, Path(folder)):
            if not arguments[1:] or name in arguments[1:]:
                try:
                    print(name, told(), flush=True)
                except Exception as error:  # what is refused is refused in the same words
                    print(name, type(error).__name__, error, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
