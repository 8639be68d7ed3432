"""Network namespaces: making them, working inside them, and joining them with veth pairs.

Everything the lab does to a network it does here, inside a namespace that it made itself. `setns(2)` and `unshare(2)`
change the calling *thread*, so all of it happens in threads that serve one namespace and end with it: no thread that
comes from outside (the main thread least of all) ever changes its namespace.

A child process started by a function that runs `inside` a namespace starts in that namespace, because fork copies the
calling thread's. `/proc/net` does not follow (it is the thread group leader's): read `/proc/thread-self/net` there.

Follows ip-netns(8): a named namespace is a bind mount under /run/netns. Left out: IPv6, which the lab turns off.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pyroute2 import IPRoute, netns
from pyroute2.netlink.exceptions import NetlinkError

from sim.errors import LabError

RUN_DIR = Path("/run/netns")
CLONE_NEWNET = 0x40000000
RT_TABLE_MAIN, RT_TABLE_LOCAL = 254, 255
RT_SCOPE_LINK, RT_SCOPE_HOST = 253, 254
_libc = ctypes.CDLL(None, use_errno=True)

P = ParamSpec("P")
T = TypeVar("T")

FRESH_SYSCTLS = {
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
    "net.ipv4.ip_forward": "0",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.all.route_localnet": "0",
    "net.ipv4.conf.all.proxy_arp": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.conf.all.arp_ignore": "0",
    "net.ipv4.conf.all.arp_announce": "0",
}
"""What a lab machine starts with: the kernel's own defaults, since a new namespace copies the machine's IPv4 settings
(net.core.devconf_inherit_init_net). But no IPv6, whose neighbour discovery would fill the captures; and no ICMP
redirects from who sends a packet on by the way that it came, as the model has none."""


class Inside:
    """A thread that lives in one network namespace. `run` calls a function there and gives back what it returns."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"netns-{self.path.name}")
        try:
            self.run(_enter, self.path)
        except BaseException:
            self.close()
            raise

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.submit(function, *args, **kwargs).result()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As `run`, without waiting."""
        return self._thread.submit(function, *args, **kwargs)

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


@contextmanager
def inside(path: str | Path) -> Iterator[Inside]:
    """`with inside(path) as there: there.run(function, …)`. LabError when there is no such namespace."""
    there = Inside(path)
    try:
        yield there
    finally:
        there.close()


def call(path: str | Path, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """One function call in a namespace."""
    with inside(path) as there:
        return there.run(function, *args, **kwargs)


def enter_new() -> None:
    """Gives the calling thread a new, nameless network namespace that ends with it. For threads of one's own only."""
    if _libc.unshare(CLONE_NEWNET) != 0:
        raise LabError(f"can't make a network namespace: {os.strerror(ctypes.get_errno())}", mend="run as root")


@contextmanager
def throwaway() -> Iterator[Callable[..., Any]]:
    """A nameless namespace for trying things: yields a `run(function, *args)`. Nothing outside sees it."""
    with ThreadPoolExecutor(1, thread_name_prefix="netns-throwaway") as thread:
        thread.submit(enter_new).result()
        yield lambda function, *args: thread.submit(function, *args).result()


def path_of(name: str) -> Path:
    return RUN_DIR / name


def create(name: str) -> Path:
    """Makes /run/netns/NAME, loopback up, FRESH_SYSCTLS set. LabError when the name is taken or the kernel refuses."""

    def make() -> None:
        enter_new()
        netns.attach(name, "thread-self")
        for key, value in FRESH_SYSCTLS.items():
            set_sysctl(key, value)
        with IPRoute() as route:
            route.link("set", index=1, state="up")

    try:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(make).result()
    except FileExistsError as error:
        raise LabError(f"network namespace {name} exists already", mend="hopcast lab down") from error
    except (OSError, NetlinkError) as error:
        delete(name)
        raise LabError(f"can't make network namespace {name}: {error}") from error
    return path_of(name)


def delete(name: str) -> None:
    """Unmounts and removes a named namespace. Its devices go when its last process does. Not there: fine."""
    if path_of(name).exists():
        with suppress(FileNotFoundError):
            netns.remove(name)


def names(prefix: str) -> list[str]:
    """Named namespaces that start with `prefix`."""
    return sorted(p.name for p in RUN_DIR.glob(f"{prefix}*")) if RUN_DIR.is_dir() else []


def get_sysctl(key: str) -> str:
    """A sysctl of the calling thread's namespace."""
    return Path("/proc/sys", *key.split(".")).read_text().strip()


def set_sysctl(key: str, value: str) -> None:
    """Sets a sysctl of the calling thread's namespace. One that this kernel does not have is already as wished: off."""
    with suppress(FileNotFoundError):
        Path("/proc/sys", *key.split(".")).write_text(value)


def veth(path: Path, device: str, peer_path: Path, peer: str, *, mtu: int = 1500) -> None:
    """A veth pair with one end in each namespace, both up."""

    def make() -> None:
        there = os.open(peer_path, os.O_RDONLY)
        try:
            with IPRoute() as route:
                route.link("add", ifname=device, kind="veth", mtu=mtu,
                           peer={"ifname": peer, "mtu": mtu, "net_ns_fd": there})
                route.link("set", index=index_of(route, device), state="up")
        finally:
            os.close(there)

    call(path, make)
    call(peer_path, link_up, peer)


def bridge(path: Path, name: str) -> None:
    """A plain learning switch, up: no spanning tree, no multicast snooping, and no netfilter on its frames."""

    def make() -> None:
        with IPRoute() as route:
            route.link("add", ifname=name, kind="bridge", br_stp_state=0, br_mcast_snooping=0)
            route.link("set", index=index_of(route, name), state="up")
        set_sysctl("net.bridge.bridge-nf-call-iptables", "0")
        set_sysctl("net.bridge.bridge-nf-call-arptables", "0")

    call(path, make)


def enslave(path: Path, bridge_name: str, devices: Iterable[str]) -> None:
    def join() -> None:
        with IPRoute() as route:
            master = index_of(route, bridge_name)
            for device in devices:
                route.link("set", index=index_of(route, device), master=master)

    call(path, join)


def address(path: Path, device: str, cidr: str) -> None:
    """Gives a device an IPv4 address (CIDR)."""

    def configure() -> None:
        with IPRoute() as route:
            host, _, length = cidr.partition("/")
            index = index_of(route, device)
            broadcast = {} if int(length) > 30 else {"broadcast": _broadcast(host, int(length))}
            route.addr("add", index=index, address=host, prefixlen=int(length), **broadcast)

    call(path, configure)


def routes(path: Path, lines: Iterable[str]) -> None:
    """Adds routes, written `SUBNET via GATEWAY`. LabError when the kernel refuses one, in the kernel's words."""

    def add() -> None:
        with IPRoute() as route:
            for line in lines:
                subnet, _, gateway = (part.strip() for part in line.partition(" via "))
                try:
                    route.route("add", dst=subnet, gateway=gateway)
                except NetlinkError as error:
                    raise LabError(f"route {line!r} on {path.name}: {error.args[-1]}") from error

    call(path, add)


def everywhere(path: Path, device: str) -> None:
    """All addresses are the namespace's own, but those on `device`'s link (routes of type local, "AnyIP")."""

    def add() -> None:
        with IPRoute() as route:
            index = index_of(route, device)
            for message in route.get_routes(family=socket.AF_INET, oif=index, table=RT_TABLE_MAIN):
                net = f"{message.get_attr('RTA_DST')}/{message['dst_len']}"
                route.route("add", dst=net, oif=index, table=RT_TABLE_LOCAL, scope=RT_SCOPE_LINK)
            route.route("add", dst="0.0.0.0/0", oif=1, table=RT_TABLE_LOCAL, type="local", scope=RT_SCOPE_HOST)

    call(path, add)


def link_up(device: str) -> None:
    """In the calling thread's namespace."""
    with IPRoute() as route:
        route.link("set", index=index_of(route, device), state="up")


def link_down(device: str) -> None:
    """In the calling thread's namespace."""
    with IPRoute() as route:
        route.link("set", index=index_of(route, device), state="down")


def carrier(device: str) -> bool:
    """Is somebody at the other end of a device of the calling thread's namespace (LOWER_UP)?"""
    with IPRoute() as route:
        return bool(route.get_links(index_of(route, device))[0].get_attr("IFLA_CARRIER"))


def index_of(route: IPRoute, device: str) -> int:
    found = route.link_lookup(ifname=device)
    if not found:
        raise LabError(f"no device {device} in the namespace")
    return int(found[0])


def _broadcast(host: str, length: int) -> str:
    import ipaddress

    return str(ipaddress.ip_interface(f"{host}/{length}").network.broadcast_address)


def _enter(path: Path) -> None:
    try:
        namespace = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise LabError(f"no network namespace at {path}: {error.strerror}") from error
    try:
        if _libc.setns(namespace, CLONE_NEWNET) != 0:
            raise LabError(f"can't enter {path}: {os.strerror(ctypes.get_errno())}", mend="run as root")
    finally:
        os.close(namespace)
