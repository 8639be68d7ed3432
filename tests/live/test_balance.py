"""The kernel's table of what is balanced to whom, as text."""

from __future__ import annotations

from live.balance import parse

HEAD = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
"""


def test_an_empty_table_balances_nothing() -> None:
    assert parse(HEAD) == []


def test_each_destination_stands_with_its_service() -> None:
    table = HEAD + """FWM  00000101 rr
  -> 0A000007:0000      Masq    1      0          0
  -> 0A000006:0000      Masq    0      2          0
FWM  00000100 rr
TCP  C0A86365:0050 wlc persistent 300 FFFFFFFF
  -> 0A000108:1F90      Route   3      0          1
"""
    assert [str(each) for each in parse(table)] == [
        "fwmark 257 rr -> 10.0.0.7 masq weight 1",
        "fwmark 257 rr -> 10.0.0.6 masq weight 0",
        "tcp 192.168.99.101:80 wlc -> 10.0.1.8:8080 route weight 3",
    ]
