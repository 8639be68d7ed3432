"""What files say for engines of a later generation than the model's: ignored aloud, as the engine ignores it."""

from __future__ import annotations

import pytest

from sim.compose import loads
from sim.errors import SpecError
from sim.predict import predict

ROUTED = """
services: {app: {image: nginx, networks: [r], ports: ["8080:80"]}}
networks: {r: {driver_opts: {com.docker.network.bridge.gateway_mode_ipv4: routed}}}
x-hopcast: {questions: [client -> app:80]}
"""


def test_a_gateway_mode_is_ignored_by_an_engine_before_27_and_the_port_is_published_by_nat() -> None:
    spec = loads(ROUTED, environment={})
    assert any("gateway_mode_ipv4" in note and "ignores it" in note for note in spec.notes)
    found = predict(spec)
    assert found.answers[0].outcome.value == "reached"
    assert any("DNAT" in rule for rule in found.plumbing.namespaces["host"].rules["nat"])


def test_an_option_that_no_engine_has_is_still_refused() -> None:
    with pytest.raises(SpecError, match="is not one that the model covers"):
        loads(ROUTED.replace("gateway_mode_ipv4", "gateway_mod_ipv4"), environment={})


def test_gw_priority_is_ignored_aloud_and_priority_orders_how_networks_are_joined() -> None:
    spec = loads("{services: {app: {image: nginx, networks: {a: {gw_priority: 1}, b: {gw_priority: 9, priority: 9}}}},"
                 " networks: {a: {}, b: {}}}", environment={})
    assert [attachment.network for attachment in spec.containers[0].attachments] == ["hopcast_b", "hopcast_a"]
    assert sum("gw_priority" in note for note in spec.notes) == 2
    routes = predict(spec).plumbing.namespaces["hopcast-app-1"].routes
    assert [(route.dev, route.via) for route in routes if route.dst == "default"] == [("eth0", "172.18.0.1")]
