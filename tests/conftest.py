"""What holds for every test: how live tests may skip, how hypothesis draws, and how a session ends when told to."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

# A hypervisor may take the CPU away in the middle of any example: how long one takes says nothing about what it tests.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For .ci/run, which says the same twice of the same code. Who runs `make test` looks further with each run.
settings.register_profile("ci", settings.get_profile("any-machine"), derandomize=True, database=None)
settings.load_profile("any-machine")

REQUIRE_LIVE = os.environ.get("HOPCAST_REQUIRE_LIVE", "") not in ("", "0")
"""Set by .ci/run where live tests can run: there a skipped one would be a green light for nothing."""


REQUIRE_VM = os.environ.get("HOPCAST_REQUIRE_VM", "") not in ("", "0")
"""Set by .ci/run where QEMU is: the same for tests that boot a micro-VM."""


def pytest_configure(config: pytest.Config) -> None:
    """TERM ends the session as Ctrl-C does: fixtures are torn down, so no lab outlives a time limit."""

    def stop(signum: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt("SIGTERM")

    signal.signal(signal.SIGTERM, stop)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    required = (REQUIRE_LIVE and item.get_closest_marker("live")) or (REQUIRE_VM and item.get_closest_marker("vm"))
    if required and report.skipped and not hasattr(report, "wasxfail"):
        fail_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module of tests/live that skips itself as a whole has no items that could say so."""
    report = yield
    if REQUIRE_LIVE and report.skipped and collector.path.parent.name == "live":
        fail_skipped(report)
    return report


def fail_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"skipped, but HOPCAST_REQUIRE_LIVE is set: {reason}"
