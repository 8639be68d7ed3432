"""Where IPVS sends what: the kernel's table in a namespace, `/proc/net/ip_vs` (net/netfilter/ipvs/ip_vs_ctl.c).

A kernel without ip_vs has no such file, and one that has it shows an empty table where nothing is balanced.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from live import netns
from sim.packet import dotted

TABLE = "/proc/thread-self/net/ip_vs"
FORWARDING = {"Masq": "masq", "Route": "route", "Tunnel": "tunnel", "Local": "local"}
"""ip_vs_fwd_name, as sim.plumbing writes it."""


@dataclass(frozen=True, slots=True)
class Destination:
    """`service` as ipvsadm names it: `fwmark 256`, or protocol, address and port."""

    service: str
    scheduler: str
    address: str
    forwarding: str
    weight: int

    def __str__(self) -> str:
        return f"{self.service} {self.scheduler} -> {self.address} {self.forwarding} weight {self.weight}"


def read(path: Path) -> list[Destination] | None:
    """In the kernel's order; None where the kernel has no IPVS."""
    return netns.call(path, here)


def here() -> list[Destination] | None:
    """As `read`, in the calling thread's namespace."""
    try:
        return parse(Path(TABLE).read_text())
    except FileNotFoundError:
        return None


def parse(table: str) -> list[Destination]:
    """
    >>> [str(each) for each in parse('''IP Virtual Server version 1.2.1 (size=4096)
    ... Prot LocalAddress:Port Scheduler Flags
    ...   -> RemoteAddress:Port Forward Weight ActiveConn InActConn
    ... FWM  00000100 rr
    ...   -> 0A000006:0000      Masq    1      0          0
    ... ''')]
    ['fwmark 256 rr -> 10.0.0.6 masq weight 1']
    """
    found: list[Destination] = []
    service = scheduler = ""
    for line in table.splitlines()[3:]:
        words = line.split()
        if words[:1] == ["->"]:
            found.append(Destination(service, scheduler, _address(words[1]), FORWARDING.get(words[2], words[2]),
                                     int(words[3])))
        elif len(words) >= 3:
            mark = words[0] == "FWM"
            service = f"fwmark {int(words[1], 16)}" if mark else f"{words[0].lower()} {_address(words[1])}"
            scheduler = words[2]
    return found


def _address(text: str) -> str:
    """`0A000006:0000`; the port is shown where there is one."""
    address, _, port = text.partition(":")
    return dotted(int(address, 16)) + (f":{int(port, 16)}" if int(port, 16) else "")
