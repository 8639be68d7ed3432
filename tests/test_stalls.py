"""The tests' own busy hypervisor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import stalls

LONGEST_GAP = """
import time
at, longest, end = time.monotonic(), 0.0, time.monotonic() + 1.5
while at < end:
    now = time.monotonic()
    longest, at = max(longest, now - at), now
print(longest)
"""


pytestmark = pytest.mark.live


def beside_stalls(program: str) -> subprocess.CompletedProcess[str]:
    if os.geteuid() != 0:
        pytest.skip("needs root: real-time priority")
    return subprocess.run([sys.executable, "-m", "tests.stalls", sys.executable, "-c", program], check=False,
                          capture_output=True, text=True, timeout=30, cwd=Path(stalls.__file__).parents[1])


def test_a_stalled_program_stands_still_for_longer_than_the_kernel_waits_with_an_acknowledgement() -> None:
    done = beside_stalls(LONGEST_GAP)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.04


def test_a_command_that_fails_on_a_stalled_machine_has_failed() -> None:
    assert beside_stalls("raise SystemExit(7)").returncode == 7
