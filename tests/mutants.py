"""Mutation testing: would the unit tests notice if a line of the model were wrong?

`make mutants` (`python -m tests.mutants [FILE...]`) copies the tree, lets mutmut change one expression at a time in the
chosen files, runs the unit tests that reach it, and prints the changes that no test noticed. Those that were judged
equivalent stand in `mutants_equivalent.yaml`, each with its reason, and are only counted.

Exit code 1 when a mutant survives that is not in the list.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.yaml")
KERNEL, DOCKERD = "tests/sim/kernel", "tests/sim/dockerd"
CHOSEN = {
    "sim/kernel/conntrack.py": [KERNEL],
    "sim/kernel/nat.py": [KERNEL],
    "sim/kernel/bridge.py": [KERNEL],
    "sim/kernel/vxlan.py": [KERNEL],
    "sim/kernel/device.py": [KERNEL],
    "sim/dockerd/balancer.py": [KERNEL, DOCKERD, "tests/sim/test_mesh.py"],
    "sim/dockerd/firewall/legacy.py": [DOCKERD, "tests/sim/test_mesh.py"],
}
"""The files that are mutated, and the tests that should notice."""
LIMIT = 3600.0
"""Seconds that all mutants may take."""


@dataclass(frozen=True, slots=True)
class Change:
    """One mutant: the changed line of a file, before and after, without indentation."""

    file: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}\n  - {self.before}\n  + {self.after}"


def change_of(file: str, diff: str) -> Change:
    """What a unified diff changes: its removed and its added lines, each joined into one.

    >>> change_of("a.py", "--- a.py\\n+++ a.py\\n@@ -1 +1 @@\\n-    x = 1\\n+    x = 2\\n")
    Change(file='a.py', before='x = 1', after='x = 2')
    """
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Change(file, before, after)


def equivalent() -> dict[Change, str]:
    """The mutants that were judged equivalent, and why."""
    rows = yaml.safe_load(EQUIVALENT.read_text()) or []
    return {Change(row["file"], row["before"], row["after"]): row["why"] for row in rows}


def copied(folder: Path, files: list[str], tests: list[str]) -> None:
    """The tree as git has it, and mutmut's configuration, in `folder`."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith("results/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    with (folder / "pyproject.toml").open("a") as config:
        config.write(f"\n[tool.mutmut]\nsource_paths = ['sim']\nonly_mutate = {files}\nalso_copy = ['tests', 'live', "
                     f"'experiments']\npytest_add_cli_args_test_selection = {tests}\n")


def survivors(folder: Path) -> tuple[list[Change], int]:
    """Those that no test noticed, and how many were tried. In a terminal mutmut shows its progress."""
    tool = [sys.executable, "-m", "mutmut"]
    environment = os.environ | {"PYTEST_ADDOPTS": "--hypothesis-profile=ci -p no:cacheprovider"}
    with (folder / "mutmut.log").open("w+") as log:
        ran = subprocess.run([*tool, "run", "--max-children", str(os.cpu_count() or 1)], cwd=folder, check=False,
                             env=environment, timeout=LIMIT, stderr=subprocess.STDOUT,
                             stdout=None if sys.stderr.isatty() else log)
        log.seek(0)
        if ran.returncode != 0:
            raise SystemExit(f"mutmut ended with {ran.returncode}:\n{log.read()[-3000:]}")
    listed = subprocess.run([*tool, "results", "--all", "true"], cwd=folder, check=True, capture_output=True, text=True)
    states = re.findall(r"^\s*(\S+): (.+)$", listed.stdout, re.MULTILINE)
    found = []
    for name, state in states:
        if state in ("survived", "no tests", "suspicious"):
            shown = subprocess.run([*tool, "show", name], cwd=folder, check=True, capture_output=True, text=True).stdout
            file = re.sub(r"\.x_.*|\.xǁ.*", "", name).replace(".", "/") + ".py"
            found.append(change_of(file, shown))
    return found, len(states)


def main(names: list[str]) -> int:
    """Mutate the named files, or all that are chosen; prints what survived."""
    unknown = [name for name in names if name not in CHOSEN]
    if unknown:
        print(f"not among the chosen files: {', '.join(unknown)}; known: {', '.join(CHOSEN)}", file=sys.stderr)
        return 2
    files = names or list(CHOSEN)
    tests = sorted({test for file in files for test in CHOSEN[file]})
    with tempfile.TemporaryDirectory(prefix="hopcast-mutants-") as scratch:
        folder = Path(scratch)
        copied(folder, files, tests)
        survived, tried = survivors(folder)
    judged = equivalent()
    new = [change for change in survived if change not in judged]
    for change in new:
        print(change)
    print(f"{tried} mutants of {len(files)} files: {tried - len(survived)} noticed, {len(survived) - len(new)} judged "
          f"equivalent, {len(new)} survived")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
