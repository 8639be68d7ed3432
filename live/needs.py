"""Which features of a kernel a topology needs, by the doctor's names, and for what: what everybody has is left out.

`live/doctor.py` says which of them this machine's kernel has. Where one is missing, a micro-VM has it (`live/vm`).
"""

from __future__ import annotations

from sim.spec import Client, Host, Network, Spec

DRIVERS = {"overlay": "vxlan", "macvlan": "macvlan", "ipvlan": "ipvlan"}
"""Network driver -> what its devices are."""
PARENT = "parent"
ENCRYPTED = "encrypted"


def needed(spec: Spec) -> dict[str, str]:
    """Feature -> the first object that needs it."""
    found: dict[str, str] = {}
    for network in spec.networks:
        for feature in of_network(network):
            found.setdefault(feature, f"network {network.name}")
    for service in spec.services:
        if service.endpoint_mode == "vip" and (service.ingress_ports or service.attachments):
            found.setdefault("ip_vs", f"the virtual address of service {service.name}")
        if not all(port.can_be_asked for port in service.ports):
            found.setdefault("sctp", f"a port that {service.name} publishes")
    for box in spec.containers:
        if not all(port.can_be_asked for port in box.ports):
            found.setdefault("sctp", f"a port that {box.name} publishes")
    machines: list[Host | Client] = [*spec.hosts, *spec.clients]
    for machine in machines:
        cable, label = spec.link_of(machine.name), machine.name
        if cable.delay or cable.loss:
            found.setdefault("netem", f"delay or loss on the link of {label}")
        if cable.rate:
            found.setdefault("tbf", f"the rate of the link of {label}")
    return found


def of_network(network: Network) -> list[str]:
    """What the engine asks the kernel for when it makes a network."""
    features = [DRIVERS[network.driver]] if network.driver in DRIVERS else []
    if network.driver in ("macvlan", "ipvlan"):
        parent = network.options.get(PARENT, "")
        if not parent:
            features.append("dummy")
        elif "." in parent:
            features.append("8021q")
    if network.driver == "overlay" and network.options.get(ENCRYPTED, "false").lower() != "false":
        features.append("esp")
    return features
