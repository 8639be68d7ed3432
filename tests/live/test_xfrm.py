"""IPsec read from the kernel, and the numbers that libnetwork gives its security associations."""

from __future__ import annotations

import socket
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live import features, netns, xfrm
from live.xfrm import Line
from sim.packet import Proto, dotted

H1, H2 = "192.168.99.101", "192.168.99.102"
SEEN = {(H1, H2): {41973: 0x4E4F0D38}, (H2, H1): {41972: 0xC9FC7F5F, 41973: 0xC8D8A88C, 41974: 0x9BE2C80D}}
"""Of a real swarm: (from, to) -> number of the key -> SPI."""
addresses = st.integers(0, 0xFFFFFFFF).map(dotted)


def lines() -> list[Line]:
    return [Line(src, dst, spi, "spi {spi}") for (src, dst), keys in SEEN.items() for spi in keys.values()]


def test_the_spis_of_a_real_swarm_follow_from_its_addresses_and_keys() -> None:
    for (src, dst), keys in SEEN.items():
        assert {key: xfrm.build_spi(src, dst, key) for key in keys} == keys
        assert [xfrm.key_number(src, dst, spi) for spi in keys.values()] == list(keys)


@given(addresses, addresses, st.integers(0, (1 << 17) - 1))
def test_an_spi_tells_its_keys_number(src: str, dst: str, key: int) -> None:
    found = xfrm.key_number(src, dst, spi := xfrm.build_spi(src, dst, key))
    assert found is not None and xfrm.build_spi(src, dst, found) == spi


def test_keys_are_counted_from_the_smallest_that_anybody_has() -> None:
    assert xfrm.symbols(lines()) == {
        "0x4e4f0d38": f"spi({H1}>{H2}#2)", "0xc9fc7f5f": f"spi({H2}>{H1}#1)", "0xc8d8a88c": f"spi({H2}>{H1}#2)",
        "0x9be2c80d": f"spi({H2}>{H1}#3)"}


def test_an_spi_of_somebody_else_keeps_its_number() -> None:
    foreign = Line(H1, H2, 0x1234, "spi {spi}")
    assert foreign.shown(xfrm.symbols([*lines(), foreign])) == "spi 0x00001234"
    assert lines()[0].shown(xfrm.symbols(lines())) == f"spi spi({H1}>{H2}#2)"


def usersa_info(aead: bytes = b"") -> bytes:
    """struct xfrm_usersa_info as a 64-bit kernel lays it out, field by field, and XFRMA_ALG_AEAD."""
    selector = bytes(40) + struct.pack("=H", socket.AF_INET) + bytes(14)
    ident = socket.inet_aton(H2).ljust(16, b"\0") + bytes.fromhex("4e4f0d38") + bytes([Proto.ESP, 0, 0, 0])
    source = socket.inet_aton(H1).ljust(16, b"\0")
    limits, counts = b"\xff" * 32 + bytes(32), bytes(32 + 12)
    rest = struct.pack("=IIHBBB", 0, 13681891, socket.AF_INET, 0, 0, 0)
    body = (selector + ident + source + limits + counts + rest).ljust(224, b"\0")
    return body + (struct.pack("=HH", 4 + len(aead), 18) + aead if aead else b"")


def test_a_state_reads_as_the_model_writes_it_and_without_its_key() -> None:
    aead = b"rfc4106(gcm(aes))".ljust(64, b"\0") + struct.pack("=II", 160, 64) + b"k" * 20
    line = xfrm.state(usersa_info(aead))
    assert line.shown({}) == (f"state src {H1} dst {H2} proto esp spi 0x4e4f0d38 reqid 13681891 mode transport aead "
                              "rfc4106(gcm(aes)) 160 bits icv 64")
    assert (line.src, line.dst, line.spi) == (H1, H2, 0x4E4F0D38)
    assert xfrm.state(usersa_info()).shown({}).endswith("mode transport")


@pytest.mark.live
def test_a_policy_that_the_kernel_holds_reads_as_the_model_writes_it() -> None:
    def programmed() -> list[Line]:
        subprocess.run(
            ["ip", "xfrm", "policy", "add", "src", f"{H1}/32", "dst", f"{H2}/32", "proto", "udp", "dport", "4789",
             "dir", "out", "mark", "0xd0c4e3", "mask", "0xffffffff", "tmpl", "src", H1, "dst", H2, "proto", "esp",
             "spi", "0x4e4f0d38", "reqid", "13681891", "mode", "transport"], check=True, timeout=10)
        subprocess.run(["ip", "xfrm", "policy", "add", "src", f"{H2}/32", "dst", f"{H1}/32", "dir", "in"], check=True,
                       timeout=10)
        return xfrm._read()

    with netns.throwaway() as run:
        assert run(xfrm._read) == []
        (line,) = run(programmed)
    assert line.shown({}) == (
        f"policy src {H1}/32 dst {H2}/32 proto udp dport 4789 dir out priority 0 mark 0xd0c4e3/0xffffffff "
        f"tmpl src {H1} dst {H2} proto esp spi 0x4e4f0d38 reqid 13681891 mode transport")


@pytest.mark.live
def test_states_that_the_kernel_holds_are_read() -> None:
    """A kernel without ESP holds none, and the doctor says so."""
    if features.lacks("esp"):
        with netns.throwaway() as run:
            assert run(xfrm._read) == []
        return

    def programmed() -> list[Line]:
        subprocess.run(
            ["ip", "xfrm", "state", "add", "src", H1, "dst", H2, "proto", "esp", "spi", "0x4e4f0d38", "reqid",
             "13681891", "mode", "transport", "aead", "rfc4106(gcm(aes))", "0x" + "11" * 20, "64"], check=True,
            timeout=10)
        return xfrm._read()

    with netns.throwaway() as run:
        (line,) = run(programmed)
    assert line.shown({}) == (f"state src {H1} dst {H2} proto esp spi 0x4e4f0d38 reqid 13681891 mode transport aead "
                              "rfc4106(gcm(aes)) 160 bits icv 64")
