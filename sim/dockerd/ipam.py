"""Which addresses a network and its endpoints get: pools, gateways, ranges.

Follows libnetwork of moby v20.10: ipam/allocator.go, ipam/structures.go, ipam/utils.go, and `requestPoolHelper`,
`ipamAllocateVersion` in network.go. A pool gives its lowest free address. Left out: IPv6, other IPAM drivers, release.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from sim.errors import PlumbError


class NoAvailableAddress(PlumbError):
    """The pool is used up; the caller names the network."""

    def __init__(self) -> None:
        super().__init__("No available addresses on this pool")


class Pool:
    """A subnet, and the range within it that addresses are drawn from. Network and broadcast address are never given.

    A range may hold the subnet's other addresses that end in 0 or 255: dockerd then gives those as well.
    """

    def __init__(self, network: IPv4Network, ip_range: IPv4Network | None = None) -> None:
        self.network = network
        self.ip_range = ip_range
        self._taken = {int(network.network_address), int(network.broadcast_address)}
        self._lowest_free = 0
        """No address below is free: where the next search begins."""

    def request(self, preferred: str = "") -> IPv4Address:
        """An address: the preferred one, else the lowest free one."""
        if len(self._taken) >= self.network.num_addresses:
            raise NoAvailableAddress
        if preferred:
            address = IPv4Address(preferred)
            if address not in self.network:
                raise PlumbError("Requested address is out of range")
            if int(address) in self._taken:
                raise PlumbError("Address already in use", mend=f"{address} is taken; give another")
        else:
            address = self._lowest()
        self._taken.add(int(address))
        return address

    def hold(self, addresses: Iterable[IPv4Address]) -> None:
        """These are taken, and no other."""
        self._taken, self._lowest_free = set(map(int, addresses)), 0

    def release(self, address: IPv4Address) -> None:
        """It may be given again."""
        self._taken.discard(int(address))
        self._lowest_free = min(self._lowest_free, int(address))

    def _lowest(self) -> IPv4Address:
        first, last = int(self.network.network_address), int(self.network.broadcast_address)
        if self.ip_range is not None:
            # only the host part of the range counts, laid over the subnet (`getAddressRange`)
            first, last = (first | int(edge) & int(self.network.hostmask)
                           for edge in (self.ip_range.network_address, self.ip_range.broadcast_address))
        for value in range(max(first, self._lowest_free), last + 1):
            if value not in self._taken:
                self._lowest_free = value
                return IPv4Address(value)
        raise NoAvailableAddress


class Ipam:
    """All pools of one engine. `in_use`: the subnets of the host's routes, and its name servers, as of now."""

    def __init__(self, defaults: Sequence[tuple[str, int]], in_use: Callable[[], list[IPv4Network]]) -> None:
        self.predefined = Subnets(defaults)
        self.in_use = in_use
        self.pools: list[Pool] = []
        self._start = 0

    def first_available(self) -> IPv4Network:
        """For docker0: the first of the default pools that the host does not use (`FindAvailableNetwork`)."""
        index = self.predefined.free(0, self.in_use())
        if index is None:
            raise PlumbError(
                'Error creating default "bridge" network: list bridge addresses failed: no available network')
        return self.predefined[index]

    def request_pool(self, subnet: str = "", ip_range: str = "") -> Pool:
        """A pool for a network: the subnet that was asked for, else the next default one. Raises PlumbError."""
        if not subnet:
            pool = Pool(self._next_predefined())
        else:
            network = parse_cidr(subnet)
            if not ip_range and self._overlaps(network):
                # a request with a range skips this check; the bridge driver then finds the conflict
                twin = next((pool.network for pool in self.pools if pool.network.overlaps(network)), None)
                raise PlumbError("Pool overlaps with other one on this address space",
                                 mend=f"{network} meets {twin}, give another subnet" if twin else "")
            pool = Pool(network, parse_cidr(ip_range) if ip_range else None)
        self.pools.append(pool)
        return pool

    def _next_predefined(self) -> IPv4Network:
        """`getPredefinedPool`, until `requestPoolHelper` is content: each search begins behind the last one's end."""
        taken = [*(pool.network for pool in self.pools), *self.in_use()]
        index = self.predefined.free(self._start, taken)
        if index is None:
            raise PlumbError("could not find an available, non-overlapping IPv4 address pool among the defaults to "
                             "assign to the network")
        self._start = (index + 1) % len(self.predefined)
        return self.predefined[index]

    def _overlaps(self, network: IPv4Network) -> bool:
        return any(network.overlaps(pool.network) for pool in self.pools)


class Subnets:
    """What (base, size) pairs stand for (`splitNetworks`), one after the other. A /8 in /30s has four million: none is
    made before it is asked for."""

    def __init__(self, pools: Sequence[tuple[str, int]]) -> None:
        self._bases: list[tuple[int, IPv4Network, int]] = []
        """(index of its first subnet, base, prefix length of the subnets)"""
        self._count = 0
        for base, size in pools:
            network = parse_cidr(base)
            if not network.prefixlen <= size <= 32:
                raise PlumbError(f"invalid pools size: {size}")
            self._bases.append((self._count, network, size))
            self._count += 1 << size - network.prefixlen

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> IPv4Network:
        if not 0 <= index < self._count:
            raise IndexError(index)
        first, base, size = self._base(index)
        return IPv4Network((int(base.network_address) + (index - first << 32 - size), size))

    def free(self, start: int, taken: Sequence[IPv4Network]) -> int | None:
        """The first from `start` on, and then from the beginning, that overlaps none of these; None where all do."""
        for begin, end in ((start, self._count), (0, start)):
            index = begin
            while index < end:
                network = self[index]
                blocker = next((other for other in taken if network.overlaps(other)), None)
                if blocker is None:
                    return index
                index = self._behind(index, blocker)
        return None

    def _base(self, index: int) -> tuple[int, IPv4Network, int]:
        return self._bases[bisect_right(self._bases, index, key=lambda base: base[0]) - 1]

    def _behind(self, index: int, blocker: IPv4Network) -> int:
        """The next one of the same base that does not overlap, or the next base's first."""
        first, base, size = self._base(index)
        last = min(int(blocker.broadcast_address), int(base.broadcast_address))
        return first + (last - int(base.network_address) >> 32 - size) + 1


def parse_cidr(text: str) -> IPv4Network:
    """Host bits are dropped, as Go's net.ParseCIDR does."""
    address, slash, _ = text.partition("/")
    try:
        if not slash:
            raise ValueError
        IPv4Address(address)
        return IPv4Network(text, strict=False)
    except ValueError:
        raise PlumbError(f"Invalid subnet {text} : invalid CIDR address: {text}") from None
