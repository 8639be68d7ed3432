"""Threads that live in namespaces."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from live import netns
from sim.errors import LabError

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("able")]


def here() -> str:
    return os.readlink("/proc/thread-self/ns/net")


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Path:
    name = f"hc-test-{os.getpid()}"
    request.addfinalizer(lambda: netns.delete(name))
    return netns.create(name)


def test_work_inside_a_namespace_leaves_the_callers_thread_where_it_was(namespace: Path) -> None:
    before = here()
    with netns.inside(namespace) as there:
        assert there.run(here) != before
        assert here() == before
    assert here() == before


def test_an_error_inside_comes_out_as_it_is_and_the_thread_ends(namespace: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        netns.call(namespace, lambda: 1 // 0)
    assert netns.call(namespace, here) == netns.call(namespace, here)


def test_a_child_process_starts_in_the_namespace_of_the_thread_that_starts_it(namespace: Path) -> None:
    child = netns.call(namespace, lambda: subprocess.check_output(["readlink", "/proc/self/ns/net"], text=True).strip())
    assert child == netns.call(namespace, here) != here()


def test_a_new_namespace_has_loopback_up_and_neither_ipv6_nor_forwarding(namespace: Path) -> None:
    shown = netns.call(namespace, lambda: subprocess.check_output(["ip", "-o", "addr"], text=True))
    assert "127.0.0.1/8" in shown
    assert "inet6" not in shown
    assert netns.call(namespace, lambda: Path("/proc/sys/net/ipv4/ip_forward").read_text()) == "0\n"


def test_a_name_that_is_taken_is_an_error_and_the_old_namespace_stays(namespace: Path) -> None:
    before = netns.call(namespace, here)
    with pytest.raises(LabError, match="exists already"):
        netns.create(namespace.name)
    assert netns.call(namespace, here) == before


def test_a_missing_namespace_is_an_error_that_names_it() -> None:
    with pytest.raises(LabError, match="/run/netns/hc-nowhere"):
        netns.call("/run/netns/hc-nowhere", here)


def test_a_route_that_the_kernel_refuses_is_an_error_that_names_the_route(namespace: Path) -> None:
    with pytest.raises(LabError, match=r"10\.0\.0\.0/8 via 192\.0\.2\.1"):
        netns.routes(namespace, ["10.0.0.0/8 via 192.0.2.1"])
