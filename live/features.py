"""What this kernel can do, found out by doing it: each feature is tried in a throwaway network namespace.

Names in /boot or lsmod say little (built in, in a container, not allowed); a device that could be made says all. Making
one may load its module, as Docker would. ip_vs and br_netfilter have nothing to make: their switch is looked for, else
modprobe is asked whether it has the module.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from pyroute2 import IPRoute, NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError

from live import engine, environment, netns, xfrm
from live.patience import patient
from sim.errors import LabError

IP_VS_SO_GET_VERSION = 64 + 1024 + 64
"""include/uapi/linux/ip_vs.h; a kernel without ip_vs has no such option."""
TRY_LIMIT = 20.0
PARENT = "try0"


def links(kind: str, **options: object) -> str:
    """Makes a device of a kind, on top of a veth where it needs a parent. Empty when that worked, else why not."""
    with IPRoute() as route:
        parent = _parent(route)
        try:
            route.link("add", ifname="try2", kind=kind, **_with_parent(options, parent))
        except NetlinkError as error:
            return str(error.args[-1])
        with suppress(NetlinkError):
            route.link("del", index=route.link_lookup(ifname="try2")[0])
    return ""


def queue(kind: str, **options: object) -> str:
    """Puts a queueing discipline on a veth."""
    with IPRoute() as route:
        parent = _parent(route)
        try:
            route.tc("add", kind, parent, handle=0x10000, **options)
        except NetlinkError as error:
            return str(error.args[-1])
        with suppress(NetlinkError):
            route.tc("del", index=parent, root=True)
    return ""


def command(program: str, *arguments: str) -> str:
    """Runs a program."""
    path = engine.which(program)
    if not path:
        return f"no {program} here"
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=patient(TRY_LIMIT),
                              env=environment.minimal())
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("#")]
    return said[0].strip() if said else f"exit {done.returncode}"


def ip_vs() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        try:
            raw.getsockopt(socket.IPPROTO_IP, IP_VS_SO_GET_VERSION, 64)
            return ""
        except OSError as error:
            return _module("ip_vs") and f"{error.strerror}, and no module ip_vs"


def br_netfilter() -> str:
    if Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        return ""
    return _module("br_netfilter") and "no net.bridge.bridge-nf-call-iptables, and no module br_netfilter"


def conntrack() -> str:
    try:
        with NFCTSocket() as table:
            list(table.dump())
    except (OSError, NetlinkError) as error:
        return str(error)
    return command("iptables", "-A", "INPUT", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")


def sctp() -> str:
    """A socket of it, as who listens makes."""
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    return ""


def overlayfs() -> str:
    filesystems = Path("/proc/filesystems").read_text().split()
    return "" if "overlay" in filesystems else _module("overlay") and "no overlay in /proc/filesystems"


TRIALS: dict[str, Callable[[], str]] = {
    "veth": lambda: links("veth", peer={"ifname": "try3"}),
    "bridge": lambda: links("bridge"),
    "br_netfilter": br_netfilter,
    "overlay": overlayfs,
    "iptables": lambda: command("iptables", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE"),
    "conntrack": conntrack,
    "vxlan": lambda: links("vxlan", vxlan_id=4097, vxlan_port=4789),
    "macvlan": lambda: links("macvlan", link=PARENT, macvlan_mode="bridge"),
    "ipvlan": lambda: links("ipvlan", link=PARENT, ipvlan_mode=0),
    "8021q": lambda: links("vlan", link=PARENT, vlan_id=10),
    "ip_vs": ip_vs,
    "esp": xfrm.lacks,
    "sctp": sctp,
    "netem": lambda: queue("netem", delay=1000),
    "tbf": lambda: queue("tbf", rate="1mbit", burst=32768, latency="50ms"),
    "iptables-nft": lambda: command("iptables-nft", "-t", "nat", "-L", "-n"),
    "iptables-legacy": lambda: command("iptables-legacy", "-t", "nat", "-L", "-n"),
}
"""Feature -> trial; a trial says in words why it failed."""


OPTIONAL = frozenset({"esp", "ip_vs"})
"""Features without which an engine works on, and its swarm does less. Trying them takes no device."""


def tried(some: Iterable[str] = tuple(TRIALS)) -> dict[str, str]:
    """Feature -> why this kernel can't, empty where it can; of TRIALS, all or `some`. LabError when not even a
    namespace can be made."""
    with netns.throwaway() as run:
        return {feature: run(_guarded, TRIALS[feature]) for feature in some}


def lacks(feature: str) -> str:
    """Why this kernel can't do one of TRIALS; empty where it can."""
    return tried([feature])[feature]


def _parent(route: IPRoute) -> int:
    """The index of a veth that is up, for devices to stand on; made for the first that needs one."""
    if not route.link_lookup(ifname=PARENT):
        with suppress(NetlinkError):
            route.link("add", ifname=PARENT, kind="veth", peer={"ifname": "try1"})
            route.link("set", index=route.link_lookup(ifname=PARENT)[0], state="up")
    return int(route.link_lookup(ifname=PARENT)[0])


def _guarded(trial: Callable[[], str]) -> str:
    try:
        return trial()
    except (OSError, LookupError, NetlinkError, LabError) as error:
        return str(error) or type(error).__name__


def _with_parent(options: dict[str, object], parent: int) -> dict[str, object]:
    return {key: parent if (key, value) == ("link", PARENT) else value for key, value in options.items()}


def _module(name: str) -> str:
    """Empty when modprobe has the module or it is loaded."""
    if Path("/sys/module", name).is_dir():
        return ""
    return command("modprobe", "--dry-run", "--quiet", name) and f"no module {name}"
