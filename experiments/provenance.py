"""Where a result comes from: code, machine, engine and moment, so that a number can be questioned later."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def provenance(*, engine: str = "", kernel: str = "", where: str = "", seed: int | None = None) -> dict[str, Any]:
    """What a result's JSON carries beside its data. `engine`: version of the one that was measured, empty for none;
    `kernel` and `where`: those that measured, empty for this machine's own."""
    return {
        "hopcast": _version(),
        **moment(),
        "kernel": kernel or platform.release(),
        "measured_in": where or "network namespaces of this machine",
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cpus": os.cpu_count() or 0,
        "python": platform.python_version(),
        "engine": engine or "none: predicted only",
        "seed": seed,
    }


def moment() -> dict[str, Any]:
    """Which code, and when: all that is new where stored measurements are predicted anew."""
    return {
        "git": _git("rev-parse", "HEAD") or "not a git checkout",
        "git_changes": bool(_git("status", "--porcelain", "--", ".", ":!results")),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def cpu_model() -> str:
    """As /proc/cpuinfo names it; the architecture where that says nothing."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.machine() or "unknown"


def _version() -> str:
    try:
        return metadata.version("hopcast")
    except metadata.PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
