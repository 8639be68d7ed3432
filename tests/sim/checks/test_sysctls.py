"""Which settings of a container are read, which change nothing, and which are refused by name."""

from __future__ import annotations

import pytest

from sim.checks import sysctls
from sim.errors import SpecError
from sim.kernel.sysctl import DEFAULTS, LIMITS
from sim.spec import Container


def test_every_setting_that_the_kernel_model_has_a_default_for_is_obeyed_or_changes_nothing() -> None:
    for name in {*DEFAULTS, *LIMITS}:
        sysctls.check(name, "1")


@pytest.mark.parametrize("name", [
    "net.core.somaxconn", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_keepalive_time",
    "net.ipv6.conf.all.disable_ipv6", "net.ipv4.conf.all.src_valid_mark", "net.ipv4.conf.default.rp_filter",
    "kernel.msgmax", "net.ipv4.ping_group_range",
])
def test_what_decides_no_packets_fate_is_noted(name: str) -> None:
    sysctls.check(name, "1")
    assert sysctls.idle(name, "1")


@pytest.mark.parametrize("name", [
    "net.ipv4.conf.all.proxy_arp", "net.ipv4.neigh.eth0.mcast_solicit", "net.ipv4.tcp_mtu_probing", "net.nonsense",
    "net.ipv4.icmp_ratelimit", "net.ipv4.ip_no_pmtu_disc",
])
def test_what_may_decide_it_and_is_not_modelled_is_refused_by_name(name: str) -> None:
    with pytest.raises(SpecError, match=f"sysctl {name}.* is not modelled"):
        Container(name="one", mode="bridge", sysctls={name: "1"})


def test_a_setting_that_is_not_modelled_may_have_the_value_that_it_has_anyway() -> None:
    Container(name="one", mode="bridge", sysctls={"net.ipv4.tcp_mtu_probing": "0"})


def test_what_the_engine_refuses_is_left_to_the_engine() -> None:
    Container(name="one", mode="host", sysctls={"net.ipv4.conf.all.proxy_arp": "1"})
    Container(name="one", mode="bridge", sysctls={"vm.swappiness": "1"})


def test_a_name_may_be_written_with_slashes() -> None:
    given = {"net/ipv4/conf/eth0.1/rp_filter": "1", "net.ipv4.ip_forward": "1"}
    assert list(sysctls.canonical(given)) == ["net.ipv4.conf.eth0/1.rp_filter", "net.ipv4.ip_forward"]
