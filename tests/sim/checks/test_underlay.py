"""Who stands behind whom, and whose gateway is whose."""

from __future__ import annotations

import pytest

from sim.errors import SpecError
from sim.spec import Client, Host, Router, Spec

ROUTER = Client(name="r", address="192.168.99.1/24", router=Router(address="172.30.5.1/24"))
NAS = Client(name="nas", address="172.30.5.20/24", behind="r")


def test_who_stands_behind_a_plain_router_has_its_default_route_there() -> None:
    spec = Spec(clients=(ROUTER, NAS))
    assert spec.routes_of("nas") == ("default via 172.30.5.1",)
    assert spec.routes_of("@dns") == ("172.30.5.0/24 via 192.168.99.1",)


def test_nobody_behind_nat_knows_the_way_inside() -> None:
    nat = ROUTER.model_copy(update={"router": Router(address="172.30.5.1/24", nat=True)})
    spec = Spec(clients=(nat, NAS))
    assert spec.routes_of("nas") == spec.routes_of("@dns") == ()


def test_a_router_is_dialled_by_the_address_of_the_askers_side() -> None:
    spec = Spec(clients=(ROUTER, NAS, Client()))
    assert spec.address_towards("r", "nas") == "172.30.5.1"
    assert spec.address_towards("r", "client") == spec.address_towards("r", "host") == "192.168.99.1"


@pytest.mark.parametrize(("clients", "host", "problem"), [
    ((NAS,), Host(), "behind 'r', which is no client"),
    ((ROUTER.model_copy(update={"router": None}), NAS), Host(), "behind 'r', which is no router"),
    ((ROUTER, NAS.model_copy(update={"address": "172.30.6.20/24"})), Host(), "outside of 172.30.5.0/24, the net"),
    ((ROUTER,), Host(routes=("default via 10.0.0.1",)), "10.0.0.1 is not on a net of host, 192.168.99.0/24"),
    ((ROUTER,), Host(routes=("default via 192.168.99.101",)), "its own address"),
    ((ROUTER,), Host(routes=("172.30.5.7/24 via 192.168.99.1",)), "bits behind its prefix; write 172.30.5.0/24"),
    ((ROUTER,), Host(routes=("default via 192.168.99.1", "default via 192.168.99.2")), "two routes to default"),
    ((ROUTER.model_copy(update={"routes": ("default via 192.168.99.101",)}),),
     Host(routes=("default via 192.168.99.1",)), "gateways go in a circle: host -> r -> host"),
    ((ROUTER.model_copy(update={"router": Router(address="192.168.0.1/16")}),), Host(), "one subnet"),
    ((ROUTER, Client(name="other", address="172.30.5.1/24")), Host(), "two machines have the address '172.30.5.1'"),
    ((Client(name="a", address="10.1.0.1/24", behind="b", router=Router(address="10.2.0.1/24")),
      Client(name="b", address="10.2.0.2/24", behind="a", router=Router(address="10.1.0.2/24"))),
     Host(), "stands behind itself"),
])
def test_what_machines_say_of_each_other_must_hold(clients: tuple[Client, ...], host: Host, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        Spec(hosts=(host,), clients=clients)


def test_a_client_may_lead_to_a_container_on_the_wire() -> None:
    Spec(clients=(Client(routes=("default via 192.168.99.50",)),))


def test_hairpin_needs_forwarded_ports() -> None:
    with pytest.raises(SpecError, match="hairpin without forwards"):
        Router(address="203.0.113.7/24", nat=True, hairpin=True)
