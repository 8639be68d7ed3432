"""Addresses as packets carry them: IPv4 as 32-bit ints, which rules and routes compare with masks; MAC as strings."""

from __future__ import annotations

BROADCAST = "ff:ff:ff:ff:ff:ff"
ZERO_MAC = "00:00:00:00:00:00"


def ip(text: str) -> int:
    """Dotted quad to int; ValueError when it is not one.

    >>> hex(ip("172.17.0.2"))
    '0xac110002'
    """
    parts = text.split(".")
    if len(parts) != 4 or not all(p.isascii() and p.isdigit() and len(p) <= 3 and int(p) < 256 for p in parts):
        raise ValueError(f"{text!r} is not an IPv4 address")
    a, b, c, d = map(int, parts)
    return a << 24 | b << 16 | c << 8 | d


def dotted(address: int) -> str:
    """Int to dotted quad.

    >>> dotted(0xac110002)
    '172.17.0.2'
    """
    return f"{address >> 24 & 255}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def mask_of(prefix_length: int) -> int:
    """Netmask of a prefix length, as an int."""
    return (0xFFFFFFFF << (32 - prefix_length)) & 0xFFFFFFFF


def cidr(text: str) -> tuple[int, int]:
    """`10.0.0.0/8` or `10.0.0.1` to (address, mask); host bits stay as written."""
    address, _, length = text.partition("/")
    return ip(address), mask_of(int(length)) if length else 0xFFFFFFFF
