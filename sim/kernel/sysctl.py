"""What stands under /proc/sys/net in one namespace: the settings that decide what becomes of a packet.

Of `net.ipv4.conf.DEVICE.KEY` a device obeys its own value together with that of `all`: the larger of the two, or any
that is set (include/linux/inetdevice.h: `IN_DEV_MAXCONF`, `IN_DEV_ORCONF`). `default` is what a device gets that is
made later: dockerd gives a container its devices before its settings, so there it changes nothing.
`ip_forward` is another name of `conf.all.forwarding`, and to write it sets every device's (`inet_forward_change`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from itertools import takewhile

LATEST = (6, 18)
"""The newest Linux that predictions were held against; newer ones are taken to be like it."""
IP_FORWARD, FORWARDING = "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"
PORT_RANGE, TTL = "net.ipv4.ip_local_port_range", "net.ipv4.ip_default_ttl"
DEFAULTS = {
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.ipv4.conf.all.route_localnet": "0",
    IP_FORWARD: "0",
    FORWARDING: "0",
    PORT_RANGE: "32768 60999",
    "net.ipv4.icmp_echo_ignore_all": "0",
    "net.ipv4.icmp_echo_ignore_broadcasts": "1",
    TTL: "64",
    "net.ipv4.tcp_syn_linear_timeouts": "4",
    "net.ipv4.tcp_syn_retries": "6",
}
"""What a fresh namespace has, once the br_netfilter module is loaded (dockerd loads it); all others are 0."""
SINCE = {"net.ipv4.tcp_syn_linear_timeouts": ((6, 5), "0")}
"""sysctl -> the Linux that brought it, and the value by which older ones behave."""
EPHEMERAL = range(32768, 61000)
"""The range of local ports, as Linux ships it."""
CONF = "net.ipv4.conf."
INT = range(-(2**31), 2**31)
LIMITS = {
    "net.ipv4.icmp_echo_ignore_all": range(2),
    "net.ipv4.icmp_echo_ignore_broadcasts": range(2),
    TTL: range(1, 256),
    "net.ipv4.tcp_syn_linear_timeouts": range(128),
    "net.ipv4.tcp_syn_retries": range(1, 128),
    PORT_RANGE: range(1, 65536),
}
"""What the kernel takes (net/ipv4/sysctl_net_ipv4.c); any whole number elsewhere."""
NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|\d+)", re.ASCII)


def linux_version(release: str) -> tuple[int, int]:
    """The version in what `uname -r` says.

    >>> linux_version("6.1.0-49-cloud-amd64")
    (6, 1)
    """
    major, _, rest = release.partition(".")
    minor = "".join(takewhile(str.isdigit, rest))
    return int(major), int(minor or 0)


class Sysctls(MutableMapping[str, str]):
    """Name -> text, for those that are set or have a default here. See the module docstring."""

    def __init__(self, linux: tuple[int, int] = LATEST) -> None:
        self._texts = DEFAULTS | {name: before for name, (since, before) in SINCE.items() if linux < since}
        self._conf: dict[tuple[str, str], int] = {}
        """(device, key) -> its number."""
        self.ttl = int(self._texts[TTL])
        self.ports = EPHEMERAL
        """Where local ports are drawn from."""

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __setitem__(self, name: str, text: str) -> None:
        """As `sysctl -w` writes it; an empty text changes nothing. ValueError: the kernel says EINVAL."""
        found = numbers(name, text)
        if not found:
            return
        if name == PORT_RANGE:
            first, last = [*found, self.ports[-1]][:2]
            if first > last:
                raise ValueError(f"{name} = {text}")
            self.ports = range(first, last + 1)
            self._texts[name] = f"{first} {last}"
            return
        self._texts[name] = str(found[0])
        if name in (IP_FORWARD, FORWARDING):
            self._texts[IP_FORWARD] = self._texts[FORWARDING] = str(found[0])
            self._conf = {key: number for key, number in self._conf.items() if key[1] != "forwarding"}
        elif name.startswith(CONF):
            device, _, key = name.removeprefix(CONF).rpartition(".")
            self._conf[device, key] = found[0]
        elif name == TTL:
            self.ttl = found[0]

    def __delitem__(self, name: str) -> None:
        raise TypeError("a sysctl can't be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def number(self, name: str) -> int:
        """A setting as a number; 0 where nobody set it and it has no default here."""
        return int(self._texts.get(name, "0"))

    def of_device(self, device: str, key: str) -> int:
        """`net.ipv4.conf.DEVICE.KEY`, or that of `all` where it is more."""
        return max(self._conf.get((device, key), 0), self._conf.get(("all", key), 0)) if self._conf else 0

    def forwards(self, device: str) -> bool:
        """Does a packet that came in by this device go on to others (`IN_DEV_FORWARD`)?"""
        own = self._conf.get((device, "forwarding")) if self._conf else None
        return self._texts[IP_FORWARD] != "0" if own is None else own != 0


def numbers(name: str, text: str) -> list[int]:
    """What the kernel reads: whole numbers, decimal, octal or hexadecimal; of most settings only the first counts
    (`proc_dointvec`). ValueError: it is none, or not one that the setting may have."""
    words = text.split()[:2 if name == PORT_RANGE else 1]
    if not all(NUMBER.fullmatch(word) for word in words):
        raise ValueError(f"{name} = {text}")
    found = [_int(word) for word in words]
    if any(number not in LIMITS.get(name, INT) for number in found):
        raise ValueError(f"{name} = {text}")
    return found


def _int(word: str) -> int:
    digits = word.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
    return int(word, 8 if octal else 0)
