"""The lab's name server, message by message."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR

from live.nameserver import answer


def test_every_name_is_answered_with_no_such_name() -> None:
    reply = DNS(answer(bytes(DNS(id=7, rd=1, qd=DNSQR(qname="web.example")))))
    assert (reply.id, reply.qr, reply.rcode, reply.rd, reply.ancount) == (7, 1, 3, 1, 0)
    assert reply.qd[0].qname == b"web.example."


def test_an_answer_is_not_answered() -> None:
    assert answer(bytes(DNS(id=7, qr=1))) is None


def test_a_question_that_is_cut_off_is_a_format_error() -> None:
    whole = bytes(DNS(id=7, qd=DNSQR(qname="web")))
    assert DNS(answer(whole[:-3])).rcode == 1


@given(st.binary(max_size=80))
def test_any_bytes_get_a_short_answer_or_none(query: bytes) -> None:
    reply = answer(query)
    if reply is not None:
        assert reply[:2] == query[:2]
        assert len(reply) <= max(len(query), struct.calcsize("!6H"))


def test_a_name_that_it_was_given_has_its_address_and_no_records_of_other_types() -> None:
    names = {"example.org": "93.184.216.34"}
    reply = DNS(answer(bytes(DNS(id=7, rd=1, qd=DNSQR(qname="Example.ORG"))), names))
    assert (reply.rcode, reply.ancount, reply.an[0].rdata) == (0, 1, "93.184.216.34")
    other = DNS(answer(bytes(DNS(id=7, rd=1, qd=DNSQR(qname="example.org", qtype="AAAA"))), names))
    assert (other.rcode, other.ancount) == (0, 0)
    assert DNS(answer(bytes(DNS(id=7, rd=1, qd=DNSQR(qname="example.com"))), names)).rcode == 3
