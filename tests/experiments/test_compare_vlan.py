"""Paths with 802.1Q tags and routed ipvlan devices: what the comparison sees of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from experiments.compare import compare_path
from sim.build import topology
from sim.packet import Vlan
from sim.predict import predict
from sim.trace import Kind, Trace

TAGGED: dict[str, Any] = {"driver": "macvlan", "subnet": "10.10.0.0/24", "options": {"parent": "eth0.10"}}
ROUTED: dict[str, Any] = {
    "driver": "ipvlan", "subnet": "10.77.0.0/24", "options": {"parent": "eth0", "ipvlan_mode": "l3"}}


def path(options: dict[str, Any], client_route: str = "") -> tuple[Trace, set[str]]:
    """One ping: between two hosts on a VLAN, or from a routed container to a client that knows the way back."""
    made = topology().host("h1").host("h2").client(routes=[client_route] if client_route else [])
    made = made.network("lan", **options).container("aa", networks=["lan"], host="h1")
    if client_route:
        made = made.ask("aa -> client ping by ip")
    else:
        made = made.container("bb", networks={"lan": {"ipv4_address": "10.10.0.9"}}, host="h2")
        made = made.ask("aa -> bb ping by ip")
    forecast = predict(made.spec())
    trace = forecast.traces[0]
    return trace, {s.point for s in trace if s.device and s.where in forecast.plumbing.namespaces}


def test_a_frame_with_another_tag_is_another_frame() -> None:
    trace, points = path(TAGGED)
    seen = deepcopy(trace)
    assert compare_path(trace, seen, points).agreed
    tagged = [s.packet for s in seen if s.kind is Kind.SEEN and s.point == "h1:eth0" and s.packet and s.packet.vlan]
    tagged[0].vlan = Vlan(20)
    check = compare_path(trace, seen, points)
    assert not check.agreed
    assert "vlan.id 10" in check.predicted and "vlan.id 20" in check.observed


def test_a_tag_that_is_not_there_is_a_difference() -> None:
    trace, points = path(TAGGED)
    seen = deepcopy(trace)
    for step in seen:
        if step.point == "h2:eth0" and step.packet is not None:
            step.packet.vlan = None
    check = compare_path(trace, seen, points)
    assert not check.agreed
    assert check.where.startswith("h2:eth0")


def test_what_a_routed_ipvlan_device_sends_is_compared_without_ethernet_addresses() -> None:
    trace, points = path(ROUTED, "10.77.0.0/24 via 192.168.99.101")
    assert compare_path(trace, deepcopy(trace), points).agreed
    sent = [s.packet.fields() for s in trace
            if s.kind is Kind.SEEN and (s.point, s.way) == ("aa:eth0", "out") and s.packet]
    assert sent and not any(name.startswith("eth.") for headers in sent for name in headers)
