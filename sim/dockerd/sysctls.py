"""The sysctls of a container, as runc sets them when its namespaces and devices are there.

Follows runc 1.1: libcontainer/configs/validate/validator.go (`sysctl`), then standard_init_linux.go, which writes each
below /proc/sys. Where several are wrong the real one tells of any of them (a Go map), this one of the first.
Left out: `ipc: host`, which excludes the settings of an IPC namespace.
"""

from __future__ import annotations

import re

from sim import spec
from sim.dockerd.refusals import in_init, runc
from sim.kernel.netns import Netns
from sim.kernel.sysctl import CONF

OF_IPC = re.compile(r"kernel\.(msg(max|mnb|mni)|sem|shm(all|max|mni|_rmid_forced))|fs\.mqueue\..*")
GLOBAL = re.compile(r"net\.core\.[rw]mem_(default|max)|net\.netfilter\.nf_conntrack_(buckets|count|expect_max|max)"
                    r"|net\.ipv4\.(tcp_(allowed|available)_congestion_control|conf\.[^.]+\.mc_forwarding)")
"""Written in the machine's own namespace only (`net_ctl_permissions`); older kernels do not even show some of them."""


def write(box: spec.Container, netns: Netns, *, on_host: bool) -> None:
    """PlumbError in runc's words."""
    for name in box.sysctls:
        _check(name, on_host=on_host)
    for name, value in box.sysctls.items():
        if not name.startswith("net."):
            continue
        path = f"/proc/sys/{name.replace('.', '/')}"
        if GLOBAL.fullmatch(name):
            raise in_init(f"open {path}: permission denied")
        device = name.removeprefix(CONF).rpartition(".")[0] if name.startswith(CONF) else "all"
        if device not in ("all", "default") and device not in netns.devices:
            raise in_init(f"open {path}: no such file or directory")
        try:
            netns.sysctls[name] = value
        except ValueError:
            raise in_init(f"write {path}: invalid argument") from None


def _check(name: str, *, on_host: bool) -> None:
    if OF_IPC.fullmatch(name) or name == "kernel.domainname":
        return
    if name.startswith("net."):
        if on_host:
            raise runc(f'sysctl "{name}" not allowed in host network namespace')
    elif name == "kernel.hostname":
        raise runc(f'sysctl "{name}" is not allowed as it conflicts with the OCI "hostname" field')
    else:
        raise runc(f'sysctl "{name}" is not in a separate kernel namespace')
