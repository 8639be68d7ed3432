"""The predicting half of Hopcast: a topology goes in, what every packet will do comes out.

Layers, lowest first; imports point down only (a test over the `ast` enforces it):

    errors, packet <- trace, plumbing     what is said: mistakes, packets, steps, what stands in a namespace
    spec <- dial, questions, compose, build   the topology and the questions, from YAML or Python
    kernel/      what Linux does: devices, bridge, ARP, routing, netfilter, conntrack, sockets
    dockerd/     what the daemon plumbs: IPAM, bridges, iptables rules, embedded DNS, docker-proxy
    fabric/      what time does: the SimPy clock, prices, the programs that send and answer
    world        joins them: a Spec, plumbed
    predict/     the forecasts: reachability, path, step counts of a round trip

From a notebook:

    from sim import load
    from sim.predict import predict
    prediction = predict(load("compose.yaml"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.build import topology
    from sim.compose import load, loads

__all__ = ["load", "loads", "topology"]

_HOMES = {"load": "sim.compose", "loads": "sim.compose", "topology": "sim.build"}


def __getattr__(name: str) -> Any:
    # Imported on first use: the live half needs `sim.spec` and must not load the model beside it.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")
