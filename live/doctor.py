"""What can run here, and how to get what is missing: privileges, kernel features, the engine, tools.

`examine()` tries things (in a throwaway namespace, see `live/features.py`) and changes nothing of the machine's own. An
Item that is `required` decides whether the lab can run; the others say what an experiment "can't measure here".
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from live import cgroup, engine, features, limits
from live.vm import qemu
from sim.errors import LabError

KERNEL: dict[str, tuple[bool, str, str]] = {
    "veth": (True, "every container and the lab's wire", "modprobe veth"),
    "bridge": (True, "docker0 and user-defined networks", "modprobe bridge"),
    "br_netfilter": (False, "iptables on bridged frames: icc=false, and rules between containers of one bridge",
                     "modprobe br_netfilter"),
    "overlay": (False, "the engine's overlay2 storage; without it containers start slowly (vfs)", "modprobe overlay"),
    "iptables": (True, "dockerd's rules: NAT, isolation, published ports", "apt-get install iptables"),
    "conntrack": (True, "NAT and the engine's RELATED,ESTABLISHED rules", "modprobe nf_conntrack nf_conntrack_netlink"),
    "vxlan": (False, "overlay networks", "modprobe vxlan"),
    "macvlan": (False, "macvlan networks", "modprobe macvlan"),
    "ipvlan": (False, "ipvlan networks", "modprobe ipvlan"),
    "8021q": (False, "macvlan and ipvlan on a VLAN of their parent", "modprobe 8021q"),
    "ip_vs": (False, "swarm's routing mesh and virtual IPs", "modprobe ip_vs"),
    "esp": (False, "encrypted overlay networks (IPsec, AES-GCM)", "modprobe -a esp4 gcm"),
    "sctp": (False, "published SCTP ports", "modprobe sctp"),
    "netem": (False, "delay and loss on links", "modprobe sch_netem"),
    "tbf": (False, "rate limits on links", "modprobe sch_tbf"),
    "iptables-nft": (False, "engines whose iptables writes nftables", "apt-get install iptables"),
    "iptables-legacy": (False, "engines whose iptables writes the older tables", "apt-get install iptables"),
}
"""Feature -> (does the lab need it, what for, how to get it)."""

TOOLS: dict[str, tuple[bool, str, str]] = {
    "containerd": (True, "what dockerd runs containers with", "apt-get install containerd"),
    "runc": (True, "what containerd starts containers with", "apt-get install runc"),
    "docker-proxy": (False, "published ports from the host itself (userland-proxy)", "apt-get install docker.io"),
    "iptables-save": (True, "reading the engine's rules", "apt-get install iptables"),
    "nsenter": (True, "starting engines in namespaces", "apt-get install util-linux"),
    "unshare": (True, "starting engines in namespaces", "apt-get install util-linux"),
    "busybox": (True, "the image that the lab's containers run", "apt-get install busybox-static"),
    "sockperf": (False, "latency measurements", "apt-get install sockperf"),
    "iperf3": (False, "throughput measurements", "apt-get install iperf3"),
    "conntrack": (False, "looking at NAT mappings by hand", "apt-get install conntrack"),
    qemu.BINARY: (False, "a micro-VM: measuring without root, or what this kernel lacks", qemu.GET),
}
"""Program -> (does the lab need it, what for, how to get it)."""

ENGINE_PACKAGES = "apt-get install --no-install-recommends docker.io iptables"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing examined. `ok` None: could not be tried (no root)."""

    kind: str
    """privilege | limit | kernel | engine | tool"""
    name: str
    ok: bool | None
    detail: str
    needed_for: str
    get: str
    required: bool


@dataclass(frozen=True, slots=True)
class Report:
    items: tuple[Item, ...]

    @property
    def can_run_lab(self) -> bool:
        return not self._lacking()

    @property
    def why_not(self) -> str:
        """What keeps the lab from running, in one line; empty when nothing does."""
        return "; ".join(f"{item.name}: {item.detail or 'missing'} ({item.get})" for item in self._lacking())

    def item(self, name: str) -> Item:
        """By name. KeyError for what is not examined."""
        for item in self.items:
            if item.name == name:
                return item
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        items = [asdict(item) for item in self.items]
        return {"can_run_lab": self.can_run_lab, "why_not": self.why_not, "items": items}

    def _lacking(self) -> list[Item]:
        """Without root nothing of the kernel can be tried: then root is what lacks, not the untried."""
        return [item for item in self.items if item.required and item.ok is False]


def examine() -> Report:
    """Takes about half a second."""
    return Report((*_privileges(), *_limits(), *_engine(), *_kernel(), *_tools()))


def _privileges() -> list[Item]:
    root = os.geteuid() == 0
    items = [Item("privilege", "root", root, "" if root else f"runs as uid {os.geteuid()}",
                  "making namespaces and starting engines", "run it as root (sudo)", True)]
    mounted = cgroup.hierarchies()
    writable = root and any(os.access(point, os.W_OK) for point in mounted.values())
    detail = "version 2" if set(mounted) == {"unified"} else "version 1" if mounted else "none is mounted"
    items.append(Item("privilege", "cgroups", writable if root else None, detail, "dockerd, and ending what it started",
                      "mount the cgroup hierarchies at /sys/fs/cgroup, writable", True))
    kvm = os.access(qemu.KVM_DEVICE, os.R_OK | os.W_OK)
    items.append(Item("privilege", "kvm", kvm, "" if kvm else f"{qemu.KVM_DEVICE} can't be used: emulation, "
                      "about ten times slower", "a faster micro-VM", "join the group that may open /dev/kvm", False))
    return items


def _limits() -> list[Item]:
    """What the smallest lab needs; before one is brought up its own size is reckoned with."""
    return [Item("limit", each.name, each.enough, str(each), "a lab; larger ones need more", each.get, True)
            for each in limits.limits()]


def _engine() -> list[Item]:
    found = engine.found()
    detail = f"{found.version}, generation {found.generation}, {found.path}" if found else "no dockerd on PATH"
    return [Item("engine", "dockerd", found is not None, detail, "measuring: the lab runs its own engines",
                 ENGINE_PACKAGES, True)]


def _kernel() -> list[Item]:
    if os.geteuid() != 0:
        return [Item("kernel", name, None, "not tried: needs root", why, get, needed)
                for name, (needed, why, get) in KERNEL.items()]
    try:
        failures = features.tried()
    except LabError as error:
        failures = dict.fromkeys(KERNEL, error.problem)
    return [Item("kernel", name, not failures[name], failures[name], why, get, needed)
            for name, (needed, why, get) in KERNEL.items()]


def _tools() -> list[Item]:
    return [Item("tool", name, bool(path), path or "not found", why, get, needed)
            for name, (needed, why, get) in TOOLS.items() for path in [engine.which(name)]]
