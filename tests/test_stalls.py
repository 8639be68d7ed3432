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


@pytest.mark.live
def test_a_stalled_program_stands_still_for_longer_than_the_kernel_waits_with_an_acknowledgement() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: real-time priority")
    done = subprocess.run([sys.executable, "-m", "tests.stalls", sys.executable, "-c", LONGEST_GAP], check=True,
                          capture_output=True, text=True, timeout=30, cwd=Path(stalls.__file__).parents[1])
    assert float(done.stdout) > 0.04


@pytest.mark.live
def test_a_command_that_fails_on_a_stalled_machine_has_failed() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: real-time priority")
    done = subprocess.run([sys.executable, "-m", "tests.stalls", sys.executable, "-c", "raise SystemExit(7)"],
                          timeout=30, check=False, cwd=Path(stalls.__file__).parents[1])
    assert done.returncode == 7
