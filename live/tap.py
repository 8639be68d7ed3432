"""A tap: a packet socket on one interface, and what the kernel shows there.

A tap sees (net/core/dev.c) "in" before anything else looks at the frame, "out" when it is handed to the
driver, after all hooks. The socket is promiscuous, and for a bridge that changes what is seen: its own device then
also shows, as "in", the frames that it merely forwards between ports. Most frames are stamped once on their way in
and show the same nanosecond at a port and at its bridge; but TCP segments that a socket of this machine sent carry
their departure time instead (skb->tstamp_type), are stamped at each tap, and the bridge's own tap runs after the frame
has left by the other port (br_handle_frame_finish). Stamps are reported as they are; the comparison knows of this
(`experiments/causality.py`).

A frame that waits here shares its bytes with the kernel's packet, and some code writes to those in place: where a host
puts fragments together, translates the address and cuts again (`ip_do_fragment`'s quick path), the later fragments show
the new header also at the taps before. Paths of fragments through NAT can't be compared for that. Likewise a host
that routes for an ipvlan device (mode l3, which has no ARP) writes its own Ethernet header where the device's had been:
of what such a device sends, the Ethernet addresses are left out.

An 802.1Q tag is not among a frame's bytes: the kernel takes it off before any tap and a veth never puts it in. So it
comes beside them (PACKET_AUXDATA), and `Packet.vlan` is set from there. There too stands whether a checksum is left to
the device (CHECKSUM_PARTIAL).
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass

from scapy.arch.linux import L2ListenSocket, LinuxInterfaceProvider, set_promisc
from scapy.config import conf
from scapy.data import ARPHDR_ETHER, ARPHDR_LOOPBACK, SO_TIMESTAMPNS
from scapy.interfaces import NetworkInterface
from scapy.packet import Raw

from live import links
from sim.errors import LabError

SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
"""Scapy's socket asks for it."""
AUXDATA = struct.Struct("IIIHHHH")
"""struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid (include/uapi/linux/if_packet.h)"""
TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_VLAN_VALID = 1 << 4
IFF_NOARP = 0x80
VLAN_ID = 0xFFF
"""The part of a tag that names the VLAN; the rest is its priority."""
BUFFER_BYTES = 16 << 20
"""Per socket; the kernel takes memory only for frames that wait. About 20 000 small ones fit."""
LARGEST_FRAME = 1 << 17
"""Segmentation offload shows the kernel's own super-packets: 64 KiB and the headers."""

ABOVE = {"802.1Q VLAN Support": 1, "bridge": 2, "macvlan": 2, "ipvlan": 2}
"""Drivers (as `ethtool -i` names them) whose devices get a frame from the device below, with the stamp that it got
there; a sub-interface may in turn be what the others stand on."""

IPV4_AND_ARP = (
    # (code, jump if true, jump if false, k): classic BPF, as `tcpdump -dd` prints it
    (0x28, 0, 0, 12),  # ldh [12]: the EtherType
    (0x15, 2, 0, 0x0800),  # IPv4: keep
    (0x15, 1, 0, 0x0806),  # ARP: keep
    (0x15, 0, 1, 0x8100),  # a tag that a program put there itself: keep, else not
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x06, 0, 0, 0),
)


@dataclass(frozen=True, slots=True)
class Point:
    """A capture point: `label` and `device` name it as predictions do, `netns` (path) and `ifname` say where it is."""

    label: str
    device: str
    netns: str
    ifname: str


@dataclass(slots=True)
class Tap:
    """An open socket. `above`: how far up a device is that gets its frames from another of the machine (ABOVE)."""

    point: Point
    listener: L2ListenSocket
    """Scapy closes the socket when this goes."""
    above: int
    headless: bool
    """What it sends has no Ethernet addresses that could still be read."""

    @property
    def sock(self) -> socket.socket:
        return self.listener.ins

    def lost(self) -> int:
        """Frames lost since the last call: reading the counter resets it (packet(7))."""
        return int(struct.unpack("II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1])


def open_all(points: list[Point]) -> list[Tap]:
    """In the calling thread's namespace."""
    taps: list[Tap] = []
    try:
        for point in points:
            listener = _listen(point)
            driver = links.driver(point.ifname)
            headless = driver == "ipvlan" and bool(_flags(listener.ins, point.ifname) & IFF_NOARP)
            taps.append(Tap(point, listener, ABOVE.get(driver, 0), headless))
    except BaseException:
        for tap in taps:
            tap.listener.close()
        raise
    return taps


def _listen(point: Point) -> L2ListenSocket:
    for kind in (ARPHDR_ETHER, ARPHDR_LOOPBACK):
        if kind not in conf.l2types:  # scapy would warn, for none of its layers is loaded yet; none is used here
            conf.l2types.register_num2layer(kind, Raw)
    try:
        # A NetworkInterface of our own: for a mere name, scapy would fill its process-wide list from this namespace.
        index = socket.if_nametoindex(point.ifname)
        interface = NetworkInterface(LinuxInterfaceProvider(), {"name": point.ifname, "network_name": point.ifname,
                                                                "index": index})
        # Promiscuous afterwards, for scapy would look the name up again.
        listener = L2ListenSocket(iface=interface, promisc=False, nofilter=1)
        set_promisc(listener.ins, interface)
    except PermissionError as error:
        raise LabError("capturing needs CAP_NET_RAW", mend="run as root") from error
    except OSError as error:
        raise LabError(f"can't capture at {point.label}:{point.device} ({point.ifname} in {point.netns}): "
                       f"{error.strerror}") from error
    sock = listener.ins
    program = create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in IPV4_AND_ARP))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(IPV4_AND_ARP), addressof(program)))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    sock.setblocking(False)
    return listener


def receive(sock: socket.socket) -> tuple[int, str, bytes, int, bool] | None:
    """(kernel time in ns, way, frame, VLAN or 0, is a checksum left to the device?). Scapy's own recv gives the time as
    a float, whose steps are 240 ns wide here: more than a frame needs from one device to the next."""
    try:
        raw, ancillary, _, address = sock.recvmsg(LARGEST_FRAME, 256)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno in (errno.ENETDOWN, errno.ENODEV):  # said once, when the interface goes
            return None
        raise
    at = next((struct.unpack("qq", data) for level, kind, data in ancillary
               if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS), (0, 0))
    way = "out" if address[2] == socket.PACKET_OUTGOING else "in"
    status, tag = next(filter(None, map(_beside, ancillary)), (0, 0))
    vlan = tag & VLAN_ID if status & TP_STATUS_VLAN_VALID else 0
    return at[0] * 1_000_000_000 + at[1], way, raw, vlan, bool(status & TP_STATUS_CSUMNOTREADY)


def _beside(message: tuple[int, int, bytes]) -> tuple[int, int] | None:
    """Status and tag that the kernel tells beside a frame; None where `message` tells something else."""
    level, kind, data = message
    if (level, kind) != (SOL_PACKET, PACKET_AUXDATA) or len(data) < AUXDATA.size:
        return None
    status, *_, tag, _ = AUXDATA.unpack_from(data)
    return status, tag


def _flags(sock: socket.socket, ifname: str) -> int:
    """The device's flags (`SIOCGIFFLAGS`)."""
    request = struct.pack("16s16x", ifname.encode())
    return int(struct.unpack_from("H", fcntl.ioctl(sock, 0x8913, request), 16)[0])
