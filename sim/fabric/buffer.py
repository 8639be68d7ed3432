"""A UDP socket's buffers: how many datagrams wait before one is dropped (net/ipv4/udp.c), and before who sends waits.

SO_RCVBUF counts the memory that a datagram takes (`skb->truesize`), not its bytes: 212992 bytes hold 256 small ones.
The reader takes what waits in one go (`reader_queue`) and gives its memory back when that is read, or a quarter of the
buffer (`udp_rmem_release`): so a full buffer takes nothing until 64 small datagrams are read, and then 64 at once.

Left out: `udp_mem`, the limit over all sockets, and datagrams that are peeked at.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

RMEM_DEFAULT = 212992
"""net.core.rmem_default."""

WMEM_DEFAULT = 212992
"""net.core.wmem_default."""

IP_HEADER, UDP_HEADER = 20, 8
LINK_ROOM = 16 + 15
"""LL_RESERVED_SPACE of an Ethernet device, and what __ip_append_data adds to it."""
CACHE_LINE = 64
SHARED_INFO, SK_BUFF = 320, 256
"""sizeof(struct skb_shared_info) and struct sk_buff, aligned, on 64 bits."""
SMALL_HEAD = 576
"""SKB_SMALL_HEAD_CACHE_SIZE: the smallest head there is since Linux 6.3."""

Item = TypeVar("Item")


def truesize(payload: int, mtu: int = 1500) -> int:
    """Bytes of memory that a datagram sent by a local process takes in the socket that gets it: of each fragment its
    head, rounded up as kmalloc does, and the sk_buff. Seen so on Linux 6.18 over lo and veth, at each of its steps."""
    left = UDP_HEADER + payload
    room = mtu - IP_HEADER
    if left > room:
        room -= room % 8  # fragments are cut at multiples of 8
    total = 0
    while left > 0:
        part = min(left, room)
        head = -(-(IP_HEADER + part + LINK_ROOM) // CACHE_LINE) * CACHE_LINE + SHARED_INFO
        total += SK_BUFF + (SMALL_HEAD if head <= SMALL_HEAD else 1 << (head - 1).bit_length())
        left -= part
    return total


class ReceiveBuffer(Generic[Item]):
    """Datagrams in the order of their arrival. `limit`: SO_RCVBUF as the kernel has it (getsockopt), in bytes."""

    def __init__(self, limit: int = RMEM_DEFAULT) -> None:
        self.limit = limit
        self.allocated = 0
        """Bytes that the socket is charged for (`sk_rmem_alloc`)."""
        self._queue: deque[tuple[Item, int]] = deque()
        self._reading: deque[tuple[Item, int]] = deque()
        self._read = 0
        """Bytes that were read and are still charged (`forward_deficit`)."""

    def __len__(self) -> int:
        return len(self._queue) + len(self._reading)

    def put(self, item: Item, size: int) -> bool:
        """A datagram of truesize `size` comes; False: dropped. An empty buffer takes any."""
        if self.allocated and self.allocated + size > self.limit:
            return False
        self.allocated += size
        self._queue.append((item, size))
        return True

    def get(self) -> Item:
        """Read the oldest datagram; there must be one."""
        if not self._reading:
            self._reading, self._queue = self._queue, self._reading
        item, size = self._reading.popleft()
        self._read += size
        if self._read >= self.limit >> 2 or not self._reading:
            self.allocated -= self._read
            self._read = 0
        return item


class SendBuffer:
    """What a sending socket is charged for: its datagrams in queues of devices, until they have left those
    (sock_alloc_send_pskb in net/core/sock.c). While they fill it, who sends waits."""

    def __init__(self, limit: int = WMEM_DEFAULT) -> None:
        self.limit = limit
        self._charged: deque[tuple[float, int]] = deque()
        self._allocated = 0

    def charge(self, leaves: float, size: int) -> None:
        """A datagram of truesize `size` waits until `leaves`, and no shorter than those before it."""
        self._charged.append((leaves, size))
        self._allocated += size

    def free_at(self, now: float) -> float:
        """From when on another datagram is taken: one is as long as there is any room, though it need not fit."""
        while self._charged and (self._charged[0][0] <= now or self._allocated >= self.limit):
            leaves, size = self._charged.popleft()
            self._allocated -= size
            now = max(now, leaves)
        return now
