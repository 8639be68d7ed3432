"""Settings that runc takes or refuses for a container, in its own words (seen with 20.10.24 and runc 1.1.5)."""

from __future__ import annotations

import pytest

from sim import spec
from sim.errors import PlumbError
from tests.sim.dockerd.engines import engine, network, on

RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: "
INIT = f"{RUNC}unable to start container process: error during container init: "


def refusal(**container: object) -> str:
    daemon = engine()
    daemon.container_run(on(name="first"))
    with pytest.raises(PlumbError) as error:
        daemon.container_run(spec.Container.model_validate({"name": "two", "mode": "bridge", **container}))
    return error.value.refusal


@pytest.mark.parametrize("name", ["net.ipv4.ip_forward", "net.core.somaxconn", "net.nonsense"])
def test_a_container_on_the_hosts_network_may_not_set_the_networks_settings(name: str) -> None:
    assert refusal(mode="host", sysctls={name: "1"}) == (
        f'{RUNC}sysctl "{name}" not allowed in host network namespace: unknown')


def test_sharing_the_namespace_of_a_container_on_the_hosts_network_changes_nothing_of_that() -> None:
    daemon = engine()
    daemon.container_run(spec.Container(name="one", mode="host"))
    with pytest.raises(PlumbError, match="not allowed in host network namespace"):
        daemon.container_run(spec.Container(name="two", mode="container:one", sysctls={"net.ipv4.ip_forward": "1"}))


def test_what_is_no_namespaces_own_is_refused() -> None:
    assert refusal(sysctls={"vm.swappiness": "1"}) == (
        f'{RUNC}sysctl "vm.swappiness" is not in a separate kernel namespace: unknown')
    assert refusal(sysctls={"kernel.hostname": "x"}) == (
        f'{RUNC}sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field: unknown')
    engine().container_run(on(name="one", sysctls={"kernel.msgmax": "65536", "fs.mqueue.msg_max": "20"}))


def test_a_value_that_the_kernel_does_not_take_is_refused() -> None:
    assert refusal(sysctls={"net.ipv4.ip_default_ttl": "300"}) == (
        f"{INIT}write /proc/sys/net/ipv4/ip_default_ttl: invalid argument: unknown")


def test_a_device_that_is_not_there_has_no_settings() -> None:
    assert refusal(sysctls={"net.ipv4.conf.eth3.arp_ignore": "1"}) == (
        f"{INIT}open /proc/sys/net/ipv4/conf/eth3/arp_ignore: no such file or directory: unknown")
    assert "conf/eth0/arp_ignore: no such file" in refusal(mode="none", sysctls={"net.ipv4.conf.eth0.arp_ignore": "1"})


def test_a_limit_of_the_whole_machine_can_not_be_written_in_a_container() -> None:
    assert refusal(sysctls={"net.core.rmem_max": "1"}) == (
        f"{INIT}open /proc/sys/net/core/rmem_max: permission denied: unknown")


def test_settings_of_each_device_are_written_when_the_devices_are_there() -> None:
    daemon = engine()
    for name in ("a", "b"):
        daemon.network_create(network(name))
    daemon.container_run(on("a", "b", name="one", sysctls={"net.ipv4.conf.eth1.rp_filter": "1"}))
    assert daemon.sandboxes["one"].sysctls.of_device("eth1", "rp_filter") == 1
    assert daemon.sandboxes["one"].sysctls.of_device("eth0", "rp_filter") == 0


def test_who_shares_a_namespace_sets_its_settings_as_well() -> None:
    daemon = engine()
    daemon.container_run(on(name="one", sysctls={"net.ipv4.ip_default_ttl": "5"}))
    daemon.container_run(spec.Container(name="two", mode="container:one", sysctls={"net.ipv4.ip_default_ttl": "9"}))
    assert daemon.sandboxes["one"].sysctls.ttl == 9
