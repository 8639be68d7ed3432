"""Offloads of veth, bridge and VXLAN devices in namespaces of the test's own, and what they do to frames."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from live import netns, offloads
from sim.errors import LabError

NAMES = (f"hcoff-a-{os.getpid()}", f"hcoff-b-{os.getpid()}")
SENT = 1 << 20
PORT = 5555

pytestmark = pytest.mark.live


@pytest.fixture
def wire() -> Iterator[tuple[Path, Path]]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    try:
        one, other = (netns.create(name) for name in NAMES)
        netns.veth(one, "eth0", other, "eth0")
        netns.address(one, "eth0", "10.9.6.1/24")
        netns.address(other, "eth0", "10.9.6.2/24")
        yield one, other
    finally:
        for name in NAMES:
            netns.delete(name)


def received(path: Path, device: str = "eth0") -> tuple[int, int]:
    """(frames, bytes) that a device has received."""
    def count() -> tuple[int, int]:
        with IPRoute() as route:
            found = route.get_links(netns.index_of(route, device))[0].get_attr("IFLA_STATS64")
            return int(found["rx_packets"]), int(found["rx_bytes"])

    return netns.call(path, count)


def mean_frame(wire: tuple[Path, Path]) -> float:
    """Bytes of a frame that the second one receives while the first sends it a megabyte over TCP."""
    one, other = wire

    def listen() -> socket.socket:
        return socket.create_server(("10.9.6.2", PORT))

    def send() -> None:
        with socket.create_connection(("10.9.6.2", PORT), timeout=10) as sock:
            sock.sendall(bytes(SENT))

    before = received(other)
    with netns.call(other, listen) as listener:
        listener.settimeout(10)
        sending = threading.Thread(target=netns.call, args=(one, send))
        sending.start()
        taker, _ = listener.accept()
        with taker:
            taker.settimeout(10)
            got = 0
            while data := taker.recv(1 << 16):
                got += len(data)
        sending.join()
    assert got == SENT
    after = received(other)
    return (after[1] - before[1]) / (after[0] - before[0])


def test_a_veth_segments_late_and_does_not_put_together_what_it_receives(wire: tuple[Path, Path]) -> None:
    for path in wire:
        assert offloads.read(path, "eth0") == {"tso": True, "gso": True, "gro": False, "tx-checksum": True}


def test_frames_of_a_device_without_tso_have_the_mtus_size(wire: tuple[Path, Path]) -> None:
    assert mean_frame(wire) > 4000
    offloads.switch(wire[0], "eth0", tso=False)
    assert mean_frame(wire) <= 1514


def test_gso_off_alone_changes_nothing_for_a_devices_tcp(wire: tuple[Path, Path]) -> None:
    offloads.switch(wire[0], "eth0", gso=False)
    assert offloads.read(wire[0], "eth0")["tso"]
    assert mean_frame(wire) > 4000


def test_everything_is_put_back(wire: tuple[Path, Path]) -> None:
    places = [(path, "eth0") for path in wire]
    before = [offloads.read(*place) for place in places]
    offloads.switch(wire[1], "eth0", gso=False)
    with pytest.raises(ZeroDivisionError), offloads.switched(places, tso=False, gso=False, gro=True):
        for place in places:
            assert offloads.read(*place) == {"tso": False, "gso": False, "gro": True, "tx-checksum": True}
        raise ZeroDivisionError
    assert [offloads.read(*place) for place in places] == [before[0], {**before[1], "gso": False}]


def test_each_kind_of_tcp_is_put_back_by_itself(wire: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as only:
        only.setitem(offloads.FEATURES, "tso", "tx-tcp6-segmentation")
        only.setitem(offloads.TELLING, "tso", "tx-tcp6-segmentation")
        offloads.switch(wire[0], "eth0", tso=False)
    with offloads.switched([(wire[0], "eth0")], tso=False):
        assert not offloads.read(wire[0], "eth0")["tso"]
    assert offloads.read(wire[0], "eth0")["tso"]
    monkeypatch.setitem(offloads.TELLING, "tso", "tx-tcp6-segmentation")
    assert not offloads.read(wire[0], "eth0")["tso"]


def test_a_device_that_has_gone_meanwhile_is_no_error(wire: tuple[Path, Path]) -> None:
    def remove() -> None:
        with IPRoute() as route:
            route.link("del", index=netns.index_of(route, "eth0"))

    with offloads.switched([(path, "eth0") for path in wire], tso=False):
        netns.call(wire[0], remove)


def test_the_first_device_is_as_before_when_the_second_can_not_be_switched(wire: tuple[Path, Path]) -> None:
    with (pytest.raises(LabError, match=f"{NAMES[1]}: no device eth7"),
          offloads.switched([(wire[0], "eth0"), (wire[1], "eth7")], tso=False)):
        pytest.fail("the body ran")
    assert offloads.read(wire[0], "eth0")["tso"]


def test_a_feature_that_the_kernel_refuses_is_named(wire: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """netdev_fix_features: no segmentation without checksums."""
    monkeypatch.setattr(offloads, "SWITCHABLE", (*offloads.SWITCHABLE, "tx-checksum"))
    offloads.switch(wire[0], "eth0", **{"tx-checksum": False})
    assert not offloads.read(wire[0], "eth0")["tso"]
    with pytest.raises(LabError, match=f"{NAMES[0]}: the kernel refuses to switch tso on at eth0"):
        offloads.switch(wire[0], "eth0", tso=True)


@pytest.mark.parametrize("name", ["tx-checksum", "tsso"])
def test_what_can_not_be_switched_is_refused_before_anything_is_done(name: str) -> None:
    with pytest.raises(LabError, match=f"no offload '{name}' that can be switched"):
        offloads.switch(Path("/run/netns/none"), "eth0", **{name: False})
