"""How time and memory of `hopcast predict --json` grow with the file: a table, and the exponent of n.

    python -m experiments.performance.sizes        # 25 … 800 containers, and 10,000 that are only plumbed
    python -m experiments.performance.sizes 100 200 --jobs 1 --plumb 0

Each size is a process of its own; counted is CPU time (the user's), which says little less on a busy machine than on a
quiet one, and of memory the most that one process had. The files are alike: ten bridges, each container on one of them
and with one published port, eight questions a container.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SIZES = (25, 50, 100, 200, 400, 800)
PLUMBED = 10_000
BRIDGES = 10
FIRST_PORT = 10_000
PREDICT = "from experiments.cli import main; main()"
PLUMB = "import sys; from experiments.performance.sizes import plumbed; plumbed(int(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class Row:
    """`user` in seconds of CPU time, `memory` in MB."""

    containers: int
    questions: int
    user: float
    memory: float


def compose(containers: int) -> str:
    """A Compose file of that many."""
    return "\n".join([
        "services:",
        *(f"  s{n}: {{image: busybox, networks: [n{n % BRIDGES}], ports: ['{FIRST_PORT + n}:80']}}"
          for n in range(containers)),
        "networks:", *(f"  n{n}: {{}}" for n in range(BRIDGES))]) + "\n"


def plumbed(containers: int) -> None:
    """The topology, from Python: its Spec with its questions, and the world that it plumbs."""
    from sim import topology
    from sim.predict.processes import spared
    from sim.world import build

    with spared():
        made = topology("sizes")
        for n in range(BRIDGES):
            made = made.network(f"n{n}", subnet=f"10.{n}.0.0/16")
        for n in range(containers):
            made = made.container(f"s{n}", networks=[f"n{n % BRIDGES}"], ports=[f"{FIRST_PORT + n}:80"])
        build(made.spec())


def measured(*command: str) -> tuple[str, float, float]:
    """What a Python process of this checkout prints, its user time in seconds and its memory in MB. OSError when it
    fails."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([sys.executable, "-c", *command], stdout=out, cwd=Path(__file__).parents[2])
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise OSError(f"{' '.join(command[1:])} ended with {process.returncode}")
        out.seek(0)
        return out.read(), used.ru_utime, used.ru_maxrss / 1024


def row(containers: int, jobs: int) -> Row:
    """One size, predicted."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sizes.yaml"
        file.write_text(compose(containers))
        said, user, memory = measured(PREDICT, "predict", str(file), "--json", "-j", str(jobs))
    return Row(containers, len(json.loads(said)["questions"]), user, memory)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of a straight line through the logarithms: values grow as sizes to this power. NaN of one."""
    xs, ys = [math.log(size) for size in sizes], [math.log(max(value, 1e-9)) for value in values]
    x, y = (sum(row) / len(row) if row else math.nan for row in (xs, ys))
    spread = sum((each - x) ** 2 for each in xs)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / spread if spread else math.nan


def main(arguments: Sequence[str]) -> None:
    about = __doc__.split("\n")[0]
    options = argparse.ArgumentParser(prog="python -m experiments.performance.sizes", description=about)
    options.add_argument("sizes", nargs="*", type=int, default=SIZES, metavar="CONTAINERS")
    options.add_argument("--jobs", type=int, default=0, help="processes that ask, as of hopcast predict -j")
    options.add_argument("--plumb", type=int, default=PLUMBED, help="containers that are only plumbed; 0: none")
    given = options.parse_args(arguments)
    _, user, memory = measured(PREDICT, "predict", "--help")
    print(f"start-up (predict --help): {user:.2f} s, {memory:.0f} MB")
    print("containers  questions  user s     MB  user s grows by n^")
    rows: list[Row] = []
    for size in sorted(given.sizes):
        rows.append(row(size, given.jobs))
        last = rows[-1]
        grown = exponent([r.containers for r in rows[-2:]], [r.user for r in rows[-2:]])
        print(f"{last.containers:10}  {last.questions:9}  {last.user:6.2f}  {last.memory:5.0f}  "
              f"{'' if math.isnan(grown) else f'{grown:.2f}'}", flush=True)
    if len(rows) > 1:
        sizes = [each.containers for each in rows]
        print(f"from {sizes[0]} to {sizes[-1]}: time n^{exponent(sizes, [r.user for r in rows]):.2f}, "
              f"memory n^{exponent(sizes, [r.memory for r in rows]):.2f}")
    if given.plumb:
        _, user, memory = measured(PLUMB, str(given.plumb))
        print(f"{given.plumb} containers plumbed, not asked: {user:.2f} s, {memory:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
