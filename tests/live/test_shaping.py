"""Rate and MTU of the lab's wire, in a namespace that ends with the test."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from pyroute2 import IPRoute

from live import features, netns
from live.lab import Lab
from sim.build import topology
from sim.errors import LabError
from sim.spec import Client, Host, Link, Spec, Underlay

pytestmark = pytest.mark.live


def queues(device: str) -> list[tuple[str, Any]]:
    with IPRoute() as route:
        index = netns.index_of(route, device)
        return [(found.get_attr("TCA_KIND"), found) for found in route.get_qdiscs(index)]


def on_the_wire(underlay: Underlay) -> Spec:
    plain = topology().host("one").client().spec()
    return plain.model_copy(update={"underlay": underlay})


def test_a_rate_stands_at_both_ends_of_each_cable_and_the_mtu_everywhere() -> None:
    with Lab.up(on_the_wire(Underlay(rate=20e6, mtu=1400))) as lab:
        for label, device in (("one", "eth0"), ("client", "eth0"), ("@wire", "to-0"), ("@wire", "to-1")):
            (kind, found), *_ = netns.call(lab.netns_path(label), queues, device)
            assert kind == "tbf"
            assert found.get_attr("TCA_OPTIONS").get_attr("TCA_TBF_PARMS")["rate"] == 2_500_000
            assert netns.call(lab.netns_path(label), mtu_of, device) == 1400


def mtu_of(device: str) -> int:
    with IPRoute() as route:
        return int(route.get_links(netns.index_of(route, device))[0].get_attr("IFLA_MTU"))


def test_a_wire_without_limits_has_no_queue_of_its_own() -> None:
    with Lab.up(on_the_wire(Underlay())) as lab:
        assert [kind for kind, _ in netns.call(lab.netns_path("one"), queues, "eth0")] in ([], ["noqueue"])


def test_each_machine_has_the_cable_that_its_link_says_and_the_others_the_underlays() -> None:
    given = Spec(hosts=(Host(name="one", link=Link(mtu=1400, rate=20e6)),), clients=(Client(),),
                 underlay=Underlay(mtu=1450))
    with Lab.up(given) as lab:
        for label, device, mtu, kind in (("one", "eth0", 1400, "tbf"), ("@wire", "to-0", 1400, "tbf"),
                                         ("client", "eth0", 1450, "noqueue"), ("@wire", "to-1", 1450, "noqueue")):
            path = lab.netns_path(label)
            assert netns.call(path, mtu_of, device) == mtu
            assert [found for found, _ in netns.call(path, queues, device)] in ([kind], [])
        assert lab.frames_lost() == 0


def test_frames_that_a_full_queue_loses_are_counted() -> None:
    given = Spec(hosts=(Host(name="one", link=Link(rate=64e3)),), clients=(Client(),))

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(200):
                sock.sendto(bytes(1400), ("192.168.99.200", 9))

    with Lab.up(given) as lab:
        netns.call(lab.netns_path("one"), flood)
        assert lab.frames_lost() > 0


def test_a_kernel_that_can_not_delay_says_so_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "lacks", lambda feature: f"no {feature} here")
    monkeypatch.setattr(netns, "create", lambda name: pytest.fail("a namespace was made"))
    for link in (Link(delay=0.005), Link(loss=0.01)):
        with pytest.raises(LabError, match=r"can't be measured here: kernel lacks netem \(no netem here\)"):
            Lab.up(Spec(hosts=(Host(name="one", link=link),)))


def test_a_delay_works_or_the_error_names_what_the_kernel_lacks() -> None:
    try:
        with Lab.up(on_the_wire(Underlay(delay=0.002, rate=20e6))) as lab:
            kinds = [kind for kind, _ in netns.call(lab.netns_path("one"), queues, "eth0")]
            assert kinds == ["netem", "tbf"]
    except LabError as error:
        assert "lacks netem" in str(error) and "delay" in error.mend
